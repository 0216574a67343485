#include "base/mem.h"
#include "jobs/workflow/private.h"

static void skip_space(struct str *rest)
{
    while (rest->n && (*rest->p == ' ' || *rest->p == '\t' || *rest->p == '\n' || *rest->p == '\r'))
        *rest = str_n(rest->p + 1, rest->n - 1);
}

static struct str cut(struct str *rest, size_t n)
{
    struct str piece = str_n(rest->p, n);
    *rest = str_n(rest->p + n, rest->n - n);
    return piece;
}

/* Bytes of the string that begins here, its quotes too. */
static size_t string_bytes(struct str s)
{
    size_t n = 1;
    while (n < s.n && s.p[n] != '"')
        n += s.p[n] == '\\' ? 2 : 1;
    return n < s.n ? n + 1 : s.n;
}

static size_t value_bytes(struct str s)
{
    int depth = 0;
    size_t n = 0;
    while (n < s.n) {
        char c = s.p[n];
        if (c == '"') {
            n += string_bytes(str_n(s.p + n, s.n - n));
            if (depth == 0)
                break;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            break;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        n++;
        if (depth == 0 && (c == '}' || c == ']'))
            break;
    }
    return n;
}

/* The first call comes with the whole text, whose bracket is passed over. */
static bool enter(struct str *rest, char bracket)
{
    skip_space(rest);
    if (rest->n && (*rest->p == bracket || *rest->p == ','))
        cut(rest, 1);
    skip_space(rest);
    return rest->n && *rest->p != '}' && *rest->p != ']';
}

bool wf_item(struct str *rest, struct str *value)
{
    if (!enter(rest, '['))
        return false;
    *value = str_trim(cut(rest, value_bytes(*rest)));
    return value->n > 0;
}

bool wf_member(struct str *rest, struct str *key, struct str *value)
{
    if (!enter(rest, '{') || *rest->p != '"')
        return false;
    struct str quoted = cut(rest, string_bytes(*rest));
    if (quoted.n < 2)
        return false;
    *key = str_n(quoted.p + 1, quoted.n - 2);
    skip_space(rest);
    if (!rest->n || *rest->p != ':')
        return false;
    cut(rest, 1);
    skip_space(rest);
    *value = str_trim(cut(rest, value_bytes(*rest)));
    return value->n > 0;
}

struct str workflow_json_get(struct str object, const char *key)
{
    struct str name, value;
    while (wf_member(&object, &name, &value))
        if (str_eq_c(name, key))
            return value;
    return (struct str){0};
}

struct str workflow_json_text(struct str json)
{
    if (json.n < 2 || json.p[0] != '"' || memchr(json.p, '\\', json.n))
        return STR("");
    return str_n(json.p + 1, json.n - 2);
}

static void add_member(struct buf *out, struct str key, struct str value)
{
    if (out->n > 1)
        buf_add_char(out, ',');
    buf_add_char(out, '"');
    buf_add_str(out, key);
    buf_add_c(out, "\":");
    buf_add_str(out, value);
}

/* Whether one of the list's texts, or of the object's names, is this key. */
static bool names(struct str json, struct str key)
{
    struct str name, value;
    if (json.n && *json.p == '{') {
        while (wf_member(&json, &name, &value))
            if (str_eq(name, key))
                return true;
        return false;
    }
    while (wf_item(&json, &value))
        if (value.n >= 2 && str_eq(str_n(value.p + 1, value.n - 2), key))
            return true;
    return false;
}

void wf_patch(struct buf *out, struct str state, struct str set, struct str remove)
{
    struct str key, value;
    buf_clear(out);
    buf_add_char(out, '{');
    while (wf_member(&state, &key, &value))
        if (!names(set, key) && !names(remove, key))
            add_member(out, key, value);
    while (wf_member(&set, &key, &value))
        add_member(out, key, value);
    buf_add_char(out, '}');
}
