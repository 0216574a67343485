#include "series/frame.h"

#include "base/mem.h"

void frame_key(struct frame_builder *b, int column, struct str text)
{
    struct buf *cells = &b->columns[column];
    struct str cell = {(const char *)(uintptr_t)b->text.n, text.n};
    struct str *last = cells->n ? (struct str *)(void *)(cells->p + cells->n) - 1 : NULL;
    size_t at = last ? (size_t)(uintptr_t)last->p : 0;
    if (last && last->n == text.n && memcmp(b->text.p + at, text.p, text.n) == 0)
        cell.p = last->p; /* one line's points come together or share a key */
    else
        buf_add_str(&b->text, text);
    buf_add(cells, &cell, sizeof cell);
}

void frame_value(struct frame_builder *b, int column, double value)
{
    buf_add(&b->columns[b->key_count + column], &value, sizeof value);
}

static size_t names_size(int count, const char *const *names)
{
    size_t n = 0;
    for (int i = 0; i < count; i++)
        n += strlen(names[i]) + 1;
    return n;
}

static char *copy_names(char *p, const char **to, int count, const char *const *names)
{
    for (int i = 0; i < count; i++) {
        to[i] = strcpy(p, names[i]);
        p += strlen(p) + 1;
    }
    return p;
}

/* Takes n elements of the given size off the block at *p. */
static void *take(char **p, size_t count, size_t bytes)
{
    void *part = *p;
    *p += (count * bytes + 15) & ~(size_t)15;
    return part;
}

struct series_frame *frame_create(int64_t n, int key_count, int value_count, bool counted,
                                  const char *const *key_names, const char *const *value_names,
                                  size_t text_bytes, char **text)
{
    size_t rows = (size_t)n, keys = (size_t)key_count, values = (size_t)value_count;
    size_t size = sizeof(struct series_frame) + 16 * (keys + values + 8);
    size += 2 * (keys + values) * sizeof(void *);
    size += rows * (sizeof(int64_t) * (counted ? 2 : 1) + keys * sizeof(struct str) +
                    values * sizeof(double));
    size += names_size(key_count, key_names) + names_size(value_count, value_names) + text_bytes;
    char *p = mem_alloc(size);
    struct series_frame *f = take(&p, 1, sizeof *f);
    *f = (struct series_frame){.n = n, .key_count = key_count, .value_count = value_count};
    f->key_names = take(&p, keys, sizeof(char *));
    f->value_names = take(&p, values, sizeof(char *));
    f->keys = take(&p, keys, sizeof *f->keys);
    f->values = take(&p, values, sizeof *f->values);
    f->at_us = take(&p, rows, sizeof *f->at_us);
    f->counts = counted ? take(&p, rows, sizeof *f->counts) : NULL;
    for (int i = 0; i < key_count; i++)
        f->keys[i] = take(&p, rows, sizeof **f->keys);
    for (int i = 0; i < value_count; i++)
        f->values[i] = take(&p, rows, sizeof **f->values);
    p = copy_names(p, f->key_names, key_count, key_names);
    *text = copy_names(p, f->value_names, value_count, value_names);
    return f;
}

static void copy(void *to, const struct buf *from)
{
    if (from->n)
        memcpy(to, from->p, from->n);
}

struct series_frame *frame_finish(struct frame_builder *b)
{
    char *text;
    struct series_frame *f = frame_create(b->n, b->key_count, b->value_count, b->counted,
                                          b->key_names, b->value_names, b->text.n, &text);
    copy(text, &b->text);
    copy(f->at_us, &b->at);
    if (b->counted)
        copy(f->counts, &b->counts);
    for (int c = 0; c < b->key_count; c++) {
        copy(f->keys[c], &b->columns[c]);
        for (int64_t i = 0; i < b->n; i++)
            f->keys[c][i].p = text + (uintptr_t)f->keys[c][i].p;
    }
    for (int c = 0; c < b->value_count; c++)
        copy(f->values[c], &b->columns[b->key_count + c]);
    frame_discard(b);
    return f;
}

void frame_discard(struct frame_builder *b)
{
    buf_free(&b->at);
    buf_free(&b->counts);
    buf_free(&b->text);
    for (int i = 0; i < SERIES_COLUMNS; i++)
        buf_free(&b->columns[i]);
    b->n = 0;
}

void series_frame_free(struct series_frame *frame)
{
    mem_free(frame);
}
