#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "objects/s3_private.h"

/* The text from the first `what` on, or empty. */
static struct str from(struct str text, const char *what, size_t n)
{
    const char *at = text.n ? memmem(text.p, text.n, what, n) : NULL;
    return at ? str_n(at, text.n - (size_t)(at - text.p)) : STR("");
}

bool xml_next(struct str *xml, const char *element, struct str *inside)
{
    char tag[64];
    int n = snprintf(tag, sizeof tag, "<%s", element);
    struct str rest = *xml;
    for (;;) {
        rest = from(rest, tag, (size_t)n);
        if (rest.n <= (size_t)n)
            return false;
        char after = rest.p[n];
        rest = str_n(rest.p + n, rest.n - (size_t)n);
        if (after == '>' || after == ' ' || after == '/')
            break; /* else the name only begins like this */
    }
    const char *end = memchr(rest.p, '>', rest.n);
    if (!end)
        return false;
    bool empty = end > rest.p && end[-1] == '/';
    rest = str_n(end + 1, rest.n - (size_t)(end + 1 - rest.p));
    if (empty) {
        *inside = STR("");
        *xml = rest;
        return true;
    }
    n = snprintf(tag, sizeof tag, "</%s>", element);
    struct str close = from(rest, tag, (size_t)n);
    if (!close.n)
        return false;
    *inside = str_n(rest.p, (size_t)(close.p - rest.p));
    *xml = str_n(close.p + n, close.n - (size_t)n);
    return true;
}

struct str xml_find(struct str xml, const char *element)
{
    struct str inside;
    return xml_next(&xml, element, &inside) ? inside : STR("");
}

static void add_code_point(struct buf *out, unsigned long c)
{
    if (c < 0x80) {
        buf_add_char(out, (char)c);
    } else if (c < 0x800) {
        buf_add_char(out, (char)(0xc0 | (c >> 6)));
        buf_add_char(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        buf_add_char(out, (char)(0xe0 | (c >> 12)));
        buf_add_char(out, (char)(0x80 | ((c >> 6) & 63)));
        buf_add_char(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x110000) {
        buf_add_char(out, (char)(0xf0 | (c >> 18)));
        buf_add_char(out, (char)(0x80 | ((c >> 12) & 63)));
        buf_add_char(out, (char)(0x80 | ((c >> 6) & 63)));
        buf_add_char(out, (char)(0x80 | (c & 63)));
    }
}

static void add_entity(struct buf *out, struct str name)
{
    static const struct {
        const char *name;
        char c;
    } known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    char digits[12] = "";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_eq_c(name, known[i].name))
            buf_add_char(out, known[i].c);
    if (name.n < 2 || name.n > sizeof digits || name.p[0] != '#')
        return;
    bool hex = name.p[1] == 'x';
    size_t skip = hex ? 2 : 1;
    memcpy(digits, name.p + skip, name.n - skip);
    add_code_point(out, strtoul(digits, NULL, hex ? 16 : 10));
}

void xml_decode(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        const char *end = text.p[i] == '&' ? memchr(text.p + i, ';', text.n - i) : NULL;
        if (!end) {
            buf_add_char(out, text.p[i]);
            continue;
        }
        add_entity(out, str_n(text.p + i + 1, (size_t)(end - text.p) - i - 1));
        i = (size_t)(end - text.p);
    }
}

void xml_encode(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '&')
            buf_add_c(out, "&amp;");
        else if (c == '<')
            buf_add_c(out, "&lt;");
        else if (c == '>')
            buf_add_c(out, "&gt;");
        else
            buf_add_char(out, c);
    }
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool url_decode(struct buf *out, struct str text)
{
    size_t begin = out->n;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '%' && i + 2 < text.n && digit(text.p[i + 1]) >= 0 &&
            digit(text.p[i + 2]) >= 0) {
            buf_add_char(out, (char)(digit(text.p[i + 1]) * 16 + digit(text.p[i + 2])));
            i += 2;
        } else
            buf_add_char(out, text.p[i] == '+' ? ' ' : text.p[i]);
    }
    return utf8_valid(str_n(out->p + begin, out->n - begin));
}

int64_t xml_time(struct str text)
{
    struct tm tm = {0};
    char copy[32] = "";
    memcpy(copy, text.p, text.n < sizeof copy - 1 ? text.n : sizeof copy - 1);
    if (!strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm))
        return 0;
    return (int64_t)timegm(&tm) * NS_PER_SECOND;
}
