/* redis/wire.h -- the bytes of a blocking connection to Redis, plain or over TLS: hiredis 0.14,
 * which is Debian 12's, itself reads and writes plain sockets only.
 *
 * A wire belongs to one thread.
 */
#pragma once

#include <hiredis/hiredis.h>
#include <openssl/ssl.h>

#include "base/err.h"
#include "storage/redis_url.h"

struct wire {
    redisContext *c; /* commands are appended here */
    SSL *ssl;        /* NULL: plain */
    bool broken;     /* of no use any more */
};

/* Connects; every wait is bounded by `timeout`.  False with *err: ERR_IO, or ERR_INVALID for
 * certificates that cannot be read; the wire is closed then. */
bool wire_open(struct wire *w, const struct redis_url *url, struct timeval timeout,
               struct err *err);
void wire_close(struct wire *w);

/* Sends what was appended and waits for an answer, which is the caller's, an error of the server's
 * too.  NULL with *err (ERR_IO): the wire is broken. */
redisReply *wire_answer(struct wire *w, struct err *err);

/* An answer that has come or comes within timeout_ms.  NULL: none has, or *err as above. */
redisReply *wire_listen(struct wire *w, int timeout_ms, struct err *err);
