#include "base/json_flat.h"

#include <stdio.h>

#include "base/json.h"

struct walk {
    bool (*take)(void *arg, const struct json_flat *value, struct err *err);
    void *arg;
    struct buf path;
    struct {
        size_t length; /* of the path of the object or array */
        int index;     /* of its next element; -1 in an object */
    } in[JSON_DEPTH_MAX];
    int depth;
};

/* The path ends with this name of what is under way. */
static void set_name(struct walk *w, struct str name)
{
    w->path.n = w->in[w->depth - 1].length;
    if (w->depth > 1)
        buf_add_char(&w->path, '.');
    buf_add_str(&w->path, name);
}

static bool tell(struct walk *w, enum json_flat_kind kind, struct str text, struct err *err)
{
    if (w->depth > 0 && w->in[w->depth - 1].index >= 0) {
        char number[16];
        int n = snprintf(number, sizeof number, "%d", w->in[w->depth - 1].index++);
        set_name(w, str_n(number, (size_t)n));
    }
    struct json_flat value = {
        .path = w->path.p ? w->path.p : "", .depth = w->depth, .kind = kind, .text = text};
    return w->take(w->arg, &value, err);
}

static bool on_null(void *arg, struct err *err)
{
    return tell(arg, JSON_FLAT_NULL, STR(""), err);
}

static bool on_boolean(void *arg, bool value, struct err *err)
{
    return tell(arg, JSON_FLAT_BARE, value ? STR("true") : STR("false"), err);
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    (void)value;
    return tell(arg, JSON_FLAT_BARE, text, err);
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    return tell(arg, JSON_FLAT_STRING, value, err);
}

static bool on_key(void *arg, struct str key, struct err *err)
{
    (void)err;
    set_name(arg, key);
    return true;
}

static bool begin(struct walk *w, enum json_flat_kind kind, int index, struct err *err)
{
    if (!tell(w, kind, STR(""), err))
        return false;
    w->in[w->depth].length = w->path.n;
    w->in[w->depth++].index = index;
    return true;
}

static bool on_begin_object(void *arg, struct err *err)
{
    return begin(arg, JSON_FLAT_OBJECT, -1, err);
}

static bool on_begin_array(void *arg, struct err *err)
{
    return begin(arg, JSON_FLAT_ARRAY, 0, err);
}

static bool on_end(void *arg, struct err *err)
{
    struct walk *w = arg;
    (void)err;
    w->depth--;
    return true;
}

bool json_flat(struct str json, int max_depth,
               bool (*take)(void *arg, const struct json_flat *value, struct err *err), void *arg,
               struct err *err)
{
    static const struct json_events events = {
        .null = on_null,
        .boolean = on_boolean,
        .number = on_number,
        .string = on_string,
        .key = on_key,
        .begin_object = on_begin_object,
        .end_object = on_end,
        .begin_array = on_begin_array,
        .end_array = on_end,
    };
    struct walk w = {.take = take, .arg = arg};
    bool ok = json_read(json, max_depth, &events, &w, err);
    buf_free(&w.path);
    return ok;
}
