/* sqlite_auth.c -- a plugin touches its own tables only.
 *
 * SQLite asks the authorizer for everything a statement would do while it is
 * prepared, also when a schema change makes it prepare again inside a step; so
 * conn->plugin is set for as long as a plugin's statement is in use.  A name
 * that is no table (a common table expression, json_each) is nobody's.
 */
#include "base/mem.h"
#include "storage/sqlite_private.h"

static void forget_all(struct map *map)
{
    size_t at = 0;
    struct str key;
    void *owner;
    while (map_next(map, &at, &key, &owner))
        mem_free(owner);
    map_destroy(map);
}

void owners_init(struct owners *owners)
{
    pthread_rwlock_init(&owners->lock, NULL);
    owners->map = map_create();
}

void owners_fini(struct owners *owners)
{
    forget_all(owners->map);
    pthread_rwlock_destroy(&owners->lock);
}

/* SQLite compares names without regard to ASCII case. */
static struct str folded(const char *name, char out[256])
{
    size_t n = strnlen(name, 255);
    for (size_t i = 0; i < n; i++)
        out[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
    out[n] = '\0';
    return (struct str){out, n};
}

bool owners_load(struct owners *owners, struct sqlite_conn *conn, struct err *err)
{
    static const char sql[] =
        "select s.name, coalesce(t.plugin, '') from sqlite_master s"
        " left join maru_tables t on t.name = s.name where s.type in ('table', 'view')";
    const char *plugin = conn->plugin;
    conn->plugin = NULL;
    sqlite3_stmt *stmt = sqlite_prepared(conn, sql, err);
    conn->plugin = plugin;
    if (!stmt)
        return false;
    struct map *map = map_create();
    char name[256];
    int rc;
    while ((rc = sqlite_step(conn, stmt, err)) == SQLITE_ROW) {
        struct str key = folded((const char *)sqlite3_column_text(stmt, 0), name);
        mem_free(map_set(map, key, mem_strdup((const char *)sqlite3_column_text(stmt, 1))));
    }
    conn_done(stmt);
    if (rc != SQLITE_DONE) {
        forget_all(map);
        return false;
    }
    pthread_rwlock_wrlock(&owners->lock);
    struct map *old = owners->map;
    owners->map = map;
    pthread_rwlock_unlock(&owners->lock);
    forget_all(old);
    return true;
}

static bool starts(const char *name, const char *prefix)
{
    return sqlite3_strnicmp(name, prefix, (int)strlen(prefix)) == 0;
}

/* Whether conn->plugin may touch the table; fills conn->denied if not. */
static bool may_touch(struct sqlite_conn *conn, const char *table)
{
    char name[256];
    char owner[80] = "";
    struct owners *owners = &conn->owner->owners;
    pthread_rwlock_rdlock(&owners->lock);
    const char *found = map_get(owners->map, folded(table, name));
    if (found)
        snprintf(owner, sizeof owner, "%s", found);
    pthread_rwlock_unlock(&owners->lock);
    bool internal = starts(table, "sqlite_");
    bool host = (found && !owner[0]) || starts(table, "maru_") || starts(table, "pragma_") ||
                (internal && !conn->migrating);
    if (!host && (!owner[0] || strcmp(owner, conn->plugin) == 0 || internal))
        return true;
    if (internal && conn->migrating)
        return true;
    if (host)
        snprintf(conn->denied, sizeof conn->denied, "table \"%s\" belongs to the host", table);
    else
        snprintf(conn->denied, sizeof conn->denied, "table \"%s\" belongs to plugin \"%s\"", table,
                 owner);
    return false;
}

static bool refuse(struct sqlite_conn *conn, const char *what)
{
    snprintf(conn->denied, sizeof conn->denied, "%s", what);
    return false;
}

static bool may_change_schema(struct sqlite_conn *conn, int action, const char *a, const char *b)
{
    if (!conn->migrating)
        return refuse(conn, "tables are made and changed by migrations only");
    switch (action) {
    case SQLITE_ALTER_TABLE: /* schema, table */
    case SQLITE_CREATE_INDEX:
    case SQLITE_DROP_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_DROP_TRIGGER: /* name, table */
        return may_touch(conn, b);
    case SQLITE_CREATE_VTABLE:
        if (sqlite3_stricmp(b, "fts5") != 0)
            return refuse(conn, "virtual tables are fts5 only");
        return may_touch(conn, a);
    default:
        return may_touch(conn, a);
    }
}

static bool is_schema_rowid(const char *table, const char *column)
{
    return strcmp(table, "sqlite_master") == 0 && strcmp(column, "ROWID") == 0;
}

/* alter table … rename looks for temporary triggers and views to change. */
static bool is_renaming(const struct sqlite_conn *conn, int action, const char *table)
{
    return conn->migrating && (action == SQLITE_READ || action == SQLITE_UPDATE) &&
           strcmp(table, "sqlite_temp_master") == 0;
}

/* fts3_tokenizer($1) gives a tokenizer's address and fts3_tokenizer($1, $2) sets it; the
 * others reach files, code or the log. */
static bool may_call(struct sqlite_conn *conn, const char *function)
{
    static const char *const closed[] = {
        "load_extension", "fts3_tokenizer", "icu_load_collation", "sqlite_log", "readfile",
        "writefile",      "edit",
    };
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (sqlite3_stricmp(function, closed[i]) == 0)
            return refuse(conn, "this function is not available to plugins");
    return true;
}

static bool may(struct sqlite_conn *conn, int action, const char *a, const char *b,
                const char *schema)
{
    if (is_renaming(conn, action, a))
        return true;
    if (action == SQLITE_ALTER_TABLE)
        schema = a; /* drop column gives the column's name there */
    if (schema && strcmp(schema, "main") != 0)
        return refuse(conn, "temporary tables and other databases are not available");
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
        return true;
    /* SQLite asks to update sqlite_master by its rowid whenever a virtual table is
     * connected; it lets nobody really do so. */
    case SQLITE_READ:
        return is_schema_rowid(a, b) || may_touch(conn, a);
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
        return strcmp(a, "sqlite_master") == 0 || may_touch(conn, a);
    case SQLITE_FUNCTION:
        return may_call(conn, b);
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_VTABLE:
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_TRIGGER:
    case SQLITE_DROP_VIEW:
    case SQLITE_DROP_VTABLE:
    case SQLITE_ALTER_TABLE:
        return may_change_schema(conn, action, a, b);
    case SQLITE_REINDEX:
    case SQLITE_ANALYZE:
        return conn->migrating || refuse(conn, "only migrations may do this");
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        return refuse(conn, "transactions are made with store:tx");
    case SQLITE_PRAGMA: /* fts5 asks for this one by itself */
        return strcmp(a, "data_version") == 0 || refuse(conn, "pragma is not available");
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
        return refuse(conn, "other databases are not available");
    default:
        return refuse(conn, "not available to plugins");
    }
}

static bool is_schema_change(int action)
{
    return (action >= SQLITE_CREATE_INDEX && action <= SQLITE_CREATE_VIEW) ||
           (action >= SQLITE_DROP_INDEX && action <= SQLITE_DROP_VIEW) ||
           action == SQLITE_ALTER_TABLE || action == SQLITE_CREATE_VTABLE ||
           action == SQLITE_DROP_VTABLE;
}

int conn_authorize(void *arg, int action, const char *a, const char *b, const char *schema,
                   const char *trigger)
{
    struct sqlite_conn *conn = arg;
    (void)trigger;
    if (is_schema_change(action))
        conn->schema_changed = true;
    return !conn->plugin || may(conn, action, a, b, schema) ? SQLITE_OK : SQLITE_DENY;
}
