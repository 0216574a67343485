/* postgres/call.c -- one statement with its arguments, and the connection under it. */
#include "jobs/postgres/postgres.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "storage/pg.h"

enum { PAUSE_LEAST_MS = 100, PAUSE_MOST_MS = 2000, HEADER = 20 };
/* Above statement_timeout; of what a push waits for; at the end. */
enum { ANSWER_MS = 35000, WRITE_MS = 8000, LAST_MS = 2000, LOOK_MS = 250 };

static void ignore_notice(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

/* libpq's message, in one line, without the connection string. */
static void failure(struct err *err, enum err_code code, const char *text, const char *hint)
{
    struct str line = str_trim(str_c(text));
    line.n = str_find(line, '\n');
    if (line.n == 0)
        line = STR("no answer in time");
    err_set(err, code, "PostgreSQL: %.*s%s", (int)line.n, line.p, hint);
}

bool pg_check_url(const char *url, struct err *err)
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
                         "jobs.url: must be postgresql://user:password@host:port/database, with"
                         " %%XX for what is special in the password");
}

static void pause_longer(struct pg_conn *conn)
{
    conn->pause_ms = conn->pause_ms ? conn->pause_ms * 2 : PAUSE_LEAST_MS;
    if (conn->pause_ms > PAUSE_MOST_MS)
        conn->pause_ms = PAUSE_MOST_MS;
    conn->retry_at_ns = clock_ns() + conn->pause_ms * NS_PER_MS;
}

static PGconn *open_connection(struct pg_conn *conn)
{
    char *name = mem_printf("maru %s %s", conn->what, conn->pg->name);
    const char *const keys[] = {"dbname",
                                "application_name",
                                "connect_timeout",
                                "client_encoding",
                                "keepalives_idle",
                                "tcp_user_timeout",
                                NULL};
    const char *const values[] = {conn->pg->url, name, "5", "UTF8", "10", "15000", NULL};
    PGconn *c = PQconnectdbParams(keys, values, 1);
    mem_free(name);
    return c;
}

/* Every table is reached by an index, however small it was when it was last analyzed. */
static const char settings[] = "SET statement_timeout = '30s'; SET lock_timeout = '10s';"
                               "SET idle_in_transaction_session_timeout = '30s';"
                               "SET enable_seqscan = off; SET enable_hashjoin = off; SET "
                               "enable_mergejoin = off; SET jit = off;"
                               "SET plan_cache_mode = force_generic_plan";

bool pg_connect(struct pg_conn *conn, struct err *err)
{
    if (conn->c)
        return true;
    if (clock_ns() < conn->retry_at_ns)
        return err_set(err, ERR_IO, "PostgreSQL: not connected");
    conn->c = open_connection(conn);
    if (PQstatus(conn->c) != CONNECTION_OK) {
        failure(err, ERR_IO, PQerrorMessage(conn->c), "");
        pg_disconnect(conn);
        return false;
    }
    PQsetNoticeReceiver(conn->c, ignore_notice, NULL);
    if (!pg_run(conn, settings, err)) {
        pg_disconnect(conn);
        return false;
    }
    conn->tag = (uint32_t)rand_u64();
    conn->pause_ms = 0;
    conn->retry_at_ns = 0;
    return true;
}

/* Their names are not used again: what is prepared is there until the connection ends. */
static void forget_prepared(struct pg_conn *conn)
{
    if (conn->prepared)
        map_destroy(conn->prepared);
    conn->prepared = NULL;
}

void pg_disconnect(struct pg_conn *conn)
{
    PQfinish(conn->c);
    conn->c = NULL;
    forget_prepared(conn);
    pause_longer(conn);
}

static int begin(struct pg_args *a, Oid type, int format)
{
    invariant(a->n < PG_ARGS);
    int i = a->n++;
    a->types[i] = type;
    a->formats[i] = format;
    a->counts[i] = 0;
    a->bufs[i] = (struct buf){0};
    return i;
}

void pg_int(struct pg_args *a, int64_t value)
{
    int i = begin(a, 20, 0);
    buf_printf(&a->bufs[i], "%lld", (long long)value);
}

void pg_text(struct pg_args *a, const char *text)
{
    int i = begin(a, 25, 0);
    if (text)
        buf_add_c(&a->bufs[i], text);
    if (text && !a->bufs[i].p)
        buf_reserve(&a->bufs[i], 1);
}

static void add32(struct buf *b, int32_t value)
{
    uint32_t net = htonl((uint32_t)value);
    buf_add(b, &net, sizeof net);
}

void pg_array(struct pg_args *a, Oid array_type)
{
    int i = begin(a, array_type, 1);
    buf_add(&a->bufs[i], "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", HEADER);
}

void pg_add_int(struct pg_args *a, int64_t value)
{
    int i = a->n - 1;
    struct buf *b = &a->bufs[i];
    int size = a->types[i] == PG_INT8S ? 8 : a->types[i] == PG_INT4S ? 4 : 2;
    unsigned char bytes[8];
    for (int k = 0; k < size; k++)
        bytes[k] = (unsigned char)((uint64_t)value >> (8 * (size - 1 - k)));
    add32(b, size);
    buf_add(b, bytes, (size_t)size);
    a->counts[i]++;
}

/* PostgreSQL refuses a text that is not UTF-8 or has a NUL, and with it the whole batch. */
static void add_clean(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        buf_add_char(b, c == 0 || c >= 0x80 ? '?' : (char)c);
    }
}

void pg_add_text(struct pg_args *a, struct str text, bool null)
{
    struct buf *b = &a->bufs[a->n - 1];
    a->counts[a->n - 1]++;
    add32(b, null ? -1 : (int32_t)text.n);
    if (null)
        return;
    if (text.n && (memchr(text.p, 0, text.n) || !utf8_valid(text)))
        add_clean(b, text);
    else
        buf_add_str(b, text);
}

static Oid element(Oid array)
{
    return array == PG_INT8S ? 20 : array == PG_INT4S ? 23 : array == PG_INT2S ? 21 : 25;
}

/* Dimensions, whether there are nulls, the elements' type, how many, from 1. */
static void finish_array(struct pg_args *a, int i)
{
    struct buf *b = &a->bufs[i];
    const uint32_t header[] = {htonl(a->counts[i] > 0), htonl(1), htonl(element(a->types[i])),
                               htonl((uint32_t)a->counts[i]), htonl(1)};
    memcpy(b->p, header, HEADER);
    if (a->counts[i] == 0)
        b->n = 12;
}

void pg_args_free(struct pg_args *a)
{
    for (int i = 0; i < a->n; i++)
        buf_free(&a->bufs[i]);
    a->n = 0;
}

static bool is_closing(struct pg *pg)
{
    pthread_mutex_lock(&pg->lock);
    bool ending = pg->ending;
    pthread_mutex_unlock(&pg->lock);
    jobs_lock(pg->jobs);
    ending = ending || pg->jobs->closed;
    jobs_unlock(pg->jobs);
    return ending;
}

/* The last answer to what was sent; NULL when it did not come in time: a server that stands still
 * closes no connection, and its own timeouts do not run. */
static PGresult *answer(struct pg_conn *conn, int sent)
{
    PGresult *last = NULL;
    struct pg *pg = conn->pg;
    int64_t most = ANSWER_MS * NS_PER_MS, began = clock_ns();
    if (conn == &pg->to_write)
        most = WRITE_MS * NS_PER_MS;
    if (conn == &pg->to_beat && pg->prepared && pg->lease_ns < most)
        most = pg->lease_ns;
    while (sent) {
        bool there = true;
        while (there && PQisBusy(conn->c)) {
            struct pollfd fd = {.fd = PQsocket(conn->c), .events = POLLIN};
            int64_t past = clock_ns() - began;
            if (past > most || (past > LAST_MS * NS_PER_MS && is_closing(pg))) {
                PQclear(last);
                return NULL;
            }
            poll(&fd, 1, LOOK_MS);
            there = PQconsumeInput(conn->c);
        }
        PGresult *r = PQgetResult(conn->c);
        if (!r)
            break;
        PQclear(last);
        last = r;
    }
    return last;
}

/* Takes the result apart from a failure. */
static PGresult *check(struct pg_conn *conn, PGresult *r, struct err *err)
{
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY)
        return r; /* empty: a version of functions only */
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    bool lost = PQstatus(conn->c) != CONNECTION_OK || !state || strncmp(state, "57P", 3) == 0 ||
                strncmp(state, "08", 2) == 0;
    failure(err, lost ? ERR_IO : ERR_SQL, r ? PQresultErrorMessage(r) : PQerrorMessage(conn->c),
            pgsql_hint(state));
    if (state && strcmp(state, "MA001") == 0)
        err->code = ERR_CONFLICT;
    else if (state && strcmp(state, "MA002") == 0)
        err->code = ERR_EXISTS;
    else if (state && (strncmp(state, "40", 2) == 0 || strcmp(state, "55P03") == 0))
        err->code = ERR_BUSY; /* a deadlock or a lock: nothing was done, it may be tried again */
    else if (state && strncmp(state, "53", 2) == 0)
        err->code = ERR_FULL;
    else if (state && conn->prepared &&
             (strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0)) {
        err->code = ERR_BUSY; /* what it calls is another version's now */
        forget_prepared(conn);
    }
    PQclear(r);
    if (lost)
        pg_disconnect(conn);
    return NULL;
}

static void finish_args(struct pg_args *a)
{
    for (int i = 0; i < a->n; i++) {
        if (a->formats[i] == 1)
            finish_array(a, i);
        a->values[i] = a->bufs[i].p;
        a->lengths[i] = (int)a->bufs[i].n;
    }
}

PGresult *pg_call(struct pg_conn *conn, const char *sql, struct pg_args *a, struct err *err)
{
    finish_args(a);
    PGresult *r = conn->c ? answer(conn, PQsendQueryParams(conn->c, sql, a->n, a->types, a->values,
                                                           a->lengths, a->formats, 0))
                          : NULL;
    pg_args_free(a);
    if (!conn->c) {
        err_set(err, ERR_IO, "PostgreSQL: not connected");
        return NULL;
    }
    return check(conn, r, err);
}

/* Its name on this connection; false with *err. */
static bool prepare(struct pg_conn *conn, const char *sql, const struct pg_args *a, char name[32],
                    struct err *err)
{
    if (!conn->prepared)
        conn->prepared = map_create();
    intptr_t number = (intptr_t)map_get(conn->prepared, str_c(sql));
    /* No other connection's: behind a pooler its text might be another one. */
    snprintf(name, 32, "maru%08x_%d", conn->tag, number ? (int)number : conn->names + 1);
    if (number)
        return true;
    PGresult *r = check(conn, answer(conn, PQsendPrepare(conn->c, name, sql, a->n, a->types)), err);
    if (r)
        map_set(conn->prepared, str_c(sql), (void *)(intptr_t)++conn->names);
    PQclear(r);
    return r != NULL;
}

PGresult *pg_call_often(struct pg_conn *conn, const char *sql, struct pg_args *a, struct err *err)
{
    char name[32];
    if (!conn->c || !prepare(conn, sql, a, name, err)) {
        pg_args_free(a);
        if (!err->code)
            err_set(err, ERR_IO, "PostgreSQL: not connected");
        return NULL;
    }
    finish_args(a);
    PGresult *r = answer(
        conn, PQsendQueryPrepared(conn->c, name, a->n, a->values, a->lengths, a->formats, 0));
    pg_args_free(a);
    return check(conn, r, err);
}

bool pg_run(struct pg_conn *conn, const char *sql, struct err *err)
{
    if (!conn->c)
        return err_set(err, ERR_IO, "PostgreSQL: not connected");
    PGresult *r = check(conn, answer(conn, PQsendQuery(conn->c, sql)), err);
    PQclear(r);
    return r != NULL;
}

int64_t pg_get_int(const PGresult *r, int row, int column)
{
    return PQgetisnull(r, row, column) ? 0 : strtoll(PQgetvalue(r, row, column), NULL, 10);
}

struct str pg_get(const PGresult *r, int row, int column)
{
    return str_n(PQgetvalue(r, row, column), (size_t)PQgetlength(r, row, column));
}
