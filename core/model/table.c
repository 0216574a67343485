/* table.c -- a setting that is a list of tables, read from its JSON text. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_flat.h"
#include "base/mem.h"
#include "model/private.h"

enum { TABLE_DEPTH = 4, TABLE_FIELDS = 2000, PATH_BYTES = 128 };

static bool take(void *arg, const struct json_flat *value, struct err *err)
{
    struct table_list *list = arg;
    bool opens = value->kind == JSON_FLAT_OBJECT || value->kind == JSON_FLAT_ARRAY;
    if (value->depth == 0   ? value->kind != JSON_FLAT_ARRAY
        : value->depth == 1 ? value->kind != JSON_FLAT_OBJECT
                            : !opens && list->count == TABLE_FIELDS)
        return err_set(err, ERR_INVALID, "must be a list of tables");
    list->items += value->depth == 1;
    if (value->depth < 2)
        return true;
    const char *path = strchr(value->path, '.') + 1; /* behind the number of its table */
    if (strlen(path) >= PATH_BYTES)
        return err_set(err, ERR_INVALID, "a key is too long");
    if (value->kind == JSON_FLAT_ARRAY)
        return err_set(err, ERR_INVALID, "[%d].%s: no list stands here", list->items, path);
    if (opens)
        return true;
    list->fields = mem_realloc(list->fields, (size_t)(list->count + 1) * sizeof *list->fields);
    list->fields[list->count++] =
        (struct table_field){.item = list->items - 1,
                             .path = mem_strdup(path),
                             .text = value->kind == JSON_FLAT_NULL ? NULL : str_dup(value->text),
                             .quoted = value->kind == JSON_FLAT_STRING};
    return true;
}

bool tables_read(struct str json, struct table_list *out, struct err *err)
{
    *out = (struct table_list){0};
    if (json.n == 0 || json_flat(json, TABLE_DEPTH, take, out, err))
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
