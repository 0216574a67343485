#include "kernels/isa.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

/* ORDER kernel_isa */
static const char *const names[KERNEL_ISAS] = {"scalar", "128-bit vectors", "AVX2", "AVX-512"};

/* ORDER kernel_dot */
static const char *const dot_names[KERNEL_DOTS] = {"AVX-512 BF16", "AVX-512 VNNI", "AVX-VNNI"};

static enum kernel_isa chosen;
static bool dots[KERNEL_DOTS];

bool kernel_isa_has(enum kernel_isa isa)
{
#ifdef __x86_64__
    if (isa == KERNEL_AVX2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == KERNEL_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("fma");
#endif
    return isa <= KERNEL_VECTOR128;
}

#ifdef __x86_64__
/* Of EAX in CPUID's leaf 7, 1; compilers differ in which of these they have a name for.  That the
 * system saves the wide registers is known from kernel_isa_has(). */
enum { AVX_VNNI_BIT = 1 << 4, AVX512_BF16_BIT = 1 << 5 };

static bool extended_feature(unsigned bit)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit);
}
#endif

bool kernel_dot_has(enum kernel_dot dot)
{
#ifdef __x86_64__
    if (dot == KERNEL_AVX512_BF16)
        return kernel_isa_has(KERNEL_AVX512) && extended_feature(AVX512_BF16_BIT);
    if (dot == KERNEL_AVX512_VNNI)
        return kernel_isa_has(KERNEL_AVX512) && __builtin_cpu_supports("avx512vnni");
    if (dot == KERNEL_AVX_VNNI)
        return kernel_isa_has(KERNEL_AVX2) && extended_feature(AVX_VNNI_BIT);
#endif
    (void)dot;
    return false;
}

const char *kernel_dot_name(enum kernel_dot dot)
{
    return dot_names[dot];
}

bool kernel_dot(enum kernel_dot dot)
{
    return dots[dot];
}

void kernel_dot_use(enum kernel_dot dot, bool on)
{
    dots[dot] = on && kernel_dot_has(dot);
}

__attribute__((constructor)) static void choose(void)
{
    for (int dot = 0; dot < KERNEL_DOTS; dot++)
        kernel_dot_use((enum kernel_dot)dot, true);
    for (int isa = 0; isa < KERNEL_ISAS; isa++)
        kernel_isa_use((enum kernel_isa)isa);
}

const char *kernel_isa_name(enum kernel_isa isa)
{
    return names[isa];
}

enum kernel_isa kernel_isa(void)
{
    return chosen;
}

bool kernel_isa_use(enum kernel_isa isa)
{
    if (!kernel_isa_has(isa))
        return false;
    chosen = isa;
    return true;
}
