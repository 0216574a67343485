/* running_averages_isa.h -- the inner loops of running_averages.c, once for each vector width.
 *
 * Included with what lanes.h wants. */
#include "kernels/lanes.h"

/* n values (full groups) that are all there: their averages.  `sums`, for one group only: what
 * stands above and below at each of its places. */
TARGET static void NAME(decay)(struct exponential_average *s, const double *x, size_t n,
                               double *out, double (*sums)[RUNNING_GROUP])
{
    const V zero = {0};
    double of_two[RUNNING_GROUP], of_four[RUNNING_GROUP];
    for (size_t i = 0; i < RUNNING_GROUP; i++) {
        of_two[i] = s->powers[i % 2];
        of_four[i] = s->powers[i % 4];
    }
    V two, four;
    memcpy(&two, of_two, sizeof two);
    memcpy(&four, of_four, sizeof four);
    const double q = s->powers[0];
    const double far = s->powers[LANES - 1];
    const bool adjust = s->options.adjust;
    const double alpha = s->options.alpha, kept = adjust ? far : 0;
    const double added = adjust ? s->powers_sum[LANES - 1] : s->below;
    V above = zero + s->above, below = zero + s->below, powers, powers_sum;
    memcpy(&powers, s->powers, sizeof powers);
    memcpy(&powers_sum, s->powers_sum, sizeof powers_sum);
    for (size_t i = 0; i < n; i += LANES) {
        V v, weights = below;
        memcpy(&v, x + i, sizeof v);
        ADD_UP(v, zero, q, two, four);
        V last = LAST(v);
        v += powers * above;
        above = above * far + last;
        if (adjust)
            weights = below * powers + powers_sum;
        V average = adjust ? v / weights : v * alpha;
        below = below * kept + added;
        memcpy(out + i, &average, sizeof average);
        if (sums) {
            memcpy(sums[0] + i, &v, sizeof v);
            memcpy(sums[1] + i, &weights, sizeof weights);
        }
    }
    (void)q;
    (void)two;
    (void)four;
    s->above = LANE(above, 0);
    s->below = LANE(below, 0);
}

/* n values (full groups), each there or not, or all of them: their cumulative means. */
TARGET static inline __attribute__((always_inline)) void
NAME(grow_as)(struct cumulative_mean *s, const double *x, size_t n, double *out, bool finite)
{
    const V zero = {0}, one = zero + 1.0;
    V sum = zero + s->sum, rest = zero + s->rest, count = zero + s->count, places, last;
    memcpy(&places, running_places, sizeof places);
    for (size_t i = 0; i < n; i += LANES) {
        V v, there = places;
        memcpy(&v, x + i, sizeof v);
        if (!finite) {
            there = SELECT(v - v == zero, one, zero);
            v = SELECT(there == one, v, zero);
        }
        SCAN(v, zero, last);
        V mean = sum + (rest + v), next = sum + last, back = next - sum;
        rest += (sum - (next - back)) + (last - back);
        sum = next;
        last = zero + (double)LANES;
        if (!finite)
            SCAN(there, zero, last);
        mean = mean / (count + there);
        count += last;
        memcpy(out + i, &mean, sizeof mean);
    }
    s->sum = LANE(sum, 0);
    s->rest = LANE(rest, 0);
    s->count = LANE(count, 0);
}

TARGET static void NAME(grow)(struct cumulative_mean *s, const double *x, size_t n, double *out,
                              bool finite)
{
    if (finite)
        NAME(grow_as)(s, x, n, out, true);
    else
        NAME(grow_as)(s, x, n, out, false);
}

#include "kernels/lanes_end.h"
