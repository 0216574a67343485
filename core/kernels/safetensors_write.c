/* safetensors_write.c -- a file of tensors. */
#include <stdint.h>

#include "base/json.h"
#include "kernels/safetensors.h"

enum { HEADER_ALIGN = 64, LENGTH_BYTES = 8 };

static void write_entry(struct json *w, const struct safetensors_tensor *t, size_t at)
{
    json_key(w, t->name);
    json_open(w, '{');
    json_key(w, "dtype");
    json_cstr(w, safetensors_type_name(t->type));
    json_key(w, "shape");
    json_open(w, '[');
    for (int i = 0; i < t->rank; i++)
        json_int(w, (long long)t->shape[i]);
    json_close(w, ']');
    json_key(w, "data_offsets");
    json_open(w, '[');
    json_int(w, (long long)at);
    json_int(w, (long long)(at + t->data.n));
    json_close(w, ']');
    json_close(w, '}');
}

void safetensors_write(struct buf *out, struct str metadata,
                       const struct safetensors_tensor *tensors, int count)
{
    struct buf header = {0};
    struct json w = json_to(&header);
    size_t at = 0;
    json_open(&w, '{');
    if (metadata.n) {
        json_key(&w, "__metadata__");
        json_raw(&w, metadata);
    }
    for (int i = 0; i < count; at += tensors[i++].data.n)
        write_entry(&w, &tensors[i], at);
    json_close(&w, '}');
    while ((header.n + LENGTH_BYTES) % HEADER_ALIGN)
        buf_add_char(&header, ' ');
    for (int i = 0; i < LENGTH_BYTES; i++)
        buf_add_char(out, (char)((uint64_t)header.n >> (8 * i)));
    buf_add_str(out, buf_str(&header));
    for (int i = 0; i < count; i++)
        buf_add_str(out, tensors[i].data);
    buf_free(&header);
}
