#include <uv.h>

#include "http/internal.h"

/* DESIGN: between a request and its answer the library takes an HTTP/1.1 socket
 * off the loop (h2o_socket_read_stop) and puts it back afterwards.  With libuv
 * that costs two epoll_ctl calls for every request, as much as reading and
 * writing it, and hides a client that leaves.  This file replaces the
 * library's function (a program's symbol comes before a shared library's): the
 * socket stays on the loop, and its input buffer, which the request points
 * into, is put aside until the answer is out.  Where symbols cannot be replaced
 * the library's own function is used and everything works as before, slower;
 * clients that left are then found by request_peek(). */

/* Every socket of the library in this process is one of conn_accept(). */
static void stop_reading(struct http_conn *conn)
{
    conn->sock->_cb.read = NULL;
    uv_read_stop(&conn->stream);
}

/* Something came while the request is being answered: bytes of the next one,
 * which wait, or the end. */
static void parked_read(h2o_socket_t *sock, const char *error)
{
    struct http_conn *conn = sock->on_close.data;
    stop_reading(conn);
    if (error)
        request_left(conn);
}

void h2o_socket_read_stop(h2o_socket_t *sock)
{
    struct http_conn *conn = sock->on_close.data;
    bool answering = conn->read && sock->_cb.read && !sock->_cb.write &&
                     (conn->phase == CONN_IDLE || conn->phase == CONN_HEAD ||
                      conn->phase == CONN_BODY || conn->phase == CONN_BUSY);
    if (!answering) {
        stop_reading(conn);
        return;
    }
    conn->parked = sock->input;
    h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
    sock->_cb.read = parked_read;
}

void conn_unpark(struct http_conn *conn)
{
    if (!conn->parked)
        return;
    h2o_buffer_t *early = conn->sock->input;
    conn->sock->input = conn->parked;
    conn->parked = NULL;
    if (early->size > 0) {
        h2o_iovec_t room = h2o_buffer_reserve(&conn->sock->input, early->size);
        memcpy(room.base, early->bytes, early->size);
        conn->sock->input->size += early->size;
    }
    h2o_buffer_dispose(&early);
}

void conn_drop_parked(struct http_conn *conn)
{
    if (conn->parked)
        h2o_buffer_dispose(&conn->parked);
}
