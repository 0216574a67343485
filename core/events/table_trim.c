/* table_trim.c -- events over their retention go, oldest first, a slice at a time. */
#include "base/clock.h"
#include "base/mem.h"
#include "events/private.h"
#include "observe/log.h"

enum { SLICE = 500, EVERY_MS = 30000, BUSY_MS = 1 };

struct old_topic {
    int64_t id, first, next, bytes;
};

/* The topics that may have something to give, looked at by the writer. */
static bool next_topic(struct sqlite_conn *conn, int64_t behind, struct old_topic *t,
                       struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn,
                                      "SELECT id, first, next, bytes FROM maru_event_topic"
                                      " WHERE id > ?1 AND first < next ORDER BY id LIMIT 1",
                                      err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, behind);
    int rc = sqlite_step(conn, s, err);
    *t = (struct old_topic){0};
    if (rc == SQLITE_ROW)
        *t = (struct old_topic){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
                                sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3)};
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

/* How many of the oldest go, at most SLICE, and what they have. */
static bool count_old(struct sqlite_conn *conn, const struct events *events,
                      const struct old_topic *t, int64_t *first, int64_t *bytes, struct err *err)
{
    const struct events_options *o = &events->options;
    int64_t cutoff = o->retention_ns ? clock_wall_ns() - o->retention_ns : 0;
    int64_t over = o->topic_bytes ? t->bytes - o->topic_bytes : 0;
    sqlite3_stmt *s = sqlite_prepared(
        conn,
        "SELECT id, at, ifnull(length(CAST(key AS BLOB)), 0) + ifnull(length(CAST(sender AS "
        "BLOB)), 0)"
        " + ifnull(length(CAST(headers AS BLOB)), 0) + length(CAST(data AS BLOB)) FROM maru_event"
        " WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        err);
    int rc = SQLITE_DONE;
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, t->id << TOPIC_SHIFT | t->first);
    sqlite3_bind_int64(s, 2, (t->id + 1) << TOPIC_SHIFT);
    sqlite3_bind_int(s, 3, SLICE);
    while ((rc = sqlite_step(conn, s, err)) == SQLITE_ROW &&
           (sqlite3_column_int64(s, 1) < cutoff || *bytes < over)) {
        *first = (sqlite3_column_int64(s, 0) & ((INT64_C(1) << TOPIC_SHIFT) - 1)) + 1;
        *bytes += sqlite3_column_int64(s, 2);
    }
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool drop(struct sqlite_conn *conn, const struct old_topic *t, int64_t first, int64_t bytes,
                 struct err *err)
{
    sqlite3_stmt *s =
        sqlite_prepared(conn, "DELETE FROM maru_event WHERE id >= ?1 AND id < ?2", err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, t->id << TOPIC_SHIFT | t->first);
    sqlite3_bind_int64(s, 2, t->id << TOPIC_SHIFT | first);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    if (rc != SQLITE_DONE)
        return false;
    s = sqlite_prepared(
        conn, "UPDATE maru_event_topic SET first = ?2, bytes = max(0, bytes - ?3) WHERE id = ?1",
        err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, t->id);
    sqlite3_bind_int64(s, 2, first);
    sqlite3_bind_int64(s, 3, first == t->next ? t->bytes : bytes);
    rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static struct events *events_of(struct sqlite_write *w)
{
    return (struct events *)(void *)((char *)w - offsetof(struct events, trim));
}

/* Topics behind one, up to another one, until the slice is full. */
static bool trim(struct events *events, struct sqlite_conn *conn, int64_t behind, int64_t last,
                 struct err *err)
{
    struct old_topic t = {.id = behind};
    while (events->trim_rows < SLICE && next_topic(conn, t.id, &t, err) && t.id && t.id <= last) {
        int64_t first = t.first, bytes = 0;
        if (!count_old(conn, events, &t, &first, &bytes, err))
            return false;
        if (first == t.first)
            continue;
        if (!drop(conn, &t, first, bytes, err))
            return false;
        events->trim_rows += first - t.first;
        events->trim_last = t.id;
    }
    return !err->code;
}

/* Begins behind the topic that was cut last: one that grows faster than it is cut holds up no
 * other. */
static bool work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct events *events = events_of(w);
    int64_t from = events->trim_last;
    events->trim_rows = 0;
    return trim(events, conn, from, INT64_MAX, &w->err) && trim(events, conn, 0, from, &w->err);
}

static void arm(void *arg)
{
    struct events *events = arg;
    if (!events->stopped)
        timer_start(events->options.lane, &events->upkeep,
                    (events->trim_rows >= SLICE ? BUSY_MS : EVERY_MS) * NS_PER_MS);
}

static void done(struct sqlite_write *w)
{
    struct events *events = events_of(w);
    if (w->err.code)
        log_error("events", "old ones are not deleted: %s", w->err.message);
    lane_call(events->options.lane, arm, events);
    pthread_mutex_lock(&events->lock);
    events->trimming = false;
    pthread_cond_broadcast(&events->quiet);
    pthread_mutex_unlock(&events->lock);
}

static void on_upkeep(struct timer *timer)
{
    struct events *events = list_entry(timer, struct events, upkeep);
    pthread_mutex_lock(&events->lock);
    events->trimming = true;
    pthread_mutex_unlock(&events->lock);
    sqlite_write(events->db, &events->trim, NULL);
}

void trim_start(struct events *events)
{
    events->trim.work = work;
    events->trim.done = done;
    events->upkeep.fire = on_upkeep;
    events->upkeep.upkeep = true;
    timer_start(events->options.lane, &events->upkeep, EVERY_MS * NS_PER_MS / 10);
}

void trim_stop(struct events *events)
{
    timer_stop(events->options.lane, &events->upkeep);
}
