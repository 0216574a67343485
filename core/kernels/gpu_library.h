/* gpu_library.h -- what maru asks of a library that drives GPUs (cuda/library.cu), loaded at run
 * time so that the program runs without it.
 *
 * The library knows memory and two kernels; which of them run over what is gpu_lstm.c's, the same
 * for every library.  Every function returns false with a text in error[GPU_ERROR_BYTES] when it
 * cannot; none of them is called for one device by two threads at once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cuda/lstm_block.h"

enum { GPU_LIBRARY_VERSION = 1, GPU_ERROR_BYTES = 256 };

struct gpu_device {
    char name[64];
    int processors;      /* blocks that run at once: one on each */
    size_t shared_bytes; /* most memory of one block */
};

struct gpu_library {
    int version; /* GPU_LIBRARY_VERSION */
    /* Devices that may be used (CUDA_VISIBLE_DEVICES says which). */
    bool (*count)(int *devices, char *error);
    bool (*describe)(int device, struct gpu_device *to, char *error);
    bool (*take)(int device, size_t bytes, void **memory, char *error);
    void (*give)(int device, void *memory);
    bool (*clear)(int device, void *memory, size_t bytes, char *error);
    bool (*send)(int device, void *to, const void *from, size_t bytes, char *error);
    /* Waits for all that was asked before. */
    bool (*fetch)(int device, void *to, const void *from, size_t bytes, char *error);
    /* Both only queue; later calls come after them. */
    bool (*inputs)(int device, const struct lstm_inputs *inputs, char *error);
    bool (*steps)(int device, const struct lstm_steps *steps, char *error);
};

/* The one symbol of a library: `const struct gpu_library *maru_gpu_library(void)`. */
typedef const struct gpu_library *gpu_library_fn(void);
#define GPU_LIBRARY_SYMBOL "maru_gpu_library"
