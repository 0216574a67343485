/* redis_socket.c -- names, sockets and TLS' bytes of the client. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/redis_private.h"
#include "storage/redis_tls.h"

enum { READ_BYTES = 16 << 10, READS_A_TURN = 16 };

static void tls_broken(struct redis_socket *s, int reason)
{
    struct err err;
    redis_tls_failed(s->ssl, reason, &err);
    redis_broken(s->client, &err);
}

/* -- bytes -- */

static void on_events(uv_poll_t *poll, int status, int events);

static void watch(struct redis_socket *s)
{
    struct redis_client *c = s->client;
    bool connecting = c->state == REDIS_CONNECTING;
    bool writes =
        connecting || s->ssl_wants_write || (c->state >= REDIS_GREETING && c->out_sent < c->out.n);
    int events = (connecting ? 0 : UV_READABLE) | (writes ? UV_WRITABLE : 0);
    if (events != s->events)
        uv_poll_start(&s->poll, events, on_events);
    s->events = events;
}

static void lost(struct redis_client *c, int sys)
{
    struct err err;
    if (sys)
        err_sys(&err, sys, "redis");
    else
        err_set(&err, ERR_IO, "redis: the server closed the connection");
    redis_broken(c, &err);
}

/* How many bytes were moved; 0: not now; -1: the connection is over and was told so. */
static ssize_t tls_result(struct redis_socket *s, int n)
{
    if (n > 0)
        return n;
    int reason = SSL_get_error(s->ssl, n);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
        s->ssl_wants_write = reason == SSL_ERROR_WANT_WRITE;
        return 0;
    }
    tls_broken(s, reason);
    return -1;
}

static ssize_t plain_result(struct redis_socket *s, ssize_t n, bool reading)
{
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    lost(s->client, reading && n == 0 ? 0 : errno);
    return -1;
}

static ssize_t put_bytes(struct redis_socket *s, const char *p, size_t n)
{
    if (s->ssl) {
        s->ssl_wants_write = false;
        return tls_result(s, SSL_write(s->ssl, p, n > INT32_MAX ? INT32_MAX : (int)n));
    }
    return plain_result(s, send(s->fd, p, n, MSG_NOSIGNAL), false);
}

static ssize_t get_bytes(struct redis_socket *s, char *p, size_t n)
{
    if (s->ssl) {
        s->ssl_wants_write = false;
        return tls_result(s, SSL_read(s->ssl, p, (int)n));
    }
    return plain_result(s, recv(s->fd, p, n, 0), true);
}

void redis_flush(struct redis_client *c)
{
    struct redis_socket *s = c->socket;
    ssize_t n = 1;
    if (!s || c->state < REDIS_GREETING)
        return;
    while (n > 0 && c->out_sent < c->out.n) {
        n = put_bytes(s, c->out.p + c->out_sent, c->out.n - c->out_sent);
        if (n < 0)
            return;
        c->out_sent += (size_t)n;
    }
    if (c->out_sent == c->out.n) {
        buf_clear(&c->out);
        c->out_sent = 0;
    } else if (c->out_sent > READ_BYTES && c->out_sent > c->out.n / 2) {
        memmove(c->out.p, c->out.p + c->out_sent, c->out.n - c->out_sent);
        c->out.n -= c->out_sent;
        c->out_sent = 0;
    }
    watch(s);
}

static void read_all(struct redis_client *c)
{
    char bytes[READ_BYTES];
    for (int i = 0; i < READS_A_TURN; i++) {
        struct redis_socket *s = c->socket;
        ssize_t n = get_bytes(s, bytes, sizeof bytes);
        if (n <= 0)
            return;
        c->lane->heard++;
        redis_read(c, bytes, (size_t)n);
        if (c->socket != s || (!s->ssl && (size_t)n < sizeof bytes))
            return;
    }
}

void redis_catch_up(struct redis_client *c)
{
    redis_flush(c);
    if (c->socket)
        read_all(c);
}

/* -- the beginning -- */

static void shake(struct redis_socket *s)
{
    s->ssl_wants_write = false;
    if (tls_result(s, SSL_connect(s->ssl)) <= 0)
        return;
    redis_connected(s->client);
}

static void try_address(struct redis_client *c);

static void on_connected(struct redis_socket *s, int status)
{
    struct redis_client *c = s->client;
    int sys = 0;
    socklen_t n = sizeof sys;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &sys, &n) != 0)
        sys = errno;
    if (!sys && status < 0)
        sys = -status;
    if (sys && c->address && c->address->ai_next) {
        redis_disconnect(c);
        c->address = c->address->ai_next;
        try_address(c);
        return;
    }
    if (sys) {
        lost(c, sys);
        return;
    }
    if (!c->tls) {
        redis_connected(c);
        return;
    }
    c->state = REDIS_SHAKING;
    s->ssl = redis_tls_begin(c->tls, c->options.url->host, s->fd);
    shake(s);
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct redis_socket *s = (struct redis_socket *)poll;
    struct redis_client *c = s->client;
    if (c->state == REDIS_CONNECTING)
        on_connected(s, status); /* which says no more than that it failed */
    else if (status < 0)
        lost(c, -status);
    else if (c->state == REDIS_SHAKING)
        shake(s);
    else {
        if (events & UV_READABLE || s->ssl)
            read_all(c);
        if (c->socket == s)
            redis_flush(c);
    }
    if (c->socket == s)
        watch(s);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct redis_socket *s = (struct redis_socket *)handle;
    struct redis_client *c = s->client;
    mem_free(s);
    redis_handle_closed(c);
}

void redis_disconnect(struct redis_client *c)
{
    struct redis_socket *s = c->socket;
    if (c->state == REDIS_RESOLVING)
        uv_cancel((uv_req_t *)&c->resolving);
    uv_prepare_stop(&c->flush);
    if (!s)
        return;
    c->socket = NULL;
    uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, on_socket_closed);
    SSL_free(s->ssl);
    s->ssl = NULL;
    close(s->fd);
}

/* 0, or errno with nothing open. */
static int open_socket(struct redis_client *c, int family, const struct sockaddr *address,
                       socklen_t n)
{
    int on = 1, fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, address, n) != 0 && errno != EINPROGRESS) {
        int sys = errno;
        close(fd);
        return sys;
    }
    struct redis_socket *s = mem_zero(1, sizeof *s);
    s->client = c;
    s->fd = fd;
    invariant(uv_poll_init(&c->lane->loop, &s->poll, fd) == 0);
    c->handles++;
    c->socket = s;
    c->state = REDIS_CONNECTING;
    watch(s);
    return 0;
}

static void try_address(struct redis_client *c)
{
    c->broken.code = ERR_NONE;
    for (;;) {
        const struct addrinfo *a = c->address;
        int sys = open_socket(c, a->ai_family, a->ai_addr, a->ai_addrlen);
        if (sys == 0)
            return;
        if (!a->ai_next) {
            lost(c, sys);
            return;
        }
        c->address = a->ai_next;
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *result)
{
    struct redis_client *c = request->data;
    c->resolving.data = NULL;
    if (c->state != REDIS_RESOLVING || status < 0) {
        struct err err;
        uv_freeaddrinfo(result);
        if (c->state == REDIS_RESOLVING) { /* else it may be 0, whose text libuv leaks */
            err_set(&err, ERR_IO, "redis at %s: %s", c->options.url->host, uv_strerror(status));
            redis_broken(c, &err);
        }
        redis_handle_closed(c);
        return;
    }
    uv_freeaddrinfo(c->addresses);
    c->addresses = c->address = result;
    c->handles--;
    try_address(c);
}

static void connect_path(struct redis_client *c, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct err err;
    if (strlen(path) >= sizeof address.sun_path) {
        err_set(&err, ERR_INVALID, "redis: the path of the socket is too long");
        redis_broken(c, &err);
        return;
    }
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int sys = open_socket(c, AF_UNIX, (struct sockaddr *)&address, sizeof address);
    if (sys)
        lost(c, sys);
}

void redis_connect(struct redis_client *c)
{
    const struct redis_url *url = c->options.url;
    char port[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct err err;
    if (url->path) {
        connect_path(c, url->path);
        return;
    }
    snprintf(port, sizeof port, "%d", url->port);
    if (c->resolving.data) { /* the last attempt's has not ended yet */
        err_set(&err, ERR_IO, "redis at %s: its name is still being resolved", url->host);
        redis_broken(c, &err);
        return;
    }
    c->resolving.data = c;
    c->handles++;
    int sys = uv_getaddrinfo(&c->lane->loop, &c->resolving, on_resolved, url->host, port, &hints);
    if (sys == 0)
        return;
    c->handles--;
    c->resolving.data = NULL;
    err_set(&err, ERR_IO, "redis at %s: %s", url->host, uv_strerror(sys));
    redis_broken(c, &err);
}
