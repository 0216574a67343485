/* sqlite_conn.c -- connections: their settings, statement cache, errors. */
#include "base/clock.h"
#include "base/mem.h"
#include "storage/sql.h"
#include "storage/sqlite_private.h"

struct cached {
    struct list used; /* most recently used first */
    sqlite3_stmt *stmt;
    struct str key; /* plugin NUL sql */
};

struct stmt_cache {
    struct map *map;
    struct list used;
    struct buf key; /* scratch */
};

static int on_progress(void *arg)
{
    struct sqlite_conn *conn = arg;
    return conn->deadline_ns != 0 && clock_steady_ns() > conn->deadline_ns;
}

/* mmap stays off and the writer checkpoints by itself: see sqlite.h. */
static const char *settings(enum conn_kind kind)
{
    switch (kind) {
    case CONN_WRITER:
        return "pragma page_size = 8192;" /* of a new file */
               "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = "
               "0;"
               "pragma foreign_keys = on; pragma cache_size = -32768; pragma temp_store = memory;"
               "pragma trusted_schema = off; pragma secure_delete = fast;";
    case CONN_READER:
        return "pragma query_only = on; pragma cache_size = -8192;" /* big sorts go to files */
               "pragma trusted_schema = off;";
    case CONN_SCRATCH:
        return "pragma foreign_keys = on; pragma temp_store = memory;";
    }
    return "";
}

static bool configure(struct sqlite_conn *conn, enum conn_kind kind, struct err *err)
{
    sqlite3 *db = conn->db;
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, CONN_BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, STORE_SQL_BYTES);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, STORE_BYTES);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    if (!sqlite_exec(conn, settings(kind), err))
        return false;
    sqlite3_progress_handler(db, CONN_PROGRESS_OPS, on_progress, conn);
    sqlite3_set_authorizer(db, conn_authorize, conn);
    return true;
}

bool conn_open(struct sqlite_conn *conn, struct sqlite *owner, const char *path,
               enum conn_kind kind, struct err *err)
{
    *conn = (struct sqlite_conn){.owner = owner};
    conn->cache = mem_zero(1, sizeof *conn->cache);
    conn->cache->map = map_create();
    list_init(&conn->cache->used);
    int flags =
        kind == CONN_READER ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    const char *vfs = kind == CONN_WRITER ? gather_vfs(conn_vfs()) : conn_vfs();
    int rc = sqlite3_open_v2(path, &conn->db, flags | SQLITE_OPEN_NOMUTEX, vfs);
    if (rc == SQLITE_OK && configure(conn, kind, err) &&
        (!owner->options.opened || owner->options.opened(conn->db, err)))
        return true;
    if (rc != SQLITE_OK)
        sqlite_error(conn, rc, err);
    err_wrap(err, "%s", path);
    conn_close(conn);
    return false;
}

static void forget(struct stmt_cache *cache, struct cached *entry)
{
    map_remove(cache->map, entry->key);
    list_remove(&entry->used);
    sqlite3_finalize(entry->stmt);
    mem_free((char *)entry->key.p);
    mem_free(entry);
}

void conn_close(struct sqlite_conn *conn)
{
    struct stmt_cache *cache = conn->cache;
    if (!cache)
        return;
    while (!list_empty(&cache->used))
        forget(cache, list_entry(cache->used.next, struct cached, used));
    map_destroy(cache->map);
    buf_free(&cache->key);
    mem_free(cache);
    sqlite3_close(conn->db);
    *conn = (struct sqlite_conn){0};
}

/* Statements that DDL and transactions would be are migrations' and store:tx's. */
static bool may_run(const struct sqlite_conn *conn, struct str sql, struct err *err)
{
    static const char *const words[] = {"select", "with",   "values",  "insert",
                                        "update", "delete", "replace", NULL};
    if (!conn->plugin)
        return true;
    if (sql_has_word(sql, "rollback"))
        return err_set(err, ERR_SQL, "\"rollback\" is not allowed: it would undo others' writes");
    if (conn->migrating)
        return true;
    struct str rest = sql;
    struct str first = sql_token(&rest);
    for (int i = 0; words[i]; i++)
        if (sql_is_word(first, words[i]))
            return true;
    return err_set(err, ERR_SQL,
                   "a statement begins with select, with, values, insert, update, delete or "
                   "replace, not \"%.*s\"; tables are made by migrations, transactions by store:tx",
                   (int)(first.n < 40 ? first.n : 40), first.p);
}

static sqlite3_stmt *compile(struct sqlite_conn *conn, struct str sql, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    const char *tail = NULL;
    if (!may_run(conn, sql, err))
        return NULL;
    if (sql.n > STORE_SQL_BYTES) {
        err_set(err, ERR_LIMIT, "a statement of more than %d bytes", STORE_SQL_BYTES);
        return NULL;
    }
    conn->denied[0] = '\0';
    int rc =
        sqlite3_prepare_v3(conn->db, sql.p, (int)sql.n, SQLITE_PREPARE_PERSISTENT, &stmt, &tail);
    if (rc != SQLITE_OK) {
        sqlite_error(conn, rc, err);
        return NULL;
    }
    if (!stmt || !sql_blank((struct str){tail, (size_t)(sql.p + sql.n - tail)})) {
        sqlite3_finalize(stmt);
        err_set(err, ERR_SQL, stmt ? "one statement a call" : "the statement is empty");
        return NULL;
    }
    return stmt;
}

static void make_room(struct stmt_cache *cache)
{
    if (map_count(cache->map) < CONN_STATEMENTS)
        return;
    for (struct list *node = cache->used.prev; node != &cache->used; node = node->prev) {
        struct cached *entry = list_entry(node, struct cached, used);
        if (!sqlite3_stmt_busy(entry->stmt)) {
            forget(cache, entry);
            return;
        }
    }
}

sqlite3_stmt *conn_prepare(struct sqlite_conn *conn, struct str sql, struct err *err)
{
    struct stmt_cache *cache = conn->cache;
    buf_clear(&cache->key);
    if (conn->plugin)
        buf_add_c(&cache->key, conn->plugin);
    buf_add_char(&cache->key, '\0');
    buf_add_str(&cache->key, sql);
    struct cached *entry = map_get(cache->map, buf_str(&cache->key));
    if (entry) {
        list_remove(&entry->used);
        list_push_front(&cache->used, &entry->used);
        sqlite3_reset(entry->stmt);
        return entry->stmt;
    }
    sqlite3_stmt *stmt = compile(conn, sql, err);
    if (!stmt)
        return NULL;
    make_room(cache);
    entry = mem_zero(1, sizeof *entry);
    entry->stmt = stmt;
    entry->key.p = buf_take(&cache->key, &entry->key.n);
    map_set(cache->map, entry->key, entry);
    list_push_front(&cache->used, &entry->used);
    return stmt;
}

sqlite3_stmt *sqlite_prepared(struct sqlite_conn *conn, const char *sql, struct err *err)
{
    sqlite3_stmt *stmt = conn_prepare(conn, str_c(sql), err);
    if (stmt)
        sqlite3_clear_bindings(stmt);
    return stmt;
}

void conn_done(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

int sqlite_step(struct sqlite_conn *conn, sqlite3_stmt *stmt, struct err *err)
{
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        sqlite_error(conn, rc, err);
    return rc;
}

bool sqlite_exec(struct sqlite_conn *conn, const char *sql, struct err *err)
{
    conn->denied[0] = '\0';
    int rc = sqlite3_exec(conn->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK || sqlite_error(conn, rc, err);
}

void sqlite_deadline(struct sqlite_conn *conn, int64_t after_ns)
{
    conn->deadline_ns = after_ns ? clock_steady_ns() + after_ns : 0;
}

static enum err_code error_code(int rc)
{
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return ERR_UNIQUE;
    default:
        break;
    }
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        return ERR_CONSTRAINT;
    case SQLITE_READONLY:
        return ERR_READONLY;
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_INTERRUPT:
        return ERR_TIMEOUT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return ERR_IO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_NOMEM:
        return ERR_MEMORY;
    case SQLITE_TOOBIG:
        return ERR_LIMIT;
    default:
        return ERR_SQL;
    }
}

bool sqlite_error(struct sqlite_conn *conn, int rc, struct err *err)
{
    enum err_code code = error_code(rc);
    if (code == ERR_SQL && conn->denied[0])
        return err_set(err, code, "%s", conn->denied);
    if (code == ERR_TIMEOUT)
        return err_set(err, code, "the statement ran too long and was stopped");
    err_set(err, code, "%s", conn->db ? sqlite3_errmsg(conn->db) : sqlite3_errstr(rc));
    if (code == ERR_IO)
        err->sys = conn->db ? sqlite3_system_errno(conn->db) : 0;
    return false;
}
