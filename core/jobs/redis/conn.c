#include "jobs/redis/conn.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/redis/wire.h"

struct redis {
    struct wire wire;
    struct timeval timeout;
};

/* -- arguments -- */

void redis_arg(struct redis_args *a, struct str value)
{
    invariant(a->count < REDIS_ARGS);
    a->p[a->count] = value.p;
    a->n[a->count++] = value.n;
}

void redis_arg_c(struct redis_args *a, const char *value)
{
    redis_arg(a, str_c(value));
}

void redis_arg_int(struct redis_args *a, int64_t value)
{
    invariant(a->number_count < REDIS_ARGS / 4);
    char *text = a->numbers[a->number_count++];
    snprintf(text, sizeof a->numbers[0], "%lld", (long long)value);
    redis_arg_c(a, text);
}

void redis_arg_score(struct redis_args *a, int64_t wall_ns)
{
    invariant(a->number_count < REDIS_ARGS / 4);
    char *text = a->numbers[a->number_count++];
    snprintf(text, sizeof a->numbers[0], "%lld.%06d", (long long)(wall_ns / NS_PER_SECOND),
             (int)(wall_ns % NS_PER_SECOND / 1000));
    redis_arg_c(a, text);
}

bool redis_args_full(const struct redis_args *a, int more)
{
    return a->count + more > REDIS_ARGS - 8 || a->number_count + more > REDIS_ARGS / 4;
}

/* -- commands -- */

static redisReply *answer(struct redis *r, struct err *err)
{
    redisReply *reply = wire_answer(&r->wire, err);
    if (!reply || reply->type != REDIS_REPLY_ERROR)
        return reply;
    bool no_entry = strncmp(reply->str, "NOAUTH", 6) == 0 ||
                    strncmp(reply->str, "WRONGPASS", 9) == 0 ||
                    strncmp(reply->str, "NOPERM", 6) == 0;
    /* Another connection may reach a server that is ready, or the master. */
    bool not_now = strncmp(reply->str, "LOADING", 7) == 0 ||
                   strncmp(reply->str, "READONLY", 8) == 0 ||
                   strncmp(reply->str, "MASTERDOWN", 10) == 0;
    err_set(err,
            no_entry  ? ERR_FORBIDDEN
            : not_now ? ERR_IO
                      : ERR_INVALID,
            "redis: %s", reply->str);
    freeReplyObject(reply);
    return NULL;
}

/* A command that cannot be appended was made with no memory or a wrong format. */
redisReply *redis_call(struct redis *r, const struct redis_args *args, struct err *err)
{
    invariant(redisAppendCommandArgv(r->wire.c, args->count, (const char **)(uintptr_t)args->p,
                                     args->n) == REDIS_OK);
    return answer(r, err);
}

redisReply *redis_vcommand(struct redis *r, struct err *err, const char *format, va_list list)
{
    invariant(redisvAppendCommand(r->wire.c, format, list) == REDIS_OK);
    return answer(r, err);
}

redisReply *redis_command(struct redis *r, struct err *err, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    redisReply *reply = redis_vcommand(r, err, format, list);
    va_end(list);
    return reply;
}

static bool did(struct redis *r, redisReply *reply)
{
    (void)r;
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

static bool enter(struct redis *r, const struct redis_url *url, const char *name, struct err *err)
{
    if (url->password && url->user &&
        !did(r, redis_command(r, err, "AUTH %s %s", url->user, url->password)))
        return false;
    if (url->password && !url->user && !did(r, redis_command(r, err, "AUTH %s", url->password)))
        return false;
    if (url->db && !did(r, redis_command(r, err, "SELECT %d", url->db)))
        return false;
    struct err refused = {0}; /* the name is for people who look at CLIENT LIST */
    if (did(r, redis_command(r, &refused, "CLIENT SETNAME %s", name)) || !r->wire.broken)
        return true;
    *err = refused;
    return false;
}

struct redis *redis_open(const struct redis_url *url, const char *name, int timeout_ms,
                         struct err *err)
{
    struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    struct redis *r = mem_zero(1, sizeof *r);
    r->timeout = timeout;
    if (wire_open(&r->wire, url, timeout, err) && enter(r, url, name, err))
        return r;
    redis_close(r);
    return NULL;
}

void redis_close(struct redis *r)
{
    if (!r)
        return;
    wire_close(&r->wire);
    mem_free(r);
}

/* -- scripts -- */

void redis_script_init(struct redis_script *script)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    invariant(EVP_Digest(script->text, strlen(script->text), digest, &n, EVP_sha1(), NULL) &&
              n == 20);
    for (unsigned i = 0; i < n; i++)
        snprintf(script->sha + 2 * i, 3, "%02x", digest[i]);
}

static redisReply *eval(struct redis *r, const char *how, const char *what,
                        const struct redis_args *args, struct err *err)
{
    struct redis_args *all = mem_alloc(sizeof *all);
    all->count = all->number_count = 0;
    redis_arg_c(all, how);
    redis_arg_c(all, what);
    redis_arg_c(all, "0");
    invariant(args->count <= REDIS_ARGS - 3);
    memcpy(all->p + 3, args->p, (size_t)args->count * sizeof *all->p);
    memcpy(all->n + 3, args->n, (size_t)args->count * sizeof *all->n);
    all->count += args->count;
    redisReply *reply = redis_call(r, all, err);
    mem_free(all);
    return reply;
}

redisReply *redis_eval(struct redis *r, const struct redis_script *script,
                       const struct redis_args *args, struct err *err)
{
    redisReply *reply = eval(r, "EVALSHA", script->sha, args, err);
    if (reply || strncmp(err->message, "redis: NOSCRIPT", 15) != 0)
        return reply;
    err_clear(err);
    return eval(r, "EVAL", script->text, args, err);
}

bool redis_multi(struct redis *r, const struct redis_script *script, struct err *err)
{
    /* Not loaded before: the server may forget it until the transaction is done. */
    return did(r, redis_command(r, err, "MULTI")) &&
           did(r, redis_command(r, err, "SCRIPT LOAD %s", script->text));
}

bool redis_queue(struct redis *r, const struct redis_script *script, const struct redis_args *args,
                 struct err *err)
{
    return did(r, eval(r, "EVALSHA", script->sha, args, err));
}

static void set_timeout(struct redis *r, int timeout_ms)
{
    redisSetTimeout(r->wire.c, (struct timeval){timeout_ms / 1000, timeout_ms % 1000 * 1000});
}

/* words[0 … 2] are made here. */
static redisReply *call_words(struct redis *r, const char *command, const char *script,
                              const char **words, size_t *lengths, int count, struct err *err)
{
    words[0] = command;
    words[1] = script;
    words[2] = "0";
    for (int i = 0; i < 3; i++)
        lengths[i] = strlen(words[i]);
    invariant(redisAppendCommandArgv(r->wire.c, count, words, lengths) == REDIS_OK);
    return answer(r, err);
}

redisReply *redis_eval_words(struct redis *r, const struct redis_script *script,
                             const char *const *words, const size_t *lengths, int count,
                             int timeout_ms, struct err *err)
{
    size_t total = (size_t)count + 3;
    const char **all = mem_alloc(total * sizeof *all);
    size_t *n = mem_alloc(total * sizeof *n);
    memcpy(all + 3, words, (size_t)count * sizeof *all);
    memcpy(n + 3, lengths, (size_t)count * sizeof *n);
    set_timeout(r, timeout_ms);
    redisReply *reply = call_words(r, "EVALSHA", script->sha, all, n, (int)total, err);
    if (!reply && strncmp(err->message, "redis: NOSCRIPT", 15) == 0) {
        err_clear(err);
        reply = call_words(r, "EVAL", script->text, all, n, (int)total, err);
    }
    redisSetTimeout(r->wire.c, r->timeout);
    mem_free(all);
    mem_free(n);
    return reply;
}

redisReply *redis_exec(struct redis *r, bool ok, int timeout_ms, struct err *err)
{
    struct err ignored = {0};
    if (!ok) {
        did(r, redis_command(r, &ignored, "DISCARD"));
        return NULL;
    }
    set_timeout(r, timeout_ms);
    redisReply *reply = redis_command(r, err, "EXEC");
    redisSetTimeout(r->wire.c, r->timeout);
    for (size_t i = 0; reply && i < reply->elements; i++)
        if (reply->element[i]->type == REDIS_REPLY_ERROR) {
            err_set(err, ERR_INVALID, "redis: %s", reply->element[i]->str);
            freeReplyObject(reply);
            return NULL;
        }
    return reply;
}

redisReply *redis_receive(struct redis *r, int timeout_ms, struct err *err)
{
    return wire_listen(&r->wire, timeout_ms, err);
}

struct str redis_text(const redisReply *reply)
{
    bool text = reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS);
    return text ? str_n(reply->str, reply->len) : str_n("", 0);
}

struct str redis_item(const redisReply *reply, size_t i)
{
    bool there = reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements;
    return there ? redis_text(reply->element[i]) : str_n("", 0);
}

int64_t redis_item_int(const redisReply *reply, size_t i)
{
    long long value = 0;
    str_int64(redis_item(reply, i), &value);
    return value;
}

int64_t redis_int(const redisReply *reply)
{
    long long value = 0;
    if (reply && reply->type == REDIS_REPLY_INTEGER)
        return reply->integer;
    str_int64(redis_text(reply), &value);
    return value;
}
