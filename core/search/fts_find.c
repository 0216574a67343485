/* fts_find.c -- hits: first their rows and order, then what stands in them. */
#include "base/clock.h"
#include "base/mem.h"
#include "search/fts.h"

struct fts_look {
    struct sqlite_read read; /* first */
    struct search_call *call;
    int64_t timeout_ns;
};

/* A hit's place in the order. */
struct found {
    int64_t rowid;
    struct search_value keys[SEARCH_SORTS];
};

static bool by_score(const struct search_request *r)
{
    return r->sort_count == 1 && r->sorts[0].field < 0;
}

static bool count(struct sqlite_conn *conn, const struct search_request *r, int64_t *total,
                  struct err *err)
{
    struct fts_sql sql = {0};
    buf_add_c(&sql.text, "select count(*)");
    fts_from(&sql, r, false);
    sqlite3_stmt *stmt = fts_sql_prepare(conn, &sql, err);
    bool ok = stmt && sqlite_step(conn, stmt, err) == SQLITE_ROW;
    *total = ok ? sqlite3_column_int64(stmt, 0) : 0;
    if (stmt)
        sqlite3_reset(stmt);
    return ok;
}

static void score_sql(struct fts_sql *sql, const struct search_request *r)
{
    long long n = (long long)r->index->number;
    buf_printf(&sql->text, "select rowid, score from (select f%lld.rowid as rowid, -bm25(f%lld)", n,
               n);
    if (r->recency >= 0) {
        buf_printf(&sql->text, " * search_decay(d.\"f_%s\", ", r->index->fields[r->recency].name);
        fts_sql_number(sql, (double)(clock_wall_ns() / NS_PER_MS));
        buf_add_c(&sql->text, ", ");
        fts_sql_number(sql, r->recency_ms);
        buf_add_char(&sql->text, ')');
    }
    buf_add_c(&sql->text, " as score");
    fts_from(sql, r, r->recency >= 0);
    buf_add_char(&sql->text, ')');
    if (r->after) {
        buf_add_c(&sql->text, " where score < ");
        fts_sql_value(sql, &r->after_values[0]);
        buf_add_c(&sql->text, " or (score = ");
        fts_sql_value(sql, &r->after_values[0]);
        buf_add_c(&sql->text, " and rowid > ");
        fts_sql_value(sql, &r->after_tie);
        buf_add_char(&sql->text, ')');
    }
    buf_printf(&sql->text, " order by score desc, rowid limit %d", r->limit + 1);
}

static const char *column(const struct search_request *r, int key, char name[64])
{
    snprintf(name, 64, "d.\"f_%s\"", r->index->fields[r->sorts[key].field].name);
    return name;
}

/* Behind the cursor in the keys from `key` on; rows without a value are last. */
static void add_behind(struct fts_sql *sql, const struct search_request *r, int key)
{
    char name[64];
    if (key == r->sort_count) {
        buf_add_c(&sql->text, r->tie_descending ? "d.rowid < " : "d.rowid > ");
        fts_sql_value(sql, &r->after_tie);
        return;
    }
    const struct search_value *at = &r->after_values[key];
    column(r, key, name);
    if (at->kind == SEARCH_ABSENT) {
        buf_printf(&sql->text, "(%s is null and ", name);
    } else {
        buf_printf(&sql->text, "(%s is null or %s %c ", name, name,
                   r->sorts[key].descending ? '<' : '>');
        fts_sql_value(sql, at);
        buf_printf(&sql->text, " or (%s = ", name);
        fts_sql_value(sql, at);
        buf_add_c(&sql->text, " and ");
    }
    add_behind(sql, r, key + 1);
    buf_add_c(&sql->text, at->kind == SEARCH_ABSENT ? ")" : "))");
}

static void field_sql(struct fts_sql *sql, const struct search_request *r)
{
    char name[64];
    buf_add_c(&sql->text, "select d.rowid");
    for (int i = 0; i < r->sort_count; i++)
        buf_printf(&sql->text, ", %s", column(r, i, name));
    fts_from(sql, r, true);
    if (r->after) {
        buf_add_c(&sql->text, " and ");
        add_behind(sql, r, 0);
    }
    buf_add_c(&sql->text, " order by ");
    for (int i = 0; i < r->sort_count; i++)
        buf_printf(&sql->text, "%s%s nulls last, ", column(r, i, name),
                   r->sorts[i].descending ? " desc" : "");
    buf_printf(&sql->text, "d.rowid%s limit %d", r->tie_descending ? " desc" : "", r->limit + 1);
}

static struct search_value owned(struct arena *arena, struct search_value value)
{
    if (value.kind == SEARCH_STRING)
        value.text.p = arena_dup(arena, value.text.p, value.text.n + 1);
    return value;
}

/* Up to limit + 1 of them; how many, or -1 with *err. */
static int find_rows(struct sqlite_conn *conn, const struct search_request *r, struct found *found,
                     struct err *err)
{
    struct fts_sql sql = {0};
    int rc, n = 0;
    if (by_score(r))
        score_sql(&sql, r);
    else
        field_sql(&sql, r);
    sqlite3_stmt *stmt = fts_sql_prepare(conn, &sql, err);
    if (!stmt)
        return -1;
    while ((rc = sqlite_step(conn, stmt, err)) == SQLITE_ROW) {
        found[n] = (struct found){.rowid = sqlite3_column_int64(stmt, 0)};
        for (int i = 0; i < r->sort_count; i++) {
            enum search_type type =
                by_score(r) ? SEARCH_NUMBER : r->index->fields[r->sorts[i].field].type;
            found[n].keys[i] = owned(r->arena, fts_column(stmt, i + 1, type));
        }
        n++;
    }
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE ? n : -1;
}

static bool is_wanted(const struct search_request *r, int field)
{
    return r->fields[field] || r->highlight[field];
}

static sqlite3_stmt *prepare_row(struct sqlite_conn *conn, const struct search_request *r,
                                 struct err *err)
{
    struct buf sql = {0};
    buf_add_c(&sql, "select id");
    for (int i = 0; i < r->index->field_count; i++)
        if (is_wanted(r, i))
            buf_printf(&sql, ", \"f_%s\"", r->index->fields[i].name);
    buf_printf(&sql, " from d%lld where rowid = ?1", (long long)r->index->number);
    sqlite3_stmt *stmt = sqlite_prepared(conn, sql.p, err);
    buf_free(&sql);
    return stmt;
}

static bool write_hits(struct sqlite_conn *conn, struct answer *a, const struct found *found, int n,
                       struct err *err)
{
    const struct search_request *r = a->request;
    struct search_value values[SEARCH_FIELDS];
    sqlite3_stmt *stmt = prepare_row(conn, r, err);
    int rc = stmt ? SQLITE_ROW : SQLITE_ERROR;
    for (int i = 0; i < n && rc == SQLITE_ROW; i++) {
        struct search_hit hit = {.score = found[i].keys[0].number, .values = values};
        int at = 1;
        sqlite3_reset(stmt);
        sqlite3_bind_int64(stmt, 1, found[i].rowid);
        rc = sqlite_step(conn, stmt, err);
        if (rc != SQLITE_ROW)
            break;
        hit.id = fts_column(stmt, 0, SEARCH_KEYWORD).text;
        for (int k = 0; k < r->index->field_count; k++)
            values[k] = is_wanted(r, k) ? fts_column(stmt, at++, r->index->fields[k].type)
                                        : (struct search_value){.kind = SEARCH_ABSENT};
        answer_hit(a, &hit);
    }
    if (stmt)
        sqlite3_reset(stmt);
    return rc == SQLITE_ROW;
}

static bool write_facet(struct sqlite_conn *conn, struct answer *a, int field, struct err *err)
{
    const struct search_request *r = a->request;
    const char *name = r->index->fields[field].name;
    struct fts_sql sql = {0};
    int rc;
    buf_printf(&sql.text, "select d.\"f_%s\", count(*)", name);
    fts_from(&sql, r, true);
    buf_printf(&sql.text, " and d.\"f_%s\" is not null group by 1 order by 2 desc, 1 limit %d",
               name, SEARCH_FACET_VALUES);
    sqlite3_stmt *stmt = fts_sql_prepare(conn, &sql, err);
    if (!stmt)
        return false;
    answer_facet(a, field);
    while ((rc = sqlite_step(conn, stmt, err)) == SQLITE_ROW) {
        struct search_value value = fts_column(stmt, 0, SEARCH_KEYWORD);
        answer_count(a, &value, sqlite3_column_int64(stmt, 1));
    }
    answer_end_facet(a);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE;
}

static bool count_steps(struct sqlite_conn *conn, const struct search_request *r, struct err *err)
{
    const char *name = r->index->fields[r->histogram].name;
    struct fts_sql sql = {0};
    int rc;
    buf_printf(&sql.text, "select cast((d.\"f_%s\" - %lld) / %lld as integer), count(*)", name,
               (long long)r->first_ms, (long long)r->step_ms);
    fts_from(&sql, r, true);
    buf_printf(&sql.text, " and d.\"f_%s\" >= %lld group by 1", name, (long long)r->first_ms);
    sqlite3_stmt *stmt = fts_sql_prepare(conn, &sql, err);
    if (!stmt)
        return false;
    while ((rc = sqlite_step(conn, stmt, err)) == SQLITE_ROW) {
        int64_t step = sqlite3_column_int64(stmt, 0);
        if (step >= 0 && step < r->step_count)
            r->counts[step] = sqlite3_column_int64(stmt, 1);
    }
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE;
}

static bool find(struct sqlite_conn *conn, struct search_call *call, struct err *err)
{
    const struct search_request *r = call->parsed;
    int64_t total;
    struct answer a;
    struct found *found = arena_alloc(r->arena, (size_t)(r->limit + 1) * sizeof *found);
    int n = count(conn, r, &total, err) ? find_rows(conn, r, found, err) : -1;
    if (n < 0)
        return false;
    bool more = n > r->limit && r->limit > 0;
    if (n > r->limit)
        n = r->limit;
    answer_open(&a, &call->answer, r, total);
    if (!write_hits(conn, &a, found, n, err))
        return false;
    struct search_value tie = {.kind = SEARCH_DOUBLE,
                               .number = more ? (double)found[n - 1].rowid : 0};
    answer_end_hits(&a, more ? found[n - 1].keys : NULL, &tie);
    for (int i = 0; i < r->index->field_count; i++)
        if (r->facets[i] && !write_facet(conn, &a, i, err))
            return false;
    if (r->histogram >= 0 && !count_steps(conn, r, err))
        return false;
    answer_close(&a);
    return true;
}

static bool work(struct sqlite_conn *conn, struct sqlite_read *read)
{
    struct fts_look *look = (struct fts_look *)read;
    int64_t total = 0;
    bool ok;
    sqlite_deadline(conn, look->timeout_ns);
    if (look->call->op == SEARCH_FIND) {
        ok = find(conn, look->call, &read->err);
    } else {
        ok = count(conn, look->call->parsed, &total, &read->err);
        answer_number(&look->call->answer, total);
    }
    sqlite_deadline(conn, 0);
    if (read->err.code == ERR_TIMEOUT)
        err_set(&read->err, ERR_TIMEOUT, "the search took longer than search.timeout");
    return ok;
}

static void done(struct sqlite_read *read)
{
    struct fts_look *look = (struct fts_look *)read;
    struct search_call *call = look->call;
    call->err = read->err;
    mem_free(look);
    search_answer(call);
}

void fts_read(struct fts *fts, struct search_call *call)
{
    struct fts_look *look = mem_zero(1, sizeof *look);
    look->read = (struct sqlite_read){.work = work, .done = done};
    look->call = call;
    look->timeout_ns = fts->search.options.timeout_ns;
    sqlite_read(fts->db, &look->read, NULL);
}
