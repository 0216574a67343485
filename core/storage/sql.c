#include "storage/sql.h"

#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (c & 0x80);
}

static size_t skip_comment(struct str s, size_t i)
{
    if (s.p[i] == '-') {
        while (i < s.n && s.p[i] != '\n')
            i++;
        return i;
    }
    for (i += 2; i + 1 < s.n; i++)
        if (s.p[i] == '*' && s.p[i + 1] == '/')
            return i + 2;
    return s.n;
}

static size_t skip_blank(struct str s)
{
    size_t i = 0;
    while (i < s.n) {
        bool pair = i + 1 < s.n;
        if (is_space(s.p[i]))
            i++;
        else if (pair &&
                 ((s.p[i] == '-' && s.p[i + 1] == '-') || (s.p[i] == '/' && s.p[i + 1] == '*')))
            i = skip_comment(s, i);
        else
            break;
    }
    return i;
}

/* Length of the quoted token s begins with; a doubled quote stands for itself. */
static size_t quoted(struct str s)
{
    char close = s.p[0] == '[' ? ']' : s.p[0];
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] != close)
            continue;
        if (close != ']' && i + 1 < s.n && s.p[i + 1] == close)
            i++;
        else
            return i + 1;
    }
    return s.n;
}

struct str sql_token(struct str *rest)
{
    size_t skip = skip_blank(*rest);
    struct str s = {rest->p + skip, rest->n - skip};
    size_t n = 0;
    if (s.n > 0) {
        char c = s.p[0];
        if (c == '\'' || c == '"' || c == '`' || c == '[')
            n = quoted(s);
        else if (is_word(c))
            while (n < s.n && is_word(s.p[n]))
                n++;
        else
            n = 1;
    }
    rest->p = s.p + n;
    rest->n = s.n - n;
    return (struct str){s.p, n};
}

bool sql_is_word(struct str token, const char *word)
{
    return token.n == strlen(word) && strncasecmp(token.p, word, token.n) == 0;
}

bool sql_has_word(struct str sql, const char *word)
{
    for (struct str token = sql_token(&sql); token.n > 0; token = sql_token(&sql))
        if (sql_is_word(token, word))
            return true;
    return false;
}

bool sql_blank(struct str sql)
{
    struct str token = sql_token(&sql);
    while (token.n == 1 && token.p[0] == ';')
        token = sql_token(&sql);
    return token.n == 0;
}
