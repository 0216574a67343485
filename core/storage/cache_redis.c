/* cache_redis.c -- questions of cache_driver.h as commands of Redis, and back.
 *
 * Keys: <prefix>cache:<plugin>:<key>, <prefix>lock:…, <prefix>rate:…, and <prefix>fence, which
 * counts for all locks.  A value has its tag in front: "n" and a number, "b" and 0 or 1, "s" and
 * bytes, "j" and JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/glob.h"
#include "base/mem.h"
#include "storage/cache_private.h"

enum { SCAN_COUNT = 1000, WORDS = 8 };

extern const char cache_lua_cache_incr[], cache_lua_cache_lock[], cache_lua_cache_unlock[],
    cache_lua_cache_renew[], cache_lua_cache_take[];
static struct redis_program cache_incr_, cache_lock_, cache_take_;
struct redis_program cache_unlock_program, cache_renew_program;

void cache_redis_init(void)
{
    cache_incr_.text = cache_lua_cache_incr;
    cache_lock_.text = cache_lua_cache_lock;
    cache_take_.text = cache_lua_cache_take;
    cache_unlock_program.text = cache_lua_cache_unlock;
    cache_renew_program.text = cache_lua_cache_renew;
    redis_program_init(&cache_incr_);
    redis_program_init(&cache_lock_);
    redis_program_init(&cache_take_);
    redis_program_init(&cache_unlock_program);
    redis_program_init(&cache_renew_program);
}

/* -- questions -- */

/* A command under construction; numbers are written where they stay until it was sent. */
struct words {
    struct str word[WORDS];
    int count;
    char numbers[3][32];
    int number_count;
};

static void add(struct words *w, struct str word)
{
    w->word[w->count++] = word;
}

static void add_number(struct words *w, int64_t n)
{
    char *text = w->numbers[w->number_count++];
    snprintf(text, sizeof w->numbers[0], "%" PRId64, n);
    add(w, str_c(text));
}

static void add_double(struct words *w, double n)
{
    char *text = w->numbers[w->number_count++];
    snprintf(text, sizeof w->numbers[0], "%.17g", n);
    add(w, str_c(text));
}

static int64_t milliseconds(int64_t ns)
{
    return ns > 0 && ns < NS_PER_MS ? 1 : ns / NS_PER_MS;
}

static void add_set(struct words *w, const struct cache_wait *wait)
{
    const struct cache_ask *ask = &wait->ask;
    add(w, STR("SET"));
    add(w, wait->key);
    add(w, wait->encoded);
    if (ask->ttl_ns) {
        add(w, STR("PX"));
        add_number(w, milliseconds(ask->ttl_ns));
    }
    if (ask->op == CACHE_ADD)
        add(w, STR("NX"));
}

void cache_pattern(struct buf *out, struct str prefix)
{
    glob_escape(out, prefix);
    buf_add_char(out, '*');
}

static void on_answer(void *arg, const redisReply *reply, const struct err *err);

static struct redis_call *scan(struct cache_wait *wait, struct str cursor, struct err *err)
{
    struct buf pattern = {0};
    struct words w = {.count = 0};
    cache_pattern(&pattern, wait->key);
    add(&w, STR("SCAN"));
    add(&w, cursor);
    add(&w, STR("MATCH"));
    add(&w, buf_str(&pattern));
    add(&w, STR("COUNT"));
    add_number(&w, SCAN_COUNT);
    wait->call = redis_send(wait->client, w.word, w.count, on_answer, wait, err);
    buf_free(&pattern);
    return wait->call;
}

/* What runs inside of Redis: its program, and what it is given behind its key. */
static const struct redis_program *program_of(struct cache_wait *wait, struct words *w, int *keys)
{
    const struct cache_ask *ask = &wait->ask;
    add(w, wait->key);
    *keys = 1;
    switch (ask->op) {
    case CACHE_INCR:
        add_double(w, ask->by);
        add_number(w, milliseconds(ask->ttl_ns));
        return &cache_incr_;
    case CACHE_LOCK:
        *keys = 2;
        add(w, str_c(wait->driver->fence));
        add(w, str_c(ask->made_token));
        add_number(w, ask->ttl_ns ? milliseconds(ask->ttl_ns) : CACHE_LEASE_MS);
        return &cache_lock_;
    case CACHE_TAKE:
        add_number(w, ask->each_ns / 1000);
        add_number(w, ask->room_ns / 1000);
        return &cache_take_;
    default:
        add(w, ask->token);
        return &cache_unlock_program;
    }
}

static struct redis_call *send_ask(struct cache_wait *wait, struct err *err)
{
    struct words w = {.count = 0};
    int keys;
    switch (wait->ask.op) {
    case CACHE_GET:
        add(&w, STR("GET"));
        add(&w, wait->key);
        break;
    case CACHE_SET:
    case CACHE_ADD:
        add_set(&w, wait);
        break;
    case CACHE_DELETE:
        add(&w, STR("UNLINK"));
        add(&w, wait->key);
        break;
    case CACHE_KEYS:
        return scan(wait, STR("0"), err);
    default: {
        const struct redis_program *program = program_of(wait, &w, &keys);
        return redis_run(wait->client, program, keys, w.word, w.count, on_answer, wait, err);
    }
    }
    return redis_send(wait->client, w.word, w.count, on_answer, wait, err);
}

static const char *space_of(enum cache_op op)
{
    return op == CACHE_LOCK || op == CACHE_UNLOCK ? "lock:" : op == CACHE_TAKE ? "rate:" : "cache:";
}

/* Copies bytes to *at, which moves behind them. */
static struct str keep(char **at, struct str bytes)
{
    struct str kept = {*at, bytes.n};
    if (bytes.n)
        memcpy(*at, bytes.p, bytes.n);
    *at += bytes.n;
    return kept;
}

static void keep_value(struct cache_wait *wait, char **at)
{
    struct cache_value *v = &wait->ask.value;
    char number[32] = "";
    wait->encoded.p = *at;
    *(*at)++ = v->tag;
    if (v->bytes.n == 0 && (v->tag == 'n' || v->tag == 'b'))
        snprintf(number, sizeof number, "%.17g", v->number);
    if (*number)
        keep(at, str_c(number));
    else
        v->bytes = keep(at, v->bytes);
    wait->encoded.n = (size_t)(*at - wait->encoded.p);
}

static struct cache_wait *wait_new(struct cache_driver *d, const struct cache_ask *ask)
{
    struct str prefix = str_c(d->prefix), space = str_c(space_of(ask->op));
    size_t bytes = prefix.n + space.n + ask->key.n + ask->value.bytes.n + ask->token.n + 40;
    struct cache_wait *wait = mem_alloc(sizeof *wait + bytes);
    char *at = wait->bytes;
    memset(wait, 0, offsetof(struct cache_wait, ask));
    wait->driver = d;
    memcpy(&wait->ask, ask, offsetof(struct cache_ask, err));
    wait->ask.err.code = ERR_NONE;
    wait->done = NULL;
    wait->copy = (struct buf){0};
    wait->seen = NULL;
    wait->ask.copy = &wait->copy;
    wait->key.p = at;
    keep(&at, prefix);
    keep(&at, space);
    wait->ask.key = keep(&at, ask->key);
    wait->key.n = (size_t)(at - wait->key.p);
    if (ask->op == CACHE_SET || ask->op == CACHE_ADD)
        keep_value(wait, &at);
    wait->ask.token = keep(&at, ask->token);
    return wait;
}

static void wait_free(struct cache_wait *wait)
{
    buf_free(&wait->copy);
    if (wait->seen)
        map_destroy(wait->seen);
    mem_free(wait);
}

struct cache_wait *cache_redis_ask(struct cache_driver *d, struct redis_client *client,
                                   const struct cache_ask *ask, struct err *err)
{
    struct cache_wait *wait = wait_new(d, ask);
    wait->client = client;
    if (ask->op == CACHE_LOCK)
        cache_token(wait->ask.made_token);
    if ((wait->call = send_ask(wait, err)))
        return wait;
    wait_free(wait);
    return NULL;
}

/* -- answers -- */

/* What is not of this program counts as absent. */
static bool take_value(struct cache_ask *ask, const redisReply *reply)
{
    struct str text = redis_reply_text(reply);
    if (!text.n || !memchr("nbsj", *text.p, 4))
        return false;
    ask->value = (struct cache_value){.tag = *text.p};
    if (*text.p == 'n' || *text.p == 'b')
        ask->value.number = strtod(text.p + 1, NULL);
    else
        ask->value.bytes = str_n(text.p + 1, text.n - 1);
    return true;
}

/* False: there is more to come. */
static bool take_keys(struct cache_wait *wait, const redisReply *reply)
{
    struct cache_ask *ask = &wait->ask;
    size_t in_front = wait->key.n - ask->key.n;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return !err_set(&ask->err, ERR_CORRUPT, "redis: SCAN was not answered");
    if (!wait->seen)
        wait->seen = map_create();
    const redisReply *keys = reply->element[1];
    for (size_t i = 0; i < keys->elements && ask->count < ask->limit; i++) {
        struct str key = redis_reply_text(keys->element[i]);
        if (key.n < in_front || map_set(wait->seen, key, wait))
            continue;
        size_t n = key.n - in_front;
        buf_add(&wait->copy, &n, sizeof n);
        buf_add(&wait->copy, key.p + in_front, n);
        ask->count++;
    }
    struct str cursor = redis_reply_text(reply->element[0]);
    if (str_eq_c(cursor, "0") || ask->count >= ask->limit)
        return true;
    return !scan(wait, cursor, &ask->err);
}

static bool understand(struct cache_wait *wait, const redisReply *reply)
{
    struct cache_ask *ask = &wait->ask;
    ask->yes = reply->type != REDIS_REPLY_NIL;
    switch (ask->op) {
    case CACHE_GET:
        ask->yes = take_value(ask, reply);
        cache_looked(ask->yes);
        return true;
    case CACHE_DELETE:
        ask->yes = redis_reply_int(reply) > 0;
        return true;
    case CACHE_INCR:
        if (ask->yes)
            ask->value.number = strtod(redis_reply_text(reply).p, NULL);
        else
            err_set(&ask->err, ERR_INVALID, "the value is not a number");
        return true;
    case CACHE_KEYS:
        return take_keys(wait, reply);
    case CACHE_LOCK:
        ask->number = redis_reply_int(reply);
        if (ask->yes)
            cache_locks_add(wait->driver, ask, wait->key, !wait->done);
        return true;
    case CACHE_UNLOCK:
        ask->yes = redis_reply_int(reply) > 0;
        cache_locks_remove(wait->driver, ask->token, false);
        return true;
    case CACHE_TAKE:
        ask->number = redis_reply_int(reply) * 1000;
        ask->yes = ask->number == 0;
        return true;
    default: /* SET, ADD */
        return true;
    }
}

/* Whether it was done is not known. */
static void on_lost(struct cache_wait *wait, const struct err *err)
{
    struct cache_driver *d = wait->driver;
    struct cache_ask *ask = &wait->ask;
    cache_go_away(d, err);
    if (ask->op == CACHE_LOCK)
        cache_locks_add(d, ask, wait->key, true);
    if (ask->op == CACHE_UNLOCK)
        cache_locks_remove(d, ask->token, true);
    buf_clear(&wait->copy);
    ask->count = 0;
    if (!cache_ask_alone(d, ask))
        ask->err = *err;
}

static void on_answer(void *arg, const redisReply *reply, const struct err *err)
{
    struct cache_wait *wait = arg;
    wait->call = NULL;
    if (reply && !understand(wait, reply))
        return;
    if (err && (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT))
        on_lost(wait, err);
    else if (err)
        wait->ask.err = *err;
    if (wait->done)
        wait->done(wait->arg, &wait->ask);
    wait_free(wait);
}
