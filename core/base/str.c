#include "base/str.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_c(struct str a, const char *b)
{
    return str_eq(a, str_c(b));
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_n(s.p, prefix.n), prefix);
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

size_t str_find(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

struct str str_split(struct str *rest, char sep)
{
    size_t at = str_find(*rest, sep);
    struct str head = {rest->p, at};
    size_t skip = at < rest->n ? at + 1 : at;
    *rest = skip ? str_n(rest->p + skip, rest->n - skip) : *rest;
    return head;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.n && is_space(s.p[0]))
        s = str_n(s.p + 1, s.n - 1);
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

char *str_dup(struct str s)
{
    char *p = mem_alloc(s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

bool str_int64(struct str s, long long *out)
{
    bool negative = s.n && s.p[0] == '-';
    size_t i = s.n && (negative || s.p[0] == '+');
    unsigned long long value = 0, most = (unsigned long long)LLONG_MAX + negative;
    if (i == s.n)
        return false;
    for (; i < s.n; i++) {
        unsigned digit = (unsigned)((unsigned char)s.p[i] - '0');
        if (digit > 9 || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = negative ? (long long)(0 - value) : (long long)value;
    return true;
}

void buf_reserve(struct buf *b, size_t more)
{
    if (b->cap - b->n > more) /* one byte stays for the NUL */
        return;
    invariant(more < SIZE_MAX / 4 && b->n < SIZE_MAX / 4);
    size_t cap = b->cap ? b->cap * 2 : 64;
    if (cap < b->n + more + 1)
        cap = b->n + more + 1;
    b->p = mem_realloc(b->p, cap);
    b->cap = cap;
    b->p[b->n] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    buf_reserve(b, n);
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_add_c(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
    buf_reserve(b, 1);
    b->p[b->n++] = c;
    b->p[b->n] = '\0';
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    buf_reserve(b, 64);
    int n = vsnprintf(b->p + b->n, b->cap - b->n, format, args);
    invariant(n >= 0);
    if ((size_t)n >= b->cap - b->n) {
        buf_reserve(b, (size_t)n);
        vsnprintf(b->p + b->n, b->cap - b->n, format, again);
    }
    b->n += (size_t)n;
    va_end(again);
    va_end(args);
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    if (b->p)
        b->p[0] = '\0';
}

void buf_free(struct buf *b)
{
    mem_free(b->p);
    *b = (struct buf){0};
}

char *buf_take(struct buf *b, size_t *n)
{
    buf_reserve(b, 0);
    char *p = b->p;
    if (n)
        *n = b->n;
    *b = (struct buf){0};
    return p;
}

struct str buf_str(const struct buf *b)
{
    return str_n(b->p ? b->p : "", b->n);
}
