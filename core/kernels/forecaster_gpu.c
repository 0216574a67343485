/* forecaster_gpu.c -- nets that are on a GPU, and which calls go there. */
#include "kernels/forecaster_private.h"
#include "observe/log.h"

/* Series at once on a GPU: what they take there stays within some hundred MB. */
enum { ROWS_MOST = 4096 };

static struct gpu *gpu; /* set before other threads run */
static int gpu_batch;

void forecaster_use_gpu(struct gpu *to, int batch)
{
    gpu = to;
    gpu_batch = batch;
}

void forecaster_gpu_load(struct forecaster *f, const struct recurrent_weights *weights)
{
    struct err err = {0};
    if (!gpu)
        return;
    f->gpu = gpu_lstm_new(gpu, &f->info.shape, weights, &err);
    if (!f->gpu)
        log_info("kernels", "model %s stays on the CPU: %s", f->info.name, err.message);
}

int forecaster_gpu_rows(const struct forecaster *f, int count)
{
    if (!f->gpu || count < gpu_batch)
        return 0;
    return count < ROWS_MOST ? count : ROWS_MOST;
}

bool forecaster_gpu_run(const struct forecaster *f, const struct recurrent_call *call)
{
    struct err err = {0};
    if (!forecaster_gpu_rows(f, call->batch))
        return false;
    if (gpu_lstm_run(f->gpu, call, &err))
        return true;
    log_warn("kernels", "model %s: a batch of %d goes to the CPU: %s", f->info.name, call->batch,
             err.message);
    return false;
}
