/* strided_isa.h -- the contiguous copies of strided.c, once for each vector width. */
#include "kernels/lanes.h"

TARGET static bool NAME(take_f64)(const double *x, size_t n, double *to)
{
    const V zero = {0};
    V odd = zero, v;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        memcpy(&v, x + i, sizeof v);
        memcpy(to + i, &v, sizeof v);
        odd += v - v;
    }
    double rest = TOTAL(odd);
    for (; i < n; i++) {
        to[i] = x[i];
        rest += x[i] - x[i];
    }
    return rest == 0;
}

TARGET static bool NAME(take_f32)(const float *x, size_t n, double *to)
{
    const V zero = {0};
    V odd = zero, v;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        NAME(singles) narrow;
        memcpy(&narrow, x + i, sizeof narrow);
        v = WIDEN(narrow);
        memcpy(to + i, &v, sizeof v);
        odd += v - v;
    }
    double rest = TOTAL(odd);
    for (; i < n; i++) {
        to[i] = (double)x[i];
        rest += to[i] - to[i];
    }
    return rest == 0;
}

TARGET static void NAME(give_f32)(const double *x, size_t n, float *to)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        V v;
        memcpy(&v, x + i, sizeof v);
        NAME(singles) narrow = NARROW(v);
        memcpy(to + i, &narrow, sizeof narrow);
    }
    for (; i < n; i++)
        to[i] = (float)x[i];
}

#include "kernels/lanes_end.h"
