/* gpu_private.h -- devices, as gpu.c opens them and gpu_lstm.c uses them. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "kernels/gpu.h"
#include "kernels/gpu_library.h"

struct gpu_place {
    struct gpu_device about;
    pthread_mutex_t lock; /* one call at a time */
    atomic_int waiting;   /* calls that hold or want it */
};

struct gpu {
    void *object; /* dlopen's */
    const struct gpu_library *library;
    struct gpu_place *places;
    int count;
    size_t sums_bytes; /* most memory for the inputs' sums; more steps take more launches */
};
