/* line.c -- where in the file's text a key stands. */
#include <ctype.h>

#include "config/file.h"

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

static bool space_at(struct str s, size_t i)
{
    return i < s.n && isspace((unsigned char)s.p[i]);
}

/* True when `word` stands at i as a key: word = or ["word"] =. */
static bool key_at(struct str s, size_t i, struct str word)
{
    size_t end = i + word.n;
    if (end >= s.n || memcmp(s.p + i, word.p, word.n) != 0)
        return false;
    if ((i > 0 && is_word(s.p[i - 1])) || is_word(s.p[end]))
        return false;
    if (s.p[end] == '"' || s.p[end] == '\'')
        end++;
    while (space_at(s, end))
        end++;
    if (end < s.n && s.p[end] == ']')
        end++;
    while (space_at(s, end))
        end++;
    return end < s.n && s.p[end] == '=' && (end + 1 == s.n || s.p[end + 1] != '=');
}

/* Behind the key's first appearance from `from` on, comments left out; 0 when
 * there is none. */
static size_t behind(struct str s, size_t from, struct str word)
{
    for (size_t i = from; i < s.n; i++) {
        if (s.p[i] == '-' && i + 1 < s.n && s.p[i + 1] == '-')
            i += str_find(str_n(s.p + i, s.n - i), '\n');
        else if (key_at(s, i, word))
            return i + word.n;
    }
    return 0;
}

/* Parts of the key are looked for one behind the other; each may itself hold
 * points, so the longest is tried first. */
static size_t find(struct str s, size_t from, struct str key)
{
    size_t at = behind(s, from, key);
    for (size_t n = key.n; at == 0 && n-- > 1;) {
        if (key.p[n] != '.')
            continue;
        size_t head = behind(s, from, str_n(key.p, n));
        if (head > 0)
            at = find(s, head, str_n(key.p + n + 1, key.n - n - 1));
    }
    return at;
}

int config_line(struct str source, struct str key)
{
    size_t at = key.n > 0 && key.n <= 200 ? find(source, 0, key) : 0;
    int line = at > 0;
    for (size_t i = 0; i < at; i++)
        line += source.p[i] == '\n';
    return line;
}
