/* safetensors.h -- tensors in a file, as Hugging Face's safetensors format has them.
 *
 * A number of 8 bytes (little endian), so many bytes of JSON {"name": {"dtype", "shape",
 * "data_offsets"}, …,
 * "__metadata__": {text: text}}, then the data; ranges of data neither overlap nor leave anything
 * out.  Every bound is checked here once: what safetensors_find() gives lies inside the file's
 * bytes. Format: https://huggingface.co/docs/safetensors (metadata parsing).
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum {
    SAFETENSORS_HEADER_MOST = 16 << 20, /* bytes of JSON */
    SAFETENSORS_TENSORS_MOST = 65536,
    SAFETENSORS_RANK_MOST = 8,
};

/* ORDER safetensors_type */
enum safetensors_type {
    SAFETENSORS_F64,
    SAFETENSORS_F32,
    SAFETENSORS_F16,
    SAFETENSORS_BF16,
    SAFETENSORS_I64,
    SAFETENSORS_I32,
    SAFETENSORS_I16,
    SAFETENSORS_I8,
    SAFETENSORS_U8,
    SAFETENSORS_BOOL,
    SAFETENSORS_TYPES,
};

struct safetensors_tensor {
    char *name;
    enum safetensors_type type;
    int rank;
    size_t shape[SAFETENSORS_RANK_MOST];
    size_t count;    /* of elements */
    struct str data; /* in the file's bytes; aligned as the file is */
};

struct safetensors {
    struct safetensors_tensor *tensors; /* in the order of their data */
    int count;
    struct str metadata; /* the JSON object, or empty */
    struct map *by_name;
};

/* bytes stay the caller's, and must stay as long as *s.  False with *err (ERR_INVALID, ERR_LIMIT)
 * and nothing to free. */
bool safetensors_read(struct safetensors *s, struct str bytes, struct err *err);
void safetensors_free(struct safetensors *s);

const struct safetensors_tensor *safetensors_find(const struct safetensors *s,
                                                  struct str name); /* or NULL */
const char *safetensors_type_name(enum safetensors_type type);
size_t safetensors_type_bytes(enum safetensors_type type);
/* Elements as float32; false: the type is no number of floating point. */
bool safetensors_floats(const struct safetensors_tensor *tensor, float *to);
/* Appends a file of these tensors, in their order; their data are aligned to 64 bytes in it.
 * metadata: a JSON object, or empty. */
void safetensors_write(struct buf *out, struct str metadata,
                       const struct safetensors_tensor *tensors, int count);
