#include "base/address.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char hidden[] = "***";

static size_t last(struct str s, char c)
{
    for (size_t i = s.n; i-- > 0;)
        if (s.p[i] == c)
            return i;
    return s.n;
}

static bool is_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isdigit((unsigned char)s.p[i]))
            return false;
    return true;
}

/* Where the user's part of what stands behind "://" ends, at its '@'; 0 when there is none.  A
 * password with a slash that nobody escaped looks like a path with an '@': unless a port stands
 * before it, it is taken for a password. */
static size_t user_end(struct str rest)
{
    size_t query = str_find(rest, '?');
    struct str before = str_n(rest.p, query), host = str_n(rest.p, str_find(before, '/'));
    size_t at = last(host, '@'), colon = str_find(host, ':');
    if (at < host.n)
        return at;
    at = last(before, '@');
    bool port = colon == host.n || is_digits(str_n(host.p + colon + 1, host.n - colon - 1));
    return at < before.n && !port ? at : 0;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool is_secret(struct str name)
{
    static const char *const parts[] = {"pass", "secret", "token"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (size_t j = 0; j + strlen(parts[i]) <= name.n; j++)
            if (strncasecmp(name.p + j, parts[i], strlen(parts[i])) == 0)
                return true;
    return false;
}

/* Behind the value that begins at i: 'quoted, with \' in it', or up to a space or '&'. */
static size_t value_end(struct str s, size_t i)
{
    bool quoted = i < s.n && s.p[i] == '\'';
    for (i += quoted; i < s.n; i++) {
        if (quoted && s.p[i] == '\\')
            i++;
        else if (quoted ? s.p[i] == '\'' : s.p[i] == '&' || isspace((unsigned char)s.p[i]))
            break;
    }
    return i < s.n ? i + quoted : s.n;
}

static size_t skip_space(struct str s, size_t i)
{
    while (i < s.n && isspace((unsigned char)s.p[i]))
        i++;
    return i;
}

static void mask_parameters(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n;) {
        size_t end = i;
        while (end < s.n && is_word(s.p[end]))
            end++;
        struct str name = str_n(s.p + i, end - i);
        size_t equals = skip_space(s, end);
        if (end > i && equals < s.n && s.p[equals] == '=' && is_secret(name)) {
            buf_printf(out, "%.*s=%s", (int)name.n, name.p, hidden);
            i = value_end(s, skip_space(s, equals + 1));
            continue;
        }
        end += end == i;
        buf_add(out, s.p + i, end - i);
        i = end;
    }
}

void address_mask(struct str address, struct buf *out)
{
    const char *scheme = memmem(address.p, address.n, "://", 3);
    if (scheme) {
        size_t head = (size_t)(scheme - address.p) + 3;
        struct str rest = str_n(address.p + head, address.n - head);
        size_t end = user_end(rest), colon = str_find(str_n(rest.p, end), ':');
        buf_add(out, address.p, head + colon);
        if (colon < end)
            buf_printf(out, ":%s", hidden);
        address = str_n(rest.p + end, rest.n - end);
    }
    mask_parameters(address, out);
}
