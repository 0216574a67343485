/* postgres_append.c -- one batch as one COPY: two round trips, all or nothing.
 *
 * The text that begins it is one implicit transaction, so the points are there when its end is
 * answered.  Points of a batch are numbered in the order they came in; the batch's own number is
 * drawn before its first point is sent. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "series/postgres_driver.h"

enum { CHUNK = 256 << 10, TRIES = 3, COPY_STATEMENT_S = 120, BATCH_BITS = 20 };
_Static_assert(SERIES_APPEND_ROWS <= 1 << BATCH_BITS, "a batch's points have numbers of their own");

struct copy {
    struct series_pg *pg;
    const struct series_frame *rows;
    uint64_t order;
    char *p;  /* where the next bytes go */
    char *at; /* the chunk */
};

static void put16(struct copy *c, unsigned value)
{
    *c->p++ = (char)(value >> 8);
    *c->p++ = (char)value;
}

static void put32(struct copy *c, uint32_t value)
{
    put16(c, value >> 16);
    put16(c, value & 0xffff);
}

static void put_bits(struct copy *c, uint64_t bits)
{
    put32(c, 8);
    pgs_put64(c->p, bits);
    c->p += 8;
}

static void put_row(struct copy *c, int64_t i)
{
    const struct series_frame *f = c->rows;
    put16(c, (unsigned)(2 + f->key_count + f->value_count));
    put_bits(c, (uint64_t)(f->at_us[i] - SERIES_PG_EPOCH_US));
    put_bits(c, c->order + (uint64_t)i);
    for (int k = 0; k < f->key_count; k++) {
        struct str text = f->keys[k][i];
        put32(c, (uint32_t)text.n);
        memcpy(c->p, text.p, text.n);
        c->p += text.n;
    }
    for (int k = 0; k < f->value_count; k++) {
        uint64_t bits;
        memcpy(&bits, &f->values[k][i], sizeof bits);
        if (isnan(f->values[k][i]))
            put32(c, UINT32_MAX);
        else
            put_bits(c, bits);
    }
}

static bool send_chunk(struct copy *c, struct err *err)
{
    int n = (int)(c->p - c->at);
    c->p = c->at;
    int taken = PQputCopyData(c->pg->c, c->at, n);
    return (taken > 0 || pgs_fail(c->pg, NULL, err)) && pgs_flush(c->pg, err);
}

static bool send_rows(struct copy *c, struct err *err)
{
    static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* and its NUL: 19 bytes */
    size_t most = 32 + (size_t)c->rows->key_count * (4 + SERIES_TEXT_BYTES) +
                  (size_t)c->rows->value_count * 12;
    bool ok = true;
    c->at = c->p = mem_alloc(CHUNK + most);
    memcpy(c->p, head, sizeof head);
    c->p += sizeof head;
    for (int64_t i = 0; ok && i < c->rows->n; i++) {
        put_row(c, i);
        if (c->p - c->at >= CHUNK)
            ok = send_chunk(c, err);
    }
    if (ok) {
        put16(c, 0xffff);
        ok = send_chunk(c, err);
    }
    mem_free(c->at);
    return ok;
}

static char *begin_text(const struct series *s)
{
    struct buf sql = {0};
    buf_printf(&sql,
               "set local statement_timeout = '%ds'; select nextval('maru_series.batch');"
               " copy maru_series.\"%s\" (\"at\", _order",
               COPY_STATEMENT_S, s->table);
    series_add_names(&sql, s->keys, s->key_count, ", ");
    series_add_names(&sql, s->values, s->value_count, ", ");
    buf_add_c(&sql, ") from stdin (format binary)");
    return buf_take(&sql, NULL);
}

/* Up to where points may be sent. */
static bool begin(struct copy *c, const struct series *s, struct err *err)
{
    char *sql = begin_text(s);
    bool sent = PQsendQuery(c->pg->c, sql) && pgs_flush(c->pg, err);
    mem_free(sql);
    PGresult *r;
    while (sent && (r = pgs_next(c->pg, err))) {
        ExecStatusType status = PQresultStatus(r);
        if (status == PGRES_TUPLES_OK)
            c->order = strtoull(PQgetvalue(r, 0, 0), NULL, 10) << BATCH_BITS;
        else if (status != PGRES_COMMAND_OK && status != PGRES_COPY_IN)
            return pgs_fail(c->pg, r, err);
        PQclear(r);
        if (status == PGRES_COPY_IN)
            return true;
    }
    return c->pg->c ? pgs_fail(c->pg, NULL, err) : false;
}

static bool end(struct copy *c, struct err *err)
{
    if (PQputCopyEnd(c->pg->c, NULL) != 1)
        return pgs_fail(c->pg, NULL, err);
    if (!pgs_flush(c->pg, err))
        return false;
    PGresult *r, *bad = NULL;
    bool ended = false;
    while ((r = pgs_next(c->pg, err))) {
        if (PQresultStatus(r) == PGRES_COMMAND_OK) {
            ended = true;
            PQclear(r);
        } else if (bad)
            PQclear(r);
        else
            bad = r;
    }
    if (bad && c->pg->c)
        return pgs_fail(c->pg, bad, err);
    PQclear(bad);
    if (c->pg->c)
        return ended || pgs_fail(c->pg, NULL, err);
    return err_wrap(err, "it is not known whether the points are there");
}

static bool check_times(const struct series_frame *f, const struct series *s, struct err *err)
{
    for (int64_t i = 0; i < f->n; i++)
        if (f->at_us[i] < SERIES_PG_FIRST_US)
            return err_set(err, ERR_INVALID,
                           "series \"%s\": row %lld: at lies before 4713 BC, which PostgreSQL "
                           "cannot hold",
                           s->name, (long long)i + 1);
    return true;
}

/* again: nothing was written, and another try may do: another server changed partitions. */
static bool copy_once(struct series_pg *pg, struct series_call *call, bool *again)
{
    struct copy c = {.pg = pg, .rows = call->rows};
    struct series *s = call->series;
    *again = false;
    if (!pgs_make_parts(pg, s, call->rows->at_us, call->rows->n, &call->err))
        return false;
    bool ok = begin(&c, s, &call->err) && send_rows(&c, &call->err) && end(&c, &call->err);
    if (ok || !pg->c)
        return ok;
    struct err why = call->err;
    if (PQtransactionStatus(pg->c) == PQTRANS_ACTIVE)
        PQputCopyEnd(pg->c, "given up");
    pgs_drain(pg);
    call->err = why;
    *again = why.code == ERR_BUSY || strstr(why.message, "partition constraint");
    s->parts.count = *again ? 0 : s->parts.count;
    return false;
}

bool pgs_append(struct series_conn *conn, struct series_call *call)
{
    bool again = true, ok = false;
    call->count = 0;
    if (!check_times(call->rows, call->series, &call->err))
        return false;
    for (int i = 0; i < TRIES && again && !ok; i++)
        ok = copy_once(conn->pg, call, &again);
    call->count = ok ? call->rows->n : 0;
    return ok;
}
