/* fts_table.c -- the tables of an index follow its declaration. */
#include "search/fts.h"

const char fts_schema[] = "create table if not exists search_indexes("
                          " number integer primary key, plugin text not null, name text not null,"
                          " columns text not null," /* " name:type …" of every column there is */
                          " words text not null,"   /* "f_title, f_body": those of f<number> */
                          " unique (plugin, name));";

bool fts_is_ready(const struct search_index *index)
{
    return __atomic_load_n(&index->state, __ATOMIC_ACQUIRE) == INDEX_READY;
}

static const char *sql_type(enum search_type type)
{
    switch (type) {
    case SEARCH_TEXT:
    case SEARCH_KEYWORD:
        return "text";
    case SEARCH_NUMBER:
        return "real";
    case SEARCH_TIME:
    case SEARCH_BOOLEAN:
        break;
    }
    return "integer";
}

static bool exec(struct sqlite_conn *conn, struct buf *sql, struct err *err)
{
    bool ok = sqlite_exec(conn, sql->p, err);
    buf_free(sql);
    return ok;
}

/* What the catalogue says of the index; empty texts when it does not know it. */
struct known {
    int64_t number;
    struct buf columns, words;
};

static void known_free(struct known *k)
{
    buf_free(&k->columns);
    buf_free(&k->words);
}

static bool look_up(struct sqlite_conn *conn, const struct search_index *index, struct known *k,
                    struct err *err)
{
    sqlite3_stmt *stmt = sqlite_prepared(
        conn, "select number, columns, words from search_indexes where plugin = ?1 and name = ?2",
        err);
    if (!stmt)
        return false;
    sqlite3_bind_text(stmt, 1, index->plugin, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, index->name, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, stmt, err);
    if (rc == SQLITE_ROW) {
        k->number = sqlite3_column_int64(stmt, 0);
        buf_add_c(&k->columns, (const char *)sqlite3_column_text(stmt, 1));
        buf_add_c(&k->words, (const char *)sqlite3_column_text(stmt, 2));
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool make_documents(struct sqlite_conn *conn, const struct search_index *index,
                           struct known *k, struct err *err)
{
    struct buf sql = {0};
    sqlite3_stmt *stmt = sqlite_prepared(
        conn, "insert into search_indexes(plugin, name, columns, words) values (?1, ?2, '', '')",
        err);
    if (!stmt)
        return false;
    sqlite3_bind_text(stmt, 1, index->plugin, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, index->name, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, stmt, err);
    sqlite3_reset(stmt);
    if (rc != SQLITE_DONE)
        return false;
    k->number = sqlite3_last_insert_rowid(conn->db);
    buf_printf(&sql, "create table d%lld(rowid integer primary key, id text not null unique)",
               (long long)k->number);
    return exec(conn, &sql, err);
}

/* The type a column has; 0 when there is none of that name. */
static struct str column_type(const struct known *k, const char *name)
{
    struct str rest = buf_str(&k->columns);
    while (rest.n > 0) {
        struct str entry = str_split(&rest, ' ');
        struct str column = str_split(&entry, ':');
        if (str_eq_c(column, name))
            return entry;
    }
    return STR("");
}

static bool add_column(struct sqlite_conn *conn, const struct search_field *f, struct known *k,
                       struct err *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "alter table d%lld add column \"f_%s\" %s;", (long long)k->number, f->name,
               sql_type(f->type));
    if (f->type == SEARCH_KEYWORD || f->type == SEARCH_TIME)
        buf_printf(&sql, "create index d%lld_%s on d%lld(\"f_%s\");", (long long)k->number, f->name,
                   (long long)k->number, f->name);
    buf_printf(&k->columns, "%s:%s ", f->name, search_type_name(f->type));
    return exec(conn, &sql, err);
}

static bool follow_columns(struct sqlite_conn *conn, const struct search_index *index,
                           struct known *k, struct err *err)
{
    for (int i = 0; i < index->field_count; i++) {
        const struct search_field *f = &index->fields[i];
        struct str type = column_type(k, f->name);
        if (type.n == 0 && !add_column(conn, f, k, err))
            return false;
        if (type.n > 0 && !str_eq_c(type, search_type_name(f->type)))
            return err_set(err, ERR_CONFLICT,
                           "index \"%s\" has \"%s\" as %.*s already, it cannot become %s; give the "
                           "field or the index another name",
                           index->name, f->name, (int)type.n, type.p, search_type_name(f->type));
    }
    return true;
}

static bool follow_words(struct sqlite_conn *conn, const struct search_index *index,
                         struct known *k, struct err *err)
{
    struct buf words = {0}, sql = {0};
    long long n = (long long)k->number;
    for (int i = 0; i < index->field_count; i++)
        if (index->fields[i].type == SEARCH_TEXT)
            buf_printf(&words, "%sf_%s", words.n ? ", " : "", index->fields[i].name);
    bool same = str_eq(buf_str(&words), buf_str(&k->words));
    if (!same)
        buf_printf(&sql,
                   "drop table if exists f%lld;"
                   "create virtual table f%lld using fts5(%s, content='d%lld', "
                   "content_rowid='rowid', tokenize='maru');"
                   "insert into f%lld(f%lld) values('rebuild');",
                   n, n, words.p, n, n, n);
    buf_clear(&k->words);
    buf_add_str(&k->words, buf_str(&words));
    buf_free(&words);
    return same || exec(conn, &sql, err);
}

static bool keep(struct sqlite_conn *conn, const struct known *k, struct err *err)
{
    sqlite3_stmt *stmt = sqlite_prepared(
        conn, "update search_indexes set columns = ?1, words = ?2 where number = ?3", err);
    if (!stmt)
        return false;
    sqlite3_bind_text(stmt, 1, k->columns.p, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, k->words.p, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, k->number);
    int rc = sqlite_step(conn, stmt, err);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE;
}

bool fts_ensure(struct sqlite_conn *conn, struct search_index *index, struct err *err)
{
    struct known k = {0};
    if (fts_is_ready(index))
        return true;
    bool ok = look_up(conn, index, &k, err) &&
              (k.number > 0 || make_documents(conn, index, &k, err)) &&
              follow_columns(conn, index, &k, err) && follow_words(conn, index, &k, err) &&
              keep(conn, &k, err);
    index->number = k.number;
    known_free(&k);
    return ok;
}
