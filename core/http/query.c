#include "base/str.h"
#include "http/request.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool percent_decode(struct str in, bool plus, struct buf *out)
{
    size_t from = out->n;
    buf_reserve(out, in.n + 1);
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            if (in.n - i < 3)
                return false;
            int high = hex_digit(in.p[i + 1]), low = hex_digit(in.p[i + 2]);
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (c == '\0')
            return false;
        out->p[out->n++] = c;
    }
    out->p[out->n] = '\0';
    return utf8_valid(str_n(out->p + from, out->n - from));
}

bool query_next(struct str query, size_t *at, struct buf *scratch, struct str *name,
                struct str *value, bool *bad)
{
    *bad = false;
    while (*at < query.n && query.p[*at] == '&')
        ++*at;
    if (*at >= query.n)
        return false;
    struct str rest = str_n(query.p + *at, query.n - *at);
    struct str piece = str_n(rest.p, str_find(rest, '&'));
    *at += piece.n;
    size_t equals = str_find(piece, '=');
    struct str raw_value = str_n(NULL, 0);
    if (equals < piece.n)
        raw_value = str_n(piece.p + equals + 1, piece.n - equals - 1);
    buf_clear(scratch);
    if (!percent_decode(str_n(piece.p, equals), true, scratch)) {
        *bad = true;
        return false;
    }
    size_t name_n = scratch->n;
    if (!percent_decode(raw_value, true, scratch)) {
        *bad = true;
        return false;
    }
    *name = str_n(scratch->p, name_n);
    *value = str_n(scratch->p + name_n, scratch->n - name_n);
    return true;
}
