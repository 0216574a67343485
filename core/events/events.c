/* events.c -- what both drivers share: checks, copies, answers. */
#include "events/private.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/drivers.h"
#include "observe/metrics.h"

bool event_topic_ok(struct str topic)
{
    bool ok = topic.n > 0 && topic.n <= EVENT_TOPIC_BYTES && topic.p[0] != '.';
    for (size_t i = 0; ok && i < topic.n; i++) {
        char c = topic.p[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '.' || c == '-';
    }
    return ok;
}

bool event_check(const struct event_what *what, struct err *err)
{
    if (!event_topic_ok(what->topic))
        return err_set(
            err, ERR_INVALID, "events: a topic is 1 to %d letters, digits, _ . or -, got '%.*s'",
            EVENT_TOPIC_BYTES, (int)(what->topic.n < 120 ? what->topic.n : 120), what->topic.p);
    if (what->key.n > EVENT_KEY_BYTES)
        return err_set(err, ERR_LIMIT, "events: a key has at most %d bytes", EVENT_KEY_BYTES);
    if (what->key.n && (!utf8_valid(what->key) || memchr(what->key.p, 0, what->key.n)))
        return err_set(err, ERR_INVALID, "events: a key is text in UTF-8, without zero bytes");
    if (what->data.n > EVENT_DATA_BYTES)
        return err_set(err, ERR_LIMIT, "events: data has at most %d bytes as JSON, not %zu",
                       EVENT_DATA_BYTES, what->data.n);
    if (what->headers.n > EVENT_HEADERS_BYTES)
        return err_set(err, ERR_LIMIT, "events: headers have at most %d bytes",
                       EVENT_HEADERS_BYTES);
    return true;
}

static struct str keep(char **at, struct str s)
{
    struct str kept = str_n(*at, s.n);
    memcpy(*at, s.p ? s.p : "", s.n);
    (*at)[s.n] = 0;
    *at += s.n + 1;
    return kept;
}

struct op *op_create(struct events *events, struct event_emit *emit, const struct event_what *what)
{
    size_t bytes = what->topic.n + what->key.n + what->from.n + what->data.n + what->headers.n + 5;
    struct op *op = mem_alloc(sizeof *op + bytes);
    char *at = op->bytes;
    *op = (struct op){.events = events,
                      .emit = emit,
                      .at_wall = clock_wall_ns(),
                      .offset = -1,
                      .size = sizeof *op + bytes};
    op->what.topic = keep(&at, what->topic);
    op->what.key = keep(&at, what->key);
    op->what.from = keep(&at, what->from);
    op->what.data = keep(&at, what->data);
    op->what.headers = keep(&at, what->headers);
    return op;
}

void op_free(struct op *op)
{
    mem_free(op);
}

static void on_answer(struct lane_message *message)
{
    struct event_emit *emit = (struct event_emit *)(void *)message;
    emit->done(emit);
}

/* Lock not held. */
static void leaves(struct op *op)
{
    struct events *events = op->events;
    pthread_mutex_lock(&events->lock);
    events->waiting--;
    events->waiting_bytes -= (int64_t)op->size;
    pthread_mutex_unlock(&events->lock);
}

static bool topics_full(struct err *err, const struct op *op)
{
    return err_set(err, ERR_LIMIT,
                   "events: %s would be one topic too many: there are %d, or %d that begin alike",
                   op->what.topic.p, EVENT_TOPICS, EVENT_TOPICS_EACH);
}

void op_answer(struct op *op, const struct err *err)
{
    struct event_emit *emit = op->emit;
    struct err full = {0};
    if (!err && op->refused) {
        topics_full(&full, op);
        err = &full;
    }
    if (err)
        metric_add(op->events->errors, 1);
    else
        metric_observe(op->events->emit_seconds,
                       (double)(clock_wall_ns() - op->at_wall) / (double)NS_PER_SECOND);
    leaves(op);
    if (emit) {
        if (err)
            emit->err = *err;
        emit->offset = op->offset;
        emit->message.fn = on_answer;
        lane_post(emit->lane, &emit->message);
    }
    op_free(op);
}

/* Counts it among those under way. */
static bool enter(struct op *op, struct err *err)
{
    struct events *events = op->events;
    pthread_mutex_lock(&events->lock);
    bool closed = events->closed;
    bool full = events->waiting >= EVENT_WAITING || events->waiting_bytes >= EVENT_WAITING_BYTES;
    if (!closed && !full) {
        events->waiting++;
        events->waiting_bytes += (int64_t)op->size;
    }
    pthread_mutex_unlock(&events->lock);
    if (closed)
        return err_set(err, ERR_CLOSED, "events: the stream is closed");
    return !full || err_set(err, ERR_BUSY, "events: too many emits wait to be kept");
}

static struct op *begin(struct events *events, struct event_emit *emit,
                        const struct event_what *what, struct err *err)
{
    if (!event_check(what, err))
        return NULL;
    struct op *op = op_create(events, emit, what);
    err_clear(&emit->err);
    emit->offset = -1;
    emit->partition = 0;
    if (enter(op, err))
        return op;
    op_free(op);
    return NULL;
}

bool events_emit(struct events *events, struct event_emit *emit, const struct event_what *what,
                 struct err *err)
{
    struct op *op = begin(events, emit, what, err);
    if (op)
        events->driver->emit(events, op);
    return op != NULL;
}

/* -- in a transaction ----------------------------------------------------------------------- */

static struct op *op_of(struct sqlite_write *w)
{
    return (struct op *)(void *)((char *)w - offsetof(struct op, write));
}

static bool tx_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct op *op = op_of(w);
    op->next = NULL;
    op->refused = false;
    return op->events->driver->record(op->events, conn, op, &w->err) &&
           (!op->refused || topics_full(&w->err, op));
}

static void tx_ran(struct sqlite_write *w)
{
    struct op *op = op_of(w);
    if (w->err.code)
        op->emit->err = w->err;
    op->emit->offset = op->offset;
    op->ran(op->emit);
}

static void tx_committed(struct sqlite_write *w)
{
    struct op *op = op_of(w);
    op->published = true;
    op->events->driver->recorded(op->events, op);
}

static void tx_done(struct sqlite_write *w)
{
    struct op *op = op_of(w);
    struct err err = w->err;
    if (!op->published && !err.code)
        err_set(&err, ERR_CANCELLED, "events: the transaction was rolled back");
    op_answer(op, op->published ? NULL : &err);
}

bool events_emit_tx(struct events *events, struct event_emit *emit, struct store_tx *tx,
                    void (*ran)(struct event_emit *emit), const struct event_what *what,
                    struct err *err)
{
    if (events->options.carry && !store_sqlite(tx->store))
        return carry_event(events, emit, tx, ran, what, err);
    struct op *op = begin(events, emit, what, err);
    if (!op)
        return false;
    op->ran = ran;
    op->write.work = tx_work;
    op->write.ran = tx_ran;
    op->write.committed = tx_committed;
    op->write.done = tx_done;
    store_tx_work(tx, &op->write);
    return true;
}

void op_write(struct events *events, struct op *op)
{
    op->write.work = tx_work;
    op->write.committed = tx_committed;
    op->write.done = tx_done;
    sqlite_write(events->db, &op->write, NULL);
}

/* -- in somebody else's commit -------------------------------------------------------------- */

struct event_note {
    struct op *op;
};

struct event_note *events_note(struct events *events, const struct event_what *what)
{
    struct event_note *note = mem_alloc(sizeof *note);
    struct err full; /* what follows from an end is never refused */
    note->op = op_create(events, NULL, what);
    if (!enter(note->op, &full)) {
        pthread_mutex_lock(&events->lock);
        events->waiting++;
        events->waiting_bytes += (int64_t)note->op->size;
        pthread_mutex_unlock(&events->lock);
    }
    return note;
}

bool events_note_record(struct sqlite_conn *conn, struct event_note *note, struct err *err)
{
    struct op *op = note->op;
    op->next = NULL;
    return op->events->driver->record(op->events, conn, op, err);
}

void events_note_over(struct event_note *note, bool recorded)
{
    struct op *op = note->op;
    struct events *events = op->events;
    mem_free(note);
    if (!recorded) {
        events->driver->keep(events, op);
        return;
    }
    events->driver->recorded(events, op);
    op_answer(op, NULL);
}

void events_note_drop(struct event_note *note)
{
    leaves(note->op);
    op_free(note->op);
    mem_free(note);
}

/* -- life ----------------------------------------------------------------------------------- */

struct topic *topic_of(struct events *events, struct str name)
{
    struct topic *t = map_get(events->topics, name);
    struct buf labels = {0};
    if (t)
        return t;
    t = mem_zero(1, sizeof *t);
    t->name = str_dup(name);
    metrics_label(&labels, "topic", name);
    t->emitted = metrics_counter("maru_events_emitted_total", "Events kept, by topic.", labels.p);
    buf_free(&labels);
    map_set(events->topics, name, t);
    return t;
}

static void free_topics(struct events *events)
{
    size_t at = 0;
    struct str name;
    void *value;
    while (map_next(events->topics, &at, &name, &value)) {
        struct topic *t = value;
        mem_free(t->name);
        mem_free(t);
    }
    map_destroy(events->topics);
}

static void dispose(struct events *events)
{
    driver_health_unregister(events->health);
    free_topics(events);
    pthread_cond_destroy(&events->quiet);
    pthread_mutex_destroy(&events->lock);
    mem_free(events);
}

struct events *events_open(const struct events_options *options, struct err *err)
{
    static const struct events_driver *const drivers[] = {&events_table, &events_kafka};
    struct events *events = mem_zero(1, sizeof *events);
    events->options = *options;
    events->db = store_sqlite(options->store);
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (strcmp(drivers[i]->name, options->driver) == 0)
            events->driver = drivers[i];
    pthread_mutex_init(&events->lock, NULL);
    pthread_cond_init(&events->quiet, NULL);
    events->topics = map_create();
    list_init(&events->groups);
    events->pending_end = &events->pending;
    events->emit_seconds =
        metrics_histogram("maru_events_emit_seconds", "From an emit to its being kept.", "");
    events->errors = metrics_counter("maru_events_errors_total", "Emits that failed.", "");
    events_carry(events);
    bool ok = events->driver ||
              err_set(err, ERR_INVALID, "events.driver is \"table\" or \"kafka\", not \"%s\"",
                      options->driver);
    if (ok && table_make(events, err) && events->driver->open(events, err))
        return events;
    dispose(events);
    return NULL;
}

const char *events_driver(const struct events *events)
{
    return events->driver->name;
}

void events_follow(struct events *events, const struct event_follow *list, int count)
{
    if (!events->stopped)
        events->driver->follow(events, list, events->options.consumes ? count : 0);
}

void events_stop(struct events *events)
{
    events_follow(events, NULL, 0);
    events->stopped = true;
    trim_stop(events);
}

bool events_is_quiet(struct events *events)
{
    return events->driver->quiet(events);
}

void events_close(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    events->closed = true;
    pthread_mutex_unlock(&events->lock);
    events->driver->close(events);
    pthread_mutex_lock(&events->lock);
    while (events->writing || events->trimming)
        pthread_cond_wait(&events->quiet, &events->lock);
    pthread_mutex_unlock(&events->lock);
    trim_stop(events); /* a start that failed has not asked for the end */
    groups_free(events);
    dispose(events);
}

void events_scrape(void *arg)
{
    struct events *events = arg;
    events->driver->scrape(events);
}
