/* duckdb_table.c -- the table behind a declaration, in DuckDB. */
#include "base/mem.h"
#include "observe/log.h"
#include "series/duckdb_driver.h"

bool duck_create_table(struct series_conn *conn, const char *create, const char *name,
                       const struct series *s, struct err *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "%s \"%s\" (\"at\" timestamp not null", create, name);
    for (int i = 0; i < s->key_count; i++)
        buf_printf(&sql, ", \"%s\" varchar not null", s->keys[i]);
    for (int i = 0; i < s->value_count; i++)
        buf_printf(&sql, ", \"%s\" double", s->values[i]);
    buf_add_char(&sql, ')');
    bool ok = conn_exec(conn, sql.p, NULL, err);
    buf_free(&sql);
    return ok;
}

/* The table as it is, compared with the declaration. */
struct comparison {
    struct series *series;
    struct buf layout; /* int each */
    bool value_found[SERIES_COLUMNS];
    int keys_found;
    bool foreign_key; /* a key column that is not declared */
};

static void compare_column(struct comparison *c, struct str name, struct str type)
{
    struct series *s = c->series;
    int index;
    if (str_eq_c(name, "at"))
        return;
    if (str_eq_c(type, "VARCHAR")) {
        index = series_index_of(s->keys, s->key_count, name);
        c->keys_found += index >= 0;
        c->foreign_key = c->foreign_key || index < 0;
    } else {
        index = series_index_of(s->values, s->value_count, name);
        if (index >= 0) {
            c->value_found[index] = true;
            index += s->key_count;
        }
    }
    buf_add(&c->layout, &index, sizeof index);
}

static bool take_columns(void *arg, const struct duckdb *api, duck_chunk chunk, struct err *err)
{
    (void)err;
    const duck_text *names = api->vector_get_data(api->data_chunk_get_vector(chunk, 0));
    const duck_text *types = api->vector_get_data(api->data_chunk_get_vector(chunk, 1));
    duck_idx n = api->data_chunk_get_size(chunk);
    for (duck_idx i = 0; i < n; i++)
        compare_column(arg, duck_text_str(&names[i]), duck_text_str(&types[i]));
    return true;
}

static bool add_column(struct series_conn *conn, struct comparison *c, int index, struct err *err)
{
    struct series *s = c->series;
    char *sql =
        mem_printf("alter table \"%s\" add column \"%s\" double", s->table, s->values[index]);
    bool ok = conn_exec(conn, sql, NULL, err);
    mem_free(sql);
    if (ok) {
        int column = s->key_count + index;
        buf_add(&c->layout, &column, sizeof column);
        log_info("series", "%s: added column %s", s->table, s->values[index]);
    }
    return ok;
}

static bool follow(struct series_conn *conn, struct comparison *c, struct err *err)
{
    struct series *s = c->series;
    struct query q = {0};
    buf_add_c(&q.sql, "select column_name, data_type from duckdb_columns()"
                      " where schema_name = 'main' and table_name = ");
    query_text(&q, str_c(s->table));
    buf_add_c(&q.sql, " order by column_index");
    if (!query_run(conn, &q, take_columns, c, err))
        return false;
    if (c->foreign_key || c->keys_found != s->key_count)
        return series_keys_differ(s, err);
    for (int i = 0; i < s->value_count; i++)
        if (!c->value_found[i] && !add_column(conn, c, i, err))
            return false;
    return c->layout.n / sizeof(int) <= SERIES_TABLE_COLUMNS ||
           err_set(err, ERR_CONFLICT,
                   "series \"%s\": too many columns came and went; give the "
                   "new series another name",
                   s->name);
}

bool duck_ensure(struct series_conn *conn, struct series *s, struct err *err)
{
    struct comparison c = {.series = s};
    bool ok = duck_create_table(conn, "create table if not exists", s->table, s, err) &&
              follow(conn, &c, err);
    if (ok) {
        s->layout_count = (int)(c.layout.n / sizeof(int));
        s->layout = (int *)(void *)buf_take(&c.layout, NULL);
    }
    buf_free(&c.layout);
    return ok;
}

int64_t duck_expire(struct series_conn *conn, struct series *s, int64_t before_us, struct err *err)
{
    int64_t dropped = 0;
    if (before_us == SERIES_NO_TIME)
        return 0;
    char *sql = mem_printf("delete from \"%s\" where \"at\" < make_timestamp(%lld)", s->table,
                           (long long)before_us);
    bool ok = conn_exec(conn, sql, &dropped, err);
    mem_free(sql);
    return ok ? dropped : -1;
}
