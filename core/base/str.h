/* str.h -- borrowed slices and a growing buffer. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Borrowed bytes; not NUL-terminated unless the owner says so. */
struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
static inline struct str str_c(const char *s)
{
    return (struct str){s ? s : "", s ? strlen(s) : 0};
}
static inline struct str str_n(const char *p, size_t n)
{
    return (struct str){p, n};
}
bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *b);
bool str_starts(struct str s, struct str prefix);
int str_cmp(struct str a, struct str b); /* byte order, like memcmp */
size_t str_find(struct str s, char c);   /* index of the first c, or s.n */
/* Cuts and returns what stands before the first `sep`; *rest is advanced
 * behind it.  Without sep everything is returned and *rest is empty. */
struct str str_split(struct str *rest, char sep);
struct str str_trim(struct str s); /* ASCII white space at both ends */
char *str_dup(struct str s);       /* NUL-terminated copy, caller frees */
/* True and *out when s is a whole decimal integer in range. */
bool str_int64(struct str s, long long *out);

/* A growing byte buffer; {0} is an empty one.  p is NUL-terminated behind n
 * whenever p is not NULL. */
struct buf {
    char *p;
    size_t n, cap;
};

void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_c(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_clear(struct buf *b);            /* keeps the memory */
void buf_free(struct buf *b);             /* back to {0} */
char *buf_take(struct buf *b, size_t *n); /* hands the bytes over (mem_free); b is {0} again */
struct str buf_str(const struct buf *b);

/* True when the bytes are well-formed UTF-8 (no surrogates, no overlong form,
 * at most U+10FFFF; RFC 3629). */
bool utf8_valid(struct str s);
size_t utf8_length(struct str s); /* characters in valid UTF-8 */
