/* json.h -- JSON text (RFC 8259) read as a stream of events, and written.
 *
 * The reader builds nothing: it calls back, so the same code feeds Lua tables,
 * C structs and fuzzers.  It refuses invalid UTF-8 and lone surrogates, does
 * not look for duplicate keys, and is bounded in depth; its errors say line
 * and column.  The writer escapes what must be escaped and writes numbers so
 * that they read back as the same double (whole numbers up to 2^53 without a
 * fraction; -0 as 0, as JSON.stringify does).
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { JSON_DEPTH_MAX = 128, JSON_DEPTH_DEFAULT = 64 };

/* What the reader tells.  Every function returns false to stop, with *err set
 * by itself; a NULL function passes over.  Strings are decoded and live only
 * during the call. */
struct json_events {
    bool (*null)(void *arg, struct err *err);
    bool (*boolean)(void *arg, bool value, struct err *err);
    bool (*number)(void *arg, double value, struct str text, struct err *err);
    bool (*string)(void *arg, struct str value, struct err *err);
    bool (*key)(void *arg, struct str key, struct err *err); /* before each value of an object */
    bool (*begin_object)(void *arg, struct err *err);
    bool (*end_object)(void *arg, struct err *err);
    bool (*begin_array)(void *arg, struct err *err);
    bool (*end_array)(void *arg, struct err *err);
};

/* Reads one value and nothing behind it but white space.  False with *err:
 * ERR_INVALID "line 3 column 7: expected ',' or '}'", ERR_LIMIT for depth. */
bool json_read(struct str text, int max_depth, const struct json_events *events, void *arg,
               struct err *err);

void json_write_string(struct buf *out, struct str value); /* quoted; invalid UTF-8 -> U+FFFD */
/* False (nothing written) for NaN and infinities, which JSON cannot hold. */
bool json_write_number(struct buf *out, double value);
/* An array.  Each reads back as the same float32, of seven digits where those do and of nine at
 * most; NaN and infinities are null. */
void json_write_floats(struct buf *out, const float *values, size_t n);

/* A small writer for C code: values in order, commas by itself.
 * struct json w = json_to(&b); json_open(&w, '{'); json_key(&w, "a"); json_int(&w, 1); … */
struct json {
    struct buf *out;
    bool comma;
};
struct json json_to(struct buf *out);
void json_open(struct json *w, char bracket);  /* '{' or '[' */
void json_close(struct json *w, char bracket); /* '}' or ']' */
void json_key(struct json *w, const char *key);
void json_str(struct json *w, struct str value);
void json_cstr(struct json *w, const char *value); /* NULL -> null */
void json_int(struct json *w, long long value);
void json_num(struct json *w, double value); /* NaN, inf -> null */
void json_bool(struct json *w, bool value);
void json_null(struct json *w);
void json_raw(struct json *w, struct str json); /* already JSON */
