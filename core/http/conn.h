/* conn.h -- a client's connection, for the files of http/ that know libh2o. */
#pragma once

#include <h2o.h>

#include "base/list.h"
#include "base/str.h"
#include "http/chunks.h"
#include "http/frames.h"
#include "http/router.h"

struct http_lane;
struct http_port;
struct http_request;

/* A HTTP/2 stream that was refused, whose client may be sending still (arrival.c). */
struct dismissed {
    uint32_t stream; /* 0 = none */
    int frames;      /* of DATA that were let pass */
    bool answered, told;
};
enum { CONN_DISMISSED = 16 }; /* the last ones of a connection */

enum conn_phase {
    CONN_TLS,   /* shaking hands */
    CONN_IDLE,  /* HTTP/1.1, no byte of a request yet */
    CONN_HEAD,  /* part of a head */
    CONN_BODY,  /* head passed on, body being read */
    CONN_BUSY,  /* a request is being answered */
    CONN_HTTP2, /* since_ns: when the unfinished frame began; 0 = none */
    CONN_SOCKET,
};

struct http_conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    struct http_lane *lane;
    h2o_socket_t *sock;   /* NULL once closed */
    h2o_socket_cb read;   /* the library's reader behind our guard */
    h2o_buffer_t *parked; /* the input of the request being answered, see overrides.c */
    h2o_buffer_t *ahead;  /* what came behind that request; NULL = nothing */
    struct list node;     /* lane->conns */
    struct list mark;     /* lane->unguarded or lane->doomed */
    struct list fail;     /* lane->failed */
    enum conn_phase phase;
    bool tls, admin, local;
    int linger_fd;      /* a duplicate that outlives the connection; -1 = none */
    int64_t since_ns;   /* when the phase began */
    size_t scanned;     /* bytes of input a head was looked for in */
    size_t request_end; /* bytes of head and body; of the head alone when chunked */
    bool chunked;       /* its body */
    struct chunks chunks;
    int64_t chunks_most;      /* that its route takes */
    struct frames frames;     /* of HTTP/2 */
    const char *calm;         /* why it is doomed; NULL = a time ran out */
    int64_t cancel_window_ns; /* start of the second in which cancels are counted */
    int cancels;
    struct list waiting; /* HTTP/2 requests, see unsent.c */
    int answering;       /* requests in lane->sending */
    size_t unsent;       /* bytes of their answers */
    size_t taken;        /* bytes taken since the last sweep */
    int64_t patience_ns;
    struct http_request *request; /* of HTTP/1.1: the one that is being answered */
    struct http_refusal refusal;  /* of the guard; status not 0: the request that follows is ours */
    struct list unwelcome;        /* of HTTP/2: requests whose bodies are to end (arrival.c) */
    struct dismissed dismissed[CONN_DISMISSED];
    int dismissed_next;
    uint32_t spared; /* the stream that the library is about to reset, and is not to */
    char client[48];
    uint8_t client_n;
};

void conn_accept(struct http_port *port);
void conn_enter(struct http_conn *conn, enum conn_phase phase);
/* ---- the guard (guard.c) ---- */
void conn_guard(struct http_conn *conn);      /* puts the guard before the library's reader */
void conn_set_aside(struct http_conn *conn);  /* what came before there was a guard */
void conn_take_ahead(struct http_conn *conn); /* makes it the input, which is empty */
void conn_feed(struct http_conn *conn);       /* the same, and reads it */
void guard_time_out(struct http_conn *conn);  /* answers a head that does not end */
/* ---- */
void conn_doom(struct http_conn *conn); /* closed at the end of the batch */
void conn_close_doomed(struct http_lane *lane);
void conn_failed(struct http_conn *conn); /* reading it said error */
void conn_end_failed(struct http_lane *lane);
void conn_kill(struct http_conn *conn);  /* also while a request is being answered */
void conn_sweep(struct http_lane *lane); /* phases that took too long */
struct str conn_client(struct http_conn *conn);
/* ---- HTTP/2 (http2.c) ---- */
void http2_calm(struct http_conn *conn, const char *why); /* GOAWAY, then closes; why is static */
void http2_end_body(struct http_conn *conn, uint32_t stream); /* as if the client had */
uint64_t http2_errors(const struct http_lane *lane); /* that the library answered, all clients' */
/* ---- before a body (arrival.c) ---- */
/* Whether the body of a request may come; body_bytes: -1 when it does not say.  *most: the bytes
 * that its route takes. */
bool arrival_admit(struct http_conn *conn, struct str method, struct str target, int64_t body_bytes,
                   int64_t *most, struct http_refusal *out);
struct http_refusal arrival_too_large(int64_t most);
void arrival_http2(h2o_req_t *req, size_t *content_length); /* its head has been read */
const struct http_refusal *arrival_refused(h2o_req_t *req); /* or NULL */
void arrival_end_unwelcome(struct http_conn *conn);
/* The library reads frames; while it does, the next two are asked before it resets a stream. */
void arrival_read(struct http_conn *conn);
bool arrival_may_reset(uint32_t stream, int *code); /* whether the client is told so */
bool arrival_may_end(uint32_t stream);              /* whether the stream ends by it */
/* ---- */
void conn_linger(struct http_conn *conn);      /* while open: duplicates the socket */
void conn_linger_here(struct http_conn *conn); /* from the close callback */
void conn_unpark(struct http_conn *conn);      /* before the library goes on reading */
void conn_drop_parked(struct http_conn *conn);
void linger_close_all(struct http_lane *lane);
static inline struct http_conn *conn_of(h2o_req_t *req)
{
    return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}
