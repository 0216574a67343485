/* pg_connect.c -- making a connection: name lookup, TLS, authentication and settings take their
 * time, so all of it is done on threads of its own (pg_threads.c). */
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "storage/pg_private.h"

enum { WAIT_S = 600 }; /* a migration may take so long */

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
 * safety net.  Values over 2 KB are compressed by what takes a tenth of the time, where the server
 * has it and nobody chose. */
static const char always[] =
    "set client_encoding = 'UTF8'; set datestyle = 'ISO'; set timezone = 'UTC';"
    " set intervalstyle = 'postgres'; set bytea_output = 'hex'; set extra_float_digits = 1;"
    " set standard_conforming_strings = on;"
    " set idle_in_transaction_session_timeout = '15s';"
    " select set_config(name, 'lz4', false) from pg_settings where name ="
    " 'default_toast_compression' and source = 'default' and 'lz4' = any(enumvals);";

static bool set_up(struct pgsql *db, PGconn *c, struct err *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "%s set statement_timeout = %lld;%s", always,
               (long long)(db->most_ns / NS_PER_MS), db->settings ? db->settings : "");
    bool ok = exec_within(c, sql.p, PGSQL_CONNECT_S * NS_PER_SECOND, err);
    buf_free(&sql);
    return ok;
}

static int64_t server_pid(PGconn *c, struct err *err)
{
    PGresult *r = answer(c, PQsendQuery(c, "select pg_backend_pid()"),
                         clock_steady_ns() + PGSQL_CONNECT_S * NS_PER_SECOND, err);
    int64_t pid = r ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : -1;
    PQclear(r);
    return pid;
}

bool pgsql_check_pooler(PGconn *a, PGconn *b, struct err *err)
{
    const int64_t patience = PGSQL_CONNECT_S * NS_PER_SECOND;
    struct err ignored;
    int64_t first = server_pid(a, err), second = server_pid(a, err); /* a round robin shows here */
    if (first < 0 || second < 0 || !exec_within(b, "begin", patience, err) ||
        server_pid(b, err) < 0)
        return false;
    int64_t third = server_pid(a, err);
    exec_within(b, "rollback", patience, &ignored);
    if (third < 0)
        return false;
    return (first == second && first == third) ||
           err_set(err, ERR_INVALID,
                   "a pooler between here and PostgreSQL gives each transaction another"
                   " connection: pgbouncer needs pool_mode = session");
}

/* -- several hosts in one URL: one that gives no answer is not asked first by everybody -- */

static struct str item(const char *list, int i)
{
    struct str rest = str_c(list ? list : ""), each = str_split(&rest, ',');
    while (i-- > 0)
        each = str_split(&rest, ',');
    return each;
}

static int count_items(const char *list)
{
    int n = list && *list;
    for (const char *p = list; p && *p; p++)
        n += *p == ',';
    return n;
}

/* With item `first` in front; NULL stays, as does a list that is not of one item for each host. */
static char *rotated(const char *list, int hosts, int first)
{
    struct buf out = {0};
    if (count_items(list) != hosts)
        return mem_strdup(list);
    for (int i = 0; i < hosts; i++) {
        buf_add_c(&out, i ? "," : "");
        buf_add_str(&out, item(list, (first + i) % hosts));
    }
    return buf_take(&out, NULL);
}

struct hosts {
    char *host, *hostaddr, *port; /* as the URL has them, or NULL */
    int count;
};

static struct hosts hosts_of(const char *url)
{
    struct hosts h = {0};
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    for (PQconninfoOption *o = options; o && o->keyword; o++) {
        if (!strcmp(o->keyword, "host"))
            h.host = mem_strdup(o->val);
        if (!strcmp(o->keyword, "hostaddr"))
            h.hostaddr = mem_strdup(o->val);
        if (!strcmp(o->keyword, "port"))
            h.port = mem_strdup(o->val);
    }
    PQconninfoFree(options);
    h.count = count_items(h.host ? h.host : h.hostaddr);
    return h;
}

static void rotate(struct hosts *h, int first)
{
    char **const lists[] = {&h->host, &h->hostaddr, &h->port};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char *old = *lists[i];
        *lists[i] = rotated(old, h->count, first);
        mem_free(old);
    }
}

/* Which of them c is connected to, 0 when that cannot be told. */
static int host_of(const struct hosts *h, PGconn *c)
{
    bool ports = count_items(h->port) == h->count;
    for (int i = 0; i < h->count; i++)
        if (str_eq_c(item(h->host ? h->host : h->hostaddr, i), PQhost(c)) &&
            (!ports || str_eq_c(item(h->port, i), PQport(c))))
            return i;
    return 0;
}

static void hosts_free(struct hosts *h)
{
    mem_free(h->host);
    mem_free(h->hostaddr);
    mem_free(h->port);
}

static PGconn *connect_as(struct pgsql *db, const struct pgsql_login *login)
{
    char timeout[16], name[64];
    struct hosts hosts = hosts_of(db->url);
    int first = hosts.count > 1 ? pg_address_first(db->address) : 0;
    int64_t began = clock_steady_ns();
    snprintf(timeout, sizeof timeout, "%d", PGSQL_CONNECT_S);
    snprintf(name, sizeof name, "maru %s", db->what);
    if (first)
        rotate(&hosts, first);
    const char *keys[] = {"dbname",
                          "application_name",
                          "connect_timeout",
                          "keepalives_idle",
                          "tcp_user_timeout",
                          "user",
                          "password",
                          "host",
                          "hostaddr",
                          "port",
                          NULL};
    const char *values[] = {db->url,
                            name,
                            timeout,
                            "10",
                            "15000",
                            login->user,
                            login->user ? login->password : NULL,
                            first ? hosts.host : NULL,
                            first ? hosts.hostaddr : NULL,
                            first ? hosts.port : NULL,
                            NULL};
    PGconn *c = PQconnectdbParams(keys, values, 1);
    int host = -1;
    if (PQstatus(c) == CONNECTION_OK)
        host = hosts.count ? (first + host_of(&hosts, c)) % hosts.count : 0;
    pg_address_tried(db->address, host, clock_steady_ns() - began);
    hosts_free(&hosts);
    return c;
}

/* libpq gives the URL's password to whoever connects: one that is not its user's has its own, or
 * an empty one. */
PGconn *pgsql_connect_wait(struct pgsql *db, struct err *err)
{
    struct pgsql_login login = {db->user, db->password};
    if (db->log_in && !db->log_in(db->arg, &login, err))
        return NULL;
    PGconn *c = connect_as(db, &login);
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
