#include <dlfcn.h>
#include <stdlib.h>
#include <uv.h>

#include "http/internal.h"

/* DESIGN: seven functions of the library are replaced here (a program's symbol
 * comes before a shared library's).  Where that is not possible its own are
 * used and everything works as before, slower.
 *
 * h2o_socket_read_stop: between a request and its answer the library takes an
 * HTTP/1.1 socket off the loop and puts it back afterwards.  With libuv that
 * costs two epoll_ctl calls for every request, as much as reading and writing
 * it, and hides a client that leaves.  Here the socket stays on the loop, and
 * its input buffer, which the request points into, is put aside until the
 * answer is out.
 *
 * h2o_socket_read_start: behind "100 Continue", and when much output waited, the
 * library puts its own reader back in the midst of a body or of frames.  Here
 * the guard comes with it.
 *
 * h2o_hpack_parse_headers: the library tells us of a HTTP/2 request when its body is
 * whole; here we see its head before that (arrival.c).
 *
 * h2o_http2__encode_rst_stream_frame, h2o_http2_stream_reset: a client that goes on sending what
 * was refused makes no error of it (arrival.c).
 *
 * h2o_mem_alloc_recycle, h2o_mem_free_recycle: the library keeps 16 free memory
 * chunks of 4 KiB per thread; a batch of HTTP/2 requests needs hundreds, and
 * malloc is slow for them. */

struct st_h2o_mem_recycle_chunk_t {
    struct st_h2o_mem_recycle_chunk_t *next;
};

/* The sanitizers are to see every object. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { RECYCLED = 0 };
#else
enum { RECYCLED = 512 };
#endif

void *h2o_mem_alloc_recycle(h2o_mem_recycle_t *allocator, size_t bytes)
{
    struct st_h2o_mem_recycle_chunk_t *chunk = allocator->_link;
    if (allocator->cnt == 0)
        return h2o_mem_alloc(bytes);
    allocator->_link = chunk->next;
    allocator->cnt--;
    return chunk;
}

void h2o_mem_free_recycle(h2o_mem_recycle_t *allocator, void *p)
{
    struct st_h2o_mem_recycle_chunk_t *chunk = p;
    if (allocator->cnt + 1 > RECYCLED) {
        free(p);
        return;
    }
    chunk->next = allocator->_link;
    allocator->_link = chunk;
    allocator->cnt++;
}

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
    conn->lane->lane->heard++;
    stop_reading(conn);
    if (!error)
        return;
    conn_failed(conn);
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

struct st_h2o_hpack_header_table_t;
struct st_h2o_http2_conn_t;
typedef int parse_headers_fn(h2o_req_t *req, struct st_h2o_hpack_header_table_t *table,
                             const uint8_t *src, size_t len, int *pseudo_headers,
                             size_t *content_length, void **digests, const char **err_desc);
typedef void encode_reset_fn(h2o_buffer_t **to, uint32_t stream, int code);
typedef void stream_reset_fn(struct st_h2o_http2_conn_t *conn, uint32_t *stream);
parse_headers_fn h2o_hpack_parse_headers;
encode_reset_fn h2o_http2__encode_rst_stream_frame;
stream_reset_fn h2o_http2_stream_reset;

static struct library {
    void (*read_start)(h2o_socket_t *sock, h2o_socket_cb cb);
    parse_headers_fn *parse_headers;
    encode_reset_fn *encode_reset;
    stream_reset_fn *stream_reset;
} library_functions;

static void find(const char *name, void *to)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(to, &found, sizeof found);
}

static void find_all(void)
{
    find("h2o_socket_read_start", &library_functions.read_start);
    find("h2o_hpack_parse_headers", &library_functions.parse_headers);
    find("h2o_http2__encode_rst_stream_frame", &library_functions.encode_reset);
    find("h2o_http2_stream_reset", &library_functions.stream_reset);
}

static const struct library *library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_all);
    return &library_functions;
}

void h2o_socket_read_start(h2o_socket_t *sock, h2o_socket_cb cb)
{
    library()->read_start(sock, cb);
    struct http_conn *conn = sock->on_close.data;
    if (conn->read && (conn->phase == CONN_BODY || conn->phase == CONN_HTTP2))
        conn_guard(conn);
}

int h2o_hpack_parse_headers(h2o_req_t *req, struct st_h2o_hpack_header_table_t *table,
                            const uint8_t *src, size_t len, int *pseudo_headers,
                            size_t *content_length, void **digests, const char **err_desc)
{
    int ret = library()->parse_headers(req, table, src, len, pseudo_headers, content_length,
                                       digests, err_desc);
    if (ret == 0 && pseudo_headers) /* else these are trailers */
        arrival_http2(req, content_length);
    return ret;
}

void h2o_http2__encode_rst_stream_frame(h2o_buffer_t **to, uint32_t stream, int code)
{
    if (arrival_may_reset(stream, &code))
        library()->encode_reset(to, stream, code);
}

/* A stream begins with its id. */
void h2o_http2_stream_reset(struct st_h2o_http2_conn_t *conn, uint32_t *stream)
{
    if (arrival_may_end(*stream))
        library()->stream_reset(conn, stream);
}

void conn_unpark(struct http_conn *conn)
{
    if (!conn->parked)
        return;
    h2o_buffer_t *early = conn->sock->input;
    conn->sock->input = conn->parked;
    conn->parked = NULL;
    if (early->size > 0 && !conn->ahead) {
        conn->ahead = early;
        return;
    }
    if (early->size > 0) {
        memcpy(h2o_buffer_reserve(&conn->ahead, early->size).base, early->bytes, early->size);
        conn->ahead->size += early->size;
    }
    h2o_buffer_dispose(&early);
}

void conn_drop_parked(struct http_conn *conn)
{
    if (conn->parked)
        h2o_buffer_dispose(&conn->parked);
    if (conn->ahead)
        h2o_buffer_dispose(&conn->ahead);
}
