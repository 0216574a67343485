#include "storage/rows.h"

#include "base/mem.h"

void rows_column(struct rows_builder *b, const char *name)
{
    buf_add(&b->names, name, strlen(name) + 1);
    b->column_count++;
}

void rows_value(struct rows_builder *b, struct value value)
{
    if (value.type == VALUE_TEXT || value.type == VALUE_BLOB) {
        size_t offset = b->bytes.n;
        buf_add(&b->bytes, value.s.p, value.s.n);
        value.s.p = (const char *)(uintptr_t)offset;
    }
    buf_add(&b->values, &value, sizeof value);
}

bool rows_end_row(struct rows_builder *b, struct err *err)
{
    b->row_count++;
    if (b->row_count > b->max_rows)
        return err_set(err, ERR_LIMIT, "more than %lld rows; ask for fewer with limit",
                       (long long)b->max_rows);
    if (b->values.n + b->bytes.n > (size_t)b->max_bytes)
        return err_set(err, ERR_LIMIT, "the rows take more than %lld bytes",
                       (long long)b->max_bytes);
    return true;
}

static size_t aligned(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

struct rows *rows_finish(struct rows_builder *b)
{
    size_t columns_at = aligned(sizeof(struct rows));
    size_t values_at = aligned(columns_at + (size_t)b->column_count * sizeof(char *));
    size_t names_at = values_at + b->values.n;
    size_t bytes_at = names_at + b->names.n;
    char *block = mem_alloc(bytes_at + b->bytes.n);
    struct rows *rows = (struct rows *)(void *)block;
    rows->column_count = b->column_count;
    rows->row_count = b->row_count;
    rows->columns = (const char **)(void *)(block + columns_at);
    rows->values = (struct value *)(void *)(block + values_at);
    if (b->values.n)
        memcpy(rows->values, b->values.p, b->values.n);
    if (b->names.n)
        memcpy(block + names_at, b->names.p, b->names.n);
    if (b->bytes.n)
        memcpy(block + bytes_at, b->bytes.p, b->bytes.n);
    const char *name = block + names_at;
    for (int i = 0; i < b->column_count; i++) {
        rows->columns[i] = name;
        name += strlen(name) + 1;
    }
    size_t count = b->values.n / sizeof(struct value);
    for (size_t i = 0; i < count; i++) {
        struct value *v = &rows->values[i];
        if (v->type == VALUE_TEXT || v->type == VALUE_BLOB)
            v->s.p = block + bytes_at + (uintptr_t)v->s.p;
    }
    rows_discard(b);
    return rows;
}

void rows_discard(struct rows_builder *b)
{
    buf_free(&b->names);
    buf_free(&b->values);
    buf_free(&b->bytes);
    b->column_count = 0;
    b->row_count = 0;
}

void rows_free(struct rows *rows)
{
    mem_free(rows);
}
