#include "cli/flat.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/json_flat.h"
#include "base/mem.h"
#include "cli/glyphs.h"

/* The deepest arguments of a job, and what the answer wraps them into. */
enum { FLAT_DEPTH = JSON_DEPTH_DEFAULT + 16, FLAT_PATH = 512, FLAT_COLUMNS = 16, FLAT_CELL = 60 };

static bool take(void *arg, const struct json_flat *value, struct err *err)
{
    struct flat *f = arg;
    (void)err;
    if (value->kind == JSON_FLAT_OBJECT || value->kind == JSON_FLAT_ARRAY)
        return true;
    f->values = mem_realloc(f->values, (size_t)(f->count + 1) * sizeof *f->values);
    f->values[f->count++] =
        (struct flat_value){mem_strdup(value->path),
                            glyphs_plain(value->kind == JSON_FLAT_NULL ? STR("-") : value->text)};
    return true;
}

/* By path; of equal ones the first comes first. */
static int by_path(const void *a, const void *b)
{
    const struct flat_value *const *x = a, *const *y = b;
    int order = strcmp((*x)->path, (*y)->path);
    return order ? order : (*x > *y) - (*x < *y);
}

bool flat_read(struct str json, struct flat *out, struct err *err)
{
    *out = (struct flat){0};
    bool ok = json_flat(json, FLAT_DEPTH, take, out, err);
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
