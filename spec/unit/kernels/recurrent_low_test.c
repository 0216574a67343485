/* Products of bfloat16 and of bytes: one step against float64 with the same rounding, more of them
 * against float64 without any. */
#include "kernels/recurrent_low.h"

#include "kernels/recurrent_trial.h"
#include "test.h"

/* ---- the same rounding --------------------------------------------------- */

static void to_brain(double *values, int n)
{
    for (int i = 0; i < n; i++) {
        float value = (float)values[i];
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
        memcpy(&value, &bits, sizeof value);
        values[i] = (double)value;
    }
}

static void to_bytes(double *values, int n)
{
    float largest = 0;
    for (int i = 0; i < n; i++)
        largest = fmaxf(largest, fabsf((float)values[i]));
    float times = largest > 0 ? 127 / largest : 0, by = largest / 127;
    for (int i = 0; i < n; i++)
        values[i] = rint(values[i] * (double)times) * (double)by;
}

static void bytes_only(const float *matrix, size_t rows, size_t columns)
{
    for (size_t row = 0; matrix && row < rows; row++) {
        float *values = (float *)(uintptr_t)(matrix + row * columns), largest = 0;
        for (size_t k = 0; k < columns; k++)
            largest = fmaxf(largest, fabsf(values[k]));
        float by = largest / 127;
        for (size_t k = 0; k < columns; k++)
            values[k] = rintf(values[k] / by) * by;
    }
}

/* What is packed is what a file has: rounding it again changes nothing. */
static void round_weights(struct trial *t, enum recurrent_kept kept)
{
    const struct recurrent_shape *s = &t->shape;
    size_t rows = (size_t)(recurrent_gates(s->cell) * s->hidden);
    if (kept == RECURRENT_BF16)
        shorten_weights(t);
    for (int i = 0; i < t->count; i++) {
        const struct recurrent_weights *w = &t->weights[i];
        size_t states = (size_t)recurrent_states(s), hidden = (size_t)s->hidden;
        if (kept == RECURRENT_BF16)
            shorten(w->weight_hr, states * hidden);
        if (kept != RECURRENT_INT8)
            continue;
        bytes_only(w->weight_ih, rows,
                   (size_t)recurrent_inputs_of(s, i / (s->bidirectional ? 2 : 1)));
        bytes_only(w->weight_hh, rows, states);
        bytes_only(w->weight_hr, states, hidden);
    }
}

/* ---- what is tried ------------------------------------------------------- */

static const struct {
    enum recurrent_kept kept;
    enum kernel_isa isa;
    enum kernel_dot dot;
    rounding *to;
    double most; /* of the largest value, after many steps */
} kinds[] = {
    {RECURRENT_BF16, KERNEL_AVX512, KERNEL_AVX512_BF16, to_brain, 0.02},
    {RECURRENT_INT8, KERNEL_AVX512, KERNEL_AVX512_VNNI, to_bytes, 0.04},
    {RECURRENT_INT8, KERNEL_AVX2, KERNEL_AVX_VNNI, to_bytes, 0.04},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Only this one; false: not on this processor. */
static bool use(int kind)
{
    for (int dot = 0; dot < KERNEL_DOTS; dot++)
        kernel_dot_use((enum kernel_dot)dot, dot == (int)kinds[kind].dot);
    return kernel_dot(kinds[kind].dot) && kernel_isa_use(kinds[kind].isa);
}

static void check(struct trial *t, int kind, double most)
{
    by_definition(t);
    double off = run_trial(t, kinds[kind].kept);
    const struct recurrent_shape *s = &t->shape;
    if (!(off < most))
        TEST_FAIL("%s: cell %d in %d hidden %d projection %d layers %d sides %d batch %d time %d "
                  "ragged %d: %g",
                  kernel_dot_name(kinds[kind].dot), (int)s->cell, s->inputs, s->hidden,
                  s->projection, s->layers, 1 + s->bidirectional, t->batch, t->time, !!t->lengths,
                  off);
    end_trial(t);
}

/* Rounded like that, only the order of sums is another; a second step would round what is off by
 * that to another number. */
TEST(one_step_is_that_of_rounded_factors)
{
    for (int i = 0; i < 150; i++) {
        struct recurrent_shape shape = draw_shape(i, 10);
        if (!use(i / 2 % KINDS))
            continue;
        struct trial t = make_trial(&shape, between(1, i % 2 ? 3 : 30), 1, false, i % 7 != 0);
        round_weights(&t, kinds[i / 2 % KINDS].kept);
        t.to = kinds[i / 2 % KINDS].to;
        check(&t, i / 2 % KINDS, 1e-5);
    }
}

TEST(many_steps_stay_near)
{
    for (int i = 0; i < 150; i++) {
        struct recurrent_shape shape = draw_deep_shape(i);
        if (!use(i / 2 % KINDS))
            continue;
        struct trial t =
            make_trial(&shape, between(1, i % 2 ? 4 : 30), between(1, 12), i % 4 == 1, i % 7 != 0);
        round_weights(&t, kinds[i / 2 % KINDS].kept);
        check(&t, i / 2 % KINDS, kinds[i / 2 % KINDS].most);
    }
}

TEST(the_sizes_that_are_measured)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int hidden = 64; hidden <= 512; hidden *= 2) {
            struct recurrent_shape shape = {
                .cell = RECURRENT_LSTM, .inputs = 1, .hidden = hidden, .layers = 1};
            if (!use(kind))
                continue;
            struct trial t = make_trial(&shape, hidden > 128 ? 1 : 32, 1, false, true);
            round_weights(&t, kinds[kind].kept);
            t.to = kinds[kind].to;
            check(&t, kind, 1e-5);
        }
}

/* All factors as large as they get, of one sign. */
TEST(integers_do_not_end_at_a_limit)
{
    struct recurrent_shape shape = {
        .cell = RECURRENT_LSTM, .inputs = 1, .hidden = 300, .layers = 1};
    for (int kind = 0; kind < KINDS; kind++) {
        if (!use(kind))
            continue;
        struct trial t = make_trial(&shape, 7, 1, false, false);
        for (size_t k = 0; k < (size_t)4 * 300 * 300; k++)
            ((float *)(uintptr_t)t.weights[0].weight_hh)[k] =
                k / 300 % 2 ? 0.0078125F : -0.0078125F;
        for (size_t k = 0; k < (size_t)7 * 300; k++)
            t.h[k] = k / 300 % 2 ? 1 : -1;
        t.to = kinds[kind].to;
        check(&t, kind, 1e-5);
    }
}

TEST(rows_of_zeros_and_of_what_is_no_number)
{
    for (int kind = 0; kind < KINDS; kind++) {
        uint32_t words[20];
        float row[40] = {0}, by = 0;
        if (!use(kind))
            continue;
        const struct recurrent_low_tiles *low = recurrent_low_tiles(kinds[kind].kept);
        low->lower(row, 40, words, &by);
        CHECK(low->each == 4 ? words[0] == 0x80808080 && by == 0 : words[0] == 0);
        row[37] = NAN;
        low->lower(row, 40, words, &by);
        CHECK(low->each == 4 ? isnan(by) : (words[18] >> 16 & 0x7fff) > 0x7f80);
    }
}

TEST(without_the_instructions_it_is_float32)
{
    struct recurrent_shape shape = {.cell = RECURRENT_GRU, .inputs = 12, .hidden = 20, .layers = 2};
    for (int dot = 0; dot < KERNEL_DOTS; dot++)
        kernel_dot_use((enum kernel_dot)dot, false);
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        CHECK(!recurrent_low_tiles(RECURRENT_BF16) && !recurrent_low_tiles(RECURRENT_INT8));
        struct trial t = make_trial(&shape, 5, 4, false, true);
        struct recurrent *net = recurrent_new_as(&shape, t.weights, RECURRENT_INT8);
        CHECK_STR(recurrent_instructions(net), kernel_isa_name((enum kernel_isa)isa));
        recurrent_free(net);
        by_definition(&t);
        CHECK(run_trial(&t, RECURRENT_INT8) < 1e-5);
        end_trial(&t);
    }
}
