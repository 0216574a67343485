/* table_group.c -- plugins that hear topics of the table: what comes next becomes jobs.
 *
 * Each group has one batch under way: read on a pool thread, kept as jobs in
 * one commit with the group's new offset (or, where jobs are kept elsewhere,
 * followed by a commit of that offset).  It is handed no more than
 * EVENT_WINDOW jobs that have not ended.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "events/private.h"
#include "observe/log.h"
#include "observe/metrics.h"

enum { AGAIN_MS = 500, ROOM_MS = 50 };

struct group_batch {
    struct event_batch batch; /* first */
    struct group *group;
    struct sqlite_read read;
    struct sqlite_write write;
    struct table_rows rows;
    struct str args[EVENT_BATCH];
    int partitions[EVENT_BATCH];
};

static void step(struct group *g);

static void free_group(struct group *g)
{
    struct events *events = g->events;
    pthread_mutex_lock(&events->lock);
    list_remove(&g->link);
    g->at->heard = false;
    list_each (node, &events->groups)
        if (list_entry(node, struct group, link)->at == g->at)
            g->at->heard = true;
    pthread_mutex_unlock(&events->lock);
    timer_stop(events->options.lane, &g->again);
    buf_free(&g->batch->rows.out);
    mem_free(g->batch);
    mem_free(g->plugin);
    mem_free(g->topic);
    mem_free(g->kind);
    mem_free(g);
}

static void later(struct group *g, int64_t ms)
{
    timer_start(g->events->options.lane, &g->again, ms * NS_PER_MS);
}

static void on_again(struct timer *timer)
{
    step(list_entry(timer, struct group, again));
}

/* -- one batch ------------------------------------------------------------------------------- */

static bool move_row(struct sqlite_conn *conn, const struct group *g, int64_t offset,
                     struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(
        conn, "UPDATE maru_event_group SET offset = ?3 WHERE plugin = ?1 AND topic = ?2", err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, g->plugin, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, g->topic, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, offset);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

/* Without rows all that was there went by its retention. */
static int64_t end_of(const struct group_batch *b)
{
    return b->rows.count ? b->rows.offsets[b->rows.count - 1] + 1 : b->rows.first;
}

static bool record(struct sqlite_conn *conn, struct event_batch *batch, struct err *err)
{
    struct group_batch *b = (struct group_batch *)batch;
    return move_row(conn, b->group, end_of(b), err);
}

static void finish(struct group *g, const struct err *err)
{
    struct group_batch *b = g->batch;
    g->busy = false;
    if (!err) {
        metric_add(g->consumed, b->rows.count);
        pthread_mutex_lock(&g->events->lock);
        g->offset = end_of(b);
        pthread_mutex_unlock(&g->events->lock);
    } else
        log_error("events", "%s from %s on waits: %s", g->kind, g->topic, err->message);
    if (g->gone)
        free_group(g);
    else if (err)
        later(g, AGAIN_MS);
    else
        step(g);
}

static void on_moved(struct sqlite_write *w)
{
    struct group_batch *b =
        (struct group_batch *)(void *)((char *)w - offsetof(struct group_batch, write));
    finish(b->group, w->err.code ? &w->err : NULL);
}

static bool move_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct group_batch *b =
        (struct group_batch *)(void *)((char *)w - offsetof(struct group_batch, write));
    return move_row(conn, b->group, end_of(b), &w->err);
}

static void move(struct group_batch *b)
{
    b->write.work = move_work;
    b->write.done = on_moved;
    sqlite_write(b->group->events->db, &b->write, b->group->events->options.lane);
}

static void on_over(struct event_batch *batch)
{
    struct group_batch *b = (struct group_batch *)batch;
    if (batch->err.code || batch->recorded)
        finish(b->group, batch->err.code ? &batch->err : NULL);
    else
        move(b);
}

/* Behind what is there already, its retention took events that were not handed over. */
static void note_lost(struct group *g, int64_t from, int64_t to)
{
    metric_add(g->lost, (double)(to - from));
    log_warn("events", "%s missed %lld events of %s: they were over their retention", g->plugin,
             (long long)(to - from), g->topic);
}

static void on_read(struct sqlite_read *r)
{
    struct group_batch *b =
        (struct group_batch *)(void *)((char *)r - offsetof(struct group_batch, read));
    struct group *g = b->group;
    struct table_rows *rows = &b->rows;
    struct err none = {.code = ERR_NOT_FOUND, .message = "its events are not there"};
    if (!r->err.code && rows->count == 0 && rows->first > rows->after + 1) {
        note_lost(g, rows->after + 1, rows->first);
        move(b);
        return;
    }
    if (r->err.code || rows->count == 0) {
        finish(g, r->err.code ? &r->err : &none);
        return;
    }
    if (rows->offsets[0] > rows->after + 1)
        note_lost(g, rows->after + 1, rows->offsets[0]);
    for (int i = 0, at = 0; i < rows->count; at = (int)rows->ends[i++])
        b->args[i] = str_n(rows->out.p + at, rows->ends[i] - (size_t)at);
    b->batch = (struct event_batch){.plugin = g->plugin,
                                    .topic = g->topic,
                                    .kind = g->kind,
                                    .stream = g->events->stream,
                                    .args = b->args,
                                    .partitions = b->partitions,
                                    .offsets = rows->offsets,
                                    .count = rows->count,
                                    .record = record,
                                    .over = on_over};
    g->events->options.deliver(&b->batch, g->events->options.arg);
}

static bool read_work(struct sqlite_conn *conn, struct sqlite_read *r)
{
    struct group_batch *b =
        (struct group_batch *)(void *)((char *)r - offsetof(struct group_batch, read));
    return table_rows(conn, &b->rows, &r->err);
}

/* Begins the next batch if there is one, and room for it. */
static void step(struct group *g)
{
    struct events *events = g->events;
    struct group_batch *b = g->batch;
    if (g->busy || g->gone)
        return;
    pthread_mutex_lock(&events->lock);
    int64_t offset = g->offset, left = offset < 0 ? 0 : g->at->next - offset;
    pthread_mutex_unlock(&events->lock);
    if (left <= 0)
        return;
    int64_t room = EVENT_WINDOW - events->options.unfinished(g->kind, events->options.arg);
    if (room <= 0) {
        later(g, ROOM_MS);
        return;
    }
    g->busy = true;
    buf_clear(&b->rows.out);
    b->rows.name = str_c(g->topic);
    b->rows.topic = 0;
    b->rows.after = offset - 1;
    b->rows.limit = (int)(room < EVENT_BATCH ? room : EVENT_BATCH);
    b->read.work = read_work;
    b->read.done = on_read;
    sqlite_read(events->db, &b->read, events->options.lane);
}

/* -- who hears -------------------------------------------------------------------------------- */

void group_began(struct group *g)
{
    g->busy = false;
    if (g->gone)
        free_group(g);
    else
        step(g);
}

static void on_wake(struct lane_message *message)
{
    struct events *events =
        (struct events *)(void *)((char *)message - offsetof(struct events, wake));
    pthread_mutex_lock(&events->lock);
    events->woken = false;
    pthread_mutex_unlock(&events->lock);
    list_each_safe (node, &events->groups)
        step(list_entry(node, struct group, link));
}

void groups_wake(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    bool post = !events->woken;
    events->woken = true;
    pthread_mutex_unlock(&events->lock);
    if (!post)
        return;
    events->wake.fn = on_wake;
    lane_post(events->options.lane, &events->wake);
}

static void make_metrics(struct group *g)
{
    struct buf labels = {0};
    metrics_label(&labels, "plugin", str_c(g->plugin));
    metrics_label(&labels, "topic", str_c(g->topic));
    g->consumed = metrics_counter("maru_events_consumed_total",
                                  "Events handed over to plugins as jobs.", labels.p);
    g->lag = metrics_gauge("maru_events_lag", "Events that were not handed over yet.", labels.p);
    g->lost = metrics_counter(
        "maru_events_missed_total",
        "Events that were never handed over: too old, or too large for a job.", labels.p);
    buf_free(&labels);
}

static void group_open(struct events *events, const struct event_follow *f)
{
    struct group *g = mem_zero(1, sizeof *g);
    struct event_what what = {.topic = str_c(f->topic)};
    g->events = events;
    g->plugin = mem_strdup(f->plugin);
    g->topic = mem_strdup(f->topic);
    g->kind = mem_strdup(f->kind);
    g->beginning = f->beginning;
    g->offset = -1;
    g->busy = true; /* until it is known where it begins */
    g->again.fire = on_again;
    g->batch = mem_zero(1, sizeof *g->batch);
    g->batch->group = g;
    make_metrics(g);
    pthread_mutex_lock(&events->lock);
    g->at = topic_of(events, what.topic);
    g->at->heard = true;
    list_push_back(&events->groups, &g->link);
    pthread_mutex_unlock(&events->lock);
    struct op *op = op_create(events, NULL, &what);
    op->group = g;
    events_queue(events, op);
}

static struct group *group_find(struct events *events, const struct event_follow *f)
{
    list_each (node, &events->groups) {
        struct group *g = list_entry(node, struct group, link);
        if (!g->gone && !strcmp(g->plugin, f->plugin) && !strcmp(g->topic, f->topic))
            return g;
    }
    return NULL;
}

static bool is_wanted(const struct group *g, const struct event_follow *list, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(g->plugin, list[i].plugin) && !strcmp(g->topic, list[i].topic))
            return true;
    return false;
}

void groups_follow(struct events *events, const struct event_follow *list, int count)
{
    list_each_safe (node, &events->groups) {
        struct group *g = list_entry(node, struct group, link);
        if (g->gone || is_wanted(g, list, count))
            continue;
        pthread_mutex_lock(&events->lock);
        g->gone = true;
        pthread_mutex_unlock(&events->lock);
        metric_set(g->lag, 0);
        timer_stop(events->options.lane, &g->again);
        if (!g->busy)
            free_group(g);
    }
    for (int i = 0; i < count; i++)
        if (!group_find(events, &list[i]))
            group_open(events, &list[i]);
}

bool groups_quiet(struct events *events)
{
    return list_empty(&events->groups);
}

/* What is still busy then was given up by a drain that was over its time: other threads may still
 * hold it, and its lane has stopped. */
void groups_free(struct events *events)
{
    list_each_safe (node, &events->groups) {
        struct group *g = list_entry(node, struct group, link);
        if (g->busy)
            list_remove(&g->link);
        else
            free_group(g);
    }
}

void groups_scrape(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    list_each (node, &events->groups) {
        struct group *g = list_entry(node, struct group, link);
        if (!g->gone && g->offset >= 0)
            metric_set(g->lag, (double)(g->at->next - g->offset));
    }
    pthread_mutex_unlock(&events->lock);
}
