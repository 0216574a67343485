#include "kernels/safetensors.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_pick.h"
#include "base/map.h"
#include "base/mem.h"

/* ORDER safetensors_type */
static const struct {
    const char *name;
    size_t bytes;
} types[SAFETENSORS_TYPES] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                              {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};

const char *safetensors_type_name(enum safetensors_type type)
{
    return types[type].name;
}

size_t safetensors_type_bytes(enum safetensors_type type)
{
    return types[type].bytes;
}

/* ---- one tensor's entry ------------------------------------------------ */

/* A whole number from 0 to `most`. */
static bool read_size(struct str value, size_t most, size_t *to)
{
    double number;
    if (!json_pick_number(value, &number) || !(number >= 0) || number > (double)most ||
        number > 9e15)
        return false;
    *to = (size_t)number;
    return (double)*to == number;
}

static bool read_type(struct str value, enum safetensors_type *type)
{
    for (int i = 0; i < SAFETENSORS_TYPES; i++) {
        size_t n = strlen(types[i].name);
        if (value.n == n + 2 && memcmp(value.p + 1, types[i].name, n) == 0) {
            *type = (enum safetensors_type)i;
            return true;
        }
    }
    return false;
}

/* The number of elements may not be more than `most`. */
static bool read_shape(struct safetensors_tensor *t, struct str value, size_t most)
{
    struct json_pick pick;
    struct str item;
    if (!json_pick_open(&pick, value, '['))
        return false;
    t->count = 1;
    while (json_pick_item(&pick, &item)) {
        size_t side;
        if (t->rank == SAFETENSORS_RANK_MOST || !read_size(item, SIZE_MAX >> 1, &side))
            return false;
        if (side && t->count > most / side)
            return false;
        t->count *= side;
        t->shape[t->rank++] = side;
    }
    return true;
}

static bool read_range(struct safetensors_tensor *t, struct str value, struct str data)
{
    struct json_pick pick;
    struct str item;
    size_t ends[2];
    int n = 0;
    if (!json_pick_open(&pick, value, '['))
        return false;
    for (; json_pick_item(&pick, &item); n++)
        if (n == 2 || !read_size(item, data.n, &ends[n]))
            return false;
    if (n != 2 || ends[0] > ends[1] || ends[1] - ends[0] != t->count * types[t->type].bytes)
        return false;
    t->data = (struct str){data.p + ends[0], ends[1] - ends[0]};
    return true;
}

static bool read_tensor(struct safetensors_tensor *t, struct str entry, struct str data,
                        struct err *err)
{
    struct str type = json_pick_get(entry, "dtype"), shape = json_pick_get(entry, "shape");
    if (!read_type(type, &t->type))
        return err_set(err, ERR_INVALID,
                       "tensor %s: dtype %.*s is none of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL",
                       t->name, (int)(type.n < 40 ? type.n : 40), type.p ? type.p : "");
    if (!read_shape(t, shape, data.n / types[t->type].bytes))
        return err_set(err, ERR_INVALID,
                       "tensor %s: shape is no list of up to %d sizes that fit the file", t->name,
                       SAFETENSORS_RANK_MOST);
    if (!read_range(t, json_pick_get(entry, "data_offsets"), data))
        return err_set(
            err, ERR_INVALID,
            "tensor %s: data_offsets are not those of %zu elements of %s inside the file", t->name,
            t->count, types[t->type].name);
    return true;
}

/* ---- the header -------------------------------------------------------- */

static bool split(struct str bytes, struct str *header, struct str *data, struct err *err)
{
    uint64_t n = 0;
    if (bytes.n < 8)
        return err_set(err, ERR_INVALID, "a safetensors file has at least 8 bytes, not %zu",
                       bytes.n);
    for (int i = 7; i >= 0; i--)
        n = n << 8 | (unsigned char)bytes.p[i];
    if (n > SAFETENSORS_HEADER_MOST)
        return err_set(err, ERR_LIMIT,
                       "the header has %llu bytes, more than %d (is this a safetensors file?)",
                       (unsigned long long)n, SAFETENSORS_HEADER_MOST);
    if (n > bytes.n - 8)
        return err_set(err, ERR_INVALID, "the header has %llu bytes, the file %zu: it was cut off",
                       (unsigned long long)n, bytes.n);
    *header = (struct str){bytes.p + 8, (size_t)n};
    *data = (struct str){bytes.p + 8 + n, bytes.n - 8 - (size_t)n};
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    if (x->data.p != y->data.p)
        return x->data.p < y->data.p ? -1 : 1;
    return x->data.n < y->data.n ? -1 : x->data.n > y->data.n;
}

/* Ranges follow each other from the data's beginning to its end. */
static bool check_places(struct safetensors *s, struct str data, struct err *err)
{
    const char *at = data.p;
    if (s->count)
        qsort(s->tensors, (size_t)s->count, sizeof *s->tensors, by_place);
    for (int i = 0; i < s->count; i++) {
        const struct safetensors_tensor *t = &s->tensors[i];
        if (t->data.p != at)
            return err_set(err, ERR_INVALID,
                           "tensor %s: its data overlap others or leave a gap before them",
                           t->name);
        at += t->data.n;
        if (map_set(s->by_name, str_c(t->name), &s->tensors[i]))
            return err_set(err, ERR_INVALID, "there are two tensors %s", t->name);
    }
    if (at != data.p + data.n)
        return err_set(err, ERR_INVALID, "%zu bytes behind the last tensor belong to none",
                       (size_t)(data.p + data.n - at));
    return true;
}

static bool add(struct safetensors *s, struct str key, struct str entry, struct str data, int *cap,
                struct err *err)
{
    struct buf name = {0};
    size_t n;
    if (s->count == SAFETENSORS_TENSORS_MOST)
        return err_set(err, ERR_LIMIT, "more than %d tensors", SAFETENSORS_TENSORS_MOST);
    if (s->count == *cap) {
        *cap = *cap ? *cap * 2 : 16;
        s->tensors = mem_realloc(s->tensors, (size_t)*cap * sizeof *s->tensors);
    }
    struct safetensors_tensor *t = &s->tensors[s->count++];
    *t = (struct safetensors_tensor){0};
    buf_add(&name, key.p, key.n);
    buf_add(&name, "", 1);
    t->name = buf_take(&name, &n);
    return read_tensor(t, entry, data, err);
}

static bool read_entries(struct safetensors *s, struct str header, struct str data, struct err *err)
{
    struct json_pick pick;
    struct str key, entry;
    int cap = 0;
    if (!json_pick_open(&pick, header, '{'))
        return err_set(err, ERR_INVALID, "the header is no JSON object");
    while (json_pick_pair(&pick, &key, &entry)) {
        if (str_eq_c(key, "__metadata__"))
            s->metadata = entry;
        else if (!add(s, key, entry, data, &cap, err))
            return false;
    }
    return check_places(s, data, err);
}

bool safetensors_read(struct safetensors *s, struct str bytes, struct err *err)
{
    static const struct json_events nothing;
    struct str header = {0}, data = {0};
    *s = (struct safetensors){.by_name = map_create()};
    if (split(bytes, &header, &data, err) && json_read(header, 4, &nothing, NULL, err) &&
        read_entries(s, header, data, err))
        return true;
    safetensors_free(s);
    return err_wrap(err, "safetensors");
}

void safetensors_free(struct safetensors *s)
{
    for (int i = 0; i < s->count; i++)
        mem_free(s->tensors[i].name);
    mem_free(s->tensors);
    map_destroy(s->by_name);
    *s = (struct safetensors){0};
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *s, struct str name)
{
    return map_get(s->by_name, name);
}

/* ---- numbers ----------------------------------------------------------- */

static float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* IEEE 754 binary16 */
static float of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 0x1f,
             fraction = half & 0x3ff;
    if (exponent == 31)
        return of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent)
        return of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float small = (float)fraction / 16777216.0F; /* 2^-24 */
    return sign ? -small : small;
}

bool safetensors_floats(const struct safetensors_tensor *tensor, float *to)
{
    const char *p = tensor->data.p;
    for (size_t i = 0; i < tensor->count; i++) {
        uint16_t half;
        double number;
        if (tensor->type == SAFETENSORS_F32)
            memcpy(&to[i], p + i * 4, 4);
        else if (tensor->type == SAFETENSORS_F64) {
            memcpy(&number, p + i * 8, 8);
            to[i] = (float)number;
        } else if (tensor->type == SAFETENSORS_F16 || tensor->type == SAFETENSORS_BF16) {
            memcpy(&half, p + i * 2, 2);
            to[i] = tensor->type == SAFETENSORS_F16 ? of_half(half) : of_bits((uint32_t)half << 16);
        } else
            return false;
    }
    return tensor->type <= SAFETENSORS_BF16;
}
