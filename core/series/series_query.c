/* series_query.c -- questions in SQL, and tables as Parquet files. */
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"
#include "series/duckdb_driver.h"
#include "series/series_private.h"
#include "storage/rows.h"
#include "storage/sql_guard.h"

static void add_table(struct buf *out, const struct series *s, const char *from)
{
    buf_printf(out, "\"%s\" as not materialized (select \"at\"", s->name);
    series_add_names(out, s->keys, s->key_count, ", ");
    series_add_names(out, s->values, s->value_count, ", ");
    buf_printf(out, " from %s\"%s\")", from, s->table);
}

static int64_t limit_of(const struct series_call *call)
{
    return call->limit ? call->limit : SERIES_QUERY_ROWS;
}

size_t series_wrap(struct buf *out, const struct series_call *call, const char *from, int columns,
                   void (*expression)(struct buf *out, int column, void *arg), void *arg)
{
    for (int i = 0; i < call->table_count; i++) {
        buf_add_c(out, i ? ", " : "with ");
        add_table(out, call->tables[i], from);
    }
    buf_add_c(out, " select ");
    for (int i = 0; i < columns; i++) {
        buf_add_c(out, i ? ", " : "");
        expression(out, i, arg);
    }
    buf_add_c(out, columns ? " from (\n" : "* from (\n");
    size_t at = out->n;
    buf_add_str(out, call->sql);
    buf_add_c(out, "\n) q"); /* a line of its own: the SQL may end in a comment */
    for (int i = 0; i < columns; i++)
        buf_printf(out, "%sc%d", i ? ", " : "(", i + 1);
    buf_printf(out, "%s limit %lld", columns ? ")" : "",
               columns ? (long long)limit_of(call) + 1 : 0LL);
    return at;
}

bool series_take_table(struct series_call *call, struct rows_builder *b)
{
    call->more = b->row_count > limit_of(call);
    if (call->more) {
        b->row_count = limit_of(call);
        b->values.n = (size_t)(b->row_count * b->column_count) * sizeof(struct value);
    }
    call->table = rows_finish(b);
    return true;
}

/* On the writing connection: tables that nobody has used yet.  What cannot be had is left out. */
static void run_prepare(struct gate_item *item, void *resource)
{
    struct series_call *call = list_entry(item, struct series_call, item);
    struct series_conn *conn = resource;
    int kept = 0;
    bool ready = conn && conn->store->driver->ready(conn, &call->err);
    for (int i = 0; ready && i < call->table_count; i++) {
        bool there = series_ensure(conn, call->tables[i], &call->err);
        ready = there || call->err.code == ERR_CONFLICT;
        if (there) {
            struct series *s = call->tables[i];
            call->tables[i] = call->tables[kept];
            call->tables[kept++] = s;
        } else {
            series_unref(call->tables[i]);
            call->tables[i] = NULL;
        }
    }
    if (!conn)
        err_set(&call->err, ERR_CLOSED, "the series store is closing");
    if (!ready) {
        series_deliver(call);
        return;
    }
    call->table_count = kept;
    series_turn_wait(call);
}

static bool all_seen(const struct series_call *call)
{
    for (int i = 0; i < call->table_count; i++)
        if (__atomic_load_n(&call->tables[i]->state, __ATOMIC_ACQUIRE) != SERIES_READY)
            return false;
    return true;
}

static void type_name(struct buf *sql, char type)
{
    buf_add_c(sql, type == SERIES_INTEGER   ? " bigint"
                   : type == SERIES_NUMBER  ? " double"
                   : type == SERIES_BOOLEAN ? " boolean"
                   : type == SERIES_TIME    ? " timestamp"
                                            : " varchar");
}

static void add_quoted(struct buf *sql, const char *name)
{
    buf_add_char(sql, '"');
    for (; *name; name++) {
        if (*name == '"')
            buf_add_char(sql, '"');
        buf_add_char(sql, *name);
    }
    buf_add_char(sql, '"');
}

/* Two columns may have one name in an answer, but not in a file. */
static bool is_taken(const struct rows *rows, int column)
{
    for (int i = 0; i < column; i++)
        if (strcasecmp(rows->columns[i], rows->columns[column]) == 0)
            return true;
    return !rows->columns[column][0];
}

static bool make_table(struct series_conn *conn, const struct series_call *call, struct err *err)
{
    const struct rows *rows = call->table;
    struct buf sql = {0};
    buf_add_c(&sql, "create or replace temp table answer (");
    for (int i = 0; i < rows->column_count; i++) {
        char *other = mem_printf("%.200s_%d", rows->columns[i], i + 1);
        buf_add_c(&sql, i ? ", " : "");
        add_quoted(&sql, is_taken(rows, i) ? other : rows->columns[i]);
        type_name(&sql, call->types[i]);
        mem_free(other);
    }
    buf_add_char(&sql, ')');
    bool ok = conn_exec(conn, sql.p, NULL, err);
    buf_free(&sql);
    return ok;
}

static bool write_file(struct series_conn *conn, struct series_call *call, const char *path)
{
    struct buf sql = {0};
    buf_add_c(&sql, "copy answer to '");
    for (const char *p = path; *p; p++) {
        buf_add_c(&sql, *p == '\'' ? "'" : "");
        buf_add_char(&sql, *p);
    }
    buf_add_c(&sql, "' (format parquet, compression zstd)");
    bool ok = conn_exec(conn, sql.p, NULL, &call->err);
    buf_free(&sql);
    return ok;
}

static bool make_parquet(struct series_conn *conn, struct series_call *call)
{
    const char *dir = conn->store->options.export_dir;
    struct buf bytes = {0};
    struct err dropped;
    if (!conn->store->driver->duck(conn, &call->err) || !dir_make(dir, 0750, &call->err))
        return false;
    char *path = mem_printf("%s/.answer-%016llx.parquet", dir, (unsigned long long)rand_u64());
    bool ok = make_table(conn, call, &call->err) && duck_append_table(conn, call) &&
              write_file(conn, call, path) &&
              file_read(path, SERIES_PARQUET_BYTES, &bytes, &call->err);
    conn_exec(conn, "drop table if exists answer", NULL, &dropped);
    unlink(path);
    mem_free(path);
    if (ok)
        call->bytes = buf_take(&bytes, &call->byte_count);
    buf_free(&bytes);
    return ok;
}

void series_ask_now(struct series_call *call, struct series_conn *conn)
{
    bool ok = false;
    if (!conn)
        err_set(&call->err, ERR_CLOSED, "the series store is closing");
    else if (series_is_cancelled(call))
        err_set(&call->err, ERR_CANCELLED, "cancelled");
    else if (call->op == SERIES_PARQUET)
        ok = make_parquet(conn, call);
    else
        ok = conn->store->driver->ready(conn, &call->err) && conn->store->driver->ask(conn, call);
    if (ok)
        err_clear(&call->err);
}

void series_ask(struct series_store *store, struct series_call *call, struct lane *lane)
{
    bool query = call->op == SERIES_QUERY;
    call->store = store;
    call->lane = lane;
    call->series = NULL;
    call->cancelled = 0;
    call->bytes = NULL;
    call->tables = NULL;
    call->table_count = 0;
    err_clear(&call->err);
    if (query)
        call->tables = series_of_plugin(store, call->plugin, &call->table_count);
    series_turn_begin(call);
    if (!query || all_seen(call)) {
        series_turn_wait(call);
    } else {
        call->item.run = run_prepare;
        gate_submit(store->writer, &call->item);
    }
}
