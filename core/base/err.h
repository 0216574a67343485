/* err.h -- a failure and its context, carried upwards.
 *
 * A function that can fail takes `struct err *` last, fills it and returns
 * false, NULL or -1.  Each level puts its own context in front:
 * "jobs: open log: /var/x: Permission denied".  Whoever handles it logs it
 * once.  err may not be NULL.  Expected outcomes (empty, full, not found) are
 * values of a result enum, not failures.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

enum { ERR_MESSAGE_BYTES = 512 };

/* ORDER err_code: err_code_name() answers with the same words, which are the
 * codes Lua sees in `nil, message, code`. */
enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,     /* "invalid": the caller's value is wrong */
    ERR_NOT_FOUND,   /* "not_found" */
    ERR_EXISTS,      /* "exists" */
    ERR_CONFLICT,    /* "conflict": a constraint or a clash */
    ERR_LIMIT,       /* "limit": over a stated bound */
    ERR_FULL,        /* "full": no room on disk or in a queue */
    ERR_TIMEOUT,     /* "timeout" */
    ERR_CANCELLED,   /* "cancelled" */
    ERR_IO,          /* "io": the operating system or a peer failed; see sys */
    ERR_CORRUPT,     /* "corrupt": stored bytes are not what was written */
    ERR_SQL,         /* "sql": a statement is wrong */
    ERR_LUA,         /* "lua": plugin code raised */
    ERR_MEMORY,      /* "memory": a memory limit was reached */
    ERR_CLOSED,      /* "closed": the part is stopping */
    ERR_FORBIDDEN,   /* "forbidden" */
    ERR_CONSTRAINT,  /* "constraint": of the database, other than a key's */
    ERR_UNIQUE,      /* "unique": a row with that key is there already */
    ERR_READONLY,    /* "readonly" */
    ERR_BUSY,        /* "busy": too much is waiting already */
    ERR_QUARANTINED, /* "quarantined": a plugin that had to be ended by force too often */
    ERR_UNAVAILABLE, /* "unavailable": the server behind a driver is away */
};

struct err {
    enum err_code code;
    int sys; /* errno, or 0 */
    char message[ERR_MESSAGE_BYTES];
};

/* Fill *err; a message over the limit is cut at a character border.  Both
 * return false, so that `return err_set(...)` reads well. */
bool err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool err_sys(struct err *err, int sys, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* appends ": strerror", code ERR_IO */

/* Puts "context: " in front of the message.  Returns false. */
bool err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *err);
const char *err_code_name(enum err_code code);

/* A broken invariant: says where and aborts, in every build. */
#define invariant(condition)                                                                       \
    ((condition) ? (void)0 : invariant_failed(#condition, __FILE__, __LINE__))
_Noreturn void invariant_failed(const char *condition, const char *file, int line);
