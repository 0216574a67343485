/* Any bytes: what is accepted lies inside them, tensor by tensor. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kernels/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = mem_dup(data, size); /* of the exact size, for ASan */
    struct safetensors s;
    struct err err = {0};
    size_t total = 0;
    if (safetensors_read(&s, (struct str){exact, size}, &err)) {
        for (int i = 0; i < s.count; i++) {
            const struct safetensors_tensor *t = &s.tensors[i];
            float *floats = mem_alloc((t->count + 1) * sizeof *floats);
            safetensors_floats(t, floats);
            mem_free(floats);
            total += t->data.n;
            if (t->data.p < exact || t->data.p + t->data.n > exact + size)
                abort();
        }
        if (total > size)
            abort();
        safetensors_free(&s);
    } else if (!err.code) {
        abort();
    }
    mem_free(exact);
    return 0;
}
