/* gpu.h -- LSTMs on GPUs, by a library that is loaded at run time (gpu_library.h).
 *
 * A net's weights are sent to a device when it first runs there.  A call runs on the device that
 * has the least to do; several devices run several calls at once.  The program does without:
 * gpu_open() fails with the reason, and recurrent.h computes the same (gpu_test.c: to 1e-5).
 *
 * Any thread; a run blocks, as long as it computes, so it belongs on the pool.
 */
#pragma once

#include "base/err.h"
#include "kernels/recurrent.h"

struct gpu;
struct gpu_library;

/* path: a shared object, such as build/cuda/libmaru-cuda.so.  NULL with *err: not there
 * (ERR_NOT_FOUND), of another version (ERR_INVALID), or no device (ERR_UNAVAILABLE). */
struct gpu *gpu_open(const char *path, struct err *err);
/* The same over a library that is here already. */
struct gpu *gpu_over(const struct gpu_library *library, struct err *err);
void gpu_close(struct gpu *gpu); /* NULL is fine; after the last net */
int gpu_count(const struct gpu *gpu);
const char *gpu_name(const struct gpu *gpu, int device);

struct gpu_lstm;

/* weights: as for recurrent_new(), copied.  NULL with ERR_LIMIT: not for a GPU (a GRU, a
 * projection, or more hidden units than a block's memory can hold weights of). */
struct gpu_lstm *gpu_lstm_new(struct gpu *gpu, const struct recurrent_shape *shape,
                              const struct recurrent_weights *weights, struct err *err);
void gpu_lstm_free(struct gpu_lstm *net);
/* As recurrent_run(), but call->scratch is not looked at.  False with *err: the device said no
 * (ERR_UNAVAILABLE), or the batch has more rows than all its blocks hold (ERR_LIMIT); what call
 * gives is then undefined, run it on the CPU. */
bool gpu_lstm_run(struct gpu_lstm *net, const struct recurrent_call *call, struct err *err);
