/* cache_away.c -- the time without Redis, and the way back.
 *
 * All lanes of the process go and come back together: it is away as soon as one connection breaks,
 * and back when all stand.  Meanwhile `local`, empty at first, answers; which entries were written
 * there is remembered, up to a number.  On the way back they are deleted in Redis, and again, until
 * none was added; then, in one step under the lock, `local` is emptied and Redis asked again.
 * Counters begin again at 0 thereby, as after any loss of an entry. */
#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "storage/cache_private.h"

enum { DIRTY_MOST = 100000, AT_ONCE = 200, AGAIN_MS = 1000, SCAN_COUNT = 1000 };

static void recover(void *driver);

static void on_again(struct timer *timer)
{
    recover(list_entry(timer, struct cache_driver, again));
}

void cache_away_init(struct cache_driver *d)
{
    d->again.fire = on_again;
    d->again.upkeep = true;
}

void cache_go_away(struct cache_driver *d, const struct err *err)
{
    pthread_mutex_lock(&d->lock);
    atomic_store(&d->away, true);
    bool news = driver_health_degraded(d->health, err);
    pthread_mutex_unlock(&d->lock);
    if (news)
        log_warn("cache", "%s -- this process answers by itself and refuses locks until it is back",
                 err->message);
}

void cache_link_changed(void *arg, const struct err *err)
{
    struct cache_link *link = arg;
    struct cache_driver *d = link->driver;
    if (err)
        cache_go_away(d, err);
    pthread_mutex_lock(&d->lock);
    d->up += !err - link->up;
    link->up = !err;
    bool all = d->up == d->entered && d->control;
    if (all && atomic_load(&d->away))
        lane_call(d->control, recover, d);
    else if (all)
        driver_health_up(d->health);
    pthread_mutex_unlock(&d->lock);
}

static bool changes(enum cache_op op)
{
    return op == CACHE_SET || op == CACHE_ADD || op == CACHE_DELETE || op == CACHE_INCR;
}

bool cache_ask_alone(struct cache_driver *d, struct cache_ask *ask)
{
    pthread_mutex_lock(&d->lock);
    bool away = atomic_load(&d->away);
    if (away && (ask->op == CACHE_LOCK || ask->op == CACHE_UNLOCK || ask->op == CACHE_TAKE)) {
        err_set(&ask->err, ERR_UNAVAILABLE, "redis is away, and with it every lock");
    } else if (away) {
        cache_local(d->local, ask);
        if (changes(ask->op) && !d->dirty_all)
            map_set(d->dirty, ask->key, d);
        if (map_count(d->dirty) > DIRTY_MOST) {
            map_destroy(d->dirty);
            d->dirty = map_create();
            d->dirty_all = true;
        }
    }
    pthread_mutex_unlock(&d->lock);
    if (away)
        metric_add(d->alone, 1);
    return away;
}

/* -- the way back, on the control lane -- */

/* Entries on their way out of Redis. */
struct deletion {
    struct cache_driver *driver;
    struct map *keys; /* or NULL: all of them, by SCAN */
    int left;         /* answers */
    bool failed;
};

static void deletion_end(struct deletion *x)
{
    struct cache_driver *d = x->driver;
    struct str key;
    void *value;
    d->recovering = false;
    pthread_mutex_lock(&d->lock);
    if (x->failed && !x->keys)
        d->dirty_all = true;
    for (size_t at = 0; x->failed && x->keys && map_next(x->keys, &at, &key, &value);)
        map_set(d->dirty, key, d);
    bool closed = !d->control;
    pthread_mutex_unlock(&d->lock);
    bool failed = x->failed;
    if (x->keys)
        map_destroy(x->keys);
    mem_free(x);
    if (failed && !closed)
        timer_start(d->control, &d->again, AGAIN_MS * NS_PER_MS);
    else if (!closed)
        recover(d);
}

static void on_deleted(void *arg, const redisReply *reply, const struct err *err)
{
    struct deletion *x = arg;
    (void)reply;
    x->failed = x->failed || err;
    if (--x->left == 0)
        deletion_end(x);
}

static void send_deletion(struct deletion *x, const struct str *words, int count,
                          redis_answer_fn *fn)
{
    struct redis_client *client = x->driver->links[x->driver->control->index].client;
    struct err err;
    if (client && redis_send(client, words, count, fn, x, &err))
        x->left++;
    else
        x->failed = true;
}

static void delete_keys(struct deletion *x)
{
    struct str words[AT_ONCE + 1] = {STR("UNLINK")}, key;
    struct buf full[AT_ONCE];
    void *value;
    int count = 0;
    memset(full, 0, sizeof full);
    x->left = 1; /* this function's own */
    for (size_t at = 0;;) {
        bool more = map_next(x->keys, &at, &key, &value);
        if (more) {
            buf_clear(&full[count]);
            buf_printf(&full[count], "%scache:", x->driver->prefix);
            buf_add_str(&full[count], key);
            words[count + 1] = buf_str(&full[count]);
            count++;
        }
        if (count == AT_ONCE || (!more && count)) {
            send_deletion(x, words, count + 1, on_deleted);
            count = 0;
        }
        if (!more)
            break;
    }
    for (int i = 0; i < AT_ONCE; i++)
        buf_free(&full[i]);
    on_deleted(x, NULL, NULL);
}

static void scan_on(struct deletion *x, struct str cursor);

static void on_scanned(void *arg, const redisReply *reply, const struct err *err)
{
    struct deletion *x = arg;
    bool ok = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (ok && reply->element[1]->elements) {
        size_t n = reply->element[1]->elements;
        struct str *words = mem_alloc((n + 1) * sizeof *words);
        words[0] = STR("UNLINK");
        for (size_t i = 0; i < n; i++)
            words[i + 1] = redis_reply_text(reply->element[1]->element[i]);
        send_deletion(x, words, (int)n + 1, on_deleted);
        mem_free(words);
    }
    if (ok && !str_eq_c(redis_reply_text(reply->element[0]), "0"))
        scan_on(x, redis_reply_text(reply->element[0]));
    on_deleted(x, NULL, ok ? NULL : err ? err : &(struct err){.code = ERR_CORRUPT});
}

static void scan_on(struct deletion *x, struct str cursor)
{
    struct buf prefix = {0}, pattern = {0};
    char count[16];
    snprintf(count, sizeof count, "%d", SCAN_COUNT);
    buf_printf(&prefix, "%scache:", x->driver->prefix);
    cache_pattern(&pattern, buf_str(&prefix));
    struct str words[] = {STR("SCAN"),       cursor,       STR("MATCH"),
                          buf_str(&pattern), STR("COUNT"), str_c(count)};
    send_deletion(x, words, 6, on_scanned);
    buf_free(&prefix);
    buf_free(&pattern);
}

/* Takes what is to be deleted; NULL with *back when nothing is, and it is back. */
static struct deletion *take_dirty(struct cache_driver *d, bool *back)
{
    struct deletion *x = NULL;
    pthread_mutex_lock(&d->lock);
    bool may = d->control && atomic_load(&d->away) && d->up == d->entered;
    if (may && (d->dirty_all || map_count(d->dirty))) {
        x = mem_zero(1, sizeof *x);
        x->driver = d;
        x->keys = d->dirty_all ? NULL : d->dirty;
        if (!d->dirty_all)
            d->dirty = map_create();
        d->dirty_all = false;
    } else if (may) {
        cache_clear(d->local);
        atomic_store(&d->away, false);
        *back = true;
        driver_health_up(d->health);
    }
    pthread_mutex_unlock(&d->lock);
    return x;
}

static void recover(void *driver)
{
    struct cache_driver *d = driver;
    bool back = false;
    if (d->recovering)
        return;
    struct deletion *x = take_dirty(d, &back);
    if (back) {
        log_info("cache", "redis is back");
        cache_locks_sweep(d);
    }
    if (!x)
        return;
    d->recovering = true;
    if (x->keys) {
        delete_keys(x);
    } else {
        x->left = 1;
        scan_on(x, STR("0"));
        on_deleted(x, NULL, NULL);
    }
}
