/* pg_array.c -- arrays of the server as JSON text, which is how a plugin reads and writes them. */
#include "base/json.h"
#include "storage/pg_private.h"

static const struct {
    Oid array, element;
} arrays[] = {
    {1000, TYPE_BOOL},      {1005, TYPE_INT2},   {1007, TYPE_INT4},    {1016, TYPE_INT8},
    {1021, TYPE_FLOAT4},    {1022, TYPE_FLOAT8}, {1231, TYPE_NUMERIC}, {1009, TYPE_TEXT},
    {1015, TYPE_VARCHAR},   {1014, TYPE_BPCHAR}, {1182, TYPE_DATE},    {2951, TYPE_UUID},
    {1115, TYPE_TIMESTAMP}, {199, TYPE_JSON},    {3807, TYPE_JSONB},
};

Oid pg_array_element(Oid array)
{
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i].array == array)
            return arrays[i].element;
    return 0;
}

static void write_element(struct buf *out, Oid element, struct str text)
{
    bool number = element == TYPE_INT2 || element == TYPE_INT4 || element == TYPE_INT8 ||
                  element == TYPE_FLOAT4 || element == TYPE_FLOAT8 || element == TYPE_NUMERIC;
    char last = text.n ? text.p[text.n - 1] : 'x'; /* NaN and Infinity are no JSON */
    if (element == TYPE_BOOL)
        buf_add_c(out, str_eq_c(text, "t") ? "true" : "false");
    else if ((number && last >= '0' && last <= '9') || element == TYPE_JSON ||
             element == TYPE_JSONB)
        buf_add_str(out, text);
    else
        json_write_string(out, text);
}

/* One element from *at: quoted with \ before " and \, or bare up to , or }. */
static bool read_element(struct str text, size_t *at, Oid element, struct buf *scratch,
                         struct buf *out)
{
    size_t i = *at;
    bool quoted = text.p[i] == '"';
    buf_clear(scratch);
    for (i += quoted; i < text.n; i++) {
        char c = text.p[i];
        if (quoted ? c == '"' : c == ',' || c == '}')
            break;
        if (c == '\\' && ++i >= text.n)
            return false;
        buf_add_char(scratch, text.p[i]);
    }
    if (i >= text.n)
        return false;
    *at = i + quoted;
    if (!quoted && str_eq_c(buf_str(scratch), "NULL"))
        buf_add_c(out, "null");
    else
        write_element(out, element, str_n(scratch->p ? scratch->p : "", scratch->n));
    return true;
}

bool pg_array_to_json(struct str text, Oid element, struct buf *out)
{
    struct buf scratch = {0};
    int depth = 0;
    bool ok = true;
    size_t at = text.n && text.p[0] == '[' ? str_find(text, '=') + 1 : 0; /* [0:2]={…} */
    while (ok && at < text.n) {
        char c = text.p[at];
        if (c == '{' || c == '}' || c == ',') {
            depth += c == '{' ? 1 : c == '}' ? -1 : 0;
            buf_add_char(out, c == '{' ? '[' : c == '}' ? ']' : ',');
            at++;
        } else {
            ok = read_element(text, &at, element, &scratch, out);
        }
    }
    buf_free(&scratch);
    return ok && depth == 0 && out->n > 0;
}

/* -- JSON to an array's text -- */

struct writing {
    struct buf *out;
    bool comma;
};

static void separate(struct writing *w)
{
    if (w->comma)
        buf_add_char(w->out, ',');
    w->comma = true;
}

static bool on_null(void *arg, struct err *err)
{
    (void)err;
    separate(arg);
    buf_add_c(((struct writing *)arg)->out, "NULL");
    return true;
}

static bool on_boolean(void *arg, bool value, struct err *err)
{
    (void)err;
    separate(arg);
    buf_add_c(((struct writing *)arg)->out, value ? "t" : "f");
    return true;
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    (void)err;
    (void)value;
    separate(arg);
    buf_add_str(((struct writing *)arg)->out, text);
    return true;
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    struct buf *out = ((struct writing *)arg)->out;
    (void)err;
    separate(arg);
    buf_add_char(out, '"');
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, value.p[i]);
    }
    buf_add_char(out, '"');
    return true;
}

static bool on_begin(void *arg, struct err *err)
{
    struct writing *w = arg;
    (void)err;
    separate(w);
    buf_add_char(w->out, '{');
    w->comma = false;
    return true;
}

static bool on_end(void *arg, struct err *err)
{
    struct writing *w = arg;
    (void)err;
    buf_add_char(w->out, '}');
    w->comma = true;
    return true;
}

static bool on_object(void *arg, struct err *err)
{
    (void)arg;
    return err_set(err, ERR_INVALID, "an array of objects");
}

bool pg_array_from_json(struct str json, struct buf *out)
{
    static const struct json_events events = {
        .null = on_null,
        .boolean = on_boolean,
        .number = on_number,
        .string = on_string,
        .begin_array = on_begin,
        .end_array = on_end,
        .begin_object = on_object,
    };
    struct writing w = {.out = out};
    struct err err;
    return json_read(json, JSON_DEPTH_DEFAULT, &events, &w, &err);
}
