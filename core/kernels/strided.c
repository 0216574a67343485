#include "kernels/strided.h"

#include <string.h>

#include "kernels/isa.h"

#define LANES 1
#define TARGET
#define NAME(word) word##_scalar
#include "kernels/strided_isa.h"
#define LANES 2
#define TARGET
#define NAME(word) word##_128
#include "kernels/strided_isa.h"
#ifdef __x86_64__
#define LANES      4
#define TARGET     KERNEL_TARGET_AVX2
#define NAME(word) word##_avx2
#include "kernels/strided_isa.h"
#define LANES      8
#define TARGET     KERNEL_TARGET_AVX512
#define NAME(word) word##_avx512
#include "kernels/strided_isa.h"
#endif

/* ORDER kernel_isa */
static const struct copies {
    bool (*take_f64)(const double *x, size_t n, double *to);
    bool (*take_f32)(const float *x, size_t n, double *to);
    void (*give_f32)(const double *x, size_t n, float *to);
} copies[KERNEL_ISAS] = {
    {take_f64_scalar, take_f32_scalar, give_f32_scalar},
    {take_f64_128, take_f32_128, give_f32_128},
#ifdef __x86_64__
    {take_f64_avx2, take_f32_avx2, give_f32_avx2},
    {take_f64_avx512, take_f32_avx512, give_f32_avx512},
#endif
};

static void give_f64(const double *from, size_t n, double *out)
{
    memcpy(out, from, n * sizeof *out);
}

static void give_f32(const double *from, size_t n, float *out)
{
    copies[kernel_isa()].give_f32(from, n, out);
}

#define STRIDED(T, suffix)                                                                         \
    bool strided_take_##suffix(const T *x, ptrdiff_t stride, size_t n, double *to)                 \
    {                                                                                              \
        if (stride == 1)                                                                           \
            return copies[kernel_isa()].take_##suffix(x, n, to);                                   \
        double odd = 0;                                                                            \
        for (size_t i = 0; i < n; i++) {                                                           \
            to[i] = (double)x[(ptrdiff_t)i * stride];                                              \
            odd += to[i] - to[i];                                                                  \
        }                                                                                          \
        return odd == 0;                                                                           \
    }                                                                                              \
    void strided_give_##suffix(const double *from, size_t n, T *out, ptrdiff_t stride)             \
    {                                                                                              \
        if (stride == 1) {                                                                         \
            give_##suffix(from, n, out);                                                           \
            return;                                                                                \
        }                                                                                          \
        for (size_t i = 0; i < n; i++)                                                             \
            out[(ptrdiff_t)i * stride] = (T)from[i];                                               \
    }
STRIDED(double, f64)
STRIDED(float, f32)
