#include <math.h>

#include "kernels/floats.h"

bool floats_range(const float *values, size_t n, float *least, float *greatest)
{
    *least = INFINITY, *greatest = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        *least = values[i] < *least ? values[i] : *least;
        *greatest = values[i] > *greatest ? values[i] : *greatest;
    }
    return *least <= *greatest;
}

void floats_round(const float *values, size_t n, int decimals, float *to)
{
    double scale = pow(10, decimals);
    for (size_t i = 0; i < n; i++)
        to[i] = (float)(floor((double)values[i] * scale + 0.5) / scale);
}

struct floats_errors floats_errors(const float *values, const float *forecast, size_t n, size_t lag)
{
    double sum = 0, squares = 0;
    size_t count = 0;
    for (size_t i = lag; i < n; i++) {
        double off = (double)values[i] - (double)forecast[i - lag];
        if (isnan(off))
            continue;
        count++;
        sum += fabs(off);
        squares += off * off;
    }
    double over = count ? (double)count : 1;
    return (struct floats_errors){count, sum / over, sqrt(squares / over)};
}
