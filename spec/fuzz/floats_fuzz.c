/* Any bytes as text of numbers: no read or write beyond, and what is accepted is finite, is what
 * the JSON reader and strtof make of it, and is counted right. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "kernels/floats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct expected {
    const float *values;
    size_t n;
};

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    struct expected *e = arg;
    char *copy = str_dup(text);
    float want = strtof(copy, NULL);
    (void)value, (void)err;
    mem_free(copy);
    if (e->n == 0 || memcmp(&want, e->values, sizeof want) != 0)
        abort();
    e->values++;
    e->n--;
    return true;
}

static void compare(struct str text, const float *values, size_t n)
{
    static const struct json_events events = {.number = on_number};
    struct expected e = {values, n};
    struct err err = {0};
    struct str rest = text, trimmed = str_trim(text);
    if (trimmed.n && *trimmed.p == '[') {
        if (!json_read(text, 1, &events, &e, &err))
            abort();
    } else {
        while (rest.n) {
            struct str line = str_trim(str_split(&rest, '\n'));
            if (line.n && !json_read(line, 1, &events, &e, &err))
                abort();
        }
    }
    if (e.n != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {mem_dup(data, size), size}; /* of the exact size, for ASan */
    size_t room, n = 0, bad = 0;
    struct err err = {0};
    if (floats_room(text, &room, &err)) {
        float *values = mem_alloc(room * sizeof *values);
        if (floats_parse(text, values, room, &n, &bad, &err)) {
            if (n == 0 || n > room)
                abort();
            for (size_t i = 0; i < n; i++)
                if (!isfinite(values[i]))
                    abort();
            compare(text, values, n);
        } else if (err.code != ERR_INVALID || bad > room + 1) {
            abort();
        }
        mem_free(values);
    }
    size_t bad_bytes = 0;
    float *floats = mem_alloc(size + 1);
    bad_bytes = floats_read(text.p, size / 4, false, floats);
    if (bad_bytes > size / 4)
        abort();
    mem_free(floats);
    mem_free((char *)text.p);
    return 0;
}
