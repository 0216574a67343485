#include "cli/flat.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/glyphs.h"

/* The deepest arguments of a job, and what the answer wraps them into. */
enum { FLAT_DEPTH = JSON_DEPTH_DEFAULT + 16, FLAT_PATH = 512, FLAT_COLUMNS = 16, FLAT_CELL = 60 };

struct level {
    bool is_array;
    int index;     /* of the element under way */
    size_t length; /* of the path up to and without this level's key */
};

struct reader {
    struct flat *out;
    char path[FLAT_PATH];
    struct level levels[FLAT_DEPTH];
    int depth;
};

/* Puts ".name" behind what the enclosing levels wrote. */
static void set_key(struct reader *r, struct str key)
{
    size_t at = r->levels[r->depth - 1].length;
    snprintf(r->path + at, sizeof r->path - at, "%s%.*s", at ? "." : "", (int)key.n, key.p);
}

static void begin_value(struct reader *r)
{
    struct level *top = r->depth ? &r->levels[r->depth - 1] : NULL;
    char text[16];
    if (!top || !top->is_array)
        return;
    int n = snprintf(text, sizeof text, "%d", top->index++);
    set_key(r, str_n(text, (size_t)n));
}

static bool add(struct reader *r, struct str text)
{
    begin_value(r);
    struct flat *f = r->out;
    f->values = mem_realloc(f->values, (size_t)(f->count + 1) * sizeof *f->values);
    f->values[f->count++] = (struct flat_value){mem_strdup(r->path), glyphs_plain(text)};
    return true;
}

static bool push(struct reader *r, bool is_array, struct err *err)
{
    begin_value(r);
    if (r->depth == FLAT_DEPTH)
        return err_set(err, ERR_LIMIT, "nested too deeply");
    r->levels[r->depth++] = (struct level){is_array, 0, strlen(r->path)};
    return true;
}

static bool pop(struct reader *r)
{
    r->path[r->levels[--r->depth].length] = 0;
    return true;
}

static bool on_null(void *arg, struct err *err)
{
    (void)err;
    return add(arg, STR("-"));
}

static bool on_boolean(void *arg, bool value, struct err *err)
{
    (void)err;
    return add(arg, value ? STR("true") : STR("false"));
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    (void)value;
    (void)err;
    return add(arg, text);
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    (void)err;
    return add(arg, value);
}

static bool on_key(void *arg, struct str key, struct err *err)
{
    (void)err;
    set_key(arg, key);
    return true;
}

static bool on_begin_object(void *arg, struct err *err)
{
    return push(arg, false, err);
}

static bool on_begin_array(void *arg, struct err *err)
{
    return push(arg, true, err);
}

static bool on_end(void *arg, struct err *err)
{
    (void)err;
    return pop(arg);
}

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

/* By path; of equal ones the first comes first. */
static int by_path(const void *a, const void *b)
{
    const struct flat_value *const *x = a, *const *y = b;
    int order = strcmp((*x)->path, (*y)->path);
    return order ? order : (*x > *y) - (*x < *y);
}

bool flat_read(struct str json, struct flat *out, struct err *err)
{
    struct reader r = {.out = out};
    *out = (struct flat){0};
    bool ok = json_read(json, FLAT_DEPTH, &events, &r, err);
    out->sorted = mem_zero((size_t)out->count + 1, sizeof(struct flat_value *));
    for (int i = 0; i < out->count; i++)
        out->sorted[i] = &out->values[i];
    qsort(out->sorted, (size_t)out->count, sizeof(struct flat_value *), by_path);
    return ok;
}

void flat_free(struct flat *flat)
{
    for (int i = 0; i < flat->count; i++) {
        mem_free(flat->values[i].path);
        mem_free(flat->values[i].text);
    }
    mem_free(flat->values);
    mem_free(flat->sorted);
    *flat = (struct flat){0};
}

const char *flat_get(const struct flat *flat, const char *format, ...)
{
    char path[FLAT_PATH];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof path, format, args);
    va_end(args);
    int low = 0, high = flat->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(flat->sorted[middle]->path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == flat->count || strcmp(flat->sorted[low]->path, path) != 0)
        return NULL;
    return flat->sorted[low]->text;
}

static const char *cell(const struct flat *flat, const char *prefix, int row, const char *column)
{
    const char *text = flat_get(flat, "%s%s%d.%s", prefix, *prefix ? "." : "", row, column);
    return text ? text : "-";
}

static int count_rows(const struct flat *flat, const char *prefix)
{
    int rows = 0;
    size_t n = strlen(prefix);
    for (int i = 0; i < flat->count; i++) {
        const char *path = flat->values[i].path;
        int row;
        if (!strncmp(path, prefix, n) && sscanf(path + n + (n && path[n] == '.'), "%d.", &row) == 1)
            rows = row + 1 > rows ? row + 1 : rows;
    }
    return rows;
}

int flat_print_table(const struct flat *flat, const char *prefix, const char *const *columns)
{
    int width[FLAT_COLUMNS] = {0}, rows = count_rows(flat, prefix);
    for (int c = 0; columns[c]; c++) {
        width[c] = glyphs_width(columns[c]);
        for (int row = 0; row < rows; row++) {
            int n = glyphs_width(cell(flat, prefix, row, columns[c]));
            width[c] = n > width[c] ? n : width[c];
        }
        width[c] = width[c] > FLAT_CELL ? FLAT_CELL : width[c];
    }
    for (int row = -1; row < rows; row++) {
        for (int c = 0; columns[c]; c++) {
            bool last = !columns[c + 1];
            glyphs_print(row < 0 ? columns[c] : cell(flat, prefix, row, columns[c]),
                         last ? 0 : width[c], last ? 400 : FLAT_CELL);
            printf("%s", last ? "\n" : "  ");
        }
    }
    return rows;
}

void flat_print_below(const struct flat *flat, const char *key, int width)
{
    size_t n = strlen(key);
    for (int i = 0; i < flat->count; i++) {
        const char *path = flat->values[i].path;
        if (!strncmp(path, key, n) && (path[n] == '.' || !path[n]) &&
            (path[n] || strcmp(flat->values[i].text, "-") != 0))
            printf("%-*s %s\n", width, path, flat->values[i].text);
    }
}
