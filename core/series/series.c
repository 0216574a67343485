#include "series/series.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "series/frame.h"
#include "series/series_private.h"

enum { READERS_DEFAULT = 2 };

static void on_delivered(struct lane_message *message)
{
    struct series_call *call = (struct series_call *)message;
    call->done(call);
}

static void deliver(struct series_call *call)
{
    series_unref(call->series);
    call->series = NULL;
    call->message.fn = on_delivered;
    if (call->lane)
        lane_post(call->lane, &call->message);
    else
        call->done(call);
}

/* Whether the connection is there and the series' table as declared. */
static bool prepare(struct series_conn *conn, struct series_call *call)
{
    if (!conn)
        return err_set(&call->err, ERR_CLOSED, "the series store is closing");
    return conn_ready(conn, &call->err);
}

static void run_read(struct gate_item *item, void *resource)
{
    struct series_call *call = list_entry(item, struct series_call, item);
    if (prepare(resource, call) && series_do_read(resource, call))
        err_clear(&call->err);
    deliver(call);
}

static void run_write(struct gate_item *item, void *resource)
{
    struct series_call *call = list_entry(item, struct series_call, item);
    bool ok = prepare(resource, call) && series_ensure(resource, call->series, &call->err);
    if (ok && call->op != SERIES_APPEND) {
        item->run = run_read;
        gate_submit(call->store->readers, item);
        return;
    }
    if (ok && series_do_append(resource, call))
        err_clear(&call->err);
    deliver(call);
}

static bool check_call(const struct series_call *call, struct err *err)
{
    const struct series *s = call->series;
    if (call->where_count > SERIES_COLUMNS)
        return err_set(err, ERR_LIMIT, "where names more keys than there are");
    for (int i = 0; i < call->where_count; i++) {
        bool found = false;
        for (int k = 0; k < s->key_count; k++)
            found = found || str_eq_c(call->where[i].key, s->keys[k]);
        if (!found)
            return err_set(err, ERR_INVALID, "series \"%s\" has no key \"%.*s\"", s->name,
                           (int)(call->where[i].key.n < 80 ? call->where[i].key.n : 80),
                           call->where[i].key.p);
    }
    if (call->limit < 0 || call->limit > SERIES_POINTS_MAX)
        return err_set(err, ERR_LIMIT, "limit must be from 1 to %d", SERIES_POINTS_MAX);
    if (call->op == SERIES_DOWNSAMPLE && call->step_us <= 0)
        return err_set(err, ERR_INVALID, "step must be longer than nothing");
    return true;
}

void series_run(struct series_store *store, struct series_call *call, struct lane *lane)
{
    call->store = store;
    call->lane = lane;
    call->frame = NULL;
    call->path = NULL;
    err_clear(&call->err);
    call->series = series_find(store, call->plugin, call->name, &call->err);
    if (!call->series || !check_call(call, &call->err)) {
        deliver(call);
        return;
    }
    int state = __atomic_load_n(&call->series->state, __ATOMIC_ACQUIRE);
    bool write = call->op == SERIES_APPEND || state != SERIES_READY;
    call->item.run = write ? run_write : run_read;
    gate_submit(write ? store->writer : store->readers, &call->item);
}

struct series_frame *series_rows(struct series_store *store, const char *plugin, struct str name,
                                 int64_t n, size_t text_bytes, char **text, struct err *err)
{
    struct series *s = series_find(store, plugin, name, err);
    if (!s)
        return NULL;
    struct series_frame *frame =
        frame_create(n, s->key_count, s->value_count, false, (const char *const *)s->keys,
                     (const char *const *)s->values, text_bytes, text);
    series_unref(s);
    return frame;
}

static void run_warm(struct gate_item *item, void *resource)
{
    struct err err;
    (void)item;
    if (resource && !conn_ready(resource, &err))
        log_warn("series", "%s", err.message);
}

void series_warm(struct series_store *store)
{
    if (__atomic_exchange_n(&store->warmed, true, __ATOMIC_RELAXED))
        return;
    store->warm.run = run_warm;
    gate_submit(store->writer, &store->warm);
}

static int64_t drop_old(struct series_conn *conn, struct series *s, struct err *err)
{
    int64_t before_us = (clock_wall_ns() - s->retention_ns) / 1000;
    int64_t dropped = 0;
    if (!series_ensure(conn, s, err))
        return -1;
    char *sql = mem_printf("delete from \"%s\" where \"at\" < make_timestamp(%lld)", s->table,
                           (long long)before_us);
    bool ok = conn_exec(conn, sql, &dropped, err);
    mem_free(sql);
    return ok ? dropped : -1;
}

/* References to all series that have a retention; the caller frees the list. */
static struct series **expiring(struct series_store *store, int *count)
{
    size_t at = 0;
    struct str key;
    void *value;
    pthread_mutex_lock(&store->lock);
    struct series **list = mem_zero(map_count(store->declared) + 1, sizeof *list);
    while (map_next(store->declared, &at, &key, &value)) {
        struct series *s = value;
        if (s->retention_ns <= 0)
            continue;
        series_ref(s);
        list[(*count)++] = s;
    }
    pthread_mutex_unlock(&store->lock);
    return list;
}

struct expiry {
    struct gate_item item;
    struct lane_message message;
    struct series_store *store;
    struct lane *lane;
    void (*done)(void *arg, int64_t dropped);
    void *arg;
    int64_t dropped;
};

static void on_expired(struct lane_message *message)
{
    struct expiry *e = list_entry(message, struct expiry, message);
    if (e->done)
        e->done(e->arg, e->dropped);
    mem_free(e);
}

static void run_expire(struct gate_item *item, void *resource)
{
    struct expiry *e = list_entry(item, struct expiry, item);
    struct err err;
    int count = 0;
    bool ready = resource && conn_ready(resource, &err);
    struct series **list = expiring(e->store, &count);
    for (int i = 0; i < count; i++) {
        int64_t dropped = ready ? drop_old(resource, list[i], &err) : 0;
        if (dropped < 0)
            log_error("series", "%s: dropping old points: %s", list[i]->table, err.message);
        e->dropped += dropped > 0 ? dropped : 0;
        series_unref(list[i]);
    }
    mem_free(list);
    e->message.fn = on_expired;
    if (e->lane)
        lane_post(e->lane, &e->message);
    else
        on_expired(&e->message);
}

void series_expire(struct series_store *store, struct lane *lane,
                   void (*done)(void *arg, int64_t dropped), void *arg)
{
    struct expiry *e = mem_zero(1, sizeof *e);
    *e = (struct expiry){.store = store, .lane = lane, .done = done, .arg = arg};
    e->item.run = run_expire;
    gate_submit(store->writer, &e->item);
}

struct series_store *series_create(const struct series_options *options)
{
    struct series_store *store = mem_zero(1, sizeof *store);
    store->options = *options;
    store->options.library = mem_strdup(options->library);
    store->options.path = mem_strdup(options->path);
    store->options.export_dir = mem_strdup(options->export_dir);
    if (store->options.readers <= 0)
        store->options.readers = READERS_DEFAULT;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->open_lock, NULL);
    store->declared = map_create();
    int count = store->options.readers + 1;
    void **resources = mem_zero((size_t)count, sizeof *resources);
    store->conns = mem_zero((size_t)count, sizeof *store->conns);
    for (int i = 0; i < count; i++) {
        store->conns[i].store = store;
        resources[i] = &store->conns[i];
    }
    store->writer = gate_create(options->pool, resources, 1);
    store->readers = gate_create(options->pool, resources + 1, count - 1);
    mem_free(resources);
    return store;
}

void series_destroy(struct series_store *store)
{
    if (!store)
        return;
    gate_close(store->writer); /* first: it hands on to the readers */
    gate_close(store->readers);
    conn_close_all(store);
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(store->declared, &at, &key, &value))
        series_unref(value);
    map_destroy(store->declared);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->open_lock);
    mem_free((char *)(uintptr_t)store->options.library);
    mem_free((char *)(uintptr_t)store->options.path);
    mem_free((char *)(uintptr_t)store->options.export_dir);
    mem_free(store->conns);
    mem_free(store);
}
