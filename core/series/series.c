#include "series/series.h"

#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/log.h"
#include "series/frame.h"
#include "series/series_private.h"

enum { READERS_DEFAULT = 2 };

static bool is_text(struct str s)
{
    return s.n <= SERIES_TEXT_BYTES && utf8_valid(s) && !memchr(s.p, 0, s.n);
}

bool series_check_rows(const struct series_frame *f, const struct series *s, struct err *err)
{
    if (f->key_count != s->key_count || f->value_count != s->value_count)
        return err_set(err, ERR_INVALID, "series \"%s\": the rows are of another declaration",
                       s->name);
    for (int c = 0; c < f->key_count; c++)
        for (int64_t i = 0; i < f->n; i++)
            if (!is_text(f->keys[c][i]))
                return err_set(err, ERR_INVALID,
                               "series \"%s\": row %lld: %s must be UTF-8 text without NUL of "
                               "at most %d bytes",
                               s->name, (long long)i + 1, s->keys[c], SERIES_TEXT_BYTES);
    return true;
}

char *series_export_path(const struct series_store *store, const struct series *s)
{
    char at[32];
    time_t now = (time_t)(clock_wall_ns() / NS_PER_SECOND);
    struct tm tm;
    strftime(at, sizeof at, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    return mem_printf("%s/%s-%s-%04x.parquet", store->options.export_dir, s->table, at,
                      (unsigned)(rand_u64() & 0xffff));
}

void series_cancel(struct series_call *call)
{
    __atomic_store_n(&call->cancelled, 1, __ATOMIC_RELAXED);
}

/* What is being written is written. */
bool series_is_cancelled(const struct series_call *call)
{
    return call->op != SERIES_APPEND && __atomic_load_n(&call->cancelled, __ATOMIC_RELAXED);
}

int64_t series_row_limit(const struct series_call *call)
{
    return call->limit ? call->limit : SERIES_POINTS + 1;
}

bool series_check_count(struct series_call *call, int64_t n)
{
    return call->limit || n <= SERIES_POINTS ||
           err_set(&call->err, ERR_LIMIT,
                   "series \"%s\": more than %d points; narrow it by from, "
                   "to, last or step, or set limit (at most %d)",
                   call->series->name, SERIES_POINTS, SERIES_POINTS_MAX);
}

void query_add(struct query *q, struct param param)
{
    invariant(q->count < SERIES_PARAMS);
    q->params[q->count++] = param;
    buf_printf(&q->sql, "$%d", q->count);
}

static void on_delivered(struct lane_message *message)
{
    struct series_call *call = (struct series_call *)message;
    if (call->timed)
        timer_stop(call->lane, &call->patience);
    call->done(call);
}

void series_deliver(struct series_call *call)
{
    series_unref(call->series);
    call->series = NULL;
    for (int i = 0; i < call->table_count; i++)
        series_unref(call->tables[i]);
    mem_free(call->tables);
    call->tables = NULL;
    call->table_count = 0;
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
    if (series_is_cancelled(call))
        return err_set(&call->err, ERR_CANCELLED, "cancelled");
    return conn->store->driver->ready(conn, &call->err);
}

static void run_read(struct gate_item *item, void *resource)
{
    struct series_call *call = list_entry(item, struct series_call, item);
    if (prepare(resource, call) && call->store->driver->read(resource, call))
        err_clear(&call->err);
    series_deliver(call);
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
    if (ok && series_check_rows(call->rows, call->series, &call->err) &&
        call->store->driver->append(resource, call))
        err_clear(&call->err);
    series_deliver(call);
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
    call->timed = false;
    call->frame = NULL;
    call->path = NULL;
    call->cancelled = 0;
    call->tables = NULL;
    call->table_count = 0;
    err_clear(&call->err);
    call->series = series_find(store, call->plugin, call->name, &call->err);
    if (!call->series || !check_call(call, &call->err)) {
        series_deliver(call);
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
    const struct series_conn *conn = resource;
    if (conn && !conn->store->driver->ready(resource, &err))
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
    int64_t before_us =
        s->retention_ns ? (clock_wall_ns() - s->retention_ns) / 1000 : SERIES_NO_TIME;
    return series_ensure(conn, s, err) ? conn->store->driver->expire(conn, s, before_us, err) : -1;
}

/* References to all series; the caller frees the list. */
static struct series **all_series(struct series_store *store, int *count)
{
    size_t at = 0;
    struct str key;
    void *value;
    pthread_mutex_lock(&store->lock);
    struct series **list = mem_zero(map_count(store->declared) + 1, sizeof *list);
    while (map_next(store->declared, &at, &key, &value)) {
        struct series *s = value;
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
    bool ready = resource && e->store->driver->ready(resource, &err);
    struct series **list = all_series(e->store, &count);
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

static void keep_options(struct series_store *store, const struct series_options *options)
{
    store->options = *options;
    store->options.library = mem_strdup(options->library);
    store->options.path = mem_strdup(options->path);
    store->options.export_dir = mem_strdup(options->export_dir);
    store->options.url = mem_strdup(options->url);
    if (store->options.readers <= 0)
        store->options.readers = READERS_DEFAULT;
}

static void open_gates(struct series_store *store, struct pool *pool)
{
    void **resources = mem_zero((size_t)store->conn_count, sizeof *resources);
    for (int i = 0; i < store->conn_count; i++)
        resources[i] = &store->conns[i];
    store->writer = gate_create(pool, resources, 1);
    store->readers = gate_create(pool, resources + 1, store->options.readers);
    store->asker = gate_create(pool, resources + store->conn_count - 1, 1);
    mem_free(resources);
}

struct series_store *series_create(const struct series_options *options, struct err *err)
{
    struct series_store *store = mem_zero(1, sizeof *store);
    keep_options(store, options);
    store->driver = options->url ? &series_postgres : &series_duckdb;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->duck.lock, NULL);
    list_init(&store->lines);
    store->declared = map_create();
    store->conn_count = store->options.readers + 2;
    store->conns = mem_zero((size_t)store->conn_count, sizeof *store->conns);
    for (int i = 0; i < store->conn_count; i++)
        store->conns[i].store = store;
    bool ok = store->driver->open(store, err);
    if (ok && options->url) /* a server that stands still holds no thread that others need */
        ok = (store->pool = pool_create("series", store->conn_count, err)) != NULL;
    if (ok) {
        open_gates(store, store->pool ? store->pool : options->pool);
        return store;
    }
    series_destroy(store);
    return NULL;
}

void series_destroy(struct series_store *store)
{
    if (!store)
        return;
    if (store->writer) {
        gate_close(store->writer); /* first: it hands on to the readers */
        gate_close(store->readers);
        series_turns_close(store);
        gate_close(store->asker);
    }
    store->driver->close(store);
    pool_destroy(store->pool);
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(store->declared, &at, &key, &value))
        series_unref(value);
    map_destroy(store->declared);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->duck.lock);
    const char *const texts[] = {store->options.library, store->options.path,
                                 store->options.export_dir, store->options.url};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mem_free((char *)(uintptr_t)texts[i]);
    mem_free(store->conns);
    mem_free(store);
}
