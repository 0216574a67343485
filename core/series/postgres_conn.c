/* postgres_conn.c -- a connection that never waits for ever, and statements on it. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "series/postgres_driver.h"

enum { CONNECT_MS = 5000, LOOK_MS = 100, VERSION_LEAST = 140000, PG_TEXT_OID = 25 };
enum { PG_BIGINT_OID = 20, PG_TIMESTAMP_OID = 1114, PG_INTERVAL_OID = 1186 };

static void ignore_notice(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

/* libpq's message, in one line; it never has the connection string. */
static bool say(struct err *err, enum err_code code, const char *text)
{
    struct str line = str_trim(str_c(text));
    line.n = str_find(line, '\n');
    if (str_starts(line, STR("ERROR:  ")))
        line = str_n(line.p + 8, line.n - 8);
    return err_set(err, code, "series: PostgreSQL: %.*s", (int)line.n, line.p);
}

void pgs_disconnect(struct series_pg *pg)
{
    PQfinish(pg->c);
    pg->c = NULL;
}

/* The connection is of no use any more: nobody else shall wait for that server either. */
static bool lose(struct series_pg *pg, struct err *err)
{
    pgs_disconnect(pg);
    if (pg->owner)
        pgs_away(pg->owner->store, err);
    return false;
}

static enum err_code code_of(const char *state)
{
    static const struct {
        const char *prefix;
        enum err_code code;
    } codes[] = {
        {"57014", ERR_TIMEOUT},   {"55P03", ERR_BUSY},   {"40", ERR_BUSY},
        {"25006", ERR_READONLY},  {"53200", ERR_MEMORY}, {"53", ERR_FULL},
        {"42501", ERR_FORBIDDEN},
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strncmp(state, codes[i].prefix, strlen(codes[i].prefix)) == 0)
            return codes[i].code;
    return ERR_SQL;
}

bool pgs_fail(struct series_pg *pg, PGresult *r, struct err *err)
{
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    bool lost = !pg->c || PQstatus(pg->c) != CONNECTION_OK || !state ||
                strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0;
    if (pg->c && (r || err->code == ERR_NONE))
        say(err, lost ? ERR_IO : code_of(state),
            r ? PQresultErrorMessage(r) : PQerrorMessage(pg->c));
    PQclear(r);
    if (lost && pg->c)
        lose(pg, err);
    return false;
}

static void stop_statement(struct series_pg *pg)
{
    char why[64];
    PGcancel *cancel = PQgetCancel(pg->c);
    if (cancel)
        PQcancel(cancel, why, sizeof why);
    PQfreeCancel(cancel);
}

/* Waits until the socket is ready; false when nothing comes in time or the call is cancelled. */
static bool wait_for(struct series_pg *pg, short events, int64_t until_ns, struct err *err)
{
    for (;;) {
        struct pollfd fd = {.fd = PQsocket(pg->c), .events = events};
        int64_t left_ms = (until_ns - clock_steady_ns()) / NS_PER_MS;
        if (pg->call && series_is_cancelled(pg->call)) {
            stop_statement(pg);
            return err_set(err, ERR_CANCELLED, "cancelled");
        }
        if (left_ms <= 0)
            return err_set(err, ERR_TIMEOUT, "series: PostgreSQL: no answer in time");
        int n = poll(&fd, 1, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS);
        if (n > 0 || (n < 0 && errno != EINTR))
            return true;
    }
}

static int64_t patience(const struct series_pg *pg)
{
    return clock_steady_ns() + (pg->answer_ms ? pg->answer_ms : SERIES_PG_ANSWER_MS) * NS_PER_MS;
}

bool pgs_flush(struct series_pg *pg, struct err *err)
{
    int left;
    while ((left = PQflush(pg->c)) > 0) {
        if (!wait_for(pg, POLLIN | POLLOUT, patience(pg), err))
            return lose(pg, err);
        if (!PQconsumeInput(pg->c))
            break;
    }
    return left == 0 || pgs_fail(pg, NULL, err);
}

PGresult *pgs_next(struct series_pg *pg, struct err *err)
{
    err_clear(err);
    while (pg->c && PQisBusy(pg->c)) {
        if (!wait_for(pg, POLLIN, patience(pg), err)) {
            lose(pg, err);
            return NULL;
        }
        if (!PQconsumeInput(pg->c)) {
            pgs_fail(pg, NULL, err);
            return NULL;
        }
    }
    return pg->c ? PQgetResult(pg->c) : NULL;
}

void pgs_drain(struct series_pg *pg)
{
    PGresult *r;
    struct err err;
    while (pg->c && (r = pgs_next(pg, &err)))
        PQclear(r);
}

static bool is_good(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

/* The last result of what was sent. */
static PGresult *finish(struct series_pg *pg, int sent, struct err *err)
{
    PGresult *last = NULL, *r;
    err_clear(err);
    if (!sent) {
        pgs_fail(pg, NULL, err);
        return NULL;
    }
    if (!pgs_flush(pg, err))
        return NULL;
    while ((r = pgs_next(pg, err))) {
        PQclear(last);
        last = r;
        if (!is_good(r))
            break;
    }
    if (last && is_good(last) && pg->c)
        return last;
    if (last || pg->c)
        pgs_fail(pg, last, err);
    pgs_drain(pg);
    return NULL;
}

PGresult *pgs_run(struct series_pg *pg, const char *sql, struct err *err)
{
    return finish(pg, PQsendQuery(pg->c, sql), err);
}

int64_t pgs_int64(const char *p)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | (unsigned char)p[i];
    return (int64_t)value;
}

double pgs_double(const char *p)
{
    int64_t bits = pgs_int64(p);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void pgs_put64(char *p, uint64_t value)
{
    value = htobe64(value);
    memcpy(p, &value, sizeof value);
}

/* Values as libpq takes them; bytes has sixteen for each. */
static void encode(const struct query *q, Oid *types, const char **values, int *lengths,
                   int *formats, char (*bytes)[16])
{
    static const Oid oids[] = {PG_TEXT_OID, PG_BIGINT_OID, PG_TIMESTAMP_OID,
                               PG_INTERVAL_OID}; /* ORDER param_type */
    for (int i = 0; i < q->count; i++) {
        const struct param *p = &q->params[i];
        types[i] = oids[p->type];
        formats[i] = 1;
        values[i] = p->type == PARAM_TEXT ? p->text.p : bytes[i];
        lengths[i] = p->type == PARAM_TEXT ? (int)p->text.n : p->type == PARAM_SPAN ? 16 : 8;
        int64_t number = p->number;
        if (p->type == PARAM_TIME)
            number =
                (number < SERIES_PG_FIRST_US ? SERIES_PG_FIRST_US : number) - SERIES_PG_EPOCH_US;
        memset(bytes[i], 0, 16);
        pgs_put64(bytes[i], (uint64_t)number);
    }
}

bool pgs_send(struct series_pg *pg, struct query *q, int format, struct err *err)
{
    Oid types[SERIES_PARAMS];
    const char *values[SERIES_PARAMS];
    int lengths[SERIES_PARAMS], formats[SERIES_PARAMS];
    char bytes[SERIES_PARAMS][16];
    encode(q, types, values, lengths, formats, bytes);
    err_clear(err);
    int sent =
        PQsendQueryParams(pg->c, q->sql.p, q->count, types, values, lengths, formats, format);
    buf_free(&q->sql);
    return sent || pgs_fail(pg, NULL, err);
}

PGresult *pgs_query(struct series_pg *pg, struct query *q, struct err *err)
{
    return pgs_send(pg, q, 1, err) ? finish(pg, 1, err) : NULL;
}

static bool start_connection(struct series_pg *pg, const char *url, struct err *err)
{
    const char *const keys[] = {"dbname",          "application_name", "client_encoding",
                                "keepalives_idle", "tcp_user_timeout", NULL};
    const char *const values[] = {url, "maru series", "UTF8", "10", "15000", NULL};
    int64_t until = clock_steady_ns() + CONNECT_MS * NS_PER_MS;
    pg->c = PQconnectStartParams(keys, values, 1);
    if (!pg->c)
        return err_set(err, ERR_MEMORY, "series: PostgreSQL: no memory for a connection");
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (PQstatus(pg->c) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
        if (!wait_for(pg, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, until, err))
            return false;
        state = PQconnectPoll(pg->c);
        if (state == PGRES_POLLING_FAILED)
            break;
    }
    return PQstatus(pg->c) == CONNECTION_OK || say(err, ERR_IO, PQerrorMessage(pg->c));
}

bool pgs_connect(struct series_pg *pg, const char *url, struct err *err)
{
    static const char settings[] =
        "set timezone = 'UTC'; set standard_conforming_strings = on; set search_path = ''; set "
        "statement_timeout = 10000;"
        "set lock_timeout = 5000; set idle_in_transaction_session_timeout = 30000;"
        "set max_parallel_workers_per_gather = 0; set jit = off; set extra_float_digits = 1;"
        "set client_min_messages = warning";
    bool ok = start_connection(pg, url, err);
    if (ok && PQserverVersion(pg->c) < VERSION_LEAST)
        ok = err_set(err, ERR_INVALID, "series: PostgreSQL must be 14 or newer");
    if (ok) {
        PQsetNoticeReceiver(pg->c, ignore_notice, NULL);
        PQsetnonblocking(pg->c, 1);
        PGresult *r = pgs_run(pg, settings, err);
        ok = r != NULL;
        PQclear(r);
    }
    if (!ok && pg->c)
        pgs_disconnect(pg);
    return ok;
}

/* Whether the server has closed an idle connection: nothing was asked of it, so nothing is lost. */
static bool is_closed(struct series_pg *pg)
{
    struct pollfd fd = {.fd = PQsocket(pg->c), .events = POLLIN};
    return PQstatus(pg->c) != CONNECTION_OK ||
           (poll(&fd, 1, 0) > 0 && (!PQconsumeInput(pg->c) || PQstatus(pg->c) != CONNECTION_OK));
}

bool pgs_ready(struct series_conn *conn, struct err *err)
{
    struct series_pg *pg = conn->pg;
    if (!pgs_in_reach(conn->store, err))
        return false;
    if (pg->c && is_closed(pg))
        pgs_disconnect(pg);
    if (pg->c)
        return true;
    if (!pgs_connect(pg, conn->store->options.url, err)) {
        pgs_away(conn->store, err);
        return false;
    }
    pgs_back(conn->store);
    return true;
}
