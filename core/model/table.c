/* table.c -- a setting that is a list of tables, read from its JSON text. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/private.h"

enum { TABLE_DEPTH = 4, TABLE_FIELDS = 2000, PATH_BYTES = 128 };

struct reader {
    struct table_list *out;
    char path[PATH_BYTES];
    size_t length[TABLE_DEPTH + 1]; /* of the path of what encloses, by depth */
    int depth;
};

static bool on_key(void *arg, struct str key, struct err *err)
{
    struct reader *r = arg;
    size_t at = r->length[r->depth];
    int n = snprintf(r->path + at, sizeof r->path - at, "%s%.*s", at ? "." : "", (int)key.n, key.p);
    return (size_t)n < sizeof r->path - at || err_set(err, ERR_INVALID, "a key is too long");
}

static bool add(struct reader *r, char *text, bool quoted, struct err *err)
{
    struct table_list *list = r->out;
    if (r->depth < 2 || list->count == TABLE_FIELDS) {
        mem_free(text);
        return err_set(err, ERR_INVALID, "must be a list of tables");
    }
    list->fields = mem_realloc(list->fields, (size_t)(list->count + 1) * sizeof *list->fields);
    list->fields[list->count++] =
        (struct table_field){list->items - 1, mem_strdup(r->path), text, quoted, false};
    return true;
}

static bool on_null(void *arg, struct err *err)
{
    return add(arg, NULL, false, err);
}

static bool on_boolean(void *arg, bool value, struct err *err)
{
    return add(arg, mem_strdup(value ? "true" : "false"), false, err);
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    (void)value;
    return add(arg, str_dup(text), false, err);
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    return add(arg, str_dup(value), true, err);
}

static bool on_object(void *arg, struct err *err)
{
    struct reader *r = arg;
    if (r->depth == 0)
        return err_set(err, ERR_INVALID, "must be a list of tables");
    if (r->depth == 1) {
        r->out->items++;
        r->path[0] = 0;
    }
    r->length[++r->depth] = strlen(r->path);
    return true;
}

static bool on_array(void *arg, struct err *err)
{
    struct reader *r = arg;
    if (r->depth > 0)
        return err_set(err, ERR_INVALID, "[%d].%s: no list stands here", r->out->items, r->path);
    r->length[++r->depth] = 0;
    return true;
}

static bool on_end(void *arg, struct err *err)
{
    struct reader *r = arg;
    (void)err;
    r->path[r->length[r->depth--]] = 0;
    if (r->depth > 1) /* of the object that ended, its own name too */
        r->path[r->length[r->depth]] = 0;
    return true;
}

bool tables_read(struct str json, struct table_list *out, struct err *err)
{
    static const struct json_events events = {
        .null = on_null,
        .boolean = on_boolean,
        .number = on_number,
        .string = on_string,
        .key = on_key,
        .begin_object = on_object,
        .end_object = on_end,
        .begin_array = on_array,
        .end_array = on_end,
    };
    struct reader r = {.out = out};
    *out = (struct table_list){0};
    if (json.n == 0 || json_read(json, TABLE_DEPTH, &events, &r, err))
        return true;
    tables_free(out);
    return false;
}

void tables_free(struct table_list *list)
{
    for (int i = 0; i < list->count; i++) {
        mem_free(list->fields[i].path);
        mem_free(list->fields[i].text);
    }
    mem_free(list->fields);
    *list = (struct table_list){0};
}

static struct table_field *find(struct table_list *list, int item, const char *path)
{
    for (int i = 0; i < list->count; i++) {
        struct table_field *f = &list->fields[i];
        if (f->item == item && strcmp(f->path, path) == 0) {
            f->seen = true;
            return f->text ? f : NULL;
        }
    }
    return NULL;
}

const char *tables_text(struct table_list *list, int item, const char *path, const char *otherwise)
{
    const struct table_field *f = find(list, item, path);
    return f ? f->text : otherwise;
}

bool tables_number(struct table_list *list, int item, const char *path, double least, double most,
                   double *out, struct err *err)
{
    const struct table_field *f = find(list, item, path);
    if (!f)
        return true;
    char *end;
    double value = strtod(f->text, &end);
    if (!*f->text || *end || !(value >= least && value <= most))
        return err_set(err, ERR_INVALID, "[%d].%s: must be a number from %g to %g", item + 1, path,
                       least, most);
    *out = value;
    return true;
}

bool tables_duration(struct table_list *list, int item, const char *path, int64_t *out,
                     struct err *err)
{
    const struct table_field *f = find(list, item, path);
    if (!f || duration_parse(str_c(f->text), out, err))
        return true;
    return err_wrap(err, "[%d].%s", item + 1, path);
}

bool tables_all_seen(const struct table_list *list, struct err *err)
{
    for (int i = 0; i < list->count; i++) {
        const struct table_field *f = &list->fields[i];
        if (!f->seen && strcmp(f->path, "key") == 0)
            return err_set(err, ERR_INVALID,
                           "[%d].key: a key does not stand in a configuration; name a variable of "
                           "the environment (key_env) or a file (key_file)",
                           f->item + 1);
        if (!f->seen)
            return err_set(err, ERR_INVALID, "[%d].%s: no such setting", f->item + 1, f->path);
    }
    return true;
}
