#include "storage/cache_look.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/glob.h"
#include "base/json.h"
#include "storage/cache_private.h"

extern const char cache_lua_cache_page[], cache_lua_cache_entry[];
static struct redis_program page_, entry_;

/* One entry as it is printed. */
struct shown {
    struct str key;        /* plugin:key */
    char tag;              /* 0: not of this program */
    int64_t ttl_ms;        /* -1 = for ever */
    int64_t bytes, memory; /* memory -1 = not known */
};

/* -- JSON -------------------------------------------------------------------------------------- */

static void number(struct json *w, const char *key, int64_t value, bool known)
{
    json_key(w, key);
    if (known)
        json_int(w, value);
    else
        json_null(w);
}

static void hex(struct json *w, struct str bytes)
{
    static const char digits[] = "0123456789abcdef";
    struct buf text = {0};
    for (size_t i = 0; i < bytes.n; i++) {
        buf_add_char(&text, digits[(unsigned char)bytes.p[i] >> 4]);
        buf_add_char(&text, digits[bytes.p[i] & 15]);
    }
    json_str(w, buf_str(&text));
    buf_free(&text);
}

static const char *type_name(char tag)
{
    switch (tag) {
    case 'n':
        return "number";
    case 'b':
        return "boolean";
    case 's':
        return "string";
    case 'j':
        return "table";
    default:
        return "other";
    }
}

static void print_entry(struct json *w, const struct shown *e)
{
    json_key(w, "key");
    json_str(w, e->key);
    if (!utf8_valid(e->key) || memchr(e->key.p, 0, e->key.n)) {
        json_key(w, "key_hex");
        hex(w, e->key);
    }
    json_key(w, "plugin");
    json_str(w, str_n(e->key.p, str_find(e->key, ':')));
    json_key(w, "type");
    json_cstr(w, type_name(e->tag));
    number(w, "ttl_ms", e->ttl_ms, e->ttl_ms >= 0);
    json_key(w, "bytes");
    json_int(w, e->bytes);
    number(w, "memory_bytes", e->memory, e->memory >= 0);
}

/* What was cut in the middle of a character ends before it. */
static struct str whole_characters(struct str text, bool cut)
{
    for (size_t back = 0; cut && back < 4 && back < text.n; back++)
        if (utf8_valid(str_n(text.p, text.n - back)))
            return str_n(text.p, text.n - back);
    return text;
}

static void print_value(struct json *w, const struct cache_value *v, bool cut)
{
    struct buf text = {0};
    struct str bytes = whole_characters(v->bytes, cut);
    bool is_text = v->tag == 'n' || v->tag == 'b' || utf8_valid(bytes);
    if (v->tag == 'b')
        buf_add_c(&text, v->number != 0 ? "true" : "false");
    else if (v->tag == 'n' && !json_write_number(&text, v->number))
        buf_printf(&text, "%g", v->number);
    json_key(w, "encoding");
    json_cstr(w, !is_text ? "hex" : v->tag == 'j' ? "json" : "text");
    json_key(w, "value");
    if (v->tag == 'n' || v->tag == 'b')
        json_str(w, buf_str(&text));
    else if (is_text)
        json_str(w, bytes);
    else
        hex(w, bytes);
    json_key(w, "cut");
    json_bool(w, cut);
    buf_free(&text);
}

static void print_one(struct cache_look *look, const struct shown *e, const struct cache_value *v,
                      bool cut)
{
    struct json w = json_to(&look->out);
    json_open(&w, '{');
    print_entry(&w, e);
    json_key(&w, "hidden");
    json_bool(&w, !look->value);
    if (look->value)
        print_value(&w, v, cut);
    json_close(&w, '}');
}

static void begin_page(struct cache_look *look)
{
    buf_add_c(&look->out, "{\"entries\":[");
}

static void add_to_page(struct cache_look *look, const struct shown *e)
{
    struct json w = json_to(&look->out);
    if (look->count++)
        buf_add_char(&look->out, ',');
    json_open(&w, '{');
    print_entry(&w, e);
    json_close(&w, '}');
}

/* next: NULL at the end. */
static void end_page(struct cache_look *look, const char *next)
{
    struct json w = json_to(&look->out);
    buf_add_c(&look->out, "],\"next\":");
    json_cstr(&w, next);
    buf_add_char(&look->out, '}');
}

static void not_there(struct cache_look *look)
{
    err_set(&look->err, ERR_NOT_FOUND, "there is no such entry, or not any more");
}

/* -- memory ------------------------------------------------------------------------------------ */

static int64_t bytes_of(const struct cache_value *v, size_t size)
{
    return v->tag == 'n' ? (int64_t)sizeof v->number : v->tag == 'b' ? 1 : (int64_t)size;
}

static struct shown shown_of(const struct cache_seen *seen, size_t size)
{
    int64_t left = (seen->expires_ns - clock_ns()) / NS_PER_MS;
    return (struct shown){.key = seen->key,
                          .tag = seen->value.tag,
                          .ttl_ms = !seen->expires_ns ? -1
                                    : left < 0        ? 0
                                                      : left,
                          .bytes = bytes_of(&seen->value, size),
                          .memory = (int64_t)seen->counted};
}

static void on_seen(void *arg, const struct cache_seen *seen)
{
    struct shown e = shown_of(seen, seen->value.bytes.n);
    add_to_page(arg, &e);
}

/* A cursor says who gave it: "m" and the place in memory, "r" and that of Redis. */
static bool cursor_of(struct cache_look *look, char driver, uint64_t *cursor)
{
    char digits[24] = "", *end = digits;
    struct str text = look->cursor;
    *cursor = 0;
    if (!text.n)
        return true;
    if (text.n > 1 && text.n < sizeof digits && text.p[0] == driver) {
        memcpy(digits, text.p + 1, text.n - 1);
        *cursor = strtoull(digits, &end, 10);
    }
    if (digits[0] >= '0' && digits[0] <= '9' && !*end)
        return true;
    bool other = text.p[0] == (driver == 'm' ? 'r' : 'm');
    return err_set(&look->err, other ? ERR_CONFLICT : ERR_INVALID,
                   other ? "another driver answers now than when this cursor was given: begin again"
                         : "this is no cursor of a page");
}

static void local_page(struct cache_look *look)
{
    char next[24];
    uint64_t cursor;
    if (!cursor_of(look, 'm', &cursor))
        return;
    begin_page(look);
    cache_scan(look->driver->local, &cursor, look->what, look->limit, on_seen, look);
    snprintf(next, sizeof next, "m%" PRIu64, cursor);
    end_page(look, cursor ? next : NULL);
}

static void local_entry(struct cache_look *look)
{
    struct buf copy = {0};
    struct cache_seen seen;
    size_t size;
    if (cache_peek(look->driver->local, look->what, look->value ? CACHE_LOOK_VALUE : 0, &seen,
                   &size, &copy)) {
        struct shown e = shown_of(&seen, size);
        print_one(look, &e, &seen.value, size > CACHE_LOOK_VALUE);
    } else {
        not_there(look);
    }
    buf_free(&copy);
}

static void begin_figures(struct cache_look *look, struct json *w, bool redis)
{
    struct cache_driver *d = look->driver;
    struct cache_stats stats = cache_stats(d->local);
    pthread_mutex_lock(&d->lock);
    int64_t held = 0;
    list_each (node, &d->held)
        held++;
    pthread_mutex_unlock(&d->lock);
    *w = json_to(&look->out);
    json_open(w, '{');
    json_key(w, "driver");
    json_cstr(w, d->redis ? "redis" : "memory");
    json_key(w, "away");
    json_bool(w, d->redis && !redis);
    number(w, "entries", stats.entries, !redis);
    number(w, "bytes", stats.bytes, !redis);
    number(w, "max_bytes", stats.max_bytes, !redis);
    number(w, "hits", (int64_t)cache_gets(true), true);
    number(w, "misses", (int64_t)cache_gets(false), true);
    number(w, "evicted", stats.evicted, !redis);
    number(w, "locks", d->redis ? held : stats.locks, true);
    json_key(w, "redis");
}

static void local_answer(struct cache_look *look)
{
    struct json w;
    switch (look->op) {
    case CACHE_LOOK_FIGURES:
        begin_figures(look, &w, false);
        json_null(&w);
        json_close(&w, '}');
        break;
    case CACHE_LOOK_PAGE:
        local_page(look);
        break;
    case CACHE_LOOK_ENTRY:
        local_entry(look);
        break;
    }
    look->done(look);
}

/* -- Redis ------------------------------------------------------------------------------------- */

static void on_answer(void *arg, const redisReply *reply, const struct err *err);

static bool scan(struct cache_look *look, struct str cursor)
{
    struct cache_driver *d = look->driver;
    struct buf pattern = {0};
    char count[16];
    snprintf(count, sizeof count, "%d", CACHE_LOOK_COUNT);
    glob_escape(&pattern, str_c(d->prefix));
    buf_add_c(&pattern, "cache:");
    buf_add_str(&pattern, look->what);
    struct str words[] = {cursor, buf_str(&pattern), str_c(count)};
    look->scans++;
    bool ok = redis_run(d->links[look->lane->index].client, &page_, 0, words, 3, on_answer, look,
                        &look->err);
    buf_free(&pattern);
    return ok;
}

static struct str word(const redisReply *reply, size_t i)
{
    return redis_reply_text(reply->element[i]);
}

static int64_t whole(const redisReply *reply, size_t i)
{
    return redis_reply_int(reply->element[i]);
}

static char tag_of(struct str type, struct str value)
{
    bool ours = str_eq_c(type, "string") && value.n && memchr("nbsj", *value.p, 4);
    return ours ? *value.p : 0;
}

/* False: there is more to come. */
static bool take_page(struct cache_look *look, const redisReply *reply)
{
    enum { EACH = 6 };
    size_t in_front = strlen(look->driver->prefix) + sizeof "cache:" - 1;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % EACH != 1)
        return err_set(&look->err, ERR_CORRUPT, "redis: SCAN was not answered"), true;
    for (size_t i = 1; i < reply->elements; i += EACH) {
        struct str key = word(reply, i);
        struct shown e = {.tag = tag_of(word(reply, i + 1), word(reply, i + 5)),
                          .ttl_ms = whole(reply, i + 2),
                          .memory = whole(reply, i + 4)};
        e.bytes = whole(reply, i + 3) - (e.tag != 0);
        e.key = key.n > in_front ? str_n(key.p + in_front, key.n - in_front) : key;
        add_to_page(look, &e);
    }
    struct str cursor = word(reply, 0);
    bool end = str_eq_c(cursor, "0");
    if (!end && look->count < look->limit && look->scans < CACHE_LOOK_SCANS)
        return !scan(look, cursor);
    char next[32];
    snprintf(next, sizeof next, "r%.*s", (int)cursor.n, cursor.p);
    end_page(look, end ? NULL : next);
    return true;
}

static void take_entry(struct cache_look *look, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5) {
        not_there(look);
        return;
    }
    struct str value = word(reply, 4);
    struct shown e = {.key = look->what,
                      .tag = tag_of(word(reply, 0), value),
                      .ttl_ms = whole(reply, 1),
                      .bytes = whole(reply, 2),
                      .memory = whole(reply, 3)};
    bool cut = e.bytes > (int64_t)value.n;
    struct cache_value v = {.tag = e.tag, .bytes = value};
    if (e.tag) {
        e.bytes--;
        v.bytes = str_n(value.p + 1, value.n - 1);
    }
    if (e.tag == 'n' || e.tag == 'b')
        v.number = strtod(v.bytes.p, NULL);
    print_one(look, &e, &v, cut);
}

/* The line "name:value" of INFO. */
static struct str info(struct str text, const char *name)
{
    size_t n = strlen(name);
    while (text.n) {
        struct str line = str_trim(str_split(&text, '\n'));
        if (line.n > n && line.p[n] == ':' && memcmp(line.p, name, n) == 0)
            return str_n(line.p + n + 1, line.n - n - 1);
    }
    return str_n("", 0);
}

static void info_number(struct json *w, const char *key, struct str text, const char *name)
{
    long long value = 0;
    bool known = str_int64(info(text, name), &value);
    number(w, key, value, known);
}

/* "keys=12,expires=3,…" of our database. */
static void info_keys(struct json *w, const struct cache_driver *d, struct str text)
{
    char name[32];
    long long keys = 0;
    snprintf(name, sizeof name, "db%d", d->url.db);
    struct str rest = info(text, name), first = str_split(&rest, ',');
    str_split(&first, '=');
    str_int64(first, &keys);
    number(w, "keys", keys, true);
}

static void take_figures(struct cache_look *look, const redisReply *reply)
{
    struct str text = redis_reply_text(reply);
    struct json w;
    begin_figures(look, &w, true);
    json_open(&w, '{');
    json_key(&w, "version");
    json_str(&w, info(text, "redis_version"));
    info_keys(&w, look->driver, text);
    info_number(&w, "used_bytes", text, "used_memory");
    info_number(&w, "max_bytes", text, "maxmemory");
    json_key(&w, "policy");
    json_str(&w, info(text, "maxmemory_policy"));
    info_number(&w, "hits", text, "keyspace_hits");
    info_number(&w, "misses", text, "keyspace_misses");
    info_number(&w, "evicted", text, "evicted_keys");
    info_number(&w, "expired", text, "expired_keys");
    info_number(&w, "per_second", text, "instantaneous_ops_per_sec");
    info_number(&w, "clients", text, "connected_clients");
    json_close(&w, '}');
    json_close(&w, '}');
}

static void on_answer(void *arg, const redisReply *reply, const struct err *err)
{
    struct cache_look *look = arg;
    if (err)
        look->err = *err;
    else if (look->op == CACHE_LOOK_FIGURES)
        take_figures(look, reply);
    else if (look->op == CACHE_LOOK_ENTRY)
        take_entry(look, reply);
    else if (!take_page(look, reply))
        return;
    look->done(look);
}

static bool ask_figures(struct cache_look *look, struct redis_client *client)
{
    struct str words[] = {STR("INFO")};
    return redis_send(client, words, 1, on_answer, look, &look->err);
}

static bool ask_entry(struct cache_look *look, struct redis_client *client)
{
    struct buf key = {0};
    char most[16];
    /* One more for the tag. */
    snprintf(most, sizeof most, "%d", look->value ? CACHE_LOOK_VALUE + 1 : 1);
    buf_printf(&key, "%scache:", look->driver->prefix);
    buf_add_str(&key, look->what);
    struct str words[] = {buf_str(&key), str_c(most)};
    bool ok = redis_run(client, &entry_, 1, words, 2, on_answer, look, &look->err);
    buf_free(&key);
    return ok;
}

static bool ask_page(struct cache_look *look)
{
    char cursor[24];
    uint64_t from;
    if (!cursor_of(look, 'r', &from))
        return false;
    snprintf(cursor, sizeof cursor, "%" PRIu64, from);
    begin_page(look);
    return scan(look, str_c(cursor));
}

static void init_programs(void)
{
    page_.text = cache_lua_cache_page;
    entry_.text = cache_lua_cache_entry;
    redis_program_init(&page_);
    redis_program_init(&entry_);
}

void cache_look(struct cache_driver *d, struct lane *lane, struct cache_look *look)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_programs);
    look->driver = d;
    look->lane = lane;
    if (!cache_driver_is_shared(d)) {
        local_answer(look);
        return;
    }
    struct redis_client *client = d->links[lane->index].client;
    bool asked = client ? look->op == CACHE_LOOK_FIGURES ? ask_figures(look, client)
                          : look->op == CACHE_LOOK_ENTRY ? ask_entry(look, client)
                                                         : ask_page(look)
                        : err_set(&look->err, ERR_CLOSED, "the cache is closed");
    if (!asked)
        look->done(look);
}
