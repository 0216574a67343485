#include "cli/findings.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "vm/frame.h"

enum { PRINT_BEFORE = 2, PRINT_BEHIND = 1, PRINT_COLUMNS = 160, PRINT_CARETS = 60 };

static bool same_place(const struct finding_row *a, const struct finding_row *b)
{
    return a->line > 0 && a->line == b->line && strcmp(a->path, b->path) == 0;
}

/* What the sources show is more exact than what loading them said of the same line. */
static bool is_known(const struct findings *f, const struct finding_row *row)
{
    for (int i = 0; i < f->count; i++) {
        const struct finding_row *other = &f->rows[i];
        if (!same_place(row, other) || other->warning)
            continue;
        if (strcmp(row->code, "load") == 0 ||
            (row->column == other->column && strcmp(row->message, other->message) == 0))
            return true;
    }
    return false;
}

void findings_add(struct findings *f, const struct finding_row *row)
{
    if (is_known(f, row))
        return;
    f->rows = mem_realloc(f->rows, (size_t)(f->count + 1) * sizeof *f->rows);
    struct finding_row *copy = &f->rows[f->count++];
    *copy = *row;
    copy->plugin = mem_strdup(row->plugin);
    copy->path = mem_strdup(row->path);
    copy->code = mem_strdup(row->code);
    copy->message = mem_strdup(row->message);
    f->errors += !row->warning;
    f->warnings += row->warning;
}

void findings_add_message(struct findings *f, const char *plugin, const struct bundle *bundle,
                          const char *code, const char *message)
{
    struct frame frame = {.message = str_c(message)};
    bool found = bundle && frame_find(bundle, message, &frame);
    char *path = found ? mem_printf("%s/%s", bundle->dir, frame.file->name)
                       : mem_strdup(bundle ? bundle->dir : plugin);
    char *text = str_dup(frame.message);
    findings_add(f, &(struct finding_row){.plugin = (char *)(uintptr_t)plugin,
                                          .path = path,
                                          .source = found ? frame.file : NULL,
                                          .line = frame.line,
                                          .code = (char *)(uintptr_t)code,
                                          .message = text});
    mem_free(path);
    mem_free(text);
}

static int by_place(const void *a, const void *b)
{
    const struct finding_row *x = a, *y = b;
    int order = strcmp(x->plugin, y->plugin);
    if (order == 0)
        order = strcmp(x->path, y->path);
    if (order == 0)
        order = (x->line > y->line) - (x->line < y->line);
    return order != 0 ? order : (x->column > y->column) - (x->column < y->column);
}

void findings_sort(struct findings *f)
{
    if (f->count)
        qsort(f->rows, (size_t)f->count, sizeof *f->rows, by_place);
}

/* -- for people ----------------------------------------------------------------------------- */

/* Blanks as wide as the text before the column: tabs stay tabs, wide characters are two cells. */
static void print_indent(FILE *out, struct str text, int column)
{
    for (size_t i = 0; i < text.n && (int)i < column - 1; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '\t')
            fputc('\t', out);
        else if (c >= 0xE1)
            fputs("  ", out);
        else if (c < 0x80 || c >= 0xC0)
            fputc(' ', out);
    }
}

static void print_lines(const struct finding_row *row, FILE *out)
{
    for (int i = row->line - PRINT_BEFORE; i <= row->line + PRINT_BEHIND; i++) {
        struct str text = i > 0 ? frame_line(row->source, i) : str_n(NULL, 0);
        if (!text.p)
            continue;
        int n = text.n > PRINT_COLUMNS ? PRINT_COLUMNS : (int)text.n;
        fprintf(out, "  %c %5d | %.*s\n", i == row->line ? '>' : ' ', i, n, text.p);
        if (i != row->line || row->column < 1 || row->column > PRINT_COLUMNS)
            continue;
        fprintf(out, "          | ");
        print_indent(out, text, row->column);
        fputc('^', out);
        for (int k = 1; k < row->length && k < PRINT_CARETS && row->column + k <= (int)text.n; k++)
            fputc('~', out);
        fputc('\n', out);
    }
}

void findings_print(const struct findings *f, FILE *out)
{
    for (int i = 0; i < f->count; i++) {
        const struct finding_row *row = &f->rows[i];
        fprintf(out, "maru: %s", row->path);
        if (row->line > 0)
            fprintf(out, ":%d", row->line);
        if (row->line > 0 && row->column > 0)
            fprintf(out, ":%d", row->column);
        fprintf(out, ": %s%s\n", row->warning ? "warning: " : "", row->message);
        if (row->source && row->line > 0)
            print_lines(row, out);
    }
}

/* -- for programs --------------------------------------------------------------------------- */

static void write_number(struct json *w, const char *key, int n)
{
    json_key(w, key);
    if (n > 0)
        json_int(w, n);
    else
        json_null(w);
}

void findings_json(const struct findings *f, struct json *w)
{
    json_open(w, '[');
    for (int i = 0; i < f->count; i++) {
        const struct finding_row *row = &f->rows[i];
        json_open(w, '{');
        json_key(w, "plugin");
        json_cstr(w, row->plugin);
        json_key(w, "file");
        json_cstr(w, row->path);
        write_number(w, "line", row->line);
        write_number(w, "column", row->column);
        json_key(w, "severity");
        json_cstr(w, row->warning ? "warning" : "error");
        json_key(w, "code");
        json_cstr(w, row->code);
        json_key(w, "message");
        json_cstr(w, row->message);
        json_key(w, "lines");
        if (row->source && row->line > 0)
            frame_json(w, row->source, row->line);
        else
            json_raw(w, STR("[]"));
        json_close(w, '}');
    }
    json_close(w, ']');
}

void findings_free(struct findings *f)
{
    for (int i = 0; i < f->count; i++) {
        mem_free(f->rows[i].plugin);
        mem_free(f->rows[i].path);
        mem_free(f->rows[i].code);
        mem_free(f->rows[i].message);
    }
    mem_free(f->rows);
    *f = (struct findings){0};
}
