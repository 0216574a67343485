/* table.c -- the embedded stream: rows of the host's database.
 *
 * DESIGN.  An event's rowid is its topic's number and its offset, so that a
 * topic is one range of the table and there is no second index.  Emits wait in
 * events->pending; one write at a time takes all of them into one commit.  What
 * begins to hear a topic waits in the same line: it hears every event that was
 * emitted after it began.
 *
 * Invariant: topic->next, as this process shows it, is of what is on disk; only
 * table_publish() moves it.
 */
#include "events/private.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/rand.h"
#include "observe/log.h"
#include "observe/metrics.h"

static const char tables[] =
    "CREATE TABLE IF NOT EXISTS maru_event_topic(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " first INT NOT NULL, next INT NOT NULL, bytes INT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS maru_event(id INTEGER PRIMARY KEY, at INT NOT NULL, key TEXT,"
    " sender TEXT, headers TEXT, data TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS maru_event_group(plugin TEXT NOT NULL, topic TEXT NOT NULL,"
    " offset INT NOT NULL, PRIMARY KEY(plugin, topic)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS maru_event_stream(id TEXT PRIMARY KEY);";

/* -- rows ----------------------------------------------------------------------------------- */

struct cursor { /* a topic's row while ops are written */
    int64_t id, next, bytes;
    struct str name;
    bool dirty;
};

static void bind_text(sqlite3_stmt *s, int i, struct str text)
{
    if (text.n)
        sqlite3_bind_text64(s, i, text.p, text.n, SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_null(s, i);
}

static bool run(struct sqlite_conn *conn, sqlite3_stmt *s, struct err *err)
{
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool flush(struct sqlite_conn *conn, struct cursor *c, struct err *err)
{
    if (!c->dirty)
        return true;
    sqlite3_stmt *s = sqlite_prepared(
        conn, "UPDATE maru_event_topic SET next = ?2, bytes = ?3 WHERE id = ?1", err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, c->id);
    sqlite3_bind_int64(s, 2, c->next);
    sqlite3_bind_int64(s, 3, c->bytes);
    c->dirty = false;
    return run(conn, s, err);
}

static bool find(struct sqlite_conn *conn, struct cursor *c, struct err *err)
{
    sqlite3_stmt *s =
        sqlite_prepared(conn, "SELECT id, next, bytes FROM maru_event_topic WHERE name = ?1", err);
    if (!s)
        return false;
    bind_text(s, 1, c->name);
    int rc = sqlite_step(conn, s, err);
    c->id = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    c->next = rc == SQLITE_ROW ? sqlite3_column_int64(s, 1) : 0;
    c->bytes = rc == SQLITE_ROW ? sqlite3_column_int64(s, 2) : 0;
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

/* c->id stays 0 when there are too many. */
static bool make(struct sqlite_conn *conn, struct cursor *c, struct err *err)
{
    sqlite3_stmt *s =
        sqlite_prepared(conn,
                        "INSERT INTO maru_event_topic(name, first, next, bytes) SELECT ?1, 0, 0, 0"
                        " WHERE (SELECT count(*) FROM maru_event_topic) < ?2"
                        " AND (SELECT count(*) FROM maru_event_topic"
                        " WHERE name >= ?3 || '.' AND name < ?3 || '/') < ?4",
                        err);
    if (!s)
        return false;
    bind_text(s, 1, c->name);
    sqlite3_bind_int(s, 2, EVENT_TOPICS);
    bind_text(s, 3, str_n(c->name.p, str_find(c->name, '.')));
    sqlite3_bind_int(s, 4, EVENT_TOPICS_EACH);
    if (!run(conn, s, err))
        return false;
    return find(conn, c, err);
}

/* Stands at the op's topic. */
static bool seek(struct sqlite_conn *conn, struct cursor *c, const struct op *op, struct err *err)
{
    if (c->name.p && str_eq(c->name, op->what.topic))
        return true;
    if (!flush(conn, c, err))
        return false;
    *c = (struct cursor){.name = op->what.topic};
    return find(conn, c, err) && (c->id || make(conn, c, err));
}

/* As table_trim.c counts it. */
static int64_t weight(const struct op *op)
{
    const struct event_what *what = &op->what;
    return (int64_t)(what->key.n + what->from.n + what->headers.n + what->data.n);
}

static bool insert(struct sqlite_conn *conn, struct cursor *c, struct op *op, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn,
                                      "INSERT INTO maru_event(id, at, key, sender, headers, data)"
                                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                                      err);
    if (!s)
        return false;
    op->offset = c->next++;
    c->bytes += weight(op);
    c->dirty = true;
    sqlite3_bind_int64(s, 1, c->id << TOPIC_SHIFT | op->offset);
    sqlite3_bind_int64(s, 2, op->at_wall);
    bind_text(s, 3, op->what.key);
    bind_text(s, 4, op->what.from);
    bind_text(s, 5, op->what.headers);
    sqlite3_bind_text64(s, 6, op->what.data.p, op->what.data.n, SQLITE_STATIC, SQLITE_UTF8);
    return run(conn, s, err);
}

/* A group begins where it was, or at the end there is now, or at the beginning. */
static bool begin_group(struct sqlite_conn *conn, const struct cursor *c, struct op *op,
                        struct err *err)
{
    const struct group *g = op->group;
    sqlite3_stmt *s = sqlite_prepared(
        conn, "INSERT OR IGNORE INTO maru_event_group(plugin, topic, offset) VALUES(?1, ?2, ?3)",
        err);
    if (!s)
        return false;
    bind_text(s, 1, str_c(g->plugin));
    bind_text(s, 2, op->what.topic);
    sqlite3_bind_int64(s, 3, g->beginning ? 0 : c->next);
    if (!run(conn, s, err))
        return false;
    s = sqlite_prepared(
        conn, "SELECT offset FROM maru_event_group WHERE plugin = ?1 AND topic = ?2", err);
    if (!s)
        return false;
    bind_text(s, 1, str_c(g->plugin));
    bind_text(s, 2, op->what.topic);
    int rc = sqlite_step(conn, s, err);
    op->offset = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    return rc == SQLITE_ROW;
}

bool table_write(struct events *events, struct sqlite_conn *conn, struct op *first, struct err *err)
{
    struct cursor c = {0};
    (void)events;
    for (struct op *op = first; op; op = op->next) {
        if (!seek(conn, &c, op, err))
            return false;
        op->refused = c.id == 0;
        if (!op->refused &&
            !(op->group ? begin_group(conn, &c, op, err) : insert(conn, &c, op, err)))
            return false;
    }
    return flush(conn, &c, err);
}

void table_publish(struct events *events, struct op *op)
{
    pthread_mutex_lock(&events->lock);
    struct topic *t = topic_of(events, op->what.topic);
    if (op->offset >= t->next)
        t->next = op->offset + 1;
    metric_add(t->emitted, 1);
    bool heard = t->heard;
    pthread_mutex_unlock(&events->lock);
    if (heard)
        groups_wake(events);
}

/* -- the line of what waits ------------------------------------------------------------------ */

static struct events *events_of(struct sqlite_write *w)
{
    return (struct events *)(void *)((char *)w - offsetof(struct events, write));
}

/* Lock held. */
static void hand_over(struct events *events)
{
    if (events->writing || !events->pending)
        return;
    events->writing = true;
    sqlite_write(events->db, &events->write, NULL);
}

static bool work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct events *events = events_of(w);
    if (!events->taken) {
        pthread_mutex_lock(&events->lock);
        events->batch = events->pending;
        events->pending = NULL;
        events->pending_end = &events->pending;
        pthread_mutex_unlock(&events->lock);
        events->taken = true;
    }
    return table_write(events, conn, events->batch, &w->err);
}

static void began(void *arg)
{
    group_began(arg);
}

static void settle(struct events *events, struct op *op, const struct err *err)
{
    struct group *group = op->group;
    if (!group) {
        if (!err && !op->refused)
            table_publish(events, op);
        op_answer(op, err);
        return;
    }
    pthread_mutex_lock(&events->lock);
    group->offset = err || op->refused ? -1 : op->offset;
    pthread_mutex_unlock(&events->lock);
    if (err || op->refused)
        log_error("events", "%s cannot hear %s: %s", group->plugin, group->topic,
                  err ? err->message : "there are too many topics");
    op_free(op);
    lane_call(events->options.lane, began, group);
}

static void done(struct sqlite_write *w)
{
    struct events *events = events_of(w);
    struct op *batch = events->batch;
    events->batch = NULL;
    events->taken = false;
    if (w->err.code)
        log_error("events", "nothing written: %s", w->err.message);
    lane_hold_posts();
    for (struct op *op = batch, *next; op; op = next) {
        next = op->next;
        settle(events, op, w->err.code ? &w->err : NULL);
    }
    lane_send_posts();
    pthread_mutex_lock(&events->lock);
    events->writing = false;
    hand_over(events);
    pthread_cond_broadcast(&events->quiet);
    pthread_mutex_unlock(&events->lock);
}

void events_queue(struct events *events, struct op *op)
{
    op->next = NULL;
    pthread_mutex_lock(&events->lock);
    *events->pending_end = op;
    events->pending_end = &op->next;
    hand_over(events);
    pthread_mutex_unlock(&events->lock);
}

/* -- life ------------------------------------------------------------------------------------ */

static bool make_tables(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct events *events = arg;
    rand_uuid7(events->stream);
    if (!sqlite_exec(conn, tables, err))
        return false;
    sqlite3_stmt *s = sqlite_prepared(conn,
                                      "INSERT INTO maru_event_stream SELECT ?1 WHERE NOT EXISTS"
                                      " (SELECT 1 FROM maru_event_stream)",
                                      err);
    if (!s)
        return false;
    bind_text(s, 1, str_c(events->stream));
    if (!run(conn, s, err) || !(s = sqlite_prepared(conn, "SELECT id FROM maru_event_stream", err)))
        return false;
    int rc = sqlite_step(conn, s, err);
    if (rc == SQLITE_ROW)
        snprintf(events->stream, sizeof events->stream, "%s",
                 (const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    return rc == SQLITE_ROW;
}

bool table_make(struct events *events, struct err *err)
{
    events->write.work = work;
    events->write.done = done;
    return sqlite_work_wait(events->db, make_tables, events, err) ||
           err_wrap(err, "events: make tables");
}

static bool load(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct events *events = arg;
    sqlite3_stmt *s = sqlite_prepared(conn, "SELECT name, next FROM maru_event_topic", err);
    int rc = SQLITE_ERROR;
    while (s && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW) {
        struct topic *t = topic_of(events, str_c((const char *)sqlite3_column_text(s, 0)));
        t->next = sqlite3_column_int64(s, 1);
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool open_table(struct events *events, struct err *err)
{
    if (!sqlite_read_wait(events->db, load, events, err))
        return err_wrap(err, "events: read topics");
    trim_start(events);
    return true;
}

static void close_table(struct events *events)
{
    (void)events;
}

const struct events_driver events_table = {
    .name = "table",
    .open = open_table,
    .close = close_table,
    .emit = events_queue,
    .record = table_write,
    .recorded = table_publish,
    .keep = events_queue,
    .read = table_read,
    .browse = table_browse,
    .view = table_view,
    .follow = groups_follow,
    .quiet = groups_quiet,
    .scrape = groups_scrape,
};
