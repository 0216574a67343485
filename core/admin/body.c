/* body.c -- what a request's body says. */

#include <string.h>

#include "admin/internal.h"
#include "base/json_flat.h"
#include "base/mem.h"

enum { BODY_DEPTH = 4, BODY_FIELDS = 2000, BODY_PATH = 128 };

static bool take(void *arg, const struct json_flat *value, struct err *err)
{
    struct admin_body *b = arg;
    bool opens = value->kind == JSON_FLAT_OBJECT || value->kind == JSON_FLAT_ARRAY;
    if (strlen(value->path) >= BODY_PATH)
        return err_set(err, ERR_INVALID, "the body has a name that is too long");
    if (value->depth == 0 ? value->kind != JSON_FLAT_OBJECT : !opens && b->count == BODY_FIELDS)
        return err_set(err, ERR_INVALID, "the body must be a JSON object of at most %d values",
                       BODY_FIELDS);
    if (opens)
        return true;
    b->fields = mem_realloc(b->fields, (size_t)(b->count + 1) * sizeof *b->fields);
    b->fields[b->count++] = (struct admin_field){
        mem_strdup(value->path), value->kind == JSON_FLAT_NULL ? NULL : str_dup(value->text)};
    return true;
}

bool admin_body_read(const struct admin_call *call, struct admin_body *out, struct err *err)
{
    *out = (struct admin_body){0};
    if (!*call->body || json_flat(str_c(call->body), BODY_DEPTH, take, out, err))
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
