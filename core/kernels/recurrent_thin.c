/* recurrent_thin.c -- weights of 24 bits, for nets that a processor's second cache does not hold.
 *
 * One row's step reads each weight once, at the third cache's pace: a quarter less to read is a
 * quarter less to wait.  A unit's weights for the states become whole multiples of 2^-23 of the
 * power of two above the largest of them, the ones in step, too: a row alone and rows together give
 * the same.  What that takes away is at most 2^-24 of that power; float32 keeps a number at half of
 * it to 2^-26, and rounds by more each time that it adds to a sum.  Where it would be over 2^-21 of
 * a unit's weights (root mean squares), as beside one that dwarfs the others, nothing changes.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/recurrent_private.h"

enum { LEAST_BYTES = 768 << 10, MOST_EXPONENT = 60 };
#define MOST_LOSS  0x1p-42 /* 2^-21, squared */
#define WHOLE_MOST 0x7fffff

/* The weights of one lane of a block: unit and state k -> four sums. */
struct lane {
    const struct recurrent_direction *d;
    size_t step, thin, units; /* where its first ones stand */
    size_t lanes;
};

static struct lane lane_at(const struct recurrent *net, const struct recurrent_direction *d,
                           int inputs, size_t unit)
{
    size_t lanes = (size_t)net->tiles->lanes, block = unit / lanes, in = unit % lanes;
    size_t states = (size_t)recurrent_states(&net->shape), all = (size_t)inputs + states;
    return (struct lane){.d = d,
                         .step = (block * all + (size_t)inputs) * 4 * lanes + in,
                         .thin = block * states * 3 * lanes + in,
                         .units = block * 4 * lanes + in,
                         .lanes = lanes};
}

static float *weight_at(const struct lane *l, size_t k, size_t sum)
{
    return &l->d->step[l->step + (k * 4 + sum) * l->lanes];
}

static float *unit_at(const struct lane *l, size_t sum)
{
    return &l->d->units[l->units + sum * l->lanes];
}

/* False: not numbers, or far from 1. */
static bool find_units(const struct lane *l, size_t states)
{
    for (size_t sum = 0; sum < 4; sum++) {
        float most = 0;
        int exponent = 0;
        for (size_t k = 0; k < states; k++) {
            float weight = fabsf(*weight_at(l, k, sum));
            if (weight > most || isnan(weight))
                most = weight;
        }
        if (!isfinite(most))
            return false;
        frexpf(most, &exponent);
        if (exponent < -MOST_EXPONENT || exponent > MOST_EXPONENT)
            return false;
        *unit_at(l, sum) = ldexpf(1, exponent);
    }
    return true;
}

/* The upper 24 bits of a word whose lower 8 are given: they count, too. */
static uint32_t upper(float weight, float unit, uint32_t lower)
{
    double whole = rint((double)weight / (double)unit * 0x1p23 - (double)lower / 256);
    return (uint32_t)(int32_t)(whole < WHOLE_MOST ? whole : WHOLE_MOST) << 8;
}

/* Words of the first three sums, whose lower bytes are the fourth's, from its lowest on. */
static void encode(const struct lane *l, size_t k)
{
    uint32_t fourth = upper(*weight_at(l, k, 3), *unit_at(l, 3), 0) >> 8;
    for (size_t sum = 0; sum < 3; sum++) {
        uint32_t lower = fourth >> 8 * sum & 255;
        uint32_t word = upper(*weight_at(l, k, sum), *unit_at(l, sum), lower) | lower;
        memcpy(&l->d->thin[l->thin + (k * 3 + sum) * l->lanes], &word, sizeof word);
    }
}

/* As the inner loop has them. */
static void decode(const struct lane *l, size_t k, float weights[4])
{
    uint32_t words[4] = {0};
    for (size_t sum = 0; sum < 3; sum++) {
        memcpy(&words[sum], &l->d->thin[l->thin + (k * 3 + sum) * l->lanes], sizeof *words);
        words[3] |= (words[sum] & 255) << 8 * (sum + 1);
    }
    for (size_t sum = 0; sum < 4; sum++)
        weights[sum] = (float)(int32_t)words[sum] * (*unit_at(l, sum) * 0x1p-31F);
}

static bool is_near(const struct lane *l, size_t states)
{
    double lost[4] = {0}, whole[4] = {0};
    for (size_t k = 0; k < states; k++) {
        float weights[4];
        decode(l, k, weights);
        for (size_t sum = 0; sum < 4; sum++) {
            double weight = (double)*weight_at(l, k, sum), off = weight - (double)weights[sum];
            lost[sum] += off * off;
            whole[sum] += weight * weight;
        }
    }
    for (size_t sum = 0; sum < 4; sum++)
        if (lost[sum] > whole[sum] * MOST_LOSS)
            return false;
    return true;
}

static bool make_thin(const struct recurrent *net, const struct recurrent_direction *d, int inputs)
{
    size_t units = (size_t)net->hidden_width, states = (size_t)recurrent_states(&net->shape);
    for (size_t unit = 0; unit < units; unit++) {
        struct lane l = lane_at(net, d, inputs, unit);
        if (!find_units(&l, states))
            return false;
        for (size_t k = 0; k < states; k++)
            encode(&l, k);
        if (!is_near(&l, states))
            return false;
    }
    return true;
}

static void change_step(const struct recurrent *net, const struct recurrent_direction *d,
                        int inputs)
{
    for (size_t unit = 0; unit < (size_t)net->hidden_width; unit++) {
        struct lane l = lane_at(net, d, inputs, unit);
        for (size_t k = 0; k < (size_t)recurrent_states(&net->shape); k++) {
            float weights[4];
            decode(&l, k, weights);
            for (size_t sum = 0; sum < 4; sum++)
                *weight_at(&l, k, sum) = weights[sum];
        }
    }
}

void recurrent_thin(const struct recurrent *net, struct recurrent_direction *d, int inputs)
{
    size_t wide = (size_t)net->hidden_width, states = (size_t)recurrent_states(&net->shape);
    if (net->kept != RECURRENT_F32 || net->shape.cell != RECURRENT_LSTM ||
        !net->tiles->step[RECURRENT_STEP_LSTM_THIN][0] ||
        wide * states * 4 * sizeof(float) < LEAST_BYTES)
        return;
    d->thin = recurrent_zeros(wide * states * 3);
    d->units = recurrent_zeros(wide * 4);
    if (make_thin(net, d, inputs)) {
        change_step(net, d, inputs);
        return;
    }
    recurrent_zeros_free(d->thin);
    recurrent_zeros_free(d->units);
    d->thin = d->units = NULL;
}
