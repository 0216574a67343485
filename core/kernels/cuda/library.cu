/* library.cu -- GPUs of NVIDIA for gpu_library.h.  One stream a device, in the order asked.
 *
 * `steps` is a cooperative launch: all its blocks run at once and wait for each other after each
 * step (CUDA C++ Programming Guide, "Cooperative Groups: Grid Synchronization"); where a block has
 * all units of its rows it waits for none.
 */
#include <cooperative_groups.h>
#include <cstdio>
#include <cstring>
#include <cuda_runtime.h>

extern "C" {
#include "kernels/gpu_library.h"
}

static_assert(LSTM_TILE / LSTM_PART * (LSTM_TILE / LSTM_PART) == LSTM_THREADS, "a thread a part");

static __global__ void __launch_bounds__(LSTM_THREADS) inputs_kernel(struct lstm_inputs in)
{
    __shared__ struct lstm_tile tile;
    struct lstm_part part = {};
    int thread = (int)threadIdx.x;
    int row = (int)blockIdx.x * LSTM_TILE, column = (int)blockIdx.y * LSTM_TILE;
    for (int first = 0; first < in.inputs; first += LSTM_DEPTH) {
        lstm_tile_fetch(&in, &tile, row, column, first, thread);
        __syncthreads();
        lstm_tile_add(&tile, &part, thread);
        __syncthreads();
    }
    lstm_tile_give(&in, &part, row, column, thread);
}

static __global__ void __launch_bounds__(LSTM_THREADS) steps_kernel(struct lstm_steps s)
{
    extern __shared__ __align__(16) float shared[];
    struct lstm_block b = lstm_block_at(&s, (int)blockIdx.x, shared);
    int thread = (int)threadIdx.x;
    bool alone = s.units >= s.hidden;
    lstm_block_begin(&s, &b, thread);
    for (int step = 0; step < s.span.count; step++) {
        lstm_block_fetch(&s, &b, step, thread);
        __syncthreads();
        lstm_block_step(&s, &b, step, thread);
        if (alone)
            __syncthreads();
        else
            cooperative_groups::this_grid().sync();
    }
    lstm_block_end(&s, &b, thread);
}

static bool done(cudaError_t result, const char *what, char *error)
{
    if (result == cudaSuccess)
        return true;
    snprintf(error, GPU_ERROR_BYTES, "%s: %s", what, cudaGetErrorString(result));
    return false;
}

static bool use(int device, char *error)
{
    return done(cudaSetDevice(device), "cudaSetDevice", error);
}

static bool count(int *devices, char *error)
{
    return done(cudaGetDeviceCount(devices), "cudaGetDeviceCount", error);
}

static bool describe(int device, struct gpu_device *to, char *error)
{
    cudaDeviceProp have;
    if (!done(cudaGetDeviceProperties(&have, device), "cudaGetDeviceProperties", error))
        return false;
    if (!have.cooperativeLaunch) {
        snprintf(error, GPU_ERROR_BYTES, "%.63s has no cooperative launch", have.name);
        return false;
    }
    snprintf(to->name, sizeof to->name, "%.63s", have.name);
    to->processors = have.multiProcessorCount;
    to->shared_bytes = have.sharedMemPerBlockOptin;
    return use(device, error) &&
           done(cudaFuncSetAttribute(steps_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     (int)have.sharedMemPerBlockOptin),
                "cudaFuncSetAttribute", error);
}

static bool take(int device, size_t bytes, void **memory, char *error)
{
    return use(device, error) && done(cudaMalloc(memory, bytes), "cudaMalloc", error);
}

static void give(int device, void *memory)
{
    char ignored[GPU_ERROR_BYTES];
    if (use(device, ignored))
        cudaFree(memory);
}

static bool clear(int device, void *memory, size_t bytes, char *error)
{
    return use(device, error) && done(cudaMemsetAsync(memory, 0, bytes, 0), "cudaMemsetAsync", error);
}

static bool send(int device, void *to, const void *from, size_t bytes, char *error)
{
    return use(device, error) &&
           done(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, 0), "cudaMemcpyAsync", error);
}

static bool fetch(int device, void *to, const void *from, size_t bytes, char *error)
{
    return use(device, error) &&
           done(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy", error);
}

static bool inputs(int device, const struct lstm_inputs *in, char *error)
{
    dim3 grid((unsigned)lstm_groups(in->span.count * in->span.batch, LSTM_TILE),
              (unsigned)lstm_groups(in->columns, LSTM_TILE));
    if (!use(device, error))
        return false;
    inputs_kernel<<<grid, LSTM_THREADS>>>(*in);
    return done(cudaGetLastError(), "inputs_kernel", error);
}

static bool steps(int device, const struct lstm_steps *s, char *error)
{
    unsigned blocks = (unsigned)(lstm_groups(s->hidden, s->units) *
                                 lstm_groups(s->span.batch, s->rows));
    struct lstm_steps copy = *s;
    void *arguments[] = {&copy};
    return use(device, error) &&
           done(cudaLaunchCooperativeKernel((const void *)steps_kernel, dim3(blocks),
                                            dim3(LSTM_THREADS), arguments,
                                            lstm_shared_bytes(s->hidden, s->units, s->rows), 0),
                "steps_kernel", error);
}

static const struct gpu_library library = {GPU_LIBRARY_VERSION, count, describe, take, give,
                                           clear, send, fetch, inputs, steps};

extern "C" __attribute__((visibility("default"))) const struct gpu_library *maru_gpu_library(void)
{
    return &library;
}
