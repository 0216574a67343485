#include "kernels/isa.h"

/* ORDER kernel_isa */
static const char *const names[KERNEL_ISAS] = {"scalar", "128-bit vectors", "AVX2", "AVX-512"};

static enum kernel_isa chosen;

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

__attribute__((constructor)) static void choose(void)
{
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
