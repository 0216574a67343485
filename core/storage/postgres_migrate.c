/* postgres_migrate.c -- migrations on PostgreSQL: as the plugin's role, in its schema, one node at
 * a time, each in a transaction with its record in maru_migrations. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "storage/postgres_private.h"
#include "storage/sql.h"

struct migrating {
    struct postgres_plugin *plugin;
    PGconn *c;
    bool dry_run;
};

/* Once for all plugins: what is above would not be locked, nor set, otherwise. */
static bool check_sessions(struct migrating *m, struct err *err)
{
    struct postgres *store = m->plugin->store;
    pthread_mutex_lock(&store->lock);
    bool known = store->sessions;
    pthread_mutex_unlock(&store->lock);
    if (known)
        return true;
    PGconn *second = pgsql_connect_wait(m->plugin->primary, err);
    bool ok = second && pgsql_check_pooler(m->c, second, err);
    PQfinish(second);
    pthread_mutex_lock(&store->lock);
    store->sessions = ok;
    pthread_mutex_unlock(&store->lock);
    return ok || err_wrap(err, "store.url");
}

static bool open_run(struct migrating *m, struct err *err)
{
    char sql[320];
    m->c = pgsql_connect_wait(m->plugin->primary, err);
    if (!m->c || !check_sessions(m, err))
        return false;
    snprintf(sql, sizeof sql,
             "set statement_timeout = 0; set lock_timeout = '%ds';"
             " select pg_advisory_lock(hashtextextended('%s migrations', 0))",
             m->dry_run ? 5 : 60, m->plugin->schema);
    if (!pgsql_exec_wait(m->c, sql, err) || (m->dry_run && !pgsql_exec_wait(m->c, "begin", err)))
        return false;
    snprintf(sql, sizeof sql,
             "create table if not exists \"%s\".maru_migrations(number bigint primary key,"
             " name text, checksum text, applied_at float8)",
             m->plugin->schema);
    return pgsql_exec_wait(m->c, sql, err);
}

/* What maru_migrations says of the file: 1 applied, 0 pending, -1 with *err. */
static int standing(struct migrating *m, const struct migration_file *file, struct err *err)
{
    char number[24];
    const char *values[] = {number};
    snprintf(number, sizeof number, "%lld", (long long)file->number);
    PGresult *r = pgsql_query_wait(m->c,
                                   "select number, checksum, name from maru_migrations"
                                   " where number >= $1 order by number limit 1",
                                   1, values, err);
    if (!r)
        return -1;
    int result = PQntuples(r) ? migration_standing(file, strtoll(PQgetvalue(r, 0, 0), NULL, 10),
                                                   PQgetvalue(r, 0, 1), PQgetvalue(r, 0, 2), err)
                              : 0;
    PQclear(r);
    return result;
}

/* "name:7: what the server said". */
static bool fail_at(const struct migration_file *file, const char *text, PGconn *c, PGresult *r,
                    struct err *err)
{
    const char *position = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION);
    const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    long at = position ? strtol(position, NULL, 10) : 0; /* characters, from 1 */
    int line = 1;
    for (const char *p = text; *p && at > 1; p++) {
        at -= (*p & 0xc0) != 0x80;
        line += *p == '\n';
    }
    pgsql_error(c, r, err);
    if (primary)
        err_set(err, err->code, "%s", primary);
    return position ? err_wrap(err, "%s:%d", file->migration->name, line)
                    : err_wrap(err, "%s", file->migration->name);
}

static bool run_text(struct migrating *m, const struct migration_file *file, const char *text,
                     struct err *err)
{
    static const char *const closed[] = {"commit", "rollback", "abort"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (sql_has_word(str_c(text), closed[i]))
            return err_set(err, ERR_SQL, "%s: \"%s\" is not allowed in a migration",
                           file->migration->name, closed[i]);
    if (postgres_ends_transaction(str_c(text)))
        return err_set(err, ERR_SQL, "%s: \"end\" is not allowed in a migration",
                       file->migration->name);
    PGresult *r = PQexec(m->c, text);
    ExecStatusType status = PQresultStatus(r);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
              status == PGRES_EMPTY_QUERY || fail_at(file, text, m->c, r, err);
    PQclear(r);
    return ok && (PQtransactionStatus(m->c) == PQTRANS_INTRANS ||
                  err_set(err, ERR_SQL, "%s: a migration does not end its transaction",
                          file->migration->name));
}

static bool record(struct migrating *m, const struct migration_file *file, struct err *err)
{
    char number[24], at[32];
    const char *values[] = {number, file->migration->name, file->checksum, at};
    snprintf(number, sizeof number, "%lld", (long long)file->number);
    snprintf(at, sizeof at, "%lld", (long long)(clock_wall_ns() / NS_PER_SECOND));
    PGresult *r = pgsql_query_wait(m->c, "insert into maru_migrations values ($1, $2, $3, $4)", 4,
                                   values, err);
    PQclear(r);
    return r != NULL;
}

static bool apply(struct migrating *m, const struct migration_file *file, struct err *err)
{
    struct buf spelled = {0}, text = {0};
    postgres_types(file->migration->text, &spelled);
    migration_section(buf_str(&spelled), "postgres", &text);
    buf_free(&spelled);
    bool ok = (m->dry_run || pgsql_exec_wait(m->c, "begin", err)) &&
              run_text(m, file, text.p ? text.p : "", err) && record(m, file, err) &&
              (m->dry_run || pgsql_exec_wait(m->c, "commit", err));
    buf_free(&text);
    if (ok && !m->dry_run)
        log_info("storage", "%s: applied %s", m->plugin->name, file->migration->name);
    return ok;
}

bool postgres_migrate(struct store *store, const char *plugin, const struct migration *migrations,
                      int count, bool dry_run, struct err *err)
{
    struct migrating m = {.dry_run = dry_run};
    m.plugin = postgres_plugin_of((struct postgres *)store, plugin, err);
    bool ok = m.plugin && open_run(&m, err);
    int64_t previous = 0;
    for (int i = 0; ok && i < count; i++) {
        struct migration_file file = {.migration = &migrations[i]};
        ok = migration_read(&file, previous, err);
        previous = file.number;
        int state = ok ? standing(&m, &file, err) : -1;
        ok = state > 0 || (state == 0 && apply(&m, &file, err));
    }
    PQfinish(m.c); /* which gives up what is open, and the lock */
    return ok;
}

bool postgres_ahead(struct store *store, const char *plugin, const struct migration *migrations,
                    int count, struct buf *names, struct err *err)
{
    struct migrating m = {.dry_run = true};
    m.plugin = postgres_plugin_of((struct postgres *)store, plugin, err);
    PGresult *r = m.plugin && open_run(&m, err)
                      ? pgsql_query_wait(m.c, "select name from maru_migrations order by number", 0,
                                         NULL, err)
                      : NULL;
    for (int i = 0; i < PQntuples(r); i++)
        migration_note_ahead(PQgetvalue(r, i, 0), migrations, count, names);
    bool ok = r != NULL;
    PQclear(r);
    PQfinish(m.c);
    return ok;
}
