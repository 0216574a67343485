/* Any bytes as a model file: what is accepted can be asked for a forecast, and be fed point by
 * point. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kernels/forecaster.h"

enum { POINTS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void forecast(const struct forecaster *f)
{
    const struct forecaster_info *info = forecaster_info(f);
    size_t points = info->min_points > POINTS ? (size_t)info->min_points : POINTS, index;
    struct err err = {0};
    float *values = mem_alloc(points * sizeof *values);
    for (size_t i = 0; i < points; i++)
        values[i] = (float)(i % 7);
    struct forecaster_series series[2] = {{values, points}, {values, (size_t)info->min_points}};
    for (int i = 0; i < 2; i++)
        if (!forecaster_accepts(f, series[i], &index, &err))
            abort();
    size_t each = (size_t)info->quantiles * (size_t)(info->horizon + 1);
    float *out = mem_alloc(2 * each * sizeof *out);
    void *scratch = aligned_alloc(64, forecaster_scratch(f, 2, points, info->horizon + 1));
    struct forecaster_call call = {
        .count = 2, .series = series, .horizon = info->horizon + 1, .out = out, .scratch = scratch};
    forecaster_run(f, &call);
    struct forecaster_stream *stream = forecaster_stream_new(f);
    for (int i = 0; i < POINTS; i++)
        forecaster_push(stream, (float)(i % 5), out);
    forecaster_stream_free(stream);
    free(scratch);
    mem_free(out);
    mem_free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = mem_dup(data, size); /* of the exact size, for ASan */
    struct err err = {0};
    struct forecaster *f = forecaster_open((struct str){exact, size}, &err);
    mem_free(exact);
    if (!f)
        return err.code ? 0 : (abort(), 0);
    if (forecaster_work(f, POINTS, POINTS, 2 * forecaster_info(f)->horizon) < 1e7)
        forecast(f);
    forecaster_close(f);
    return 0;
}
