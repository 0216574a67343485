/* A model that ships, its batches on gpu_processor.h and on the CPU. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/sys.h"
#include "kernels/forecaster.h"
#include "kernels/gpu_processor.h"
#include "test.h"

enum { SERIES = 9, POINTS = 24, HORIZON = 30 };

static float values[SERIES][POINTS];

static float *forecast(struct str file, int count)
{
    struct err err = {0};
    struct forecaster *f = forecaster_new(file, &err);
    struct forecaster_series series[SERIES];
    size_t n = (size_t)count * (size_t)forecaster_info(f)->quantiles * HORIZON;
    for (int i = 0; i < count; i++)
        series[i] = (struct forecaster_series){values[i], (size_t)(POINTS - i % 3)};
    float *out = mem_zero(n, sizeof *out);
    char *scratch = mem_alloc(forecaster_scratch(f, count, POINTS, HORIZON) + 64);
    forecaster_run(
        f, &(struct forecaster_call){.count = count,
                                     .series = series,
                                     .horizon = HORIZON,
                                     .out = out,
                                     .scratch = scratch + (64 - (uintptr_t)scratch % 64) % 64});
    mem_free(scratch);
    forecaster_free(f);
    return out;
}

static void compare(struct str file, int count, bool there)
{
    forecaster_use_gpu(NULL, 0);
    float *want = forecast(file, count);
    struct err err = {0};
    struct gpu *gpu = gpu_over(&library, &err);
    REQUIRE(gpu);
    forecaster_use_gpu(gpu, 8);
    launches = 0;
    float *got = forecast(file, count);
    CHECK_EQ(launches > 0, there);
    for (int i = 0; i < count * 3 * HORIZON; i++)
        CHECK(fabs((double)got[i] - (double)want[i]) < 1e-3); /* of values of about 50 */
    forecaster_use_gpu(NULL, 0);
    gpu_close(gpu);
    CHECK_EQ(taken, 0);
    mem_free(want);
    mem_free(got);
}

TEST(batches_go_to_the_gpu_and_single_series_do_not)
{
    struct buf file = {0};
    struct err err = {0};
    REQUIRE(
        file_read("plugins/inference/models/lstm_timeseries.safetensors", 8 << 20, &file, &err));
    for (int i = 0; i < SERIES; i++)
        for (int t = 0; t < POINTS; t++)
            values[i][t] = 50 + 10 * sinf((float)(t + i) / 4) + (float)(rand() % 100) / 50;
    compare(buf_str(&file), SERIES, true);
    compare(buf_str(&file), 7, false);
    fails = true;
    compare(buf_str(&file), SERIES, true); /* what fails there is computed here */
    fails = false;
    buf_free(&file);
}
