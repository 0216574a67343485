#include "base/json_pick.h"

#include "base/json.h"

static void skip_space(struct str *s)
{
    while (s->n && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++, s->n--;
}

/* Bytes of the string that begins at p, quotes included. */
static size_t string_length(struct str s)
{
    size_t i = 1;
    while (i < s.n && s.p[i] != '"')
        i += s.p[i] == '\\' ? 2 : 1;
    return i < s.n ? i + 1 : s.n;
}

static size_t nested_length(struct str s)
{
    size_t depth = 0, i = 0;
    while (i < s.n) {
        char c = s.p[i];
        if (c == '"') {
            i += string_length(str_n(s.p + i, s.n - i));
            continue;
        }
        i++;
        if (c == '[' || c == '{')
            depth++;
        else if ((c == ']' || c == '}') && --depth == 0)
            break;
    }
    return i;
}

static size_t scalar_length(struct str s)
{
    size_t i = 0;
    while (i < s.n && !strchr(",]} \n\t\r", s.p[i]))
        i++;
    return i;
}

/* Cuts one value off. */
static struct str cut(struct str *rest)
{
    skip_space(rest);
    if (rest->n == 0)
        return str_n("", 0);
    char c = *rest->p;
    size_t n = c == '"'               ? string_length(*rest)
               : c == '[' || c == '{' ? nested_length(*rest)
                                      : scalar_length(*rest);
    struct str value = str_n(rest->p, n);
    rest->p += n;
    rest->n -= n;
    skip_space(rest);
    return value;
}

/* Behind a comma or colon, when the next byte is one. */
static void pass(struct str *rest, char c)
{
    skip_space(rest);
    if (rest->n && *rest->p == c)
        rest->p++, rest->n--;
}

bool json_pick_open(struct json_pick *p, struct str value, char bracket)
{
    skip_space(&value);
    if (value.n < 2 || *value.p != bracket)
        return false;
    p->rest = str_n(value.p + 1, value.n - 1);
    return true;
}

static bool at_end(struct json_pick *p)
{
    skip_space(&p->rest);
    return p->rest.n == 0 || *p->rest.p == ']' || *p->rest.p == '}';
}

bool json_pick_item(struct json_pick *p, struct str *value)
{
    if (at_end(p))
        return false;
    *value = cut(&p->rest);
    pass(&p->rest, ',');
    return value->n > 0;
}

bool json_pick_pair(struct json_pick *p, struct str *key, struct str *value)
{
    if (at_end(p) || *p->rest.p != '"')
        return false;
    struct str quoted = cut(&p->rest);
    *key = str_n(quoted.p + 1, quoted.n < 2 ? 0 : quoted.n - 2);
    pass(&p->rest, ':');
    return json_pick_item(p, value);
}

struct str json_pick_get(struct str object, const char *key)
{
    struct json_pick p;
    struct str found = str_n("", 0), name, value;
    if (!json_pick_open(&p, object, '{'))
        return found;
    while (json_pick_pair(&p, &name, &value))
        if (str_eq_c(name, key))
            found = value;
    return str_eq_c(found, "null") ? str_n("", 0) : found;
}

size_t json_pick_count(struct str array)
{
    struct json_pick p;
    struct str value;
    size_t count = 0;
    if (json_pick_open(&p, array, '['))
        while (json_pick_item(&p, &value))
            count++;
    return count;
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    (void)err;
    buf_add_str(arg, value);
    return true;
}

bool json_pick_text(struct str value, struct buf *out)
{
    static const struct json_events events = {.string = on_string};
    struct err err;
    return value.n >= 2 && *value.p == '"' && json_read(value, 1, &events, out, &err);
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    (void)text, (void)err;
    *(double *)arg = value;
    return true;
}

bool json_pick_number(struct str value, double *out)
{
    static const struct json_events events = {.number = on_number};
    struct err err;
    return value.n && strchr("-0123456789", *value.p) && json_read(value, 1, &events, out, &err);
}
