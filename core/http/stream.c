#include <sys/socket.h>

#include "base/mem.h"
#include "http/internal.h"

static const h2o_iovec_t buffering_name = {H2O_STRLIT("x-accel-buffering")};

struct http_stream {
    struct http_request *request;
    struct list node; /* lane->streams */
    struct list due;  /* lane->drained */
    struct stream_events events;
    void *arg;
    struct buf waiting; /* not yet given to the library */
    char *sending;      /* what the library has; one piece at a time */
    bool in_flight, full, closing;
    bool broken; /* the client is gone or too slow: nothing more is taken */
    bool ended;  /* the library has the last of it */
    char *beat;  /* heartbeat text, or NULL */
    size_t beat_n;
    int64_t beat_every_ns, last_ns;
};

/* May dispose of the request, and of the stream with it. */
static void finish(struct http_stream *stream, h2o_send_state_t state)
{
    struct http_request *r = stream->request;
    stream->ended = true;
    list_remove(&stream->node);
    if (state == H2O_SEND_STATE_FINAL)
        r->state = REQUEST_ANSWERED;
    h2o_send(r->req, NULL, 0, state);
}

/* Gives the library its next piece, or the end; see finish(). */
static void pump(struct http_stream *stream)
{
    struct http_request *r = stream->request;
    if (stream->in_flight || stream->ended)
        return;
    if (stream->broken) {
        finish(stream, H2O_SEND_STATE_ERROR);
        return;
    }
    if (stream->waiting.n == 0) {
        if (stream->closing)
            finish(stream, H2O_SEND_STATE_FINAL);
        return;
    }
    h2o_iovec_t piece;
    stream->sending = buf_take(&stream->waiting, &piece.len);
    piece.base = stream->sending;
    stream->in_flight = true;
    stream->last_ns = lane_now(r->lane->lane);
    h2o_send(r->req, &piece, 1, H2O_SEND_STATE_IN_PROGRESS);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    (void)req;
    struct http_request *r = list_entry(generator, struct http_request, generator);
    struct http_stream *stream = r->stream;
    mem_free(stream->sending);
    stream->sending = NULL;
    stream->in_flight = false;
    if (stream->full && !stream->closing && !stream->broken) {
        stream->full = false;
        list_push_back(&r->lane->drained, &stream->due);
    }
    pump(stream);
}

/* The request is disposed of next, which tells the application. */
static void on_stop(h2o_generator_t *generator, h2o_req_t *req)
{
    (void)req;
    struct http_request *r = list_entry(generator, struct http_request, generator);
    if (r->stream)
        r->stream->broken = r->stream->ended = true;
}

void stream_start(struct http_request *r, int status, struct str type,
                  const struct stream_events *events, void *arg)
{
    struct http_stream *stream = mem_zero(1, sizeof *stream);
    stream->request = r;
    stream->events = *events;
    stream->arg = arg;
    stream->last_ns = lane_now(r->lane->lane);
    list_init(&stream->due);
    list_push_back(&r->lane->streams, &stream->node);
    r->stream = stream;
    r->cancel = NULL;
    r->state = REQUEST_STREAMING;
    if (r->flight)
        flight_leave(r);
    response_token(r, H2O_TOKEN_CONTENT_TYPE, request_copy(r, type));
    response_token(r, H2O_TOKEN_CACHE_CONTROL, STR("no-cache"));
    response_header(r, &buffering_name, STR("no"));
    response_begin(r, status);
    request_release(r);
    r->generator = (h2o_generator_t){on_proceed, on_stop};
    h2o_start_response(r->req, &r->generator);
    if (r->head) {
        stream->broken = true;
        finish(stream, H2O_SEND_STATE_FINAL);
    }
}

enum stream_result stream_write(struct http_request *r, struct str bytes)
{
    struct http_stream *stream = r->stream;
    if (!stream || stream->broken || stream->closing)
        return STREAM_GONE;
    buf_add_str(&stream->waiting, bytes);
    if (stream->waiting.n > STREAM_PENDING_BYTES) {
        stream->broken = true;
        r->left = true;
        shutdown(h2o_socket_get_fd(r->conn->sock), SHUT_RDWR);
        return STREAM_GONE;
    }
    pump(stream);
    stream->full = stream->full || stream->waiting.n >= STREAM_FULL_BYTES;
    return stream->full ? STREAM_FULL : STREAM_OK;
}

void stream_heartbeat(struct http_request *r, struct str bytes, int64_t every_ns)
{
    struct http_stream *stream = r->stream;
    if (!stream)
        return;
    mem_free(stream->beat);
    stream->beat = mem_dup(bytes.p, bytes.n);
    stream->beat_n = bytes.n;
    stream->beat_every_ns = every_ns;
}

void stream_length(struct http_request *r, int64_t bytes)
{
    r->req->res.content_length = (size_t)bytes;
}

void stream_abort(struct http_request *r)
{
    struct http_stream *stream = r->stream;
    if (!stream || stream->closing || stream->broken)
        return;
    stream->events = (struct stream_events){NULL, NULL};
    list_remove(&stream->due);
    r->req->http1_is_persistent = 0;
    stream_break(r);
}

void stream_close(struct http_request *r)
{
    struct http_stream *stream = r->stream;
    if (!stream || stream->closing || stream->broken)
        return;
    stream->closing = true;
    stream->events = (struct stream_events){NULL, NULL};
    list_remove(&stream->due);
    pump(stream);
}

void stream_break(struct http_request *r)
{
    struct http_stream *stream = r->stream;
    stream->broken = true;
    if (stream->in_flight) /* it would wait until the kernel finds out */
        shutdown(h2o_socket_get_fd(r->conn->sock), SHUT_RDWR);
    pump(stream);
}

void stream_gone(struct http_request *r)
{
    struct http_stream *stream = r->stream;
    r->stream = NULL;
    list_remove(&stream->node);
    list_remove(&stream->due);
    if (stream->events.gone)
        stream->events.gone(stream->arg);
    buf_free(&stream->waiting);
    mem_free(stream->sending);
    mem_free(stream->beat);
    mem_free(stream);
}

void stream_run_drained(struct http_lane *lane)
{
    while (!list_empty(&lane->drained)) {
        struct http_stream *stream = list_entry(lane->drained.next, struct http_stream, due);
        list_remove(&stream->due);
        if (stream->events.drained)
            stream->events.drained(stream->arg);
    }
}

void stream_sweep(struct http_lane *lane)
{
    int64_t now = lane_now(lane->lane);
    list_each_safe (node, &lane->streams) {
        struct http_stream *stream = list_entry(node, struct http_stream, node);
        if (stream->in_flight && now - stream->last_ns >= lane->server->options.limits.send_ns)
            stream_break(stream->request);
        else if (stream->beat && !stream->in_flight &&
                 now - stream->last_ns >= stream->beat_every_ns)
            stream_write(stream->request, str_n(stream->beat, stream->beat_n));
    }
}

/* The server drains: every stream ends; clients of event streams come back. */
void stream_end_all(struct http_lane *lane)
{
    list_each_safe (node, &lane->streams) {
        struct http_stream *stream = list_entry(node, struct http_stream, node);
        struct stream_events events = stream->events;
        void *arg = stream->arg;
        stream_close(stream->request);
        if (events.gone)
            events.gone(arg);
    }
}
