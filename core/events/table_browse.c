/* table_browse.c -- an operator's look at a topic of the table, on a pool thread. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "events/private.h"

/* Events lie in the order of their commits: their times are in order but for this much. */
#define DISORDER_NS (10 * NS_PER_SECOND)

struct browsing {
    struct sqlite_read read; /* first */
    struct event_browse *browse;
    int64_t base;      /* rowid of the topic's offset 0 */
    int64_t low, high; /* offsets of what is wanted: low <= … < high */
    int64_t end;       /* of the topic */
    int64_t at;        /* newest: all below is unseen; else all from it on */
};

static struct str column(sqlite3_stmt *s, int i)
{
    const void *p = sqlite3_column_blob(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

static bool find(struct sqlite_conn *conn, struct browsing *b, struct err *err)
{
    struct str name = b->browse->topic;
    sqlite3_stmt *s =
        sqlite_prepared(conn, "SELECT id, first, next FROM maru_event_topic WHERE name = ?1", err);
    if (!s)
        return false;
    sqlite3_bind_text64(s, 1, name.p, name.n, SQLITE_STATIC, SQLITE_UTF8);
    int rc = sqlite_step(conn, s, err);
    if (rc == SQLITE_ROW) {
        b->base = sqlite3_column_int64(s, 0) << TOPIC_SHIFT;
        b->low = sqlite3_column_int64(s, 1);
        b->end = b->high = sqlite3_column_int64(s, 2);
    }
    sqlite3_reset(s);
    if (rc == SQLITE_DONE)
        err_set(err, ERR_NOT_FOUND, "events: there is no topic '%.*s'", (int)name.n, name.p);
    return rc == SQLITE_ROW;
}

/* The first offset from low on whose event is not older than `at`, or high; by halving. */
static bool first_since(struct sqlite_conn *conn, const struct browsing *b, int64_t at,
                        int64_t *offset, struct err *err)
{
    int64_t low = b->low, high = b->high;
    sqlite3_stmt *s = sqlite_prepared(
        conn, "SELECT id, at FROM maru_event WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1", err);
    if (!s)
        return false;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        sqlite3_bind_int64(s, 1, b->base + middle);
        sqlite3_bind_int64(s, 2, b->base + high);
        int rc = sqlite_step(conn, s, err);
        int64_t found = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) - b->base : 0;
        bool early = rc == SQLITE_ROW && sqlite3_column_int64(s, 1) < at;
        sqlite3_reset(s);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return false;
        if (early)
            low = found + 1;
        else
            high = middle;
    }
    *offset = low;
    return true;
}

static bool narrow(struct sqlite_conn *conn, struct browsing *b, struct err *err)
{
    const struct event_browse *q = b->browse;
    int64_t low = b->low, high = b->high;
    if (q->since && !first_since(conn, b, q->since - DISORDER_NS, &low, err))
        return false;
    if (q->until && !first_since(conn, b, q->until + DISORDER_NS, &high, err))
        return false;
    b->low = low;
    b->high = high > low ? high : low;
    return true;
}

static int64_t within(int64_t n, int64_t low, int64_t high)
{
    return n < low ? low : n > high ? high : n;
}

static bool place(struct browsing *b, struct err *err)
{
    const struct event_browse *q = b->browse;
    long long at = q->newest ? b->high : b->low;
    if (q->partition > 0)
        return err_set(err, ERR_NOT_FOUND, "events: topic '%.*s' has one partition, 0",
                       (int)q->topic.n, q->topic.p);
    if (q->cursor.n && (q->cursor.n < 3 || memcmp(q->cursor.p, "0:", 2) != 0 ||
                        !str_int64(str_n(q->cursor.p + 2, q->cursor.n - 2), &at) || at < 0))
        return err_set(err, ERR_INVALID, "events: '%.*s' is no cursor of a page",
                       (int)(q->cursor.n < 40 ? q->cursor.n : 40), q->cursor.p);
    if (!q->cursor.n && q->offset >= 0)
        at = q->newest ? q->offset + 1 : q->offset;
    b->at = within(at, b->low, b->high);
    return true;
}

/* False: the page is full, and this event is of the next one. */
static bool take(struct browsing *b, sqlite3_stmt *s, int *shown)
{
    struct event_browse *q = b->browse;
    struct event event = {
        .offset = sqlite3_column_int64(s, 0) - b->base,
        .at_wall = sqlite3_column_int64(s, 1),
        .key = column(s, 2),
        .from = column(s, 3),
        .headers = column(s, 4),
        .data = column(s, 5),
    };
    if (*shown == q->limit || (*shown && q->out.n >= EVENT_BROWSE_BYTES))
        return false;
    q->looked++;
    b->at = q->newest ? event.offset : event.offset + 1;
    if (!event_is_wanted(q, &event))
        return true;
    if ((*shown)++)
        buf_add_char(&q->out, ',');
    event_print(&q->out, q->topic, &event);
    return true;
}

static bool walk(struct sqlite_conn *conn, struct browsing *b, struct err *err)
{
    static const char sql[2][120] = {
        "SELECT id, at, key, sender, headers, data FROM maru_event WHERE id >= ?1 AND id < ?2"
        " ORDER BY id",
        "SELECT id, at, key, sender, headers, data FROM maru_event WHERE id >= ?1 AND id < ?2"
        " ORDER BY id DESC"};
    struct event_browse *q = b->browse;
    int64_t until = clock_steady_ns() + EVENT_BROWSE_MS * NS_PER_MS;
    sqlite3_stmt *s = sqlite_prepared(conn, sql[q->newest], err);
    int shown = 0, rc = SQLITE_ROW;
    bool more = true;
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, b->base + (q->newest ? b->low : b->at));
    sqlite3_bind_int64(s, 2, b->base + (q->newest ? b->at : b->high));
    while (more && q->looked < EVENT_BROWSE_LOOKS && clock_steady_ns() < until &&
           (rc = sqlite_step(conn, s, err)) == SQLITE_ROW)
        more = take(b, s, &shown);
    sqlite3_reset(s);
    q->end = rc == SQLITE_DONE;
    if (q->end)
        b->at = q->newest ? b->low : b->high;
    return rc == SQLITE_DONE || rc == SQLITE_ROW;
}

static bool browse_work(struct sqlite_conn *conn, struct sqlite_read *r)
{
    struct browsing *b = (struct browsing *)(void *)r;
    return find(conn, b, &r->err) && narrow(conn, b, &r->err) && place(b, &r->err) &&
           walk(conn, b, &r->err);
}

static void browse_done(struct sqlite_read *r)
{
    struct browsing *b = (struct browsing *)(void *)r;
    struct event_browse *q = b->browse;
    q->err = r->err;
    snprintf(q->next, sizeof q->next, "0:%" PRId64, b->at);
    snprintf(q->tail, sizeof q->tail, "0:%" PRId64, b->end);
    mem_free(b);
    event_browse_answer(q);
}

void table_browse(struct events *events, struct event_browse *browse)
{
    struct browsing *b = mem_zero(1, sizeof *b);
    b->browse = browse;
    b->read.work = browse_work;
    b->read.done = browse_done;
    sqlite_read(events->db, &b->read, NULL);
}
