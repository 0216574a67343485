#include "http/head.h"

#include <string.h>
#include <strings.h>

/* tchar of RFC 9110, section 5.6.2 */
static const bool token_char[256] = {
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true,
    ['*'] = true, ['+'] = true, ['-'] = true, ['.'] = true, ['^'] = true, ['_'] = true,
    ['`'] = true, ['|'] = true, ['~'] = true, ['0'] = true, ['1'] = true, ['2'] = true,
    ['3'] = true, ['4'] = true, ['5'] = true, ['6'] = true, ['7'] = true, ['8'] = true,
    ['9'] = true, ['A'] = true, ['B'] = true, ['C'] = true, ['D'] = true, ['E'] = true,
    ['F'] = true, ['G'] = true, ['H'] = true, ['I'] = true, ['J'] = true, ['K'] = true,
    ['L'] = true, ['M'] = true, ['N'] = true, ['O'] = true, ['P'] = true, ['Q'] = true,
    ['R'] = true, ['S'] = true, ['T'] = true, ['U'] = true, ['V'] = true, ['W'] = true,
    ['X'] = true, ['Y'] = true, ['Z'] = true, ['a'] = true, ['b'] = true, ['c'] = true,
    ['d'] = true, ['e'] = true, ['f'] = true, ['g'] = true, ['h'] = true, ['i'] = true,
    ['j'] = true, ['k'] = true, ['l'] = true, ['m'] = true, ['n'] = true, ['o'] = true,
    ['p'] = true, ['q'] = true, ['r'] = true, ['s'] = true, ['t'] = true, ['u'] = true,
    ['v'] = true, ['w'] = true, ['x'] = true, ['y'] = true, ['z'] = true,
};

bool head_token_char(unsigned char c)
{
    return token_char[c];
}

/* What a user, a path or a list would need is left out. */
bool head_host_plain(struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        bool letter = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!letter && (c == 0 || !strchr("-._~%!$&'()*+;=:[]", c)))
            return false;
    }
    return true;
}

static enum head_result refuse(struct head *out, int status, const char *code, const char *detail)
{
    out->status = status;
    out->code = code;
    out->detail = detail;
    return HEAD_REFUSED;
}

static enum head_result bad(struct head *out, const char *detail)
{
    return refuse(out, 400, "bad_request", detail);
}

static bool name_is(struct str name, const char *lower)
{
    return name.n == strlen(lower) && strncasecmp(name.p, lower, name.n) == 0;
}

/* What can be said of a head whose end has not come yet. */
static enum head_result check_partial(struct str in, size_t scanned, int header_bytes,
                                      int uri_bytes, struct head *out)
{
    if (in.n > 0 && !token_char[(unsigned char)in.p[0]] && in.p[0] != '\r')
        return bad(out, "the request line does not begin with a method");
    for (size_t i = scanned; i < in.n; i++)
        if (in.p[i] == '\n' && (i == 0 || in.p[i - 1] != '\r'))
            return bad(out, "a line ends in LF without CR");
    size_t line = str_find(in, '\n');
    if (line == in.n && in.n > (size_t)uri_bytes + HEAD_METHOD_BYTES)
        return refuse(out, 414, "uri_too_long", "the request target is over the limit");
    if (in.n > (size_t)header_bytes)
        return refuse(out, 431, "headers_too_large", "the request's headers are over the limit");
    return HEAD_PARTIAL;
}

static enum head_result check_request_line(struct str line, int uri_bytes, int *minor,
                                           struct head *out)
{
    size_t i = 0;
    while (i < line.n && token_char[(unsigned char)line.p[i]])
        i++;
    if (i == 0 || i == line.n || line.p[i] != ' ')
        return bad(out, "the request line does not begin with a method");
    if (i > HEAD_METHOD_BYTES)
        return refuse(out, 501, "not_implemented", "no such method");
    out->method = str_n(line.p, i);
    size_t from = ++i;
    while (i < line.n && line.p[i] > 0x20 && line.p[i] < 0x7f)
        i++;
    out->target = str_n(line.p + from, i - from);
    if (i == line.n || line.p[i] != ' ')
        return bad(out, "the request line is not \"METHOD target HTTP/1.1\"");
    if (out->target.n > (size_t)uri_bytes)
        return refuse(out, 414, "uri_too_long", "the request target is over the limit");
    struct str version = str_n(line.p + i + 1, line.n - i - 1);
    if (version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0)
        return bad(out, "the request line is not \"METHOD target HTTP/1.1\"");
    if (version.p[5] != '1' || version.p[6] != '.' || (version.p[7] | 1) != '1')
        return refuse(out, 505, "version", "only HTTP/1.1, HTTP/1.0 and, over TLS, HTTP/2");
    *minor = version.p[7] - '0';
    if (out->target.n == 0 || out->target.p[0] != '/')
        return bad(out, "the request target is not a path");
    return HEAD_WHOLE;
}

static bool parse_length(struct str value, int64_t *length)
{
    if (value.n == 0 || value.n > 18)
        return false;
    *length = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return false;
        *length = *length * 10 + (value.p[i] - '0');
    }
    return true;
}

/* Headers that frame the message. */
static enum head_result check_header(struct str name, struct str value, int minor, int *hosts,
                                     struct head *out)
{
    switch (name.n) {
    case 4:
        if (!name_is(name, "host"))
            break;
        if (++*hosts > 1)
            return bad(out, "more than one host header");
        if (!head_host_plain(value))
            return bad(out, "the host header is not a host");
        break;
    case 6:
        if (name_is(name, "expect") && !name_is(value, "100-continue"))
            return refuse(out, 417, "expectation", "only \"100-continue\" can be expected");
        break;
    case 14:
        if (!name_is(name, "content-length"))
            break;
        if (out->content_length >= 0)
            return bad(out, "more than one content-length");
        if (!parse_length(value, &out->content_length))
            return bad(out, "content-length is not a number");
        break;
    case 17:
        if (!name_is(name, "transfer-encoding"))
            break;
        if (out->chunked || minor == 0 || !name_is(value, "chunked"))
            return refuse(out, 501, "transfer_encoding", "the only transfer-encoding is chunked");
        out->chunked = true;
        break;
    default:
        break;
    }
    return HEAD_WHOLE;
}

static enum head_result check_line(struct str line, int minor, int *hosts, struct head *out)
{
    size_t i = 0;
    while (i < line.n && token_char[(unsigned char)line.p[i]])
        i++;
    if (i == 0 || i == line.n || line.p[i] != ':')
        return bad(out, "a header is not \"name: value\"");
    struct str name = str_n(line.p, i);
    struct str value = str_n(line.p + i + 1, line.n - i - 1);
    for (size_t k = 0; k < value.n; k++) {
        unsigned char c = (unsigned char)value.p[k];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return bad(out, "a header's value has a control character");
    }
    return check_header(name, str_trim(value), minor, hosts, out);
}

/* Behind the last header line's text: at its CR LF CR LF, or NULL. */
static const char *find_end(struct str in, size_t from)
{
    const char *end = in.p + in.n;
    for (const char *at = in.p + from; end - at >= 4; at++) {
        at = memchr(at, '\r', (size_t)(end - at) - 3);
        if (!at || memcmp(at, "\r\n\r\n", 4) == 0)
            return at;
    }
    return NULL;
}

enum head_result head_check(struct str in, size_t scanned, int header_bytes, int uri_bytes,
                            struct head *out)
{
    *out = (struct head){.content_length = -1};
    size_t from = scanned > 3 ? scanned - 3 : 0;
    const char *end = find_end(in, from);
    if (!end)
        return check_partial(in, scanned, header_bytes, uri_bytes, out);
    out->bytes = (size_t)(end - in.p) + 4;
    if (out->bytes > (size_t)header_bytes)
        return refuse(out, 431, "headers_too_large", "the request's headers are over the limit");
    int minor = 1, hosts = 0, count = -1;
    const char *at = in.p;
    while (at <= end) {
        const char *lf = memchr(at, '\n', (size_t)(end + 2 - at));
        if (lf == at || lf[-1] != '\r')
            return bad(out, "a line ends in LF without CR");
        struct str line = str_n(at, (size_t)(lf - 1 - at));
        enum head_result result = ++count == 0 ? check_request_line(line, uri_bytes, &minor, out)
                                               : check_line(line, minor, &hosts, out);
        if (result != HEAD_WHOLE)
            return result;
        at = lf + 1;
    }
    if (count > HEAD_COUNT)
        return refuse(out, 431, "headers_too_large", "more than 100 headers");
    if (minor == 1 && hosts == 0)
        return bad(out, "the host header is missing");
    if (out->chunked && out->content_length >= 0)
        return bad(out, "both content-length and transfer-encoding");
    return HEAD_WHOLE;
}
