/* redis_send.c -- commands and scripts on their way, in the order of their answers. */
#include <openssl/evp.h>

#include "base/mem.h"
#include "storage/redis_private.h"

struct redis_call *redis_call_new(struct redis_client *c, redis_answer_fn *fn, void *arg)
{
    struct redis_call *call = c->spare;
    if (call)
        c->spare = call->next;
    else
        call = mem_zero(1, sizeof *call);
    call->next = NULL;
    call->fn = fn;
    call->arg = arg;
    call->at = lane_now(c->lane);
    call->program = NULL;
    *c->last = call;
    c->last = &call->next;
    c->calls++;
    return call;
}

struct redis_call *redis_call_take(struct redis_client *c)
{
    struct redis_call *call = c->first;
    c->first = call->next;
    if (!c->first)
        c->last = &c->first;
    c->calls--;
    return call;
}

void redis_call_end(struct redis_client *c, struct redis_call *call, const redisReply *reply,
                    const struct err *err)
{
    redis_answer_fn *fn = call->fn;
    void *arg = call->arg;
    buf_free(&call->rest);
    call->next = c->spare;
    c->spare = call;
    if (fn)
        fn(arg, reply, err);
}

void redis_calls_end(struct redis_client *c, const struct err *err)
{
    struct redis_call *call = c->first;
    c->first = NULL;
    c->last = &c->first;
    c->calls = c->greeting = 0;
    while (call) {
        struct redis_call *next = call->next;
        redis_call_end(c, call, NULL, err);
        call = next;
    }
}

/* -- words -- */

static void add_number(struct buf *out, char kind, size_t n)
{
    char text[24], *p = text + sizeof text;
    *--p = '\n';
    *--p = '\r';
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    *--p = kind;
    buf_add(out, p, (size_t)(text + sizeof text - p));
}

static void add_words(struct buf *out, const struct str *words, int count)
{
    for (int i = 0; i < count; i++) {
        add_number(out, '$', words[i].n);
        buf_add(out, words[i].p, words[i].n);
        buf_add(out, "\r\n", 2);
    }
}

void redis_add_command(struct buf *out, const struct str *words, int count)
{
    add_number(out, '*', (size_t)count);
    add_words(out, words, count);
}

void redis_watch_answers(struct redis_client *c)
{
    int64_t due = lane_now(c->lane) + c->options.answer_ns;
    if (c->state != REDIS_UP || (c->timer_at && c->timer_at <= due))
        return;
    c->timer_at = due;
    timer_start(c->lane, &c->timer, c->options.answer_ns);
}

static void on_flush(uv_prepare_t *prepare)
{
    uv_prepare_stop(prepare);
    redis_flush(prepare->data);
}

static void flush_soon(struct redis_client *c)
{
    if (c->state >= REDIS_GREETING && c->state != REDIS_CLOSED)
        uv_prepare_start(&c->flush, on_flush);
    redis_watch_answers(c);
}

static bool may_send(struct redis_client *c, struct err *err)
{
    if (c->state == REDIS_CLOSED) {
        *err = redis_closed;
        return false;
    }
    if (c->state != REDIS_UP && !c->fresh) {
        *err = c->why;
        return false;
    }
    if (c->calls >= REDIS_CLIENT_CALLS || c->out.n - c->out_sent > REDIS_CLIENT_BYTES)
        return err_set(err, ERR_BUSY, "redis: too much waits for it");
    return true;
}

struct redis_call *redis_send(struct redis_client *client, const struct str *words, int count,
                              redis_answer_fn *fn, void *arg, struct err *err)
{
    if (!may_send(client, err))
        return NULL;
    redis_add_command(&client->out, words, count);
    struct redis_call *call = redis_call_new(client, fn, arg);
    flush_soon(client);
    return call;
}

void redis_forget(struct redis_call *call)
{
    call->fn = NULL;
}

/* -- scripts -- */

void redis_program_init(struct redis_program *program)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    size_t bytes = strlen(program->text);
    invariant(EVP_Digest(program->text, bytes, digest, &n, EVP_sha1(), NULL) && n == 20);
    for (unsigned i = 0; i < n; i++)
        snprintf(program->sha + 2 * i, 3, "%02x", digest[i]);
}

struct redis_call *redis_run(struct redis_client *client, const struct redis_program *program,
                             int keys, const struct str *words, int count, redis_answer_fn *fn,
                             void *arg, struct err *err)
{
    if (!may_send(client, err))
        return NULL;
    char number[16];
    struct str how[] = {STR("EVALSHA"), str_c(program->sha)};
    snprintf(number, sizeof number, "%d", keys);
    struct str key_count = str_c(number);
    struct redis_call *call = redis_call_new(client, fn, arg);
    call->program = program;
    call->words = count + 3;
    add_words(&call->rest, &key_count, 1);
    add_words(&call->rest, words, count);
    add_number(&client->out, '*', (size_t)call->words);
    add_words(&client->out, how, 2);
    buf_add_str(&client->out, buf_str(&call->rest));
    flush_soon(client);
    return call;
}

void redis_run_whole(struct redis_client *c, struct redis_call *call)
{
    struct str how[] = {STR("EVAL"), str_c(call->program->text)};
    add_number(&c->out, '*', (size_t)call->words);
    add_words(&c->out, how, 2);
    buf_add_str(&c->out, buf_str(&call->rest));
    call->program = NULL;
    call->next = NULL;
    call->at = lane_now(c->lane);
    *c->last = call;
    c->last = &call->next;
    c->calls++;
    flush_soon(c);
}
