/* Every variant against the definition in float64. */
#include "kernels/recurrent_trial.h"

#include "kernels/recurrent_private.h"
#include "kernels/share.h"
#include "test.h"

static void check_shape(const struct recurrent_shape *shape, int batch, int time, bool ragged,
                        bool biased, enum recurrent_kept kept)
{
    struct trial t = make_trial(shape, batch, time, ragged, biased);
    if (kept == RECURRENT_BF16)
        shorten_weights(&t);
    by_definition(&t);
    kernel_dot_use(KERNEL_AVX512_BF16, false); /* recurrent_low_test.c's */
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        double off = run_trial(&t, kept);
        if (!(off < 1e-5))
            TEST_FAIL("%s: cell %d in %d hidden %d projection %d layers %d sides %d batch %d time "
                      "%d ragged %d: %g",
                      kernel_isa_name((enum kernel_isa)isa), (int)shape->cell, shape->inputs,
                      shape->hidden, shape->projection, shape->layers, 1 + shape->bidirectional,
                      batch, time, ragged, off);
    }
    end_trial(&t);
}

TEST(shapes_by_chance)
{
    for (int i = 0; i < 200; i++) {
        struct recurrent_shape shape = draw_deep_shape(i);
        check_shape(&shape, between(1, i % 2 ? 4 : 20), between(1, 12), i % 3 == 0, i % 7 != 0,
                    i % 4 == 3 ? RECURRENT_BF16 : RECURRENT_F32);
    }
}

TEST(the_sizes_that_are_measured)
{
    for (int hidden = 64; hidden <= 512 / (int)kernels_share(); hidden *= 2) {
        struct recurrent_shape shape = {
            .cell = RECURRENT_LSTM, .inputs = 1, .hidden = hidden, .layers = 2};
        check_shape(&shape, 1, hidden > 128 ? 6 : 30, false, true, RECURRENT_F32);
        check_shape(&shape, 32, 3, false, true, RECURRENT_F32);
        check_shape(&shape, 1, 6, false, true, RECURRENT_BF16);
    }
}

/* What one row has thin weights for: blocks that are left over, projections, rows that end early.
 */
TEST(sizes_that_no_cache_holds)
{
    static const struct recurrent_shape shapes[] = {
        {.cell = RECURRENT_LSTM, .inputs = 9, .hidden = 231, .layers = 1},
        {.cell = RECURRENT_LSTM, .inputs = 2, .hidden = 512, .projection = 101, .layers = 1},
        {.cell = RECURRENT_GRU, .inputs = 1, .hidden = 260, .layers = 1, .bidirectional = true},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_shape(&shapes[i], 1, 3, false, true, RECURRENT_F32);
        check_shape(&shapes[i], 3, 3, true, false, RECURRENT_F32);
    }
}

static void run_rows(const struct recurrent *net, const struct trial *t, int first, int rows,
                     float *out)
{
    size_t bytes = recurrent_scratch(net, rows, t->time), time = (size_t)t->time;
    struct recurrent_call call = {
        .batch = rows, .time = t->time, .scratch = aligned_alloc(64, bytes)};
    call.x = t->x + (size_t)first * time * (size_t)t->shape.inputs;
    call.out = out + (size_t)first * time * (size_t)recurrent_outputs(&t->shape);
    recurrent_run(net, &call);
    free(call.scratch);
}

TEST(a_row_alone_is_what_it_is_among_others)
{
    for (int i = 0; i < 4; i++) {
        struct recurrent_shape shape = {.cell = i % 2 ? RECURRENT_GRU : RECURRENT_LSTM,
                                        .inputs = i < 2 ? 11 : 1,
                                        .hidden = i < 2 ? 230 : 37,
                                        .layers = 1};
        struct trial t = make_trial(&shape, 7, 3, false, true);
        size_t n = (size_t)(7 * 3 * shape.hidden);
        float *together = mem_alloc(n * sizeof(float)), *alone = mem_alloc(n * sizeof(float));
        for (int isa = 0; isa < KERNEL_ISAS; isa++) {
            if (!kernel_isa_use((enum kernel_isa)isa))
                continue;
            struct recurrent *net = recurrent_new(&shape, t.weights);
            run_rows(net, &t, 0, 7, together);
            for (int row = 0; row < 7; row++)
                run_rows(net, &t, row, 1, alone);
            CHECK(memcmp(together, alone, n * sizeof(float)) == 0);
            recurrent_free(net);
        }
        mem_free(together);
        mem_free(alone);
        end_trial(&t);
    }
}

static bool is_thin(const struct trial *t)
{
    struct recurrent *net = recurrent_new(&t->shape, t->weights);
    bool thin = net->directions[0].thin;
    recurrent_free(net);
    return thin;
}

TEST(weights_that_lose_by_being_thin_are_not)
{
    struct recurrent_shape shape = {
        .cell = RECURRENT_LSTM, .inputs = 1, .hidden = 256, .layers = 1};
    struct trial t = make_trial(&shape, 1, 1, false, true);
    float *one = (float *)(uintptr_t)&t.weights[0].weight_hh[700 * 256 + 3], usual = *one;
    const float odd[] = {30, -4e30F, INFINITY, NAN};
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        *one = usual;
        bool has = recurrent_tiles((enum kernel_isa)isa)->step[RECURRENT_STEP_LSTM_THIN][0];
        CHECK(is_thin(&t) == has);
        *one = 0;
        CHECK(is_thin(&t) == has);
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            *one = odd[i];
            CHECK(!is_thin(&t));
        }
    }
    end_trial(&t);
}

TEST(sums_beyond_all_measure_end_at_their_limits)
{
    struct recurrent_shape shape = {.cell = RECURRENT_LSTM, .inputs = 1, .hidden = 20, .layers = 1};
    struct trial t = make_trial(&shape, 7, 5, false, true);
    for (int i = 0; i < 35; i++)
        t.x[i] *= 1e6F;
    by_definition(&t);
    for (int isa = 0; isa < KERNEL_ISAS; isa++)
        if (kernel_isa_use((enum kernel_isa)isa))
            CHECK(run_trial(&t, RECURRENT_F32) < 1e-5);
    end_trial(&t);
}
