/* postgres_plugin.c -- a plugin's schema and role.
 *
 * The role is <login>_<plugin>.  Its password is made of the login's, so that every node that knows
 * store.url knows it and nobody else does; the server is sent only its SCRAM verifier.  A login
 * without password makes roles without: they get in where the login does (trust, certificates).
 */
#include <sodium.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "storage/postgres_private.h"

enum { PASSWORD_BYTES = 32 };

static char *derive(const char *login_password, const char *role)
{
    unsigned char key[crypto_generichash_KEYBYTES], out[PASSWORD_BYTES];
    char hex[2 * PASSWORD_BYTES + 1];
    if (!login_password || !*login_password)
        return mem_strdup("");
    crypto_generichash(key, sizeof key, (const unsigned char *)login_password,
                       strlen(login_password), NULL, 0);
    crypto_generichash(out, sizeof out, (const unsigned char *)role, strlen(role), key, sizeof key);
    sodium_bin2hex(hex, sizeof hex, out, sizeof out);
    sodium_memzero(key, sizeof key);
    return mem_strdup(hex);
}

static bool run_format(PGconn *c, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool run_format(PGconn *c, struct err *err, const char *format, ...)
{
    char sql[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    return pgsql_exec_wait(c, sql, err);
}

/* "t" of a statement's one value. */
static bool is_so(PGconn *c, const char *sql, const char *value, struct err *err)
{
    PGresult *r = pgsql_query_wait(c, sql, value ? 1 : 0, &value, err);
    bool so = r && PQntuples(r) == 1 && !strcmp(PQgetvalue(r, 0, 0), "t");
    PQclear(r);
    return so;
}

static bool make_role(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    static const char there[] = "select count(*) > 0 from pg_roles where rolname = $1";
    bool exists = is_so(c, there, p->role, err);
    if (err->code || (!exists && !run_format(c, err, "create role \"%s\" noinherit", p->role)))
        return false;
    char *verifier = *p->password ? PQencryptPasswordConn(c, p->password, p->role, NULL) : NULL;
    bool ok =
        run_format(c, err, "alter role \"%s\" login nocreatedb nocreaterole password %s%s%s",
                   p->role, verifier ? "'" : "", verifier ? verifier : "null", verifier ? "'" : "");
    PQfreemem(verifier);
    return ok && run_format(c, err, "grant \"%s\" to current_user", p->role);
}

static bool can_make_roles(PGconn *c)
{
    struct err err = {0};
    return is_so(c, "select rolcreaterole or rolsuper from pg_roles where rolname = current_user",
                 NULL, &err);
}

static bool has_schema(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    return is_so(c, "select count(*) > 0 from pg_namespace where nspname = $1", p->schema, err);
}

static bool make_schema(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    bool there = has_schema(p, c, err);
    if (there || err->code)
        return !err->code;
    return run_format(c, err, "create schema \"%s\"%s%s%s", p->schema,
                      p->own_role ? " authorization \"" : "", p->own_role ? p->role : "",
                      p->own_role ? "\"" : "");
}

/* Whether the server lets the role in (pg_hba.conf may not). */
static bool try_login(struct postgres_plugin *p, struct err *err)
{
    struct pgsql_options o = {
        .what = "store", .url = p->store->url, .user = p->role, .password = p->password};
    struct pgsql *db = pgsql_open(&o, err);
    PGconn *c = db ? pgsql_connect_wait(db, err) : NULL;
    PQfinish(c);
    pgsql_close(db);
    return c != NULL;
}

static void warn(struct postgres *store, const char *why)
{
    pthread_mutex_lock(&store->lock);
    bool first = !store->warned;
    store->warned = true;
    pthread_mutex_unlock(&store->lock);
    if (first)
        log_warn("store",
                 "plugins have no roles of their own in PostgreSQL (%s): their schemas keep apart"
                 " what they do by mistake, not what they do on purpose",
                 why);
}

/* Rows of tx.jobs:push (jobs/elsewhere.h); the login's, so that a migration cannot change it. */
static bool make_outbox(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    return run_format(c, err,
                      "create table if not exists \"%s\".maru_job_outbox(home text, id bigint,"
                      " kind text, args text, queue text, priority int, retries int,"
                      " timeout_ns bigint, run_at bigint, uniq text, uniq_queued int,"
                      " uniq_replace int, uniq_period bigint, key text, expires_ns bigint,"
                      " result_ttl_ns bigint, trace text, primary key (home, id))",
                      p->schema) &&
           (!p->own_role ||
            run_format(c, err, "grant select, insert, delete on \"%s\".maru_job_outbox to \"%s\"",
                       p->schema, p->role));
}

/* Two nodes may do this at the same time. */
static bool set_up(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    struct err why = {0};
    if (!pgsql_exec_wait(c, "select pg_advisory_lock(hashtextextended('maru store', 0))", err))
        return false;
    snprintf(p->role, sizeof p->role, "%.31s_%.31s", PQuser(c), p->name);
    mem_free(p->password);
    p->password = derive(PQpass(c), p->role);
    p->own_role = can_make_roles(c) && make_role(p, c, &why) && try_login(p, &why);
    if (!p->own_role)
        warn(p->store, why.code ? why.message : "the login may not make any");
    return make_schema(p, c, err) && make_outbox(p, c, err);
}

bool postgres_plugin_ready(struct postgres_plugin *p, struct err *err)
{
    err_clear(err);
    pthread_mutex_lock(&p->lock);
    if (!p->ready) {
        PGconn *c = pgsql_connect_wait(p->store->host, err);
        p->ready = c && set_up(p, c, err);
        PQfinish(c);
    }
    bool ok = p->ready;
    pthread_mutex_unlock(&p->lock);
    return ok || err_wrap(err, "schema \"%s\"", p->schema);
}

/* On a thread that connects. */
static bool log_in(void *arg, struct pgsql_login *login, struct err *err)
{
    struct postgres_plugin *p = arg;
    if (!postgres_plugin_ready(p, err))
        return false;
    login->user = p->own_role ? p->role : NULL;
    login->password = p->own_role && *p->password ? p->password : NULL;
    return true;
}

/* As it would be, by store.url alone: the first server has been away since before this process
 * began, and the replica has what was made there. */
static void guess(struct postgres_plugin *p, struct pgsql_login *login)
{
    const char *user = NULL, *password = NULL;
    PQconninfoOption *options = PQconninfoParse(p->store->url, NULL);
    for (PQconninfoOption *o = options; o && o->keyword; o++) {
        if (!strcmp(o->keyword, "user"))
            user = o->val;
        if (!strcmp(o->keyword, "password"))
            password = o->val;
    }
    pthread_mutex_lock(&p->lock);
    if (user && !p->ready) {
        snprintf(p->role, sizeof p->role, "%.31s_%.31s", user, p->name);
        mem_free(p->password);
        p->password = derive(password, p->role);
        login->user = p->role;
        login->password = *p->password ? p->password : NULL;
    }
    pthread_mutex_unlock(&p->lock);
    PQconninfoFree(options);
}

static bool log_in_to_replica(void *arg, struct pgsql_login *login, struct err *err)
{
    if (!log_in(arg, login, err))
        guess(arg, login);
    return true;
}

static struct pgsql *identity(struct postgres_plugin *p, const char *url, bool replica,
                              struct err *err)
{
    char settings[256];
    snprintf(settings, sizeof settings, "set search_path = \"%s\", public;%s", p->schema,
             replica ? " set default_transaction_read_only = on;" : "");
    struct pgsql_options o = {.what = "store",
                              .url = url,
                              .settings = settings,
                              .connections = p->store->connections,
                              .most_ns = POSTGRES_MOST_S * NS_PER_SECOND,
                              .log_in = replica ? log_in_to_replica : log_in,
                              .check = postgres_check,
                              .arg = p};
    if (p->store->read_url)
        o.patience_ns = -1; /* the other one answers */
    return pgsql_open(&o, err);
}

static struct postgres_plugin *create(struct postgres *store, const char *name, struct err *err)
{
    struct postgres_plugin *p = mem_zero(1, sizeof *p);
    p->store = store;
    pthread_mutex_init(&p->lock, NULL);
    snprintf(p->name, sizeof p->name, "%s", name);
    snprintf(p->schema, sizeof p->schema, "maru_%.58s", name);
    p->primary = identity(p, store->url, false, err);
    if (p->primary && store->read_url)
        p->replica = identity(p, store->read_url, true, err);
    if (p->primary && (p->replica || !store->read_url))
        return p;
    postgres_plugin_free(p);
    return NULL;
}

void postgres_plugin_free(struct postgres_plugin *p)
{
    pgsql_close(p->primary);
    pgsql_close(p->replica);
    pthread_mutex_destroy(&p->lock);
    if (p->password)
        sodium_memzero(p->password, strlen(p->password));
    mem_free(p->password);
    mem_free(p);
}

struct postgres_plugin *postgres_plugin_of(struct postgres *store, const char *name,
                                           struct err *err)
{
    if (!name) {
        err_set(err, ERR_INVALID, "the host's own tables are not in PostgreSQL");
        return NULL;
    }
    pthread_mutex_lock(&store->lock);
    struct postgres_plugin *p = map_get(store->plugins, str_c(name));
    if (!p && (p = create(store, name, err)))
        map_set(store->plugins, str_c(name), p);
    pthread_mutex_unlock(&store->lock);
    return p;
}
