/* redis/conn.h -- one blocking connection to Redis: commands, server-side scripts, subscriptions.
 *
 * A connection belongs to one thread.  A password is in no message and no log line.
 */
#pragma once

#include <stdarg.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "base/err.h"
#include "base/str.h"
#include "storage/redis_url.h"

enum { REDIS_ARGS = 4096 }; /* of one command */

struct redis;

/* Connects, authenticates, chooses the database, and names itself `name`.  Every wait of the
 * connection is bounded by timeout_ms.  NULL with *err (ERR_IO, ERR_FORBIDDEN). */
struct redis *redis_open(const struct redis_url *url, const char *name, int timeout_ms,
                         struct err *err);
void redis_close(struct redis *r); /* NULL is fine */

/* The arguments of a command; borrowed until it was sent, except numbers, which are copied. */
struct redis_args {
    const char *p[REDIS_ARGS];
    size_t n[REDIS_ARGS];
    int count;
    char numbers[REDIS_ARGS / 4][24];
    int number_count;
};
void redis_arg(struct redis_args *a, struct str value);
void redis_arg_c(struct redis_args *a, const char *value); /* NULL = "" */
void redis_arg_int(struct redis_args *a, int64_t value);
/* Seconds with microseconds of wall time in ns: the score kombu and maru use. */
void redis_arg_score(struct redis_args *a, int64_t wall_ns);
bool redis_args_full(const struct redis_args *a, int more); /* no room for `more` */

/* Sends, waits for the answer.  NULL with *err: ERR_IO, and the connection is of no use any more;
 * ERR_INVALID with the server's words when it refused.  The caller frees the reply with
 * freeReplyObject(). */
redisReply *redis_call(struct redis *r, const struct redis_args *args, struct err *err);
redisReply *redis_command(struct redis *r, struct err *err, const char *format, ...);
redisReply *redis_vcommand(struct redis *r, struct err *err, const char *format, va_list list);

/* A script of ours.  It is sent by its digest, and whole when the server does not know it (again):
 * after a restart or SCRIPT FLUSH. */
struct redis_script {
    const char *text;
    char sha[41]; /* filled by redis_script_init() */
};
void redis_script_init(struct redis_script *script);
/* Args are the script's ARGV, at most REDIS_ARGS - 3. */
redisReply *redis_eval(struct redis *r, const struct redis_script *script,
                       const struct redis_args *args, struct err *err);

/* The same with any number of arguments; the answer may take that long. */
redisReply *redis_eval_words(struct redis *r, const struct redis_script *script,
                             const char *const *words, const size_t *lengths, int count,
                             int timeout_ms, struct err *err);

/* A transaction of calls of one script: all are done at once, or none. */
bool redis_multi(struct redis *r, const struct redis_script *script, struct err *err);
bool redis_queue(struct redis *r, const struct redis_script *script, const struct redis_args *args,
                 struct err *err);
/* Their answers, behind one that is of no use; `ok` false: gives it up, *err is set before.  The
 * answer may take that long. */
redisReply *redis_exec(struct redis *r, bool ok, int timeout_ms, struct err *err);

/* The next message of a subscription: NULL with err->code 0 when none came within the timeout. */
redisReply *redis_receive(struct redis *r, int timeout_ms, struct err *err);

/* Parts of a reply; empty or 0 when it is not so. */
struct str redis_text(const redisReply *reply);
struct str redis_item(const redisReply *reply, size_t i);
int64_t redis_item_int(const redisReply *reply, size_t i); /* 0: it is no number */
int64_t redis_int(const redisReply *reply);
