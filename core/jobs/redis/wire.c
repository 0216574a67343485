#include "jobs/redis/wire.h"

#include <errno.h>
#include <hiredis/sds.h>
#include <poll.h>

#include "base/mem.h"
#include "storage/redis_tls.h"

enum { READ_BYTES = 16 << 10 };

static bool late(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static bool no_answer(struct wire *w, struct err *err)
{
    w->broken = true;
    return err_set(err, ERR_IO, "redis: no answer in time");
}

static bool plain_failed(struct wire *w, struct err *err)
{
    if (w->c->err == REDIS_ERR_IO && late())
        return no_answer(w, err);
    w->broken = true;
    return err_set(err, ERR_IO, "redis: %s", w->c->errstr);
}

/* Nothing that comes on a broken one is the answer to what was asked last. */
static bool usable(const struct wire *w, struct err *err)
{
    return !w->broken || err_set(err, ERR_IO, "redis: the connection was lost");
}

/* -- over TLS -- */

/* Whether a call that gave n is to be made again; false with *err: the wire is broken.  OpenSSL
 * also stops after a record that is not the server's answer, without an errno. */
static bool again(struct wire *w, int n, struct err *err)
{
    int reason = SSL_get_error(w->ssl, n);
    if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
        w->broken = true;
        return redis_tls_failed(w->ssl, reason, err);
    }
    return !late() || no_answer(w, err);
}

static bool seal(struct wire *w, const struct redis_url *url, struct err *err)
{
    SSL_CTX *context = redis_tls_context(url, err);
    if (!context)
        return false;
    w->ssl = redis_tls_begin(context, url->host, w->c->fd);
    SSL_CTX_free(context); /* ssl holds it */
    SSL_clear_mode(w->ssl, SSL_MODE_AUTO_RETRY);
    for (int n;;) {
        errno = 0;
        n = SSL_connect(w->ssl);
        if (n == 1 || !again(w, n, err))
            return n == 1;
    }
}

static bool send_sealed(struct wire *w, struct err *err)
{
    size_t sent = 0, most = sdslen(w->c->obuf);
    while (sent < most) {
        size_t rest = most - sent;
        errno = 0;
        int n = SSL_write(w->ssl, w->c->obuf + sent, rest > INT32_MAX ? INT32_MAX : (int)rest);
        if (n > 0)
            sent += (size_t)n;
        else if (!again(w, n, err))
            return false;
    }
    sdsfree(w->c->obuf);
    w->c->obuf = sdsempty();
    return true;
}

/* Reads once, which may give nothing. */
static bool read_sealed(struct wire *w, struct err *err)
{
    char bytes[READ_BYTES];
    errno = 0;
    int n = SSL_read(w->ssl, bytes, sizeof bytes);
    if (n <= 0)
        return again(w, n, err);
    if (redisReaderFeed(w->c->reader, bytes, (size_t)n) == REDIS_OK)
        return true;
    w->broken = true;
    return err_set(err, ERR_IO, "redis: %s", w->c->reader->errstr);
}

/* -- either way -- */

bool wire_open(struct wire *w, const struct redis_url *url, struct timeval timeout, struct err *err)
{
    *w = (struct wire){0};
    w->c = url->path ? redisConnectUnixWithTimeout(url->path, timeout)
                     : redisConnectWithTimeout(url->host, url->port, timeout);
    invariant(w->c);
    if (w->c->err) {
        err_set(err, ERR_IO, "redis at %s:%d: %s", url->path ? url->path : url->host, url->port,
                w->c->errstr);
        wire_close(w);
        return false;
    }
    redisSetTimeout(w->c, timeout);
    if (!url->path)
        redisEnableKeepAlive(w->c);
    if (!url->tls || seal(w, url, err))
        return true;
    wire_close(w);
    return false;
}

void wire_close(struct wire *w)
{
    SSL_free(w->ssl);
    redisFree(w->c);
    *w = (struct wire){0};
}

/* What was read and not taken yet; NULL without one. */
static bool take(struct wire *w, void **reply, struct err *err)
{
    return redisGetReplyFromReader(w->c, reply) == REDIS_OK || plain_failed(w, err);
}

redisReply *wire_answer(struct wire *w, struct err *err)
{
    void *reply = NULL;
    if (!usable(w, err))
        return NULL;
    if (!w->ssl) {
        if (redisGetReply(w->c, &reply) != REDIS_OK || !reply)
            plain_failed(w, err);
        return reply;
    }
    bool ok = take(w, &reply, err) && (reply || send_sealed(w, err));
    while (ok && !reply)
        ok = read_sealed(w, err) && take(w, &reply, err);
    return reply;
}

redisReply *wire_listen(struct wire *w, int timeout_ms, struct err *err)
{
    void *reply = NULL;
    struct pollfd fd = {.fd = w->c->fd, .events = POLLIN};
    if (!usable(w, err) || !take(w, &reply, err) || reply)
        return reply;
    if (!(w->ssl && SSL_pending(w->ssl)) && poll(&fd, 1, timeout_ms) <= 0)
        return NULL;
    bool ok =
        w->ssl ? read_sealed(w, err) : redisBufferRead(w->c) == REDIS_OK || plain_failed(w, err);
    if (ok)
        take(w, &reply, err);
    return reply;
}
