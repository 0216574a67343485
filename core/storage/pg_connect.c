/* pg_connect.c -- making a connection: name lookup, TLS, authentication and settings take their
 * time, so all of it is done on threads of its own. */
#include <poll.h>

#include "base/clock.h"
#include "base/mem.h"
#include "storage/pg_private.h"

enum { WAIT_S = 600, THREADS = 3 }; /* a migration may take so long */

static void ignore_notice(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

bool pgsql_check_url(const char *key, const char *url, struct err *err)
{
    struct str text = str_c(url);
    char *why = NULL;
    bool ok = str_starts(text, STR("postgresql://")) || str_starts(text, STR("postgres://")) ||
              (memchr(text.p, '=', text.n) && !strstr(url, "://"));
    PQconninfoOption *options = ok ? PQconninfoParse(url, &why) : NULL;
    ok = options != NULL;
    for (PQconninfoOption *o = options; ok && o->keyword; o++)
        if (o->val && strcmp(o->keyword, "port") == 0)
            ok = strspn(o->val, "0123456789,") == strlen(o->val);
    PQconninfoFree(options);
    PQfreemem(why);
    return ok || err_set(err, ERR_INVALID,
                         "%s: must be postgresql://user:password@host:port/database, with %%XX for"
                         " what is special in the password",
                         key);
}

/* The last answer; NULL with *err when it is a refusal or does not come: a server that stands
 * still closes no connection. */
static PGresult *answer(PGconn *c, bool sent, int64_t until_ns, struct err *err)
{
    PGresult *last = NULL, *r;
    while (sent) {
        while (PQisBusy(c)) {
            struct pollfd fd = {.fd = PQsocket(c), .events = POLLIN};
            int64_t left = (until_ns - clock_steady_ns()) / NS_PER_MS;
            if (left <= 0 || poll(&fd, 1, (int)left) < 0 || !PQconsumeInput(c))
                break;
        }
        if (PQisBusy(c)) {
            PQclear(last);
            if (PQstatus(c) == CONNECTION_OK)
                err_set(err, ERR_IO, "PostgreSQL: no answer in time");
            else
                pgsql_error(c, NULL, err);
            return NULL;
        }
        if (!(r = PQgetResult(c)))
            break;
        if (last && PQresultStatus(last) == PGRES_FATAL_ERROR)
            PQclear(r);
        else {
            PQclear(last);
            last = r;
        }
    }
    ExecStatusType status = PQresultStatus(last);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
        return last;
    pgsql_error(c, last, err);
    PQclear(last);
    return NULL;
}

static bool exec_within(PGconn *c, const char *sql, int64_t ns, struct err *err)
{
    PGresult *r = answer(c, PQsendQuery(c, sql), clock_steady_ns() + ns, err);
    PQclear(r);
    return r != NULL;
}

bool pgsql_exec_wait(PGconn *c, const char *sql, struct err *err)
{
    return exec_within(c, sql, WAIT_S * NS_PER_SECOND, err);
}

PGresult *pgsql_query_wait(PGconn *c, const char *sql, int count, const char *const *values,
                           struct err *err)
{
    return answer(c, PQsendQueryParams(c, sql, count, NULL, values, NULL, NULL, 0),
                  clock_steady_ns() + WAIT_S * NS_PER_SECOND, err);
}

/* Times and bytes as pg_value.c reads them; the clock of an idle transaction is the server's
 * safety net. */
static const char always[] =
    "set client_encoding = 'UTF8'; set datestyle = 'ISO'; set timezone = 'UTC';"
    " set intervalstyle = 'postgres'; set bytea_output = 'hex'; set extra_float_digits = 1;"
    " set standard_conforming_strings = on;"
    " set idle_in_transaction_session_timeout = '15s';";

static bool set_up(struct pgsql *db, PGconn *c, struct err *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "%s set statement_timeout = %lld;%s", always,
               (long long)(db->most_ns / NS_PER_MS), db->settings ? db->settings : "");
    bool ok = exec_within(c, sql.p, PGSQL_CONNECT_S * NS_PER_SECOND, err);
    buf_free(&sql);
    return ok;
}

/* libpq gives the URL's password to whoever connects: one that is not its user's has its own, or
 * an empty one. */
PGconn *pgsql_connect_wait(struct pgsql *db, struct err *err)
{
    char timeout[16], name[64];
    struct pgsql_login login = {db->user, db->password};
    if (db->log_in && !db->log_in(db->arg, &login, err))
        return NULL;
    snprintf(timeout, sizeof timeout, "%d", PGSQL_CONNECT_S);
    snprintf(name, sizeof name, "maru %s", db->what);
    const char *keys[] = {"dbname",           "application_name",
                          "connect_timeout",  "keepalives_idle",
                          "tcp_user_timeout", "user",
                          "password",         NULL};
    const char *values[] = {
        db->url, name, timeout, "10", "15000", login.user, login.user ? login.password : NULL,
        NULL};
    PGconn *c = PQconnectdbParams(keys, values, 1);
    if (PQstatus(c) == CONNECTION_OK) {
        PQsetNoticeReceiver(c, ignore_notice, NULL);
        if (set_up(db, c, err))
            return c;
    } else {
        const char *message = PQerrorMessage(c);
        pgsql_error(c, NULL, err);
        if (strstr(message, "too many") || strstr(message, "remaining connection slots"))
            err->code = ERR_BUSY;
    }
    PQfinish(c);
    return NULL;
}

/* -- on threads that all identities share -- */

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *shared; /* under shared_lock */
static int shared_refs;

bool pg_threads_ref(struct err *err)
{
    pthread_mutex_lock(&shared_lock);
    if (shared_refs == 0)
        shared = pool_create("postgres", THREADS, err);
    shared_refs += shared != NULL;
    bool ok = shared != NULL;
    pthread_mutex_unlock(&shared_lock);
    return ok;
}

void pg_threads_unref(void)
{
    pthread_mutex_lock(&shared_lock);
    if (--shared_refs == 0)
        pool_destroy(shared);
    if (shared_refs == 0)
        shared = NULL;
    pthread_mutex_unlock(&shared_lock);
}

static void on_arrived(struct lane_message *message)
{
    struct pgsql_connecting *c = list_entry(message, struct pgsql_connecting, message);
    list_remove(&c->link);
    c->arrived(c);
    mem_free(c);
}

static void work(struct pool_job *job)
{
    struct pgsql_connecting *c = list_entry(job, struct pgsql_connecting, job);
    c->c = pgsql_connect_wait(c->db, &c->err);
}

/* Still on the thread, and the last that it does with the job. */
static void hand_over(struct pool_job *job)
{
    struct pgsql_connecting *c = list_entry(job, struct pgsql_connecting, job);
    struct pgsql *db = c->db;
    PGconn *made = c->c;
    pthread_mutex_lock(&db->lock);
    bool dropped = c->state == CONNECTING_DROPPED;
    if (!dropped) {
        c->state = CONNECTING_ARRIVES;
        c->message.fn = on_arrived;
        lane_post(c->lane, &c->message);
    }
    if (dropped) {
        PQfinish(made);
        mem_free(c);
    }
    db->running--;
    pthread_cond_broadcast(&db->quiet);
    pthread_mutex_unlock(&db->lock);
}

struct pgsql_connecting *pg_connecting_start(struct pgsql *db, struct lane *lane,
                                             void (*arrived)(struct pgsql_connecting *connecting),
                                             void *arg)
{
    struct pgsql_connecting *c = mem_zero(1, sizeof *c);
    c->db = db;
    c->lane = lane;
    c->arrived = arrived;
    c->arg = arg;
    c->job.work = work;
    c->job.done = hand_over;
    list_init(&c->link);
    pthread_mutex_lock(&db->lock);
    db->running++;
    pthread_mutex_unlock(&db->lock);
    pool_submit(shared, &c->job, NULL);
    return c;
}

bool pg_connecting_drop(struct pgsql_connecting *c)
{
    pthread_mutex_lock(&c->db->lock);
    bool runs = c->state == CONNECTING_RUNS;
    list_remove(&c->link);
    if (runs)
        c->state = CONNECTING_DROPPED;
    pthread_mutex_unlock(&c->db->lock);
    return runs;
}
