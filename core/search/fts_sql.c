/* fts_sql.c -- requests as SQL: identifiers are ours, everything else is bound. */
#include "search/fts.h"

#include "base/mem.h"

void fts_sql_value(struct fts_sql *sql, const struct search_value *value)
{
    if (sql->count == sql->cap) {
        sql->cap = sql->cap ? 2 * sql->cap : 16;
        sql->values = mem_realloc(sql->values, (size_t)sql->cap * sizeof *sql->values);
    }
    sql->values[sql->count++] = *value;
    buf_add_char(&sql->text, '?');
}

void fts_sql_number(struct fts_sql *sql, double number)
{
    fts_sql_value(sql, &(struct search_value){.kind = SEARCH_DOUBLE, .number = number});
}

void fts_sql_text(struct fts_sql *sql, struct str text)
{
    fts_sql_value(sql, &(struct search_value){.kind = SEARCH_STRING, .text = text});
}

void fts_sql_free(struct fts_sql *sql)
{
    buf_free(&sql->text);
    mem_free(sql->values);
    *sql = (struct fts_sql){0};
}

int fts_bind(sqlite3_stmt *stmt, int at, const struct search_value *value)
{
    switch (value->kind) {
    case SEARCH_STRING:
        return sqlite3_bind_text(stmt, at, value->text.p, (int)value->text.n, SQLITE_TRANSIENT);
    case SEARCH_DOUBLE:
        return sqlite3_bind_double(stmt, at, value->number);
    case SEARCH_BOOL:
        return sqlite3_bind_int(stmt, at, value->yes);
    case SEARCH_ABSENT:
        break;
    }
    return sqlite3_bind_null(stmt, at);
}

sqlite3_stmt *fts_sql_prepare(struct sqlite_conn *conn, struct fts_sql *sql, struct err *err)
{
    sqlite3_stmt *stmt = sqlite_prepared(conn, sql->text.p, err);
    for (int i = 0; stmt && i < sql->count; i++)
        fts_bind(stmt, i + 1, &sql->values[i]);
    fts_sql_free(sql);
    return stmt;
}

struct search_value fts_column(sqlite3_stmt *stmt, int at, enum search_type type)
{
    if (sqlite3_column_type(stmt, at) == SQLITE_NULL)
        return (struct search_value){.kind = SEARCH_ABSENT};
    if (type == SEARCH_TEXT || type == SEARCH_KEYWORD) {
        const char *text = (const char *)sqlite3_column_text(stmt, at);
        return (struct search_value){.kind = SEARCH_STRING,
                                     .text = {text, (size_t)sqlite3_column_bytes(stmt, at)}};
    }
    if (type == SEARCH_BOOLEAN)
        return (struct search_value){.kind = SEARCH_BOOL, .yes = sqlite3_column_int(stmt, at) != 0};
    return (struct search_value){.kind = SEARCH_DOUBLE, .number = sqlite3_column_double(stmt, at)};
}

/* ---- the query as FTS5 reads it: every text is a quoted string --------- */

static void match_text(struct buf *out, const struct search_index *index,
                       const struct query_node *node)
{
    if (node->field >= 0)
        buf_printf(out, "f_%s : ", index->fields[node->field].name);
    buf_add_char(out, '"');
    for (size_t i = 0; i < node->text.n; i++) {
        buf_add_char(out, node->text.p[i]);
        if (node->text.p[i] == '"')
            buf_add_char(out, '"');
    }
    buf_add_c(out, node->prefix || node->single ? "\" *" : "\"");
}

static void match_members(struct buf *out, const struct search_index *index,
                          const struct query_node *node, bool negated, const char *between)
{
    bool first = true;
    for (const struct query_node *m = node->members; m; m = m->next) {
        if (m->negated != negated)
            continue;
        if (!first || negated)
            buf_add_c(out, between);
        fts_match(out, index, m);
        first = false;
    }
}

void fts_match(struct buf *out, const struct search_index *index, const struct query_node *node)
{
    buf_add_char(out, '(');
    if (node->kind == QUERY_TEXT) {
        match_text(out, index, node);
    } else {
        buf_add_char(out, '(');
        match_members(out, index, node, false, node->kind == QUERY_ALL ? " AND " : " OR ");
        buf_add_char(out, ')');
        match_members(out, index, node, true, " NOT ");
    }
    buf_add_char(out, ')');
}

/* ---- filters ----------------------------------------------------------- */

static void add_column(struct fts_sql *sql, const struct search_index *index, int field)
{
    if (field < 0)
        buf_add_c(&sql->text, "d.id");
    else
        buf_printf(&sql->text, "d.\"f_%s\"", index->fields[field].name);
}

static void add_bound(struct fts_sql *sql, const struct search_index *index,
                      const struct search_condition *c, const char *operator,
                      const struct search_value * value)
{
    if (value->kind == SEARCH_ABSENT)
        return;
    buf_add_c(&sql->text, " and ");
    add_column(sql, index, c->field);
    buf_add_c(&sql->text, operator);
    fts_sql_value(sql, value);
}

static void add_condition(struct fts_sql *sql, const struct search_index *index,
                          const struct search_condition *c)
{
    bool time = c->field >= 0 && index->fields[c->field].type == SEARCH_TIME;
    if (c->range) {
        add_bound(sql, index, c, " >= ", &c->from);
        add_bound(sql, index, c, time ? " < " : " <= ", &c->to);
        return;
    }
    buf_add_c(&sql->text, " and ");
    add_column(sql, index, c->field);
    buf_add_c(&sql->text, " in (");
    for (int i = 0; i < c->count; i++) {
        if (i)
            buf_add_char(&sql->text, ',');
        fts_sql_value(sql, &c->values[i]);
    }
    buf_add_char(&sql->text, ')');
}

/* cross join: words are looked up before rows, whatever the planner thinks of FTS5. */
void fts_from(struct fts_sql *sql, const struct search_request *r, bool with_d)
{
    long long n = (long long)r->index->number;
    with_d = with_d || r->condition_count > 0;
    if (!r->query)
        buf_printf(&sql->text, " from d%lld d where true", n);
    else if (with_d)
        buf_printf(&sql->text, " from f%lld cross join d%lld d on d.rowid = f%lld.rowid where ", n,
                   n, n);
    else
        buf_printf(&sql->text, " from f%lld where ", n);
    if (r->query) {
        struct buf match = {0};
        fts_match(&match, r->index, r->query);
        buf_printf(&sql->text, "f%lld match ", n);
        fts_sql_text(sql, str_n(arena_dup(r->arena, match.p, match.n), match.n));
        buf_free(&match);
    }
    for (int i = 0; i < r->condition_count; i++)
        add_condition(sql, r->index, &r->conditions[i]);
}
