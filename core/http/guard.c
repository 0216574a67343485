#include "base/mem.h"
#include "http/internal.h"

/* DESIGN: the library reads a socket, parses and calls us when a request is
 * whole.  That is too late for some answers (431, 413, 408, a malformed head),
 * which it gives as bare text or by closing.  So a guard stands before its
 * reader: on HTTP/1.1 it holds a head back until it is whole and well formed.
 * What is refused is replaced by a small valid request, which the library
 * carries to us like any other and which is then answered with the refusal
 * (conn->refusal): no state of the library is touched.  The library takes its
 * reader off the socket while it answers, so the guard is put back before the
 * next batch is read (conn_guard, from uv_prepare).  The library never has more
 * than one request: what stands behind it waits in conn->ahead, and comes to the
 * guard as if it had just been read (conn_feed).  A chunked body passes through
 * chunks.h, which leaves no two ways to read it, and lets no more of it pass than its route takes.
 */

/* Puts a request of ours in place of what was read; see DESIGN. */
static void refuse(struct http_conn *conn, const struct http_refusal *refusal)
{
    static const char text[] = "GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\npad: ";
    h2o_buffer_t **input = &conn->sock->input;
    size_t pad = conn->scanned + 4; /* the library may have looked at so much already */
    (*input)->size = 0;
    h2o_iovec_t room = h2o_buffer_reserve(input, sizeof text + pad + 4);
    memcpy(room.base, text, sizeof text - 1);
    memset(room.base + sizeof text - 1, 'x', pad);
    memcpy(room.base + sizeof text - 1 + pad, "\r\n\r\n", 4);
    (*input)->size = sizeof text - 1 + pad + 4;
    conn->request_end = (*input)->size;
    conn->chunked = false;
    conn->refusal = *refusal;
    conn_linger(conn);
}

/* HTTP/2 without TLS, where it is allowed: true when the input begins it. */
static bool begins_http2(struct http_conn *conn, struct str input)
{
    static const struct str preface = {H2O_STRLIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")};
    if (!conn->lane->server->options.h2c || !str_starts(input, preface))
        return false;
    conn->phase = CONN_HTTP2;
    conn->since_ns = 0;
    conn->request_end = preface.n;
    return true;
}

/* True when the input holds the part of a head that must wait for more. */
static bool guard_holds(struct http_conn *conn)
{
    const struct http_limits *limits = &conn->lane->server->options.limits;
    struct str input = str_n(conn->sock->input->bytes, conn->sock->input->size);
    if (begins_http2(conn, input))
        return false;
    struct head head;
    switch (head_check(input, conn->scanned, limits->header_bytes, limits->uri_bytes, &head)) {
    case HEAD_PARTIAL:
        if (conn->phase == CONN_IDLE && input.n > 0)
            conn_enter(conn, CONN_HEAD);
        conn->scanned = input.n;
        return true;
    case HEAD_REFUSED:
        refuse(conn, &(struct http_refusal){head.status, head.code, head.detail,
                                            head.status == 431   ? limits->header_bytes
                                            : head.status == 414 ? limits->uri_bytes
                                                                 : 0});
        return false;
    case HEAD_WHOLE:
        break;
    }
    conn->chunked = head.chunked;
    conn->request_end = head.bytes + (size_t)(head.content_length > 0 ? head.content_length : 0);
    struct http_refusal refusal = {0};
    int64_t most = 0;
    if ((head.content_length > 0 || head.chunked) &&
        !arrival_admit(conn, head.method, head.target, head.content_length, &most, &refusal))
        refuse(conn, &refusal);
    conn->chunks = (struct chunks){.bound = true, .most = (uint64_t)most};
    conn->chunks_most = most;
    return false;
}

static void append(h2o_buffer_t **to, const char *p, size_t n)
{
    memcpy(h2o_buffer_reserve(to, n).base, p, n);
    (*to)->size += n;
}

/* Puts what stands behind `end` of the input aside; the shorter part is copied. */
static void keep_ahead(struct http_conn *conn, size_t end)
{
    h2o_buffer_t **input = &conn->sock->input, *other;
    size_t behind = (*input)->size - end;
    h2o_buffer_init(&other, &h2o_socket_buffer_prototype);
    if (end < behind) {
        append(&other, (*input)->bytes, end);
        h2o_buffer_consume(input, end);
        conn->ahead = *input;
        *input = other;
    } else {
        append(&other, (*input)->bytes + end, behind);
        (*input)->size = end;
        conn->ahead = other;
    }
}

/* The library is told that the body ends here, and the request that it then has is refused. */
static void end_early(struct http_conn *conn)
{
    conn->refusal = arrival_too_large(conn->chunks_most);
    conn_linger(conn);
}

/* Puts bare chunks in place of those from `from` on. */
static void sift(struct http_conn *conn, size_t from)
{
    h2o_buffer_t **input = &conn->sock->input;
    struct buf bare = {0};
    size_t n = (*input)->size - from;
    if (n == 0)
        return;
    size_t used = chunks_feed(&conn->chunks, str_n((*input)->bytes + from, n), &bare);
    if (used < n)
        keep_ahead(conn, from + used);
    (*input)->size = from;
    append(input, bare.p ? bare.p : "", bare.n);
    buf_free(&bare);
    if (conn->chunks.state == CHUNKS_OVER && !conn->refusal.status)
        end_early(conn);
}

/* Leaves the library its one request; the input's bytes from `from` on are new. */
static void cut(struct http_conn *conn, size_t from)
{
    if (conn->chunked)
        sift(conn, from);
    else if (conn->sock->input->size > conn->request_end)
        keep_ahead(conn, conn->request_end);
}

/* The bytes are in the input; while a body is read, the last sock->bytes_read are new. */
static void guarded_read(h2o_socket_t *sock, const char *error)
{
    struct http_conn *conn = sock->on_close.data;
    bool head = conn->phase == CONN_IDLE || conn->phase == CONN_HEAD;
    conn->lane->lane->heard++;
    if (error) {
        conn_failed(conn);
    } else if (head) {
        if (sock->input->size == 0 || guard_holds(conn))
            return;
        cut(conn, conn->request_end);
    } else {
        cut(conn, sock->input->size - sock->bytes_read);
    }
    conn->read(sock, error);
    if (!conn->sock)
        return;
    if (conn->phase == CONN_HTTP2) {
        conn_guard(conn);
        conn_feed(conn);
    } else if (conn->request || conn->parked) {
        conn->phase = CONN_BUSY;
    } else if (head) {
        conn_enter(conn, CONN_BODY);
    }
}

void guard_time_out(struct http_conn *conn)
{
    refuse(conn, &(struct http_refusal){408, "timeout",
                                        "the request's headers did not arrive in time", 0});
    conn->phase = CONN_BODY;
    conn->sock->bytes_read = 0;
    guarded_read(conn->sock, NULL);
}

/* Notes since when a frame, or a header block of several, has been waiting for its end. */
static void watch(struct http_conn *conn, size_t before)
{
    size_t left = conn->sock->input->size;
    bool in_block = conn->frames.in_block;
    if (left == 0 && !in_block)
        conn->since_ns = 0;
    else if (conn->since_ns == 0 || (left < before && !in_block))
        conn->since_ns = lane_now(conn->lane->lane);
}

/* Frames pass when they keep to the limits. */
static void watched_read(h2o_socket_t *sock, const char *error)
{
    struct http_conn *conn = sock->on_close.data;
    struct http_lane *lane = conn->lane;
    const struct frames_limits *limits = &lane->server->frames;
    int64_t now = lane_now(lane->lane);
    lane->lane->heard++;
    if (error) {
        conn_failed(conn);
        conn->read(sock, error);
        return;
    }
    bool in_block = conn->frames.in_block;
    struct str input = str_n(sock->input->bytes, sock->input->size);
    const char *why = frames_check(&conn->frames, input, sock->bytes_written, now, limits);
    if (!why) {
        if (conn->frames.unknown)
            sock->input->size = frames_strip(sock->input->bytes, input.n, in_block);
        size_t before = sock->input->size;
        uint64_t errors = http2_errors(lane);
        arrival_read(conn);
        if (!conn->sock)
            return;
        watch(conn, before);
        arrival_end_unwelcome(conn);
        if (!conn->sock)
            return;
        why = frames_errors(&conn->frames, http2_errors(lane) - errors, now, limits);
    }
    if (why)
        http2_calm(conn, why);
}

void conn_guard(struct http_conn *conn)
{
    h2o_socket_cb guard = conn->phase == CONN_HTTP2 ? watched_read : guarded_read;
    if (!conn->sock || !conn->sock->_cb.read || conn->sock->_cb.read == guard || conn->parked)
        return;
    conn->read = conn->sock->_cb.read;
    conn->sock->_cb.read = guard;
    if (conn->phase == CONN_HTTP2)
        return;
    if (conn->phase != CONN_BODY)
        conn_enter(conn, CONN_IDLE);
    conn->scanned = conn->sock->input->size;
}

void conn_set_aside(struct http_conn *conn)
{
    if (conn->sock->input->size > 0)
        keep_ahead(conn, 0);
}

void conn_take_ahead(struct http_conn *conn)
{
    if (!conn->ahead)
        return;
    h2o_buffer_dispose(&conn->sock->input);
    conn->sock->input = conn->ahead;
    conn->ahead = NULL;
}

void conn_feed(struct http_conn *conn)
{
    bool waits = conn->phase == CONN_IDLE || conn->phase == CONN_HTTP2;
    if (!conn->sock || !conn->ahead || !waits || !conn->sock->_cb.read || conn->parked)
        return;
    conn_take_ahead(conn);
    conn->sock->_cb.read(conn->sock, NULL);
}
