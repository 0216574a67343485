#include "kernels/gpu.h"

#include <dlfcn.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/gpu_private.h"

enum { SUMS_BYTES = 256 << 20 };

static bool describe(struct gpu *gpu, struct err *err)
{
    char said[GPU_ERROR_BYTES] = "";
    if (!gpu->library->count(&gpu->count, said)) {
        gpu->count = 0;
        return err_set(err, ERR_UNAVAILABLE, "GPU: %s", said);
    }
    if (gpu->count < 1)
        return err_set(err, ERR_UNAVAILABLE, "GPU: no device");
    gpu->places = mem_zero((size_t)gpu->count, sizeof *gpu->places);
    for (int i = 0; i < gpu->count; i++)
        pthread_mutex_init(&gpu->places[i].lock, NULL);
    for (int i = 0; i < gpu->count; i++) {
        if (!gpu->library->describe(i, &gpu->places[i].about, said))
            return err_set(err, ERR_UNAVAILABLE, "GPU %d: %s", i, said);
    }
    return true;
}

struct gpu *gpu_over(const struct gpu_library *library, struct err *err)
{
    if (library->version != GPU_LIBRARY_VERSION) {
        err_set(err, ERR_INVALID, "GPU library: version %d, this program needs %d",
                library->version, GPU_LIBRARY_VERSION);
        return NULL;
    }
    struct gpu *gpu = mem_zero(1, sizeof *gpu);
    gpu->library = library;
    gpu->sums_bytes = SUMS_BYTES;
    if (describe(gpu, err))
        return gpu;
    gpu_close(gpu);
    return NULL;
}

struct gpu *gpu_open(const char *path, struct err *err)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        err_set(err, ERR_NOT_FOUND, "GPU library: %s", dlerror());
        return NULL;
    }
    void *symbol = dlsym(object, GPU_LIBRARY_SYMBOL);
    gpu_library_fn *library;
    memcpy(&library, &symbol, sizeof library); /* ISO C has no cast between the two */
    if (!library) {
        err_set(err, ERR_INVALID, "GPU library: %s has no %s", path, GPU_LIBRARY_SYMBOL);
        dlclose(object);
        return NULL;
    }
    struct gpu *gpu = gpu_over(library(), err);
    if (gpu)
        gpu->object = object;
    else
        dlclose(object);
    return gpu;
}

void gpu_close(struct gpu *gpu)
{
    if (!gpu)
        return;
    for (int i = 0; i < gpu->count && gpu->places; i++)
        pthread_mutex_destroy(&gpu->places[i].lock);
    mem_free(gpu->places);
    if (gpu->object)
        dlclose(gpu->object);
    mem_free(gpu);
}

int gpu_count(const struct gpu *gpu)
{
    return gpu->count;
}

const char *gpu_name(const struct gpu *gpu, int device)
{
    return gpu->places[device].about.name;
}
