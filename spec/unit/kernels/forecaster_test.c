/* Model files and what is forecast by them. */
#include "kernels/forecaster.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/isa.h"
#include "model_file.h"
#include "test.h"

#define LSTM                                                                                       \
    "{\"format\":1,\"kind\":\"lstm\",\"name\":\"t\",\"version\":\"1\",\"lookback\":20,"            \
    "\"min_points\":3,\"horizon\":4,\"quantiles\":[0.1,0.5,0.9],\"scaling\":\"last\","             \
    "\"inputs\":1,\"hidden\":5,\"layers\":2,\"bidirectional\":false,\"projection\":0}"
#define NLINEAR                                                                                    \
    "{\"format\":1,\"kind\":\"nlinear\",\"name\":\"n\",\"version\":\"2\",\"lookback\":4,"          \
    "\"min_points\":2,\"horizon\":2,\"quantiles\":[0.5,0.9],\"scaling\":\"last\",\"period\":7}"

static struct forecaster *model_of(const struct model_file *m, struct err *err)
{
    struct str bytes = model_bytes(m);
    struct forecaster *f = forecaster_new(bytes, err);
    mem_free((char *)(uintptr_t)bytes.p);
    return f;
}

static struct forecaster *made(struct model_file *m)
{
    struct err err = {0};
    struct forecaster *f = model_of(m, &err);
    if (!f) {
        TEST_FAIL("%s", err.message);
        abort();
    }
    return f;
}

static struct forecaster *lstm(struct model_file *m)
{
    *m = (struct model_file){.metadata = LSTM};
    model_net(m, 4, 5, 2, 1, 0, 12);
    return made(m);
}

static void run(const struct forecaster *f, const struct forecaster_series *series, int count,
                int horizon, float *out)
{
    size_t longest = 0;
    for (int i = 0; i < count; i++)
        longest = series[i].count > longest ? series[i].count : longest;
    size_t bytes = forecaster_scratch(f, count, longest, horizon);
    void *scratch = aligned_alloc(64, bytes);
    memset(scratch, 0x7f, bytes);
    forecaster_run(
        f,
        &(struct forecaster_call){
            .count = count, .series = series, .horizon = horizon, .out = out, .scratch = scratch});
    free(scratch);
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-5 * (1 + fabs(b));
}

/* Sets a tensor's values. */
static void set(struct model_file *m, const char *name, const float *values)
{
    struct safetensors_tensor *t = model_find(m, name);
    memcpy((char *)(uintptr_t)t->data.p, values, t->data.n);
}

/* A model that says: the next is the last plus half of the last rise; the one after it, all of it.
 */
static struct forecaster *rising(struct model_file *m)
{
    *m = (struct model_file){.metadata = NLINEAR};
    model_tensor(m, "head.weight", 2, 4, 1);
    model_tensor(m, "head.bias", 2, 0, 1);
    model_tensor(m, "residual.quantiles", 2, 2, 1);
    set(m, "head.weight", (const float[]){0, 0, -0.5F, 0, 0, 0, -1, 0});
    set(m, "head.bias", (const float[]){0, 0});
    set(m, "residual.quantiles", (const float[]){0, 1, 0, 2});
    return made(m);
}

TEST(a_dense_layer_over_the_scaled_window)
{
    struct model_file m;
    struct forecaster *f = rising(&m);
    static const float values[] = {7, 1, 2, 3, 5};
    float out[4];
    const struct forecaster_info *info = forecaster_info(f);
    CHECK_EQ(info->period, 7);
    CHECK_EQ(info->parameters, 14);
    CHECK(info->kind == FORECASTER_NLINEAR && info->median == 0 && info->quantiles == 2);
    CHECK_STR(info->version, "2");
    run(f, &(struct forecaster_series){values, 5}, 1, 2, out);
    double deviation = sqrt((1 + 4 + 9 + 25) / 4.0 - 2.75 * 2.75);
    CHECK(near((double)out[0], 6) && near((double)out[1], 7));
    CHECK(near((double)out[2], 6 + deviation) && near((double)out[3], 7 + 2 * deviation));
    forecaster_free(f);
    model_free(&m);
}

TEST(a_short_window_is_filled_up_in_front_and_one_that_stands_still_is_kept)
{
    struct model_file m;
    struct forecaster *f = rising(&m);
    static const float two[] = {1, 2}, still[] = {8, 8, 8, 8};
    float out[4];
    run(f, &(struct forecaster_series){two, 2}, 1, 1, out);
    CHECK(near((double)out[0], 2.5) && near((double)out[1], 3));
    run(f, &(struct forecaster_series){still, 4}, 1, 2, out);
    CHECK(near((double)out[0], 8) && near((double)out[1], 8));
    CHECK(near((double)out[2], 9) && near((double)out[3], 10)); /* a deviation of 0 counts as 1 */
    forecaster_free(f);
    model_free(&m);
}

TEST(beyond_its_horizon_the_median_is_fed_back_and_errors_add_up)
{
    struct model_file m;
    struct forecaster *f = rising(&m);
    static const float values[] = {1, 2, 3, 5};
    float out[12], again[4];
    run(f, &(struct forecaster_series){values, 4}, 1, 5, out);
    CHECK(near((double)out[0], 6) && near((double)out[1], 7));
    static const float more[] = {3, 5, 6, 7};
    run(f, &(struct forecaster_series){more, 4}, 1, 2, again);
    CHECK(near((double)out[2], (double)again[0]) && near((double)out[3], (double)again[1]));
    double before = (double)(out[5 + 1] - out[1]), own = (double)(again[2] - again[0]);
    CHECK(near((double)(out[5 + 2] - out[2]), sqrt(before * before + own * own)));
    forecaster_free(f);
    model_free(&m);
}

TEST(many_series_of_different_lengths_are_forecast_as_each_alone)
{
    enum { SERIES = 61, POINTS = 40, HORIZON = 9 };
    struct model_file m;
    static float values[SERIES][POINTS], all[SERIES][3][HORIZON], one[3][HORIZON];
    struct forecaster_series series[SERIES];
    for (int i = 0; i < SERIES; i++) {
        for (int k = 0; k < POINTS; k++)
            values[i][k] = 100 + 10 * model_noise();
        series[i] = (struct forecaster_series){values[i], (size_t)(3 + i % (POINTS - 2))};
    }
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        struct forecaster *f = lstm(&m);
        run(f, series, SERIES, HORIZON, &all[0][0][0]);
        for (int i = 0; i < SERIES; i++) {
            run(f, &series[i], 1, HORIZON, &one[0][0]);
            for (int k = 0; k < 3 * HORIZON; k++)
                if (!near((double)(&all[i][0][0])[k], (double)(&one[0][0])[k]))
                    TEST_FAIL("series %d value %d: %g is not %g", i, k, (double)(&all[i][0][0])[k],
                              (double)(&one[0][0])[k]);
            CHECK(one[0][0] <= one[1][0] && one[1][0] <= one[2][0]);
        }
        forecaster_free(f);
        model_free(&m);
    }
}

TEST(a_forecast_moves_and_stretches_with_its_series)
{
    struct model_file m;
    struct forecaster *f = lstm(&m);
    float values[30], moved[30], out[12], out_moved[12];
    for (int i = 0; i < 30; i++) {
        values[i] = model_noise();
        moved[i] = 1000 + 8 * values[i];
    }
    run(f, &(struct forecaster_series){values, 30}, 1, 4, out);
    run(f, &(struct forecaster_series){moved, 30}, 1, 4, out_moved);
    for (int i = 0; i < 12; i++)
        CHECK(fabs((double)out_moved[i] - (1000 + 8 * (double)out[i])) < 0.01);
    forecaster_free(f);
    model_free(&m);
}

TEST(what_cannot_be_forecast_is_told)
{
    struct model_file m;
    struct forecaster *f = lstm(&m);
    struct err err = {0};
    size_t index = 0;
    float values[30] = {0};
    CHECK(!forecaster_accepts(f, (struct forecaster_series){values, 2}, &index, &err));
    CHECK(err.code == ERR_LIMIT && strstr(err.message, "at least 3"));
    values[25] = NAN;
    CHECK(!forecaster_accepts(f, (struct forecaster_series){values, 30}, &index, &err));
    CHECK_EQ(index, 25);
    CHECK(forecaster_accepts(f, (struct forecaster_series){values, 25}, &index, &err));
    forecaster_free(f);
    model_free(&m);
}

/* ---- files ------------------------------------------------------------- */

/* LSTM's metadata with `from` replaced by `to`. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(LSTM, from);
    if (!at)
        return mem_strdup(to);
    return mem_printf("%.*s%s%s", (int)(at - LSTM), LSTM, to, at + strlen(from));
}

TEST(every_wrong_field_is_refused_and_named)
{
    static const struct {
        const char *from, *to, *word;
    } lies[] = {
        {"-", "[1", "__metadata__.maru"},
        {"-", "7", "format"},
        {"\"format\":1", "\"format\":2", "format"},
        {"\"lstm\"", "\"rnn\"", "kind must be one of lstm, gru, nlinear"},
        {"\"kind\":\"lstm\",", "", "kind"},
        {"\"name\":\"t\"", "\"name\":\"../t\"", "name"},
        {"\"name\":\"t\"", "\"name\":7", "name"},
        {"\"version\":\"1\"", "\"version\":\"\"", "version"},
        {"\"lookback\":20", "\"lookback\":0", "lookback"},
        {"\"lookback\":20", "\"lookback\":1e9", "lookback"},
        {"\"lookback\":20", "\"lookback\":\"20\"", "lookback"},
        {"\"min_points\":3", "\"min_points\":21", "min_points"},
        {"\"min_points\":3", "\"min_points\":2.5", "min_points"},
        {"\"horizon\":4", "\"horizon\":-4", "horizon"},
        {"[0.1,0.5,0.9]", "[0.1,0.9]", "quantiles"},
        {"[0.1,0.5,0.9]", "[0.5,0.1]", "quantiles"},
        {"[0.1,0.5,0.9]", "[0.5,1]", "quantiles"},
        {"[0.1,0.5,0.9]", "0.5", "quantiles"},
        {"\"last\"", "\"max\"", "scaling must be one of last, standard"},
        {"\"inputs\":1", "\"inputs\":2", "inputs"},
        {"\"hidden\":5", "\"hidden\":5000", "hidden"},
        {"\"layers\":2", "\"layers\":17", "layers"},
        {"\"bidirectional\":false", "\"bidirectional\":0", "bidirectional"},
        {"\"projection\":0", "\"projection\":5", "projection"},
        {"\"projection\":0", "\"projection\":0,\"period\":0", "period"},
        {"\"lookback\":20", "\"lookback\":20,\"period\":{}", "period"},
    };
    struct model_file m = {0};
    model_net(&m, 4, 5, 2, 1, 0, 12);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct err err = {0};
        char *text = changed(lies[i].from, lies[i].to);
        m.metadata = text;
        struct forecaster *f = model_of(&m, &err);
        if (f || err.code == ERR_NONE || !strstr(err.message, lies[i].word))
            TEST_FAIL("%s: %s", text, err.message);
        forecaster_free(f);
        mem_free(text);
    }
    model_free(&m);
}

static void refused(struct model_file *m, const char *word)
{
    struct err err = {0};
    struct forecaster *f = model_of(m, &err);
    if (f || !strstr(err.message, word))
        TEST_FAIL("%s is not in: %s", word, err.message);
    forecaster_free(f);
}

TEST(tensors_are_those_that_the_metadata_describe)
{
    struct model_file m = {.metadata = LSTM};
    model_net(&m, 4, 5, 2, 1, 0, 12);
    struct safetensors_tensor *t = model_find(&m, "rnn.weight_hh_l1");
    t->shape[0] = 5;
    t->shape[1] = 20;
    refused(&m, "tensor rnn.weight_hh_l1: shape must be [20][5]");
    t->shape[0] = 20;
    t->shape[1] = 5;
    t->type = SAFETENSORS_I32;
    refused(&m, "rnn.weight_hh_l1: dtype must be F32 or BF16 or I8");
    t->type = SAFETENSORS_F32;
    ((float *)(uintptr_t)t->data.p)[3] = INFINITY;
    refused(&m, "rnn.weight_hh_l1: element 3 is not finite");
    ((float *)(uintptr_t)t->data.p)[3] = 0;
    t->name[0] = 'x';
    refused(&m, "rnn.weight_hh_l1 [20][5] is missing");
    t->name[0] = 'r';
    model_tensor(&m, "rnn.weight_hh_l2", 20, 5, 1);
    refused(&m, "1 of 11 tensors have no place");
    m.metadata = NULL;
    refused(&m, "__metadata__.maru is missing");
    model_free(&m);
}

TEST(a_head_of_points_with_residuals_beside_it)
{
    struct model_file m = {.metadata = LSTM};
    model_net(&m, 4, 5, 2, 1, 0, 4);
    model_tensor(&m, "residual.quantiles", 4, 3, 1);
    struct forecaster *f = made(&m);
    float values[20], out[12];
    for (int i = 0; i < 20; i++)
        values[i] = model_noise();
    run(f, &(struct forecaster_series){values, 20}, 1, 4, out);
    for (int i = 0; i < 4; i++)
        CHECK(out[i] <= out[4 + i] && out[4 + i] <= out[8 + i]);
    forecaster_free(f);
    model_find(&m, "residual.quantiles")->shape[1] = 2;
    model_find(&m, "residual.quantiles")->data.n = 32;
    refused(&m, "residual.quantiles: shape must be [4][3]");
    model_free(&m);
}

TEST(nets_of_all_kinds_are_read)
{
    static const struct {
        const char *kind;
        int gates, hidden, layers, sides, projection;
    } nets[] = {{"lstm", 4, 3, 1, 1, 0},
                {"lstm", 4, 6, 3, 2, 0},
                {"lstm", 4, 7, 2, 2, 4},
                {"gru", 3, 9, 2, 1, 0},
                {"gru", 3, 4, 1, 2, 0}};
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        struct model_file m = {0};
        char *text = mem_printf("{\"format\":1,\"kind\":\"%s\",\"name\":\"t\",\"version\":\"1\","
                                "\"lookback\":9,\"min_points\":3,\"horizon\":2,\"quantiles\":[0.5],"
                                "\"scaling\":\"standard\",\"hidden\":%d,\"layers\":%d,"
                                "\"bidirectional\":%s,\"projection\":%d}",
                                nets[i].kind, nets[i].hidden, nets[i].layers,
                                nets[i].sides == 2 ? "true" : "false", nets[i].projection);
        m.metadata = text;
        model_net(&m, nets[i].gates, nets[i].hidden, nets[i].layers, nets[i].sides,
                  nets[i].projection, 2);
        struct forecaster *f = made(&m);
        float values[9], out[2] = {NAN, NAN};
        for (int k = 0; k < 9; k++)
            values[k] = model_noise();
        run(f, &(struct forecaster_series){values, 9}, 1, 2, out);
        CHECK(isfinite(out[0]) && isfinite(out[1]));
        forecaster_free(f);
        mem_free(text);
        model_free(&m);
    }
}

TEST(one_copy_of_a_file_serves_everybody)
{
    struct model_file m = {.metadata = LSTM};
    struct err err = {0};
    model_net(&m, 4, 5, 2, 1, 0, 12);
    struct str bytes = model_bytes(&m), wrong = {bytes.p, bytes.n - 1};
    struct forecaster *a = forecaster_open(bytes, &err), *b = forecaster_open(bytes, &err);
    CHECK(a && a == b);
    CHECK(!forecaster_open(wrong, &err));
    forecaster_close(a);
    CHECK_EQ(forecaster_info(b)->horizon, 4);
    CHECK(forecaster_keep(b) == b);
    forecaster_close(b);
    forecaster_close(b);
    mem_free((char *)(uintptr_t)bytes.p);
    model_free(&m);
}

/* ---- point by point ---------------------------------------------------- */

TEST(a_stream_tells_the_next_point_as_its_window_would)
{
    struct model_file m;
    struct forecaster *f = lstm(&m);
    struct forecaster_stream *s = forecaster_stream_new(f);
    float values[100], next[3], want[3];
    int same = 0, told = 0;
    for (int i = 0; i < 100; i++) {
        values[i] = 50 + 5 * sinf((float)i / 3) + model_noise();
        bool told_now = forecaster_push(s, values[i], next);
        CHECK_EQ(told_now, i >= 2);
        if (!told_now)
            continue;
        told++;
        bool found = false;
        for (int from = 3; from <= 20 && from <= i + 1 && !found; from++) {
            run(f, &(struct forecaster_series){values + i + 1 - from, (size_t)from}, 1, 1, want);
            found = near((double)next[1], (double)want[1]);
        }
        same += found;
    }
    CHECK_EQ(told, 98);
    CHECK(same >= 98 / 5); /* each time that it begins again, and until then it differs */
    forecaster_stream_free(s);
    forecaster_free(f);
    model_free(&m);
}

TEST(a_stream_of_a_dense_layer_is_always_the_windows)
{
    struct model_file m;
    struct forecaster *f = rising(&m);
    struct forecaster_stream *s = forecaster_stream_new(f);
    float values[30], next[2], want[2];
    for (int i = 0; i < 30; i++) {
        values[i] = model_noise();
        if (!forecaster_push(s, values[i], next))
            continue;
        run(f, &(struct forecaster_series){values, (size_t)i + 1}, 1, 1, want);
        CHECK(near((double)next[0], (double)want[0]) && near((double)next[1], (double)want[1]));
    }
    forecaster_stream_free(s);
    forecaster_free(f);
    model_free(&m);
}
