/* postgres_plugin.c -- a plugin's schema and role.
 *
 * The role is <login>_<plugin>.  Its password is made of the login's, so that every node that knows
 * store.url knows it and nobody else does; the server is sent only its SCRAM verifier.  A login
 * without password makes roles without: they get in where the login does (trust, certificates).
 */
#include <poll.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "storage/postgres_private.h"

enum { PASSWORD_BYTES = 32, DIGEST_BYTES = 6 };

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

/* PostgreSQL cuts names, so what is too long ends in a digest of all of it instead: two plugins are
 * never one. */
static void make_name(char out[POSTGRES_NAME_BYTES + 1], const char *front, const char *name)
{
    char whole[256];
    unsigned char digest[crypto_generichash_BYTES_MIN];
    int n = snprintf(whole, sizeof whole, "%s_%s", front, name);
    if (n <= POSTGRES_NAME_BYTES) {
        memcpy(out, whole, (size_t)n + 1);
        return;
    }
    crypto_generichash(digest, sizeof digest, (const unsigned char *)whole, strlen(whole), NULL, 0);
    size_t kept = POSTGRES_NAME_BYTES - 2 * DIGEST_BYTES - 1;
    memcpy(out, whole, kept);
    out[kept] = '_';
    sodium_bin2hex(out + kept + 1, 2 * DIGEST_BYTES + 1, digest, DIGEST_BYTES);
}

/* maru_series is the host's (series/postgres.sql); no plugin's name has a dash. */
void postgres_schema(char out[POSTGRES_NAME_BYTES + 1], const char *plugin)
{
    make_name(out, "maru", strcmp(plugin, "series") ? plugin : "series-plugin");
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

/* "t" of a statement's one answer; up to three values. */
static bool is_so(PGconn *c, const char *sql, const char *const *values, int count, struct err *err)
{
    PGresult *r = pgsql_query_wait(c, sql, count, values, err);
    bool so = r && PQntuples(r) == 1 && !strcmp(PQgetvalue(r, 0, 0), "t");
    PQclear(r);
    return so;
}

/* A role of that name that somebody else made is not taken: it may be anybody. */
static bool make_role(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    static const char there[] = "select count(*) > 0 from pg_catalog.pg_roles where rolname = $1";
    static const char ours[] =
        "select pg_catalog.shobj_description(r.oid, 'pg_authid') is not distinct from $2 or exists"
        " (select 1 from pg_catalog.pg_namespace n where n.nspname = $3 and n.nspowner = r.oid)"
        " from pg_catalog.pg_roles r where rolname = $1 and not rolsuper";
    char mark[96];
    const char *values[] = {p->role, mark, p->schema};
    snprintf(mark, sizeof mark, "plugin %s of maru", p->name);
    bool exists = is_so(c, there, values, 1, err);
    if (exists && !is_so(c, ours, values, 3, err) && !err->code)
        return err_set(err, ERR_CONFLICT,
                       "the role \"%s\" is there, and not maru's: rename it, or the plugin",
                       p->role);
    if (err->code || (!exists && !run_format(c, err, "create role \"%s\" noinherit", p->role)))
        return false;
    char *verifier = *p->password ? PQencryptPasswordConn(c, p->password, p->role, NULL) : NULL;
    bool ok =
        run_format(c, err, "comment on role \"%s\" is '%s'", p->role, mark) &&
        run_format(c, err, "alter role \"%s\" login nocreatedb nocreaterole password %s%s%s",
                   p->role, verifier ? "'" : "", verifier ? verifier : "null", verifier ? "'" : "");
    PQfreemem(verifier);
    return ok && run_format(c, err, "grant \"%s\" to current_user", p->role);
}

static bool can_make_roles(PGconn *c, struct err *err)
{
    return is_so(c, "select rolcreaterole or rolsuper from pg_roles where rolname = current_user",
                 NULL, 0, err);
}

static bool has_schema(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    const char *name = p->schema;
    return is_so(c, "select count(*) > 0 from pg_namespace where nspname = $1", &name, 1, err);
}

/* What was made while no roles could be is the login's: the plugin could not reach it.  What
 * belongs to a table goes with it; schema and outbox stay the host's. */
static bool hand_over(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    static const char commands[] =
        "select pg_catalog.string_agg(pg_catalog.format('alter %s %s owner to %I', kind, name, "
        "$2::text),"
        " ';' order by turn) from ("
        " select case relkind when 'v' then 'view' when 'm' then 'materialized view'"
        "  when 'S' then 'sequence' when 'f' then 'foreign table' else 'table' end kind,"
        "  oid::regclass::text name, relnamespace schema, relowner owner, 1 turn"
        "  from pg_catalog.pg_class c"
        "  where relkind in ('r', 'p', 'v', 'm', 'S', 'f') and relname <> 'maru_outbox' and not "
        "exists"
        "  (select 1 from pg_catalog.pg_depend d where d.classid = 'pg_class'::regclass"
        "   and d.objid = c.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')"
        "   and c.relkind = 'S') union all"
        " select 'routine', oid::regprocedure::text, pronamespace, proowner, 2"
        "  from pg_catalog.pg_proc union all"
        " select case typtype when 'd' then 'domain' else 'type' end, oid::regtype::text,"
        "  typnamespace, typowner, 3 from pg_catalog.pg_type t where typtype in ('e', 'd', 'r') or"
        "  (typtype = 'c' and exists (select 1 from pg_catalog.pg_class c where c.oid = t.typrelid "
        "and"
        "   relkind = 'c'))) o"
        " where schema = (select oid from pg_catalog.pg_namespace where nspname = $1)"
        " and owner = (select oid from pg_catalog.pg_roles where rolname = current_user)";
    const char *values[] = {p->schema, p->role};
    PGresult *r = pgsql_query_wait(c, commands, 2, values, err);
    const char *text = r ? PQgetvalue(r, 0, 0) : "";
    bool done = *text && pgsql_exec_wait(c, "begin", err) && pgsql_exec_wait(c, text, err) &&
                pgsql_exec_wait(c, "commit", err);
    PQclear(r);
    if (done)
        log_info("store", "%s: what is in the schema %s is the role's now", p->name, p->schema);
    return !err->code || err_wrap(err, "handing it over to the role %s", p->role);
}

/* The login's, in which the role makes what it likes: its owner may drop what others have in it,
 * and the triggers of a table in the outbox's place would run as the login. */
static bool make_schema(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    static const char not_ours[] = "select pg_catalog.pg_get_userbyid(nspowner) <> current_user"
                                   " from pg_catalog.pg_namespace where nspname = $1";
    const char *name = p->schema;
    if (!has_schema(p, c, err) &&
        (err->code || !run_format(c, err, "create schema \"%s\"", p->schema)))
        return false;
    if (!p->own_role)
        return true;
    if (is_so(c, not_ours, &name, 1, err))
        run_format(c, err, "alter schema \"%s\" owner to current_user", p->schema);
    return !err->code &&
           run_format(c, err, "grant usage, create on schema \"%s\" to \"%s\"", p->schema,
                      p->role) &&
           hand_over(p, c, err);
}

/* Why libpq did not get in: the server's SQLSTATE stands in the message, which is in any language.
 * 28: who it is; 42501: not to this database.  Everything else may pass. */
static bool is_refused(struct postgres_plugin *p)
{
    const char *keys[] = {"dbname", "user", "password", "connect_timeout", NULL};
    const char *values[] = {p->store->url, p->role, p->password, "5", NULL};
    int64_t until = clock_steady_ns() + PGSQL_CONNECT_S * NS_PER_SECOND;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    PGconn *c = PQconnectStartParams(keys, values, 1);
    PQsetErrorVerbosity(c, PQERRORS_SQLSTATE);
    while (PQstatus(c) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
           state != PGRES_POLLING_FAILED && clock_steady_ns() < until) {
        struct pollfd fd = {.fd = PQsocket(c),
                            .events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        if (poll(&fd, 1, 100) != 0)
            state = PQconnectPoll(c);
    }
    const char *message = PQerrorMessage(c);
    bool refused =
        PQstatus(c) == CONNECTION_BAD &&
        (strstr(message, ":  28") || strstr(message, ":  42501") || PQconnectionNeedsPassword(c));
    PQfinish(c);
    return refused;
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

/* What transactions bring along (carry.h); the login's, so that a plugin can only add to it. */
static bool make_outbox(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    static const char ours[] =
        "select tableowner = current_user from pg_catalog.pg_tables where schemaname = $1"
        " and tablename = 'maru_outbox'";
    if (!run_format(c, err,
                    "create table if not exists \"%s\".maru_outbox(seq bigint generated always as"
                    " identity primary key, id text not null, home text not null, noun text not"
                    " null, body text not null, at timestamptz not null default now(), taker text)",
                    p->schema))
        return false;
    if (is_so(c, ours, (const char *const[]){p->schema}, 1, err))
        return !p->own_role || run_format(c, err, "grant insert on \"%s\".maru_outbox to \"%s\"",
                                          p->schema, p->role);
    return !err->code && err_set(err, ERR_CONFLICT,
                                 "its maru_outbox is not the login's: drop it, or give it to"
                                 " the user of store.url");
}

/* False with *err when it is not known whether the plugin may have a role: then it does not run,
 * for without one its statements would be the login's. */
static bool choose_role(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    p->own_role = can_make_roles(c, err);
    if (!p->own_role) {
        if (!err->code)
            warn(p->store, "the login may not make any");
        return !err->code;
    }
    if (!make_role(p, c, err))
        return err_wrap(err, "the role of %s", p->name);
    if (try_login(p, err))
        return true;
    if (!is_refused(p))
        return err_wrap(err, "the role of %s", p->name);
    warn(p->store, err->message);
    err_clear(err);
    p->own_role = false;
    return true;
}

/* Two nodes may do this at the same time. */
static bool set_up(struct postgres_plugin *p, PGconn *c, struct err *err)
{
    if (!pgsql_exec_wait(c, "select pg_advisory_lock(hashtextextended('maru store', 0))", err))
        return false;
    make_name(p->role, PQuser(c), p->name);
    mem_free(p->password);
    p->password = derive(PQpass(c), p->role);
    return choose_role(p, c, err) && make_schema(p, c, err) && make_outbox(p, c, err);
}

bool postgres_plugin_ready(struct postgres_plugin *p, struct err *err)
{
    err_clear(err);
    if (__atomic_load_n(&p->ready, __ATOMIC_ACQUIRE))
        return true;
    pthread_mutex_lock(&p->lock);
    if (!p->ready) {
        PGconn *c = pgsql_connect_wait(p->store->host, err);
        __atomic_store_n(&p->ready, c && set_up(p, c, err), __ATOMIC_RELEASE);
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

/* What the role would be, by store.url alone. */
static void guess(struct postgres_plugin *p)
{
    const char *user = NULL, *password = NULL;
    PQconninfoOption *options = PQconninfoParse(p->store->url, NULL);
    for (PQconninfoOption *o = options; o && o->keyword; o++) {
        if (!strcmp(o->keyword, "user"))
            user = o->val;
        if (!strcmp(o->keyword, "password"))
            password = o->val;
    }
    if (user) {
        make_name(p->likely_role, user, p->name);
        p->likely_password = derive(password, p->likely_role);
    }
    PQconninfoFree(options);
}

/* When the first server has been away since before this process began: the replica has what was
 * made there.  It does not wait for one that is known to give no answer. */
static bool log_in_to_replica(void *arg, struct pgsql_login *login, struct err *err)
{
    struct postgres_plugin *p = arg;
    bool ready = __atomic_load_n(&p->ready, __ATOMIC_ACQUIRE);
    if ((ready || !pgsql_is_slow(p->store->host)) && log_in(arg, login, err))
        return true;
    err_clear(err);
    if (p->likely_password) {
        login->user = p->likely_role;
        login->password = *p->likely_password ? p->likely_password : NULL;
    }
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
    postgres_schema(p->schema, p->name);
    guess(p);
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
    char *const secrets[] = {p->password, p->likely_password};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        if (secrets[i])
            sodium_memzero(secrets[i], strlen(secrets[i]));
        mem_free(secrets[i]);
    }
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
