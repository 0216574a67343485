/* redis_client.h -- one connection to Redis on a lane's loop: commands, scripts, messages.
 *
 * Commands of one turn of the loop leave in one write, and answers come in the order of the
 * commands: many tasks of a lane share the connection without waiting for each other.  The
 * connection heals by itself, with back-off and jitter.  While it is down a command is refused at
 * once; so is everything that waited when it broke, which may or may not have been done.
 *
 * Of hiredis this uses the reader of answers.  Its asynchronous half, in the version of Debian 12,
 * has neither TLS nor a time-out for commands, and drops what waits without a word when a
 * connection cannot be made.
 *
 * Threads: everything on the lane's thread, but redis_client_is_up().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "base/err.h"
#include "base/str.h"
#include "storage/redis_url.h"

struct lane;
struct redis_call;
struct redis_client;

enum {
    REDIS_CLIENT_CALLS = 100000,   /* that wait for their answers; then ERR_BUSY */
    REDIS_CLIENT_BYTES = 32 << 20, /* of commands not yet sent; then ERR_BUSY */
};

struct redis_client_options {
    const struct redis_url *url; /* borrowed while the client lives */
    const char *name;            /* in CLIENT LIST; borrowed likewise */
    const char *probe;           /* a key that a new connection writes, to see whether it may; or
                                    NULL; borrowed likewise */
    int64_t connect_ns;          /* for a connection with all that it begins with */
    int64_t answer_ns;           /* for one answer; then the connection counts as dead */
    /* err NULL: it can be used.  Otherwise it cannot any more, or still not; said once a change of
     * the reason.  On the lane; not from inside of a function of this header. */
    void (*changed)(void *arg, const struct err *err);
    /* A message of a subscription; NULL where nothing is subscribed to. */
    void (*message)(void *arg, struct str channel, struct str bytes);
    void *arg;
};

/* Begins to connect at once; what is sent until that succeeds or fails waits for it.  NULL with
 * *err when a file of the address cannot be read (ERR_INVALID). */
struct redis_client *
redis_client_create(struct lane *lane, const struct redis_client_options *options, struct err *err);
/* What waits ends with ERR_CLOSED, now, though it is sent if the socket takes it.  Not from inside
 * of one of its callbacks. */
void redis_client_destroy(struct redis_client *client);
bool redis_client_is_up(const struct redis_client *client); /* any thread */
/* Breaks the connection and makes another: the server is not what it should be. */
void redis_client_again(struct redis_client *client, const struct err *why);

/* Exactly one of reply and err is not NULL.  What the server refused comes as err: ERR_UNAVAILABLE
 * (no connection, -LOADING, -READONLY, -MISCONF …), ERR_TIMEOUT, ERR_FULL (-OOM), ERR_FORBIDDEN
 * (-NOAUTH, -NOPERM, -WRONGPASS), ERR_BUSY, ERR_CLOSED, else ERR_INVALID with the server's words.
 * The reply is only borrowed. */
typedef void redis_answer_fn(void *arg, const redisReply *reply, const struct err *err);

/* Sends a command of `count` words, which are copied.  fn is called later, once; NULL = nobody
 * wants the answer.  NULL with *err when it is refused at once (ERR_UNAVAILABLE, ERR_BUSY). */
struct redis_call *redis_send(struct redis_client *client, const struct str *words, int count,
                              redis_answer_fn *fn, void *arg, struct err *err);
/* fn is not called any more; the command is done all the same. */
void redis_forget(struct redis_call *call);

/* A script that runs inside Redis: sent by its digest, and whole when the server does not know it
 * (again).  words: its KEYS, then its ARGV. */
struct redis_program {
    const char *text;
    char sha[41]; /* filled by redis_program_init() */
};
void redis_program_init(struct redis_program *program); /* any thread, before its first use */
struct redis_call *redis_run(struct redis_client *client, const struct redis_program *program,
                             int keys, const struct str *words, int count, redis_answer_fn *fn,
                             void *arg, struct err *err);

/* Parts of a reply; empty or 0 when it is not so. */
struct str redis_reply_text(const redisReply *reply);
int64_t redis_reply_int(const redisReply *reply);
