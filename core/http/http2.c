#include <sys/socket.h>

#include "base/clock.h"
#include "http/internal.h"
#include "observe/log.h"
#include "observe/metrics.h"

/* How a HTTP/2 connection is ended: by frames that the library takes for the
 * client's, so that no state of the library is touched. */

enum {
    FRAME_BYTES = 9,
    TYPE_DATA = 0,
    TYPE_PRIORITY = 2,
    TYPE_PUSH_PROMISE = 5,
    FLAG_END_STREAM = 1,
    IDLE_STREAMS = 16, /* that the library lets a client give a priority to */
    LAST_STREAM = 0x7fffffff,
};

static void put_frame(h2o_buffer_t **to, int type, int flags, uint32_t stream, const char *payload,
                      size_t n)
{
    char *at = h2o_buffer_reserve(to, FRAME_BYTES + n).base;
    char head[FRAME_BYTES] = {0, 0, (char)n, (char)type, (char)flags};
    for (int i = 0; i < 4; i++)
        head[5 + i] = (char)(stream >> (24 - 8 * i));
    memcpy(at, head, sizeof head);
    memcpy(at + FRAME_BYTES, payload, n);
    (*to)->size += FRAME_BYTES + n;
}

/* One line a second: a log of its own flood would be the next attack. */
static void note(struct http_conn *conn, const char *why)
{
    struct http_lane *lane = conn->lane;
    int64_t now = lane_now(lane->lane);
    metric_add(lane->server->floods, 1);
    if (lane->flood_logged_ns != 0 && now - lane->flood_logged_ns < NS_PER_SECOND)
        return;
    lane->flood_logged_ns = now;
    struct str client = conn_client(conn);
    log_warn("http", "connection of %.*s closed: %s", (int)client.n, client.p, why);
}

/* The library answers too many priorities of idle streams with ENHANCE_YOUR_CALM, and a promise
 * (or anything, within a header block) with PROTOCOL_ERROR; then it closes. */
void http2_calm(struct http_conn *conn, const char *why)
{
    h2o_socket_t *sock = conn->sock;
    note(conn, why);
    sock->input->size = 0;
    if (conn->stream.write_queue_size > 0) { /* it does not read: it would not hear us */
        shutdown(h2o_socket_get_fd(sock), SHUT_RDWR);
        return;
    }
    for (uint32_t i = 0; i <= IDLE_STREAMS; i++)
        put_frame(&sock->input, TYPE_PRIORITY, 0, LAST_STREAM - 2 * i, "\0\0\0\0\x10", 5);
    put_frame(&sock->input, TYPE_PUSH_PROMISE, 0, 1, "\0\0\0\2", 4);
    conn_linger(conn);
    conn->read(sock, NULL);
}

/* What is there of the next frame waits meanwhile. */
void http2_end_body(struct http_conn *conn, uint32_t stream)
{
    h2o_socket_t *sock = conn->sock;
    h2o_buffer_t *rest = sock->input;
    h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
    put_frame(&sock->input, TYPE_DATA, FLAG_END_STREAM, stream, "", 0);
    arrival_read(conn);
    if (conn->sock && sock->input->size == 0) {
        h2o_buffer_dispose(&sock->input);
        sock->input = rest;
        return;
    }
    if (conn->sock && rest->size > 0) {
        memcpy(h2o_buffer_reserve(&sock->input, rest->size).base, rest->bytes, rest->size);
        sock->input->size += rest->size;
    }
    h2o_buffer_dispose(&rest);
}

uint64_t http2_errors(const struct http_lane *lane)
{
    const uint64_t *errors = lane->ctx.http2.events.protocol_level_errors;
    uint64_t sum = 0;
    for (size_t i = 0; i < H2O_HTTP2_ERROR_MAX; i++)
        sum += errors[i];
    return sum;
}
