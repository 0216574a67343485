/* forecaster_private.h -- a model that was read. */
#pragma once

#include "base/str.h"
#include "kernels/forecaster.h"
#include "kernels/gpu.h"
#include "kernels/linear.h"
#include "kernels/recurrent.h"

struct forecaster {
    struct forecaster_info info;
    struct buf metadata;
    struct recurrent *net; /* NULL: nlinear */
    struct gpu_lstm *gpu;  /* the same net, or NULL */
    struct linear *head;
    int head_rows;    /* horizon, or horizon * quantiles */
    float *residuals; /* [horizon][quantiles], or NULL */
    /* forecaster_share.c's */
    char *hash;
    int users;
};

/* forecaster_gpu.c: puts the net there too, if there is one that takes it. */
void forecaster_gpu_load(struct forecaster *f, const struct recurrent_weights *weights);
/* Series that run there at once, of so many; 0: the CPU's. */
int forecaster_gpu_rows(const struct forecaster *f, int count);
/* False: it is the CPU's; nothing in call has changed but what it gives. */
bool forecaster_gpu_run(const struct forecaster *f, const struct recurrent_call *call);

struct forecaster_scale {
    double center, deviation;
};

/* Fills info from the text under "maru". */
bool forecaster_read_metadata(struct forecaster_info *info, struct str json, struct err *err);

struct forecaster_scale forecaster_scale(const struct forecaster *f, const float *window, int n);
void forecaster_scaled(struct forecaster_scale scale, const float *window, int n, float *to);
/* What the head gave -> out[quantile * stride + step], for the model's first `steps` steps.
 * before: [quantiles], squares of what the distances from the median were, or NULL. */
void forecaster_answer(const struct forecaster *f, struct forecaster_scale scale, const float *head,
                       const double *before, int steps, float *out, size_t stride);
