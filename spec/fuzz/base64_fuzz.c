/* Any bytes as base64 of float32: no read or write beyond, what is accepted is the one text of its
 * values, and any values come back from theirs. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kernels/floats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t room_of(size_t letters)
{
    return letters / 16 * 3 + 3;
}

static void read_text(const uint8_t *data, size_t size)
{
    struct str text = {mem_dup(data, size), size}; /* of the exact size, for ASan */
    float *values = mem_alloc(room_of(size) * sizeof *values);
    size_t n = 0;
    if (floats_of_base64(text, values, &n)) {
        char *again = mem_alloc(size + 1);
        if (n > room_of(size) || floats_base64_bytes(n) != size)
            abort();
        floats_to_base64(values, n, again);
        if (memcmp(again, text.p, size) != 0)
            abort();
        mem_free(again);
    }
    mem_free(values);
    mem_free((char *)text.p);
}

static void there_and_back(const uint8_t *data, size_t n)
{
    size_t letters = floats_base64_bytes(n), back = 0;
    float *values = mem_alloc((n + 1) * sizeof *values), *read = NULL;
    char *text = mem_alloc(letters + 1);
    memcpy(values, data, n * sizeof *values);
    floats_to_base64(values, n, text);
    read = mem_alloc(room_of(letters) * sizeof *read);
    if (!floats_of_base64(str_n(text, letters), read, &back) || back != n ||
        memcmp(read, values, n * sizeof *read) != 0)
        abort();
    mem_free(read);
    mem_free(text);
    mem_free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_text(data, size);
    there_and_back(data, size / sizeof(float));
    return 0;
}
