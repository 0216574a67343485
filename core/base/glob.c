#include "base/glob.h"

/* One character of the pattern at *at against c; *at moves behind it. */
static bool in_class(struct str pattern, size_t *at, unsigned char c)
{
    size_t i = *at + 1;
    bool not = i < pattern.n && pattern.p[i] == '^', found = false;
    i += not ;
    while (i < pattern.n && pattern.p[i] != ']') {
        i += pattern.p[i] == '\\' && i + 1 < pattern.n;
        unsigned char low = (unsigned char)pattern.p[i], high = low;
        if (i + 2 < pattern.n && pattern.p[i + 1] == '-') {
            high = (unsigned char)pattern.p[i + 2];
            i += 2;
        }
        found = found || (low <= high ? low <= c && c <= high : high <= c && c <= low);
        i++;
    }
    *at = i < pattern.n ? i + 1 : i;
    return found != not ;
}

static bool one(struct str pattern, size_t *at, char c)
{
    switch (pattern.p[*at]) {
    case '?':
        (*at)++;
        return true;
    case '[':
        return in_class(pattern, at, (unsigned char)c);
    case '\\':
        *at += *at + 1 < pattern.n;
        break;
    default:
        break;
    }
    return pattern.p[(*at)++] == c;
}

/* What follows a star is tried behind one character more each time; only the last star has to be
 * gone back to, for what stands before it matched at its first chance. */
bool glob_match(struct str pattern, struct str text)
{
    size_t p = 0, t = 0, star = 0, from = 0;
    bool has_star = false;
    while (t < text.n) {
        size_t next = p;
        if (p < pattern.n && pattern.p[p] == '*') {
            has_star = true;
            star = ++p;
            from = t;
        } else if (p < pattern.n && one(pattern, &next, text.p[t])) {
            p = next;
            t++;
        } else if (has_star) {
            p = star;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

static bool is_meant(char c)
{
    return c && strchr("*?[]\\", c);
}

bool glob_is_plain(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (is_meant(text.p[i]))
            return false;
    return true;
}

void glob_escape(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (is_meant(text.p[i]))
            buf_add_char(out, '\\');
        buf_add_char(out, text.p[i]);
    }
}
