#include "vm/pattern_match.h"

#include <lauxlib.h>
#include <string.h>

#include "vm/args.h"

/* ---- characters -------------------------------------------------------- */

enum {
    LOWER = 1,
    UPPER = 2,
    DIGIT = 4,
    HEX = 8,
    SPACE = 16,
    CONTROL = 32,
    PUNCTUATION = 64,
    MAGIC = 128, /* a pattern with it is not plain text */
    ALPHA = LOWER | UPPER,
    ALNUM = ALPHA | DIGIT,
    GRAPH = ALNUM | PUNCTUATION,
};

/* Of ASCII; bytes from 128 on are of no class, whatever the locale. */
static const unsigned char classes[256] = {
    [0 ... 8] = CONTROL,
    [9 ... 13] = CONTROL | SPACE,
    [14 ... 31] = CONTROL,
    [' '] = SPACE,
    ['!' ... '#'] = PUNCTUATION,
    ['$' ... '%'] = PUNCTUATION | MAGIC,
    ['&' ... '\''] = PUNCTUATION,
    ['('] = PUNCTUATION | MAGIC,
    [')'] = PUNCTUATION,
    ['*' ... '+'] = PUNCTUATION | MAGIC,
    [','] = PUNCTUATION,
    ['-' ... '.'] = PUNCTUATION | MAGIC,
    ['/'] = PUNCTUATION,
    ['0' ... '9'] = DIGIT | HEX,
    [':' ... '>'] = PUNCTUATION,
    ['?'] = PUNCTUATION | MAGIC,
    ['@'] = PUNCTUATION,
    ['A' ... 'F'] = UPPER | HEX,
    ['G' ... 'Z'] = UPPER,
    ['['] = PUNCTUATION | MAGIC,
    ['\\' ... ']'] = PUNCTUATION,
    ['^'] = PUNCTUATION | MAGIC,
    ['_' ... '`'] = PUNCTUATION,
    ['a' ... 'f'] = LOWER | HEX,
    ['g' ... 'z'] = LOWER,
    ['{' ... '~'] = PUNCTUATION,
    [127] = CONTROL,
};

/* Letters after %, small. */
static const unsigned char class_of_letter[128] = {
    ['a'] = ALPHA,       ['c'] = CONTROL, ['d'] = DIGIT, ['g'] = GRAPH, ['l'] = LOWER,
    ['p'] = PUNCTUATION, ['s'] = SPACE,   ['u'] = UPPER, ['w'] = ALNUM, ['x'] = HEX,
};

/* Whether c is in what %letter stands for; a letter of no class stands for itself. */
static bool in_class(unsigned char c, unsigned char letter)
{
    if (letter < 'A' || letter > 'z')
        return letter == c;
    bool small = letter & 0x20;
    unsigned char class = class_of_letter[letter | 0x20];
    if (class)
        return ((classes[c] & class) != 0) == small;
    if ((letter | 0x20) == 'z')
        return (c == '\0') == small;
    return letter == c;
}

/* ---- the bounds -------------------------------------------------------- */

static void spend(struct matcher *m, int64_t steps)
{
    m->left -= steps;
    if (m->left < 0)
        args_error(m->L, "%s: pattern takes too many steps (limit %f)", m->who, (double)m->limit);
}

static const char *match(struct matcher *m, const char *s, const char *p);

enum { SHORT_SET = 16 };

/* ---- single characters ------------------------------------------------- */

/* The end of the item at p: a character, %x or a set. */
static const char *item_end(struct matcher *m, const char *p)
{
    char first = *p++;
    if (first == '%') {
        if (!*p)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (first != '[')
        return p;
    if (*p == '^')
        p++;
    do { /* what comes first in a set is no end of it */
        if (!*p)
            luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && *p)
            p++;
    } while (*p != ']');
    return p + 1;
}

/* Whether c is in the set from p, its '[', to last, its ']'. */
static bool in_set(struct matcher *m, unsigned char c, const char *p, const char *last)
{
    const char *from = p++;
    bool found = false, listed = true;
    if (*p == '^') {
        listed = false;
        p++;
    }
    for (; p < last && !found; p++) {
        if (*p == '%') {
            p++;
            found = in_class(c, (unsigned char)*p);
        } else if (p[1] == '-' && p + 2 < last) {
            found = (unsigned char)p[0] <= c && c <= (unsigned char)p[2];
            p += 2;
        } else {
            found = (unsigned char)*p == c;
        }
    }
    if (p - from > SHORT_SET) /* else it is a part of the step that the item is */
        spend(m, (p - from) / SHORT_SET);
    return found == listed;
}

/* Whether the item [p, q) matches the character at s, which may be the subject's end. */
static inline bool is_one(struct matcher *m, const char *s, const char *p, const char *q)
{
    if (s >= m->end)
        return false;
    unsigned char c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(m, c, p, q - 1);
    default:
        return (unsigned char)*p == c;
    }
}

/* ---- items that are more than one character ----------------------------- */

/* %bxy; p points at x. */
static const char *balanced(struct matcher *m, const char *s, const char *p)
{
    if (!p[0] || !p[1])
        luaL_error(m->L, "unbalanced pattern");
    if (s >= m->end || *s != p[0])
        return NULL;
    const char *from = s;
    int64_t open = 1;
    while (open > 0 && ++s < m->end) {
        if (*s == p[1])
            open--;
        else if (*s == p[0])
            open++;
    }
    spend(m, s - from);
    return open == 0 ? s + 1 : NULL;
}

/* %f[set]; p points behind the f.  Moves *p behind the set. */
static bool is_frontier(struct matcher *m, const char *s, const char **p)
{
    const char *set = *p;
    if (*set != '[')
        luaL_error(m->L, "missing '[' after '%%f' in pattern");
    *p = item_end(m, set);
    unsigned char before = s == m->begin ? '\0' : (unsigned char)s[-1];
    return !in_set(m, before, set, *p - 1) && in_set(m, (unsigned char)*s, set, *p - 1);
}

/* %1: the text of a finished capture once more. */
static const char *again(struct matcher *m, const char *s, char digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->count || m->captures[i].n == CAPTURE_OPEN)
        luaL_error(m->L, "invalid capture index");
    size_t n = (size_t)m->captures[i].n; /* of a position: more than any subject has */
    if ((size_t)(m->end - s) < n)
        return NULL;
    spend(m, (int64_t)(n / 16));
    return memcmp(m->captures[i].at, s, n) == 0 ? s + n : NULL;
}

static const char *open_capture(struct matcher *m, const char *s, const char *p, int n)
{
    if (m->count >= PATTERN_CAPTURES)
        luaL_error(m->L, "too many captures");
    m->captures[m->count] = (struct capture){s, n};
    m->count++;
    const char *end = match(m, s, p);
    if (!end)
        m->count--;
    return end;
}

static const char *close_capture(struct matcher *m, const char *s, const char *p)
{
    int i = m->count - 1;
    while (i >= 0 && m->captures[i].n != CAPTURE_OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->captures[i].n = s - m->captures[i].at;
    const char *end = match(m, s, p);
    if (!end)
        m->captures[i].n = CAPTURE_OPEN;
    return end;
}

/* The item [p, q) as often as it can, then less. */
static const char *longest(struct matcher *m, const char *s, const char *p, const char *q)
{
    const char *at = s;
    while (is_one(m, at, p, q))
        at++;
    spend(m, at - s);
    for (; at >= s; at--) {
        const char *end = match(m, at, q + 1);
        if (end)
            return end;
    }
    return NULL;
}

/* The item [p, q) as seldom as it can, then more. */
static const char *shortest(struct matcher *m, const char *s, const char *p, const char *q)
{
    for (;; s++) {
        const char *end = match(m, s, q + 1);
        if (end)
            return end;
        if (!is_one(m, s, p, q))
            return NULL;
    }
}

/* ---- the matcher ------------------------------------------------------- */

/* Takes %b, %f and %1 at *p off the pattern: the rest of the subject, NULL when it does not
 * match, and in *other whether it is none of these. */
static const char *special(struct matcher *m, const char *s, const char **p, bool *other)
{
    char kind = (*p)[1];
    *other = false;
    if (kind == 'b') {
        s = balanced(m, s, *p + 2);
        *p += 4;
        return s;
    }
    if (kind == 'f') {
        *p += 2;
        return is_frontier(m, s, p) ? s : NULL;
    }
    if (kind >= '0' && kind <= '9') {
        *p += 2;
        return again(m, s, kind);
    }
    *other = true;
    return s;
}

static const char *match_items(struct matcher *m, const char *s, const char *p)
{
    for (;;) {
        bool other = true;
        spend(m, 1);
        switch (*p) {
        case '\0':
            return s;
        case '(':
            return p[1] == ')' ? open_capture(m, s, p + 2, CAPTURE_POSITION)
                               : open_capture(m, s, p + 1, CAPTURE_OPEN);
        case ')':
            return close_capture(m, s, p + 1);
        case '$':
            if (!p[1])
                return s == m->end ? s : NULL;
            break;
        case '%':
            s = special(m, s, &p, &other);
            break;
        default:
            break;
        }
        if (!s)
            return NULL;
        if (!other)
            continue;
        const char *q = item_end(m, p), *end;
        switch (*q) {
        case '*':
            return longest(m, s, p, q);
        case '+':
            return is_one(m, s, p, q) ? longest(m, s + 1, p, q) : NULL;
        case '-':
            return shortest(m, s, p, q);
        case '?':
            if (is_one(m, s, p, q) && (end = match(m, s + 1, q + 1)))
                return end;
            p = q + 1;
            break;
        default:
            if (!is_one(m, s, p, q))
                return NULL;
            s++;
            p = q;
        }
    }
}

/* The end of what pattern p matches at s, or NULL. */
static const char *match(struct matcher *m, const char *s, const char *p)
{
    if (++m->depth > PATTERN_DEPTH)
        luaL_error(m->L, "pattern too complex");
    const char *end = match_items(m, s, p);
    m->depth--;
    return end;
}

/* ---- public ------------------------------------------------------------- */

void matcher_init(struct matcher *m, lua_State *L, const char *who, struct str subject)
{
    m->L = L;
    m->who = who;
    m->begin = subject.p;
    m->end = subject.p + subject.n;
    m->limit = m->left = PATTERN_STEPS + PATTERN_BYTE_STEPS * (int64_t)subject.n;
    m->depth = m->count = 0;
}

const char *matcher_try(struct matcher *m, const char *s, const char *pattern)
{
    m->count = 0;
    m->depth = 0;
    return match(m, s, pattern);
}

bool pattern_is_plain(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (classes[(unsigned char)text.p[i]] & MAGIC)
            return false;
    return true;
}
