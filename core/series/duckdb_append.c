/* duckdb_append.c -- one batch, in one transaction, by column vectors. */
#include <math.h>

#include "base/mem.h"
#include "series/duckdb_driver.h"

/* Columns of the table in its order. */
struct batch {
    const struct duckdb *api;
    const struct series *series;
    const struct series_frame *rows;
    duck_appender appender;
    duck_chunk chunk;
};

static void set_null(uint64_t *validity, duck_idx row)
{
    validity[row / 64] &= ~(UINT64_C(1) << (row % 64));
}

static void fill_values(struct batch *b, duck_vector vector, const double *values, duck_idx n)
{
    double *out = b->api->vector_get_data(vector);
    b->api->vector_ensure_validity_writable(vector);
    uint64_t *validity = b->api->vector_get_validity(vector);
    for (duck_idx i = 0; i < n; i++) {
        out[i] = values ? values[i] : 0;
        if (!values || isnan(values[i]))
            set_null(validity, i);
    }
}

static void fill_keys(struct batch *b, duck_vector vector, const struct str *keys, duck_idx n)
{
    for (duck_idx i = 0; i < n; i++)
        b->api->vector_assign_string_element_len(vector, i, keys[i].p, keys[i].n);
}

static void fill(struct batch *b, int64_t from, duck_idx n)
{
    const struct series *s = b->series;
    const struct series_frame *f = b->rows;
    duck_vector at = b->api->data_chunk_get_vector(b->chunk, 0);
    memcpy(b->api->vector_get_data(at), f->at_us + from, n * sizeof *f->at_us);
    for (int c = 0; c < s->layout_count; c++) {
        duck_vector vector = b->api->data_chunk_get_vector(b->chunk, (duck_idx)c + 1);
        int index = s->layout[c];
        if (index < 0)
            fill_values(b, vector, NULL, n);
        else if (index < s->key_count)
            fill_keys(b, vector, f->keys[index] + from, n);
        else
            fill_values(b, vector, f->values[index - s->key_count] + from, n);
    }
    b->api->data_chunk_set_size(b->chunk, n);
}

static duck_chunk make_chunk(const struct duckdb *api, const struct series *s)
{
    duck_type types[SERIES_TABLE_COLUMNS + 1];
    int count = s->layout_count + 1;
    types[0] = api->create_logical_type(DUCK_TIMESTAMP);
    for (int c = 0; c < s->layout_count; c++) {
        bool is_key = s->layout[c] >= 0 && s->layout[c] < s->key_count;
        types[c + 1] = api->create_logical_type(is_key ? DUCK_VARCHAR : DUCK_DOUBLE);
    }
    duck_chunk chunk = api->create_data_chunk(types, (duck_idx)count);
    for (int i = 0; i < count; i++)
        api->destroy_logical_type(&types[i]);
    return chunk;
}

static bool append_chunks(struct batch *b)
{
    int64_t step = (int64_t)b->api->vector_size();
    for (int64_t from = 0; from < b->rows->n; from += step) {
        int64_t n = b->rows->n - from < step ? b->rows->n - from : step;
        b->api->data_chunk_reset(b->chunk);
        fill(b, from, (duck_idx)n);
        if (b->api->append_data_chunk(b->appender, b->chunk) != 0)
            return false;
    }
    return b->api->appender_close(b->appender) == 0;
}

bool duck_append_rows(struct series_conn *conn, const struct series *s, const char *table,
                      const struct series_frame *rows, struct err *err)
{
    struct batch b = {.api = &conn->store->duck.api, .series = s, .rows = rows};
    bool ok = b.api->appender_create(conn->con, NULL, table, &b.appender) == 0;
    b.chunk = make_chunk(b.api, s);
    ok = ok && append_chunks(&b);
    if (!ok) {
        const char *why = b.appender ? b.api->appender_error(b.appender) : NULL;
        err_set(err, ERR_IO, "series: append: %s", why ? why : "DuckDB failed");
    }
    b.api->destroy_data_chunk(&b.chunk);
    b.api->appender_destroy(&b.appender);
    return ok;
}

bool duck_append(struct series_conn *conn, struct series_call *call)
{
    const struct series *s = call->series;
    struct err undo;
    if (!conn_exec(conn, "begin", NULL, &call->err))
        return false;
    bool ok = duck_append_rows(conn, s, s->table, call->rows, &call->err) &&
              conn_exec(conn, "commit", NULL, &call->err);
    if (!ok)
        conn_exec(conn, "rollback", NULL, &undo);
    call->count = ok ? call->rows->n : 0;
    return ok;
}
