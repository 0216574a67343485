/* Any bytes: the reader neither crashes nor reads past them, and what it
 * accepts can be written and read again. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_string(void *arg, struct str value, struct err *err)
{
    struct json *w = arg;
    (void)err;
    if (!utf8_valid(value))
        abort();
    json_str(w, value);
    return true;
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    struct json *w = arg;
    (void)text, (void)err;
    json_num(w, value);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct json_events events = {.string = on_string, .number = on_number};
    static const struct json_events none;
    struct str text = {malloc(size ? size : 1), size}; /* of the exact size, for ASan */
    struct buf out = {0};
    struct err err = {0};
    if (size)
        memcpy((char *)text.p, data, size);
    struct json w = json_to(&out);
    json_open(&w, '[');
    if (json_read(text, 16, &events, &w, &err)) {
        json_close(&w, ']');
        if (!json_read(buf_str(&out), 16, &none, NULL, &err))
            abort();
    }
    buf_free(&out);
    free((char *)text.p);
    return 0;
}
