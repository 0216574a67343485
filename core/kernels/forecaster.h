/* forecaster.h -- forecasts of one series each, by a model file.
 *
 * A model file is a safetensors file (safetensors.h) whose __metadata__ has JSON under "maru":
 * {"format": 1, "kind": "lstm" | "gru" | "nlinear", "name", "version", "lookback", "min_points",
 * "horizon", "quantiles", "scaling": "last" | "standard", "inputs": 1, "hidden", "layers",
 * "bidirectional", "projection", "period", "trained", "scores"}.  Tensors: rnn.weight_ih_l0 … as
 * PyTorch names them, head.weight and head.bias (of horizon * quantiles rows, horizon first), or of
 * horizon rows beside residual.quantiles [horizon][quantiles].  docs/models.md says it all.
 *
 * A forecast is made from the last `lookback` points, the window.  A recurrent net runs over it and
 * the head reads its last outputs; nlinear (Zeng et al. 2023, "Are Transformers Effective for Time
 * Series Forecasting?") is one dense layer over it, a shorter window being filled up in front with
 * its first value.  The window is scaled: minus its last value or its mean, by its deviation (of
 * the whole population; one below 1e-8 (1 + |mean|) counts as 1), which is undone on what comes
 * out.
 *
 * Quantiles are put in order from the median outwards.  Beyond the model's horizon the median is
 * fed back as if it had been seen; distances from the median then are those of the model and those
 * reached before, as of independent errors: the root of the sum of their squares.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "kernels/recurrent.h"

enum {
    FORECASTER_LOOKBACK_MOST = 65536,
    FORECASTER_HORIZON_MOST = 8192,
    FORECASTER_QUANTILES_MOST = 32,
    FORECASTER_HIDDEN_MOST = 4096,
    FORECASTER_LAYERS_MOST = 16,
    FORECASTER_NAME_MOST = 64,
    FORECASTER_HORIZONS = 10, /* how many times its own horizon a model may be asked for */
};

/* ORDER forecaster_kind */
enum forecaster_kind { FORECASTER_LSTM, FORECASTER_GRU, FORECASTER_NLINEAR, FORECASTER_KINDS };
enum forecaster_scaling { FORECASTER_LAST, FORECASTER_STANDARD };
/* ORDER forecaster_weights: what the file keeps of its matrices */
enum forecaster_weights { FORECASTER_F32, FORECASTER_BF16, FORECASTER_I8 };

struct forecaster_info {
    enum forecaster_kind kind;
    enum forecaster_scaling scaling;
    enum forecaster_weights weights;
    char name[FORECASTER_NAME_MOST + 1], version[FORECASTER_NAME_MOST + 1];
    int lookback, min_points, horizon;
    int quantiles, median; /* how many; which of them is 0.5 */
    double quantile[FORECASTER_QUANTILES_MOST];
    struct recurrent_shape shape; /* but for nlinear */
    int period;                   /* 0: not told */
    size_t parameters;
    struct str metadata; /* the JSON under "maru"; the forecaster's */
};

const char *forecaster_kind_name(enum forecaster_kind kind);
const char *forecaster_weights_name(enum forecaster_weights weights);

/* Read only once it is made: any number of threads may use it at once. */
struct forecaster;

/* Bytes are not needed afterwards.  NULL with *err (ERR_INVALID, ERR_LIMIT) that names the field or
 * tensor. */
struct forecaster *forecaster_new(struct str bytes, struct err *err);
void forecaster_free(struct forecaster *f);
/* The same, kept once for the process by its content; each needs a forecaster_close(). */
struct forecaster *forecaster_open(struct str bytes, struct err *err);
struct forecaster *forecaster_keep(struct forecaster *f); /* an open one, once more */
void forecaster_close(struct forecaster *f);
const struct forecaster_info *forecaster_info(const struct forecaster *f);
/* What its large products are computed with on this processor: "AVX-512", "AVX-512 VNNI", … */
const char *forecaster_instructions(const struct forecaster *f);

struct gpu;
/* Nets that are opened from now on run batches of at least `batch` series on it (NULL: none does).
 * Before other threads run; it must live as long as they. */
void forecaster_use_gpu(struct gpu *gpu, int batch);

struct forecaster_series {
    const float *values;
    size_t count;
};

/* Whether it has min_points and its window is finite; otherwise *err: ERR_LIMIT for too few points,
 * or ERR_INVALID and *index (from 0) of the first bad one. */
bool forecaster_accepts(const struct forecaster *f, struct forecaster_series series, size_t *index,
                        struct err *err);

struct forecaster_call {
    int count;                              /* 1.. */
    const struct forecaster_series *series; /* [count], accepted ones */
    int horizon;                            /* 1 to FORECASTER_HORIZONS times the model's */
    float *out;                             /* [count][quantiles][horizon] */
    void *scratch;                          /* forecaster_scratch() bytes, aligned to 64 */
};

/* longest: points of the longest series. */
size_t forecaster_scratch(const struct forecaster *f, int count, size_t longest, int horizon);
/* Additions and multiplications of a call, about. */
double forecaster_work(const struct forecaster *f, int count, size_t longest, int horizon);
/* No allocation; as long as it computes. */
void forecaster_run(const struct forecaster *f, const struct forecaster_call *call);

/* One series, point by point: a forecast of the next one after each.
 *
 * A net without a backward direction keeps its states between points: a point costs one step.  Its
 * scale is that of the window it was last begun from; it is begun again after a quarter of that
 * window's points, so that it never sees more than `lookback` and a point costs five steps on
 * average.  In between, forecasts are those of the older scale; when it begins again, and for other
 * models always, they are forecaster_run()'s. */
struct forecaster_stream;

/* f must stay as long. */
struct forecaster_stream *forecaster_stream_new(const struct forecaster *f);
size_t forecaster_stream_bytes(const struct forecaster *f); /* that one takes, about */
void forecaster_stream_free(struct forecaster_stream *s);
/* A finite value; next: [quantiles] of the point that follows.  False: too few points so far. */
bool forecaster_push(struct forecaster_stream *s, float value, float *next);
double forecaster_push_work(const struct forecaster_stream *s); /* of the next one, about */
