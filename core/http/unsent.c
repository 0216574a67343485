#include <sys/socket.h>

#include "base/clock.h"
#include "http/internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

/* DESIGN: an answer is in memory until its client has taken it, and a HTTP/2
 * client may ask for a hundred and give no window for any.  So requests of a
 * connection that holds limits.unsent_bytes of answers wait for those to go, and
 * a connection's answers have to go: it has patience for limits.send_ns, which
 * passes with time and comes back with every byte that is taken. */

enum { TAKEN_BYTES_PER_SECOND = 1024 };

/* Grows with what the client takes (HTTP/2: with what its windows let pass). */
static size_t progress(const struct http_request *r)
{
    size_t queued = r->http2 ? 0 : r->conn->stream.write_queue_size;
    return r->req->bytes_sent - queued;
}

void unsent_begin(struct http_request *r, size_t bytes)
{
    struct http_conn *conn = r->conn;
    if (conn->answering++ == 0)
        conn->patience_ns = r->lane->server->options.limits.send_ns;
    list_remove(&r->node);
    list_push_back(&r->lane->sending, &r->node);
    r->sending = true;
    r->unsent = bytes;
    conn->unsent += bytes;
}

static void wake(struct http_conn *conn)
{
    struct http_lane *lane = conn->lane;
    if (conn->unsent < (size_t)lane->server->options.limits.unsent_bytes)
        list_splice(&lane->pending, &conn->waiting);
}

void unsent_end(struct http_request *r)
{
    if (!r->sending)
        return;
    struct http_conn *conn = r->conn;
    conn->answering--;
    conn->unsent -= r->unsent;
    conn->taken += progress(r) - r->taken;
    if (!list_empty(&conn->waiting))
        wake(conn);
}

bool unsent_waits(struct http_request *r)
{
    struct http_conn *conn = r->conn;
    if (!r->http2 || conn->unsent < (size_t)r->lane->server->options.limits.unsent_bytes)
        return false;
    list_push_back(&conn->waiting, &r->node);
    return true;
}

void unsent_count(struct http_lane *lane)
{
    list_each_safe (node, &lane->sending) {
        struct http_request *r = list_entry(node, struct http_request, node);
        size_t now = progress(r);
        r->conn->taken += now - r->taken;
        r->taken = now;
    }
}

void unsent_sweep(struct http_conn *conn, int64_t passed_ns)
{
    int64_t most = conn->lane->server->options.limits.send_ns;
    size_t taken = conn->taken;
    conn->taken = 0;
    if (conn->answering == 0)
        return;
    /* Over so many bytes it is full again, and the product could be too large. */
    int64_t back = taken / TAKEN_BYTES_PER_SECOND > (size_t)(most / NS_PER_SECOND)
                       ? most
                       : (int64_t)taken * (NS_PER_SECOND / TAKEN_BYTES_PER_SECOND);
    conn->patience_ns += back - passed_ns;
    if (conn->patience_ns > most)
        conn->patience_ns = most;
    if (conn->patience_ns > 0)
        return;
    metric_add(conn->lane->server->slow, 1);
    struct str client = conn_client(conn);
    log_debug("http", "connection of %.*s closed: it does not take its answers", (int)client.n,
              client.p);
    conn->patience_ns = most;
    /* A reset, so that the kernel does not go on holding it. */
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    int fd = h2o_socket_get_fd(conn->sock);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    shutdown(fd, SHUT_RDWR);
}
