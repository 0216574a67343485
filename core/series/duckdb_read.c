/* duckdb_read.c -- questions to one series (question.h), answers as columns. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "series/duckdb_driver.h"
#include "series/question.h"

/* The newest n points of each line. */
static void add_newest(struct query *q, const struct series *s, int64_t n)
{
    buf_add_c(&q->sql, " qualify row_number() over (");
    if (s->key_count > 0)
        buf_add_c(&q->sql, "partition by ");
    question_keys(q, s);
    buf_add_c(&q->sql, " order by \"at\" desc, rowid desc) <= ");
    query_number(q, n);
}

static void points_query(struct query *q, const struct series_call *call)
{
    const struct series *s = call->series;
    int64_t newest = call->op == SERIES_LATEST ? 1 : call->last;
    question_columns(q, s, "epoch_us(\"at\")");
    buf_printf(&q->sql, " from \"%s\"", s->table);
    question_where(q, call);
    if (newest > 0)
        add_newest(q, s, newest);
    buf_add_c(&q->sql, " order by \"at\", rowid");
    question_limit(q, call);
}

/* "%" rounds towards 1970, and a step begins before its points. */
static void add_step(struct query *q, int64_t step_us)
{
    buf_add_c(&q->sql, "epoch_us(\"at\") - ((epoch_us(\"at\") % ");
    query_number(q, step_us);
    buf_add_c(&q->sql, ") + ");
    query_number(q, step_us);
    buf_add_c(&q->sql, ") % ");
    query_number(q, step_us);
}

static const struct question_words words = {
    .schema = "",
    .newest = "last(\"%1$s\" order by \"at\", rowid) filter (\"%1$s\" is not null)",
    .step = add_step,
};

static void take_value_column(struct frame_builder *b, const struct duckdb *api, duck_chunk chunk,
                              int column, duck_idx n)
{
    duck_vector vector = api->data_chunk_get_vector(chunk, (duck_idx)(1 + b->key_count + column));
    const double *values = api->vector_get_data(vector);
    const uint64_t *validity = api->vector_get_validity(vector);
    for (duck_idx i = 0; i < n; i++)
        frame_value(b, column, duck_is_valid(validity, i) ? values[i] : (double)NAN);
}

static bool take_chunk(void *arg, const struct duckdb *api, duck_chunk chunk, struct err *err)
{
    struct frame_builder *b = arg;
    (void)err;
    duck_idx n = api->data_chunk_get_size(chunk);
    buf_add(&b->at, api->vector_get_data(api->data_chunk_get_vector(chunk, 0)),
            n * sizeof(int64_t));
    for (int c = 0; c < b->key_count; c++) {
        const duck_text *texts =
            api->vector_get_data(api->data_chunk_get_vector(chunk, (duck_idx)(1 + c)));
        for (duck_idx i = 0; i < n; i++)
            frame_key(b, c, duck_text_str(&texts[i]));
    }
    for (int c = 0; c < b->value_count; c++)
        take_value_column(b, api, chunk, c, n);
    if (b->counted) {
        duck_idx last = (duck_idx)(1 + b->key_count + b->value_count);
        buf_add(&b->counts, api->vector_get_data(api->data_chunk_get_vector(chunk, last)),
                n * sizeof(int64_t));
    }
    b->n += (int64_t)n;
    return true;
}

static bool read_frame(struct series_conn *conn, struct series_call *call)
{
    struct query q = {0};
    struct frame_builder *b = question_frame(call);
    if (b->counted)
        question_steps(&q, call, &words);
    else
        points_query(&q, call);
    bool ok = query_run(conn, &q, take_chunk, b, &call->err);
    ok = ok && series_check_count(call, b->n);
    if (ok)
        call->frame = frame_finish(b);
    frame_discard(b);
    mem_free(b);
    return ok;
}

static bool take_stats(void *arg, const struct duckdb *api, duck_chunk chunk, struct err *err)
{
    struct series_call *call = arg;
    int64_t *const fields[] = {&call->count, &call->lines, &call->first_us, &call->last_us};
    (void)err;
    for (duck_idx i = 0; i < 4; i++) {
        duck_vector vector = api->data_chunk_get_vector(chunk, i);
        bool valid = duck_is_valid(api->vector_get_validity(vector), 0);
        *fields[i] = valid ? *(const int64_t *)api->vector_get_data(vector) : SERIES_NO_TIME;
    }
    return true;
}

static bool read_stats(struct series_conn *conn, struct series_call *call)
{
    const struct series *s = call->series;
    struct query q = {0};
    buf_add_c(&q.sql, "select count(*), count(distinct (true");
    series_add_names(&q.sql, s->keys, s->key_count, ", ");
    buf_printf(&q.sql, ")), epoch_us(min(\"at\")), epoch_us(max(\"at\")) from \"%s\"", s->table);
    question_where(&q, call);
    return query_run(conn, &q, take_stats, call, &call->err);
}

/* The file appears under its name once it is whole. */
bool duck_write_parquet(struct series_conn *conn, struct query *select, struct series_call *call)
{
    if (!dir_make(conn->store->options.export_dir, 0750, &call->err)) {
        buf_free(&select->sql);
        return false;
    }
    char *path = series_export_path(conn->store, call->series);
    char *part = mem_printf("%s.part", path);
    struct query q = *select;
    q.sql = (struct buf){0};
    buf_printf(&q.sql, "copy (%s) to '", select->sql.p);
    buf_free(&select->sql);
    for (const char *p = part; *p; p++) {
        if (*p == '\'')
            buf_add_char(&q.sql, '\'');
        buf_add_char(&q.sql, *p);
    }
    buf_add_c(&q.sql, "' (format parquet, compression zstd)");
    bool ok = query_run(conn, &q, NULL, NULL, &call->err);
    if (ok && rename(part, path) != 0)
        ok = err_set(&call->err, ERR_IO, "series: %s: cannot be renamed", part);
    if (ok)
        call->path = path;
    else {
        unlink(part);
        mem_free(path);
    }
    mem_free(part);
    return ok;
}

static bool export_file(struct series_conn *conn, struct series_call *call)
{
    const struct series *s = call->series;
    struct query q = {0};
    question_columns(&q, s, "\"at\"");
    buf_printf(&q.sql, " from \"%s\"", s->table);
    question_where(&q, call);
    buf_add_c(&q.sql, " order by \"at\", rowid");
    return duck_write_parquet(conn, &q, call);
}

bool duck_read(struct series_conn *conn, struct series_call *call)
{
    switch (call->op) {
    case SERIES_LATEST:
    case SERIES_WINDOW:
    case SERIES_DOWNSAMPLE:
        return read_frame(conn, call);
    case SERIES_STATS:
        return read_stats(conn, call);
    case SERIES_EXPORT:
        return export_file(conn, call);
    case SERIES_APPEND:
    case SERIES_QUERY:
    case SERIES_PARQUET:
        break;
    }
    return err_set(&call->err, ERR_INVALID, "series: no such question");
}
