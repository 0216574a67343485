/* internal.h -- what the files of http/ that know libh2o share.  Nobody else includes it. */
#pragma once

#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "http/conn.h"
#include "http/head.h"
#include "http/request.h"
#include "http/server.h"
#include "http/stats.h"
#include "loop/lane.h"

struct answer;
struct answer_table;
struct file;
struct flight;
struct http_conn;
struct rate_table;
struct tls;

/* ---- server: shared by lanes, immutable unless said otherwise ---- */

struct http_server {
    struct http_options options; /* strings are copies */
    struct tls *tls;             /* its own lock; NULL when no listener asked for it yet */
    pthread_mutex_t tls_lock;
    struct rate_table *rates;     /* any thread */
    struct answer_table *answers; /* any thread */
    struct http_stats *stats;     /* of "host": what no route answers */
    struct frames_limits frames;  /* of the options */
    struct metric *connections, *in_flight, *cancels, *refused, *floods, *slow;
};

bool server_open_tls(struct http_server *server, struct err *err); /* once */

/* ---- lane ---- */

struct http_port { /* one listener */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    struct http_lane *lane;
    bool tls, admin, local;
};

struct http_lane {
    struct http_server *server;
    struct lane *lane;
    h2o_globalconf_t conf; /* a lane's own: the body limit in it moves with the set */
    h2o_context_t ctx;
    h2o_accept_ctx_t accept;
    uv_check_t check;     /* runs what a read batch brought */
    uv_prepare_t prepare; /* puts guards back before the next batch */
    uv_idle_t farewell;   /* the last handle to close */
    struct timer sweep;
    struct http_port *ports;
    int port_count;

    struct list pending; /* requests to run at the end of the batch */
    struct list sending; /* requests whose answer the library has */
    struct list running; /* HTTP/1.1 requests being handled: h2o does not watch their sockets */
    struct list conns;
    struct list unguarded;   /* HTTP/1.1 connections whose request just ended */
    struct list doomed;      /* connections to close at the end of the batch */
    struct list failed;      /* connections that cannot be read any more */
    struct list sockets;     /* WebSockets */
    struct list due_sockets; /* those with an event to handle */
    struct list streams;     /* answers in pieces */
    struct list drained;     /* streams to tell that they may write again */
    struct list lingering;   /* half-closed ends of refused uploads */
    struct map *flights;     /* cacheable requests under way, by key */
    int64_t swept_ns;        /* when connections were last looked at */
    int64_t flood_logged_ns; /* when a flood was last logged */
    uint64_t traces;         /* trace ids made */
    char trace_prefix[16];
    struct buf log;   /* access log not yet written */
    void *deflate;    /* z_stream of this lane */
    int handles;      /* of ours still open */
    int socket_count; /* that exist, also those whose client has gone */
    bool draining, closing;
    void (*closed)(void *arg);
    void *closed_arg;
    _Atomic int conn_count, request_count;
};

/* ---- request ---- */

enum { REQUEST_ID_MADE = 16 }; /* hex digits of an id made here */

enum request_state {
    REQUEST_PENDING,  /* waits for the end of the batch */
    REQUEST_RUNNING,  /* a handler has it */
    REQUEST_ANSWERED, /* the whole answer is with the library */
    REQUEST_STREAMING,
    REQUEST_UPGRADED,
};

struct http_request {
    struct list node; /* lane->pending, running or sending, conn->waiting, or a flight's waiters */
    h2o_req_t *req;
    struct http_conn *conn;
    struct http_lane *lane;
    const struct http_set *set; /* pinned; NULL after release */
    const struct http_route *route;
    struct http_stats *stats;
    enum request_state state;
    int status;
    bool head, admin, http2;
    bool left;            /* the client went away */
    bool sending;         /* in lane->sending */
    size_t unsent, taken; /* bytes of the answer; of those, taken by the client when last looked */
    int64_t start_ns;
    struct str raw_path, path, query; /* path is decoded when it was first asked for */
    int param_count;
    const struct str *param_names;
    struct str params[ROUTER_PARAMS]; /* decoded; the first param_count are set */
    struct str request_id, trace_id, subject, origin;
    struct str traceparent, tracestate; /* as they came */
    struct span *span;                  /* or NULL */
    char made_id[REQUEST_ID_MADE + 1], made_trace[33];
    void (*cancel)(void *arg);
    void *cancel_arg;
    const struct http_refusal *refusal; /* of before its body came, or NULL */
    struct flight *flight;              /* which this request leads */
    size_t own_headers;    /* answer headers that the gate had set before the handler */
    struct answer *answer; /* referenced while it is being sent */
    struct file *file;     /* likewise */
    char *body;            /* owned bytes of the answer (mem_free) */
    struct http_stream *stream;
    h2o_generator_t generator;
};

int request_on_h2o(h2o_handler_t *handler, h2o_req_t *req);
void request_run_pending(struct http_lane *lane);
void request_release(struct http_request *r);     /* unpins the set */
void request_left(struct http_conn *conn);        /* the client of a HTTP/1.1 request went away */
void request_peek(struct http_lane *lane);        /* finds clients that left HTTP/1.1 requests */
void request_abandon_all(struct http_lane *lane); /* the lane closes */
void request_cancel(struct http_request *r); /* tells the handler; the request goes on to die */

static inline struct str str_of(h2o_iovec_t v)
{
    return str_n(v.base, v.len);
}
static inline h2o_iovec_t iovec_of(struct str s)
{
    return (h2o_iovec_t){(char *)(uintptr_t)s.p, s.n};
}
/* Value of a header the library knows by a token; p NULL when absent. */
static inline struct str request_token(const struct http_request *r, const h2o_token_t *token)
{
    ssize_t at = h2o_find_header(&r->req->headers, token, -1);
    return at < 0 ? str_n(NULL, 0) : str_of(r->req->headers.entries[at].value);
}
struct str request_copy(struct http_request *r, struct str s); /* into the request's memory */
void request_make_id(char out[REQUEST_ID_MADE + 1]);           /* a new id, NUL-terminated */

/* ---- the order of a request (gate.c) ---- */
void gate_run(struct http_request *r);
void gate_pass(struct http_request *r);     /* behind the rate limit */
void gate_dispatch(struct http_request *r); /* behind the kept answers */
/* limit.c: true when the request ends here, or goes on by itself once it is known that it may. */
bool rate_check(struct http_request *r);

/* ---- answers (response.c) ---- */
/* name must be static; value lives as long as the request. */
void response_header(struct http_request *r, const h2o_iovec_t *static_name, struct str value);
void response_token(struct http_request *r, const h2o_token_t *token, struct str value);
/* Sends; body lives until the request is disposed of.  HEAD is handled here. */
void response_send(struct http_request *r, int status, struct str body);
void response_begin(struct http_request *r, int status); /* common headers of every answer */
void response_problem_filter(h2o_pathconf_t *path);      /* the library's own errors as problems */
h2o_generator_t *response_generator(void);               /* of answers sent in one piece */

/* ---- answers that wait for their client (unsent.c) ---- */
void unsent_begin(struct http_request *r, size_t bytes); /* the library has the answer */
void unsent_end(struct http_request *r);
bool unsent_waits(struct http_request *r); /* until the connection's answers have gone */
void unsent_count(struct http_lane *lane); /* what was taken since */
void unsent_sweep(struct http_conn *conn, int64_t passed_ns);

/* ---- CORS (cors.c) ---- */
/* Adds the answer's headers; true when the request was a preflight, now answered. */
bool cors_apply(struct http_request *r);

/* ---- kept answers (answers.c, shared; flight.c, per lane) ---- */
struct answer_header {
    char *name, *value;
    size_t name_n, value_n;
};
struct answer {
    _Atomic int refs;                 /* the table and the requests that send it */
    char *owner, *type, *body, *gzip; /* gzip NULL: not worth it */
    size_t body_n, gzip_n;
    char etag[20]; /* with quotes */
    struct answer_header *headers;
    int header_count;
    int64_t made_ns, fresh_until_ns;
    struct list node; /* private to answers.c */
    char *key;
    size_t key_n, size;
};
struct answer_table *answer_table_create(int64_t bytes);
void answer_table_destroy(struct answer_table *table);
/* Referenced, or NULL when there is none that is still fresh. */
struct answer *answer_find(struct answer_table *table, struct str key, int64_t now_ns);
void answer_store(struct answer_table *table, struct str key, struct answer *answer);
void answer_forget(struct answer_table *table, const char *owner);
void answer_unref(struct answer *answer); /* NULL is fine */
/* True when the request was answered from memory or waits for one that is under way. */
bool flight_join(struct http_request *r);
/* The leader's answer: keeps it when it may be kept, then serves those that wait. */
void flight_land(struct http_request *r, int status, struct str content_type, struct str body);
void flight_leave(struct http_request *r); /* leader or waiter goes away */
void flight_destroy_all(struct http_lane *lane);

/* ---- compression (compress.c) ---- */
/* gzip of body in *out, when it is worth it; the lane's own stream. */
bool compress_body(struct http_lane *lane, struct str body, struct buf *out);
/* Whether this answer is of a kind to be compressed and the client takes gzip;
 * *vary: whether another client would get other bytes. */
bool compress_wanted(const struct http_request *r, struct str content_type, size_t n, bool *vary);
void compress_destroy(struct http_lane *lane);

/* ---- access log (access.c) ---- */
void access_line(struct http_request *r, int64_t took_ns);
void access_flush(struct http_lane *lane);

/* ---- streams (stream.c), WebSockets (socket.c) ---- */
void stream_sweep(struct http_lane *lane);
void stream_run_drained(struct http_lane *lane);
void stream_end_all(struct http_lane *lane);
void stream_break(struct http_request *r); /* the client is known to be gone */
void stream_gone(struct http_request *r);  /* the request is being disposed of */
void socket_accept(struct http_request *r);
void socket_forget_lane(void); /* the lane has closed */
void socket_run_due(struct http_lane *lane);
void socket_sweep(struct http_lane *lane);
void socket_close_all(struct http_lane *lane, int code);

/* ---- TLS (tls.c) ---- */
struct tls *tls_open(const struct http_options *options, struct err *err);
bool tls_reload(struct tls *tls, struct err *err);
SSL_CTX *tls_context(struct tls *tls); /* referenced; SSL_CTX_free() */
void tls_close(struct tls *tls);
