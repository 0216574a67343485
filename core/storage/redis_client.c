/* redis_client.c -- the life of a connection: attempts, greetings, answers, back-off. */
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rand.h"
#include "storage/redis_private.h"
#include "storage/redis_tls.h"

/* DESIGN.  What a connection begins with (AUTH, SELECT, a name, a write that shows whether this is
 * a master) stands in front of everything else in the same buffer: it costs no round trip of its
 * own.  Only the first attempt takes commands before it is through; later ones refuse them, so that
 * nobody waits for a server that is known to be away.
 *
 * Invariants: (1) the calls in `first` are the commands in `out` and on the wire, in that order;
 * (2) the first `greeting` of them are the connection's own; (3) `out` is empty while REFUSED. */

enum {
    BACKOFF_MS = 50,
    BACKOFF_MOST_MS = 2000,
    STEADY_MS = 1000,   /* up for so long: the next attempt is a first one again */
    LATE_MS = 10,       /* a timer later than that: the lane was busy */
    HEARTBEAT_MS = 5000 /* between questions whether a silent server is still there */
};

const struct err redis_closed = {.code = ERR_CLOSED, .message = "redis: closed"};

static void attempt(struct redis_client *c);

/* Every change of the reason is told, not every attempt. */
static void tell_down(struct redis_client *c, const struct err *err)
{
    bool same = c->state != REDIS_UP && !c->fresh && strcmp(c->why.message, err->message) == 0;
    c->why = *err;
    if (c->why.code != ERR_FORBIDDEN)
        c->why.code = ERR_UNAVAILABLE;
    if (!same && c->options.changed)
        c->options.changed(c->options.arg, &c->why);
}

static void retry_later(struct redis_client *c)
{
    int shift = c->attempts < 10 ? c->attempts : 10;
    int64_t ms = (int64_t)BACKOFF_MS << shift;
    ms = ms < BACKOFF_MOST_MS ? ms : BACKOFF_MOST_MS;
    c->attempts++;
    c->timer_at = lane_now(c->lane);
    timer_start(c->lane, &c->timer, (int64_t)((double)(ms * NS_PER_MS) * (0.5 + rand_unit() / 2)));
}

void redis_broken(struct redis_client *c, const struct err *why)
{
    struct err err = *why;
    if (c->state == REDIS_CLOSED)
        return;
    if (c->in_callback) {
        c->broken = err;
        return;
    }
    if (c->state == REDIS_UP && lane_now(c->lane) - c->up_at >= STEADY_MS * NS_PER_MS)
        c->attempts = 0;
    redis_disconnect(c);
    atomic_store_explicit(&c->is_up, false, memory_order_relaxed);
    tell_down(c, &err);
    c->state = REDIS_REFUSED;
    c->fresh = false;
    buf_clear(&c->out);
    c->out_sent = 0;
    retry_later(c);
    struct err late = err;
    if (late.code != ERR_TIMEOUT && late.code != ERR_FORBIDDEN)
        late.code = ERR_UNAVAILABLE;
    redis_calls_end(c, &late);
}

void redis_client_again(struct redis_client *client, const struct err *why)
{
    redis_broken(client, why);
}

/* A lane that was inside of a handler for long neither sent nor read meanwhile: what lies in the
 * socket counts, and once there is time for what does not.  False: the server is late. */
static bool may_be_late(struct redis_client *c, int64_t due)
{
    int64_t now = lane_now(c->lane), answer_ns = c->options.answer_ns;
    if (!c->first || now - c->first->at < answer_ns)
        return true;
    redis_catch_up(c);
    if (c->state != REDIS_UP || !c->first || now - c->first->at < answer_ns)
        return true;
    if (c->spared || now - due < LATE_MS * NS_PER_MS)
        return false;
    c->spared = true;
    c->first->at = now;
    return true;
}

static void give_up(struct redis_client *c)
{
    bool up = c->state == REDIS_UP;
    int64_t limit = up ? c->options.answer_ns : c->options.connect_ns;
    struct err err;
    err_set(&err, ERR_TIMEOUT, "redis: %s within %lld ms", up ? "no answer" : "no connection",
            (long long)(limit / NS_PER_MS));
    redis_broken(c, &err);
}

static void on_timer(struct timer *timer)
{
    struct redis_client *c = list_entry(timer, struct redis_client, timer);
    struct err err;
    int64_t now = lane_now(c->lane), next = HEARTBEAT_MS * NS_PER_MS, due = c->timer_at;
    c->timer_at = 0;
    if (c->state == REDIS_REFUSED) {
        attempt(c);
        return;
    }
    if (c->broken.code) {
        err = c->broken;
        redis_broken(c, &err);
        return;
    }
    if (c->state != REDIS_UP || !may_be_late(c, due)) {
        give_up(c);
        return;
    }
    if (c->state != REDIS_UP)
        return; /* that broke while it was looked at */
    if (!c->first && now - c->heard_at >= next) {
        struct str ping = STR("PING");
        redis_send(c, &ping, 1, NULL, NULL, &err);
    }
    next = c->first ? c->options.answer_ns - (now - c->first->at) : next - (now - c->heard_at);
    c->timer_at = now + next;
    timer_start(c->lane, &c->timer, next);
}

static void greet(struct redis_client *c, const struct str *words, int count)
{
    redis_add_command(&c->out, words, count);
    redis_call_new(c, NULL, NULL);
    c->greeting++;
}

/* In front of what waits already. */
static void greetings(struct redis_client *c)
{
    const struct redis_url *url = c->options.url;
    struct str auth[3] = {STR("AUTH")}, select[2] = {STR("SELECT")};
    struct str name[] = {STR("CLIENT"), STR("SETNAME"), str_c(c->options.name)};
    struct str probe[] = {STR("SET"), str_c(c->options.probe), STR("1"), STR("PX"), STR("10000")};
    char number[16];
    int words = 1;
    snprintf(number, sizeof number, "%d", url->db);
    select[1] = str_c(number);
    if (url->user)
        auth[words++] = str_c(url->user);
    if (url->password) {
        auth[words++] = str_c(url->password);
        greet(c, auth, words);
    }
    if (url->db)
        greet(c, select, 2);
    greet(c, name, 3);
    if (c->options.probe)
        greet(c, probe, 5);
}

static void attempt(struct redis_client *c)
{
    invariant(!c->first && !c->out.n);
    greetings(c);
    c->state = REDIS_RESOLVING;
    c->broken.code = ERR_NONE;
    c->in_callback = true; /* what fails at once is told by the timer */
    redis_connect(c);
    c->in_callback = false;
    c->timer_at = lane_now(c->lane) + c->options.connect_ns;
    timer_start(c->lane, &c->timer, c->broken.code ? 0 : c->options.connect_ns);
}

void redis_connected(struct redis_client *c)
{
    redisReaderFree(c->reader);
    c->reader = redisReaderCreate();
    invariant(c->reader);
    c->state = REDIS_GREETING;
    redis_flush(c);
}

static void come_up(struct redis_client *c)
{
    c->state = REDIS_UP;
    c->fresh = false;
    c->up_at = lane_now(c->lane);
    for (struct redis_call *call = c->first; call; call = call->next)
        call->at = c->up_at;
    c->timer_at = 0;
    redis_watch_answers(c);
    atomic_store_explicit(&c->is_up, true, memory_order_relaxed);
    if (c->options.changed)
        c->options.changed(c->options.arg, NULL);
}

/* -- answers -- */

/* A server that is full serves on, and a name that it does not want is no reason to stay away. */
static void on_greeting(struct redis_client *c, const redisReply *reply)
{
    redis_call_end(c, redis_call_take(c), NULL, &redis_closed);
    bool is_name = c->greeting == (c->options.probe ? 2 : 1);
    c->greeting--;
    struct err err = {0};
    if (reply->type == REDIS_REPLY_ERROR)
        redis_set_refusal(&err, reply);
    if (err.code && err.code != ERR_FULL && (!is_name || redis_is_lost(reply, &err)))
        c->broken = err;
    else if (c->greeting == 0)
        come_up(c);
}

/* Whether it was a message, which answers no call. */
static bool take_message(struct redis_client *c, const redisReply *reply)
{
    if (!c->options.message || reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        !str_eq_c(redis_reply_text(reply->element[0]), "message"))
        return false;
    c->options.message(c->options.arg, redis_reply_text(reply->element[1]),
                       redis_reply_text(reply->element[2]));
    return true;
}

static void on_error(struct redis_client *c, const redisReply *reply)
{
    struct redis_call *call = redis_call_take(c);
    struct err err = {0};
    if (call->program && redis_begins(reply, "NOSCRIPT")) {
        redis_run_whole(c, call);
        return;
    }
    redis_set_refusal(&err, reply);
    if (redis_is_lost(reply, &err))
        c->broken = err;
    redis_call_end(c, call, NULL, &err);
}

static void on_reply(struct redis_client *c, const redisReply *reply)
{
    if (take_message(c, reply))
        return;
    if (!c->first)
        err_set(&c->broken, ERR_IO, "redis: an answer to no question: %.100s",
                reply->str ? reply->str : "");
    else if (c->greeting)
        on_greeting(c, reply);
    else if (reply->type == REDIS_REPLY_ERROR)
        on_error(c, reply);
    else
        redis_call_end(c, redis_call_take(c), reply, NULL);
}

void redis_read(struct redis_client *c, const char *p, size_t n)
{
    void *reply = NULL;
    c->broken.code = ERR_NONE;
    c->heard_at = lane_now(c->lane);
    c->spared = false;
    c->in_callback = true;
    bool ok = redisReaderFeed(c->reader, p, n) == REDIS_OK;
    while (ok && !c->broken.code && (ok = redisReaderGetReply(c->reader, &reply) == REDIS_OK) &&
           reply) {
        on_reply(c, reply);
        freeReplyObject(reply);
    }
    if (!ok)
        err_set(&c->broken, ERR_IO, "redis: %s", c->reader->errstr);
    c->in_callback = false;
    if (c->broken.code) {
        struct err err = c->broken;
        redis_broken(c, &err);
    }
}

/* -- birth and death -- */

struct redis_client *
redis_client_create(struct lane *lane, const struct redis_client_options *options, struct err *err)
{
    struct redis_client *c = mem_zero(1, sizeof *c);
    c->options = *options;
    c->lane = lane;
    c->last = &c->first;
    c->fresh = true;
    c->timer.fire = on_timer;
    c->timer.upkeep = true;
    if (options->url->tls && !(c->tls = redis_tls_context(options->url, err))) {
        mem_free(c);
        return NULL;
    }
    uv_prepare_init(&lane->loop, &c->flush);
    c->flush.data = c;
    c->handles = 1;
    attempt(c);
    return c;
}

void redis_handle_closed(struct redis_client *c)
{
    if (--c->handles > 0)
        return;
    while (c->spare) {
        struct redis_call *call = c->spare;
        c->spare = call->next;
        mem_free(call);
    }
    redisReaderFree(c->reader);
    uv_freeaddrinfo(c->addresses);
    SSL_CTX_free(c->tls);
    buf_free(&c->out);
    mem_free(c);
}

static void on_flush_closed(uv_handle_t *handle)
{
    redis_handle_closed(handle->data);
}

void redis_client_destroy(struct redis_client *client)
{
    if (!client)
        return;
    invariant(!client->in_callback);
    if (client->state == REDIS_UP)
        redis_flush(client);
    redis_disconnect(client);
    atomic_store_explicit(&client->is_up, false, memory_order_relaxed);
    client->state = REDIS_CLOSED;
    timer_stop(client->lane, &client->timer);
    redis_calls_end(client, &redis_closed);
    uv_close((uv_handle_t *)&client->flush, on_flush_closed);
}

bool redis_client_is_up(const struct redis_client *client)
{
    return atomic_load_explicit(&client->is_up, memory_order_relaxed);
}
