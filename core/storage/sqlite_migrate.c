/* sqlite_migrate.c -- migrations on SQLite: plan, apply, try out in memory. */
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "storage/sql.h"
#include "storage/sqlite_private.h"

/* One file on its way into the database. */
struct applying {
    const char *plugin;
    struct migration_file file;
};

static int line_of(const char *from, const char *at)
{
    int line = 1;
    for (const char *p = from; p < at; p++)
        line += *p == '\n';
    return line;
}

/* Position of the next statement: behind white space and comments. */
static const char *statement_start(const char *p)
{
    struct str rest = str_c(p);
    return sql_token(&rest).p;
}

static bool run_one(struct sqlite_conn *conn, const char *sql, const char **tail, struct err *err,
                    int *offset)
{
    sqlite3_stmt *stmt = NULL;
    conn->denied[0] = '\0';
    int rc = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, tail);
    while (rc == SQLITE_OK || rc == SQLITE_ROW)
        rc = stmt ? sqlite3_step(stmt) : SQLITE_DONE;
    if (rc != SQLITE_DONE) {
        *offset = sqlite3_error_offset(conn->db);
        sqlite_error(conn, rc, err);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE;
}

static bool run_statements(struct sqlite_conn *conn, const char *file, const char *text,
                           struct err *err)
{
    if (sql_has_word(str_c(text), "rollback"))
        return err_set(err, ERR_SQL, "%s: \"rollback\" is not allowed in a migration", file);
    const char *at = statement_start(text);
    while (*at) {
        const char *tail = NULL;
        int offset = -1;
        if (!run_one(conn, at, &tail, err, &offset))
            return err_wrap(err, "%s:%d", file, line_of(text, at + (offset > 0 ? offset : 0)));
        at = statement_start(tail);
    }
    return true;
}

static struct map *table_names(struct sqlite_conn *conn, struct err *err)
{
    sqlite3_stmt *stmt =
        sqlite_prepared(conn, "select name from sqlite_master where type in ('table','view')", err);
    if (!stmt)
        return NULL;
    struct map *names = map_create();
    while (sqlite_step(conn, stmt, err) == SQLITE_ROW)
        map_set(names, str_c((const char *)sqlite3_column_text(stmt, 0)), names);
    conn_done(stmt);
    return names;
}

static bool insert(struct sqlite_conn *conn, const char *sql, const char *a, const char *b,
                   struct err *err)
{
    sqlite3_stmt *stmt = sqlite_prepared(conn, sql, err);
    if (!stmt)
        return false;
    sqlite3_bind_text(stmt, 1, a, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, b, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, stmt, err);
    conn_done(stmt);
    return rc == SQLITE_DONE;
}

/* What was not there before belongs to the plugin now. */
static bool own_new_tables(struct sqlite_conn *conn, const char *plugin, struct map *before,
                           struct err *err)
{
    struct map *after = table_names(conn, err);
    if (!after)
        return false;
    size_t at = 0;
    struct str name;
    void *value;
    bool ok = true;
    while (ok && map_next(after, &at, &name, &value)) {
        if (map_get(before, name) || str_starts(name, STR("sqlite_")))
            continue;
        char *text = str_dup(name);
        ok = insert(conn, "insert or replace into maru_tables values ($1, $2)", text, plugin, err);
        mem_free(text);
    }
    map_destroy(after);
    return ok && sqlite_exec(conn,
                             "delete from maru_tables where name not in "
                             "(select name from sqlite_master)",
                             err);
}

static bool record(struct sqlite_conn *conn, const struct applying *a, struct err *err)
{
    sqlite3_stmt *stmt =
        sqlite_prepared(conn, "insert into maru_migrations values ($1, $2, $3, $4, $5)", err);
    if (!stmt)
        return false;
    sqlite3_bind_text(stmt, 1, a->plugin, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, a->file.number);
    sqlite3_bind_text(stmt, 3, a->file.migration->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, a->file.checksum, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 5, clock_wall_ns() / NS_PER_SECOND);
    int rc = sqlite_step(conn, stmt, err);
    conn_done(stmt);
    return rc == SQLITE_DONE;
}

/* Inside a transaction, or on a scratch database. */
static bool apply(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct applying *a = arg;
    struct map *before = table_names(conn, err);
    if (!before)
        return false;
    struct buf text = {0};
    migration_section(a->file.migration->text, "sqlite", &text);
    conn->plugin = a->plugin;
    conn->migrating = true;
    bool ok = run_statements(conn, a->file.migration->name, text.p ? text.p : "", err);
    conn->plugin = NULL;
    conn->migrating = false;
    ok = ok && own_new_tables(conn, a->plugin, before, err) && record(conn, a, err);
    buf_free(&text);
    map_destroy(before);
    return ok;
}

/* What maru_migrations says of the file: 1 applied, 0 pending, -1 with *err. */
static int standing(struct sqlite_conn *conn, const struct applying *a, struct err *err)
{
    sqlite3_stmt *stmt = sqlite_prepared(
        conn,
        "select number, checksum, name from maru_migrations where plugin = $1 and number >= $2"
        " order by number limit 1",
        err);
    if (!stmt)
        return -1;
    sqlite3_bind_text(stmt, 1, a->plugin, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, a->file.number);
    int rc = sqlite_step(conn, stmt, err);
    int result = rc == SQLITE_DONE ? 0 : -1;
    if (rc == SQLITE_ROW)
        result = migration_standing(&a->file, sqlite3_column_int64(stmt, 0),
                                    (const char *)sqlite3_column_text(stmt, 1),
                                    (const char *)sqlite3_column_text(stmt, 2), err);
    conn_done(stmt);
    return result;
}

/* Checks all files, then applies the pending ones by `run`. */
static bool migrate_all(struct sqlite_conn *conn, const char *plugin,
                        const struct migration *migrations, int count,
                        bool (*run)(struct sqlite_conn *conn, struct applying *a, struct err *err),
                        struct err *err)
{
    int64_t previous = 0;
    for (int i = 0; i < count; i++) {
        struct applying a = {.plugin = plugin, .file = {.migration = &migrations[i]}};
        if (!migration_read(&a.file, previous, err))
            return false;
        previous = a.file.number;
        int state = standing(conn, &a, err);
        if (state < 0 || (state == 0 && !run(conn, &a, err)))
            return false;
    }
    return true;
}

static bool run_on_writer(struct sqlite_conn *conn, struct applying *a, struct err *err)
{
    if (!sqlite_work_wait(conn->owner, apply, a, err))
        return false;
    log_info("storage", "%s: applied %s", a->plugin, a->file.migration->name);
    return true;
}

static bool run_on_scratch(struct sqlite_conn *conn, struct applying *a, struct err *err)
{
    return apply(conn, a, err) && owners_load(&conn->owner->owners, conn, err);
}

bool migrate_scratch(struct sqlite_conn *conn, const char *plugin,
                     const struct migration *migrations, int count, struct err *err)
{
    return migrate_all(conn, plugin, migrations, count, run_on_scratch, err);
}

bool sqlite_migrate(struct store *store, const char *plugin, const struct migration *migrations,
                    int count, bool dry_run, struct err *err)
{
    struct sqlite *db = (struct sqlite *)store;
    if (dry_run)
        return migrate_check_file(db->options.path, plugin, migrations, count, err);
    struct sqlite_conn reader;
    if (!conn_open(&reader, db, db->options.path, CONN_READER, err))
        return false;
    bool ok = migrate_all(&reader, plugin, migrations, count, run_on_writer, err);
    conn_close(&reader);
    return ok;
}

bool sqlite_migrations_ahead(struct store *store, const char *plugin,
                             const struct migration *migrations, int count, struct buf *names,
                             struct err *err)
{
    struct sqlite *db = (struct sqlite *)store;
    struct sqlite_conn reader;
    if (!conn_open(&reader, db, db->options.path, CONN_READER, err))
        return false;
    sqlite3_stmt *stmt = sqlite_prepared(
        &reader, "select name from maru_migrations where plugin = $1 order by number", err);
    int rc = stmt ? SQLITE_ROW : SQLITE_ERROR;
    if (stmt)
        sqlite3_bind_text(stmt, 1, plugin, -1, SQLITE_STATIC);
    while (stmt && (rc = sqlite_step(&reader, stmt, err)) == SQLITE_ROW) {
        migration_note_ahead((const char *)sqlite3_column_text(stmt, 0), migrations, count, names);
    }
    if (stmt)
        conn_done(stmt);
    conn_close(&reader);
    return rc == SQLITE_DONE;
}

/* Makes the objects of `from` in `to`; shadow tables of virtual ones are there
 * already and fail, which is fine. */
static bool copy_schema(struct sqlite_conn *from, struct sqlite_conn *to, struct err *err)
{
    sqlite3_stmt *stmt = sqlite_prepared(
        from,
        "select sql from sqlite_master where sql is not null and name not like 'sqlite!_%'"
        " escape '!' order by type = 'trigger', type = 'view', type = 'index', rowid",
        err);
    if (!stmt)
        return false;
    int rc;
    while ((rc = sqlite_step(from, stmt, err)) == SQLITE_ROW)
        sqlite3_exec(to->db, (const char *)sqlite3_column_text(stmt, 0), NULL, NULL, NULL);
    conn_done(stmt);
    return rc == SQLITE_DONE;
}

static bool copy_rows(struct sqlite_conn *from, struct sqlite_conn *to, const char *read,
                      const char *write, struct err *err)
{
    sqlite3_stmt *in = sqlite_prepared(from, read, err);
    sqlite3_stmt *out = in ? sqlite_prepared(to, write, err) : NULL;
    if (!out)
        return false;
    int rc;
    while ((rc = sqlite_step(from, in, err)) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(in); i++)
            sqlite3_bind_value(out, i + 1, sqlite3_column_value(in, i));
        if (sqlite_step(to, out, err) != SQLITE_DONE)
            break;
        sqlite3_reset(out);
    }
    conn_done(in);
    conn_done(out);
    return rc == SQLITE_DONE;
}

static bool copy_from(const char *path, struct sqlite *scratch, struct err *err)
{
    struct sqlite_conn *to = &scratch->writer.conn;
    struct sqlite_conn from;
    if (!conn_open(&from, scratch, path, CONN_READER, err))
        return false;
    bool ok = copy_schema(&from, to, err) &&
              copy_rows(&from, to, "select * from maru_tables",
                        "insert into maru_tables values ($1, $2)", err) &&
              copy_rows(&from, to, "select * from maru_migrations",
                        "insert into maru_migrations values ($1, $2, $3, $4, $5)", err);
    conn_close(&from);
    return ok;
}

bool migrate_check_file(const char *path, const char *plugin, const struct migration *migrations,
                        int count, struct err *err)
{
    struct sqlite *scratch = mem_zero(1, sizeof *scratch);
    struct sqlite_conn *conn = &scratch->writer.conn;
    owners_init(&scratch->owners);
    bool exists = path && access(path, F_OK) == 0;
    bool ok =
        conn_open(conn, scratch, ":memory:", CONN_SCRATCH, err) &&
        (exists ? copy_from(path, scratch, err) : sqlite_exec(conn, sqlite_base_schema, err)) &&
        owners_load(&scratch->owners, conn, err) &&
        migrate_scratch(conn, plugin, migrations, count, err);
    conn_close(conn);
    owners_fini(&scratch->owners);
    mem_free(scratch);
    return ok;
}
