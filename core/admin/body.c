/* body.c -- what a request's body says. */

#include <stdio.h>
#include <string.h>

#include "admin/internal.h"
#include "base/mem.h"

enum { BODY_DEPTH = 4, BODY_FIELDS = 2000, BODY_PATH = 128 };

struct reader {
    struct admin_body *out;
    char path[BODY_PATH];
    size_t length[BODY_DEPTH]; /* of the path up to the enclosing value */
    int index[BODY_DEPTH];     /* of the element under way; -1 in an object */
    int depth;
};

static bool set_key(struct reader *r, struct str key, struct err *err)
{
    size_t at = r->length[r->depth - 1];
    int n = snprintf(r->path + at, sizeof r->path - at, "%s%.*s", at ? "." : "", (int)key.n, key.p);
    return (size_t)n < sizeof r->path - at ||
           err_set(err, ERR_INVALID, "the body has a name that is too long");
}

static bool begin(struct reader *r, struct err *err)
{
    char text[16];
    if (r->depth == 0 || r->index[r->depth - 1] < 0)
        return true;
    int n = snprintf(text, sizeof text, "%d", r->index[r->depth - 1]++);
    return set_key(r, str_n(text, (size_t)n), err);
}

static bool add(struct reader *r, char *text, struct err *err)
{
    struct admin_body *b = r->out;
    if (r->depth == 0 || b->count == BODY_FIELDS || !begin(r, err)) {
        mem_free(text);
        return err->code || err_set(err, ERR_INVALID,
                                    "the body must be a JSON object of at most "
                                    "%d values",
                                    BODY_FIELDS);
    }
    b->fields = mem_realloc(b->fields, (size_t)(b->count + 1) * sizeof *b->fields);
    b->fields[b->count++] = (struct admin_field){mem_strdup(r->path), text};
    return true;
}

static bool on_null(void *arg, struct err *err)
{
    return add(arg, NULL, err);
}

static bool on_boolean(void *arg, bool value, struct err *err)
{
    return add(arg, mem_strdup(value ? "true" : "false"), err);
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    (void)value;
    return add(arg, str_dup(text), err);
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    return add(arg, str_dup(value), err);
}

static bool on_key(void *arg, struct str key, struct err *err)
{
    return set_key(arg, key, err);
}

static bool push(struct reader *r, int index, struct err *err)
{
    if (!begin(r, err))
        return false;
    r->length[r->depth] = r->depth ? strlen(r->path) : 0;
    r->index[r->depth++] = index;
    return true;
}

static bool on_begin_object(void *arg, struct err *err)
{
    return push(arg, -1, err);
}

static bool on_begin_array(void *arg, struct err *err)
{
    struct reader *r = arg;
    if (r->depth == 0)
        return err_set(err, ERR_INVALID, "the body must be a JSON object");
    return push(r, 0, err);
}

static bool on_end(void *arg, struct err *err)
{
    struct reader *r = arg;
    (void)err;
    r->path[r->length[--r->depth]] = 0;
    return true;
}

bool admin_body_read(const struct admin_call *call, struct admin_body *out, struct err *err)
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
    struct reader r = {.out = out};
    *out = (struct admin_body){0};
    if (!*call->body || json_read(str_c(call->body), BODY_DEPTH, &events, &r, err))
        return true;
    admin_body_free(out);
    return err_wrap(err, "body");
}

void admin_body_free(struct admin_body *b)
{
    for (int i = 0; i < b->count; i++) {
        mem_free(b->fields[i].path);
        mem_free(b->fields[i].text);
    }
    mem_free(b->fields);
    *b = (struct admin_body){0};
}

const struct admin_field *admin_body_field(const struct admin_body *b, const char *path)
{
    for (int i = 0; i < b->count; i++)
        if (!strcmp(b->fields[i].path, path))
            return &b->fields[i];
    return NULL;
}

const char *admin_body_text(const struct admin_body *b, const char *path, const char *otherwise)
{
    const struct admin_field *field = admin_body_field(b, path);
    return field && field->text ? field->text : otherwise;
}

static bool is_listed(const char *path, const char *const *paths)
{
    for (; *paths; paths++) {
        size_t n = strlen(*paths);
        if ((*paths)[n - 1] == '.' ? !strncmp(path, *paths, n) : !strcmp(path, *paths))
            return true;
    }
    return false;
}

bool admin_body_only(const struct admin_body *b, const char *const *paths, struct err *err)
{
    for (int i = 0; i < b->count; i++)
        if (!is_listed(b->fields[i].path, paths))
            return err_set(err, ERR_INVALID, "body: there is no field '%.60s' here",
                           b->fields[i].path);
    return true;
}
