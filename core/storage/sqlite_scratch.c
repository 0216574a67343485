/* sqlite_scratch.c -- scratch.h on SQLite. */
#include "storage/scratch.h"

#include <string.h>

#include "base/mem.h"
#include "storage/sql.h"
#include "storage/sqlite_private.h"

struct scratch {
    struct sqlite db; /* its writer's connection is the database; nothing else of it is used */
};

struct scratch *scratch_open(struct err *err)
{
    struct scratch *s = mem_zero(1, sizeof *s);
    struct sqlite_conn *conn = &s->db.writer.conn;
    owners_init(&s->db.owners);
    if (conn_open(conn, &s->db, ":memory:", CONN_SCRATCH, err) &&
        sqlite_exec(conn, sqlite_base_schema, err) && owners_load(&s->db.owners, conn, err))
        return s;
    scratch_close(s);
    return NULL;
}

void scratch_close(struct scratch *s)
{
    if (!s)
        return;
    conn_close(&s->db.writer.conn);
    owners_fini(&s->db.owners);
    mem_free(s);
}

bool scratch_migrate(struct scratch *s, const char *plugin, const struct migration *migrations,
                     int count, struct err *err)
{
    return migrate_scratch(&s->db.writer.conn, plugin, migrations, count, err);
}

/* The last word of messages such as "no such table: lines" and "table lines has no column named
 * txt": SQLite gives no place for most of them. */
static struct str blamed_word(const char *message)
{
    static const char *const before[] = {
        "no such table: ",    "no such column: ",        "has no column named ",
        "no such function: ", "ambiguous column name: ", "table \""};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        const char *at = strstr(message, before[i]);
        if (!at)
            continue;
        at += strlen(before[i]);
        return str_n(at, strcspn(at, "\""));
    }
    return str_n(NULL, 0);
}

static struct str without_quotes(struct str token)
{
    bool quoted = token.n >= 2 && strchr("\"`[", token.p[0]);
    return quoted ? str_n(token.p + 1, token.n - 2) : token;
}

static bool same_word(struct str a, struct str b)
{
    return a.n == b.n && a.n > 0 && sqlite3_strnicmp(a.p, b.p, (int)a.n) == 0;
}

/* "l.txt" is blamed whole, and stands there as three tokens. */
static void find_word(struct str sql, const char *message, struct scratch_fault *fault)
{
    struct str word = blamed_word(message), rest = sql, token;
    for (size_t i = word.n; i > 0; i--) {
        if (word.p[i - 1] == '.') {
            word = str_n(word.p + i, word.n - i);
            break;
        }
    }
    while ((token = sql_token(&rest)).n > 0) {
        if (!same_word(without_quotes(token), word))
            continue;
        *fault = (struct scratch_fault){(int)(token.p - sql.p), (int)token.n};
        return;
    }
}

/* What SQLite says, or the first word when the statement never got there. */
static void find_fault(struct sqlite_conn *conn, struct str sql, const struct err *err,
                       struct scratch_fault *fault)
{
    bool asked = strcmp(err->message, sqlite3_errmsg(conn->db)) == 0;
    int offset = asked ? sqlite3_error_offset(conn->db) : 0;
    find_word(sql, err->message, fault);
    if (fault->offset >= 0 || offset < 0 || (size_t)offset > sql.n)
        return;
    struct str start = sql;
    struct str first = sql_token(&start);
    if (!asked)
        offset = first.n ? (int)(first.p - sql.p) : 0;
    struct str rest = str_n(sql.p + offset, sql.n - (size_t)offset);
    struct str token = sql_token(&rest);
    *fault = (struct scratch_fault){offset, token.n ? (int)token.n : 1};
}

bool scratch_prepare(struct scratch *s, const char *plugin, struct str sql, int given,
                     struct scratch_fault *fault, struct err *err)
{
    struct sqlite_conn *conn = &s->db.writer.conn;
    *fault = (struct scratch_fault){-1, 0};
    conn->plugin = plugin;
    sqlite3_stmt *stmt = conn_prepare(conn, sql, err);
    if (!stmt)
        find_fault(conn, sql, err, fault);
    bool ok = stmt && call_check_parameters(stmt, given, err);
    conn->plugin = NULL;
    return ok;
}

bool scratch_words(struct scratch *s, const char *plugin, struct buf *out, struct err *err)
{
    struct sqlite_conn *conn = &s->db.writer.conn;
    sqlite3_stmt *stmt = sqlite_prepared(
        conn,
        "select name from maru_tables where plugin = $1 union"
        " select c.name from maru_tables t, pragma_table_info(t.name) c where t.plugin = $1",
        err);
    if (!stmt)
        return false;
    sqlite3_bind_text(stmt, 1, plugin, -1, SQLITE_STATIC);
    int rc;
    while ((rc = sqlite_step(conn, stmt, err)) == SQLITE_ROW) {
        buf_add_c(out, (const char *)sqlite3_column_text(stmt, 0));
        buf_add_char(out, ' ');
    }
    conn_done(stmt);
    return rc == SQLITE_DONE;
}
