/* moving_average_isa.h -- the inner loops, once for each element type and vector width.
 *
 * Included by moving_average.c with T (float or double), LANES, TARGET (a
 * function attribute) and NAME(word) defined; SLIDE_ELSEWHERE leaves slide out.  A group of LANES
 * differences x[i] - x[i - window] becomes its own running sum by shifted additions; only one
 * addition a group depends on the group before.
 */

typedef T NAME(elements) __attribute__((vector_size(LANES * sizeof(T))));
typedef double NAME(vector) __attribute__((vector_size(LANES * sizeof(double))));

#define LOAD(to, from)                                                                             \
    do {                                                                                           \
        NAME(elements) raw_;                                                                       \
        memcpy(&raw_, (from), sizeof raw_);                                                        \
        (to) = __builtin_convertvector(raw_, NAME(vector));                                        \
    } while (0)
#define STORE(to, from)                                                                            \
    do {                                                                                           \
        NAME(elements) raw_ = __builtin_convertvector((from), NAME(elements));                     \
        memcpy((to), &raw_, sizeof raw_);                                                          \
    } while (0)

/* v becomes its inclusive running sum, last its last lane in all lanes. */
#if LANES == 8
#define SCAN(v, zero, last)                                                                        \
    do {                                                                                           \
        (v) += __builtin_shufflevector((zero), (v), 0, 8, 9, 10, 11, 12, 13, 14);                  \
        (v) += __builtin_shufflevector((zero), (v), 0, 0, 8, 9, 10, 11, 12, 13);                   \
        (v) += __builtin_shufflevector((zero), (v), 0, 0, 0, 0, 8, 9, 10, 11);                     \
        (last) = __builtin_shufflevector((v), (v), 7, 7, 7, 7, 7, 7, 7, 7);                        \
    } while (0)
#elif LANES == 4
#define SCAN(v, zero, last)                                                                        \
    do {                                                                                           \
        (v) += __builtin_shufflevector((zero), (v), 0, 4, 5, 6);                                   \
        (v) += __builtin_shufflevector((zero), (v), 0, 0, 4, 5);                                   \
        (last) = __builtin_shufflevector((v), (v), 3, 3, 3, 3);                                    \
    } while (0)
#else
#define SCAN(v, zero, last)                                                                        \
    do {                                                                                           \
        (v) += __builtin_shufflevector((zero), (v), 0, 2);                                         \
        (last) = __builtin_shufflevector((v), (v), 1, 1);                                          \
    } while (0)
#endif

TARGET static double NAME(total)(const T *x, size_t n)
{
    NAME(vector) sums = {0}, more;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        LOAD(more, x + i);
        sums += more;
    }
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += sums[lane];
    for (; i < n; i++)
        sum += (double)x[i];
    return sum;
}

#ifndef SLIDE_ELSEWHERE
/* Full windows: sum is that of the window before x[0].  Returns the last sum, which is not
 * finite if any value was not. */
TARGET static double NAME(slide)(const T *x, size_t n, size_t window, double sum, T *out)
{
    const double share = 1.0 / (double)window;
    const NAME(vector) zero = {0};
    NAME(vector) carry = zero + sum, in, gone, last;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        LOAD(in, x + i);
        LOAD(gone, x + i - window);
        in -= gone;
        SCAN(in, zero, last);
        in = (in + carry) * share;
        carry += last;
        STORE(out + i, in);
    }
    sum = carry[0];
    for (; i < n; i++) {
        sum += (double)x[i] - (double)x[i - window];
        out[i] = (T)(sum * share);
    }
    return sum;
}

#endif

/* Windows that still grow: `before` values lie before x[0], with this sum. */
TARGET static double NAME(grow)(const T *x, size_t n, size_t before, double sum, T *out)
{
    const NAME(vector) zero = {0};
    NAME(vector) carry = zero + sum, in, last, count = zero + (double)before;
    for (int lane = 0; lane < LANES; lane++)
        count[lane] += lane + 1;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        LOAD(in, x + i);
        SCAN(in, zero, last);
        in = (in + carry) / count;
        carry += last;
        count += (double)LANES;
        STORE(out + i, in);
    }
    sum = carry[0];
    for (; i < n; i++) {
        sum += (double)x[i];
        out[i] = (T)(sum / (double)(before + i + 1));
    }
    return sum;
}

#undef LOAD
#undef STORE
#undef SCAN
#undef T
#undef LANES
#undef TARGET
#undef NAME
#undef SLIDE_ELSEWHERE
