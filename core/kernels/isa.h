/* isa.h -- which vector instructions the kernels use.
 *
 * The widest that the processor has are chosen when the program starts.
 */
#pragma once

#include <stdbool.h>

/* ORDER kernel_isa */
enum kernel_isa { KERNEL_SCALAR, KERNEL_VECTOR128, KERNEL_AVX2, KERNEL_AVX512, KERNEL_ISAS };

const char *kernel_isa_name(enum kernel_isa isa);
enum kernel_isa kernel_isa(void); /* the one in use */
bool kernel_isa_has(enum kernel_isa isa);
/* For tests and benchmarks, before other threads run: false when this processor lacks it.  What was
 * packed before (recurrent_new) keeps the one it was packed for. */
bool kernel_isa_use(enum kernel_isa isa);

/* Beside them, sums of products of smaller numbers in one instruction: two bfloat16 at once, or
 * four bytes. */
/* ORDER kernel_dot */
enum kernel_dot { KERNEL_AVX512_BF16, KERNEL_AVX512_VNNI, KERNEL_AVX_VNNI, KERNEL_DOTS };

const char *kernel_dot_name(enum kernel_dot dot);
bool kernel_dot_has(enum kernel_dot dot);
/* Whether it is used: together with kernel_isa() of its vectors' width. */
bool kernel_dot(enum kernel_dot dot);
/* As kernel_isa_use(); all that this processor has are on when the program starts. */
void kernel_dot_use(enum kernel_dot dot, bool on);

#define KERNEL_TARGET_AVX2   __attribute__((target("avx2,fma")))
#define KERNEL_TARGET_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma")))
