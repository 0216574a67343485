/* redis_private.h -- what the parts of the client share: redis_client.c lives, redis_send.c speaks,
 * redis_reply.c understands, redis_socket.c carries the bytes. */
#pragma once

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <uv.h>

#include "loop/lane.h"
#include "storage/redis_client.h"

enum redis_state {
    REDIS_REFUSED,    /* waits until it may try again */
    REDIS_RESOLVING,  /* the host's name */
    REDIS_CONNECTING, /* the socket */
    REDIS_SHAKING,    /* TLS */
    REDIS_GREETING,   /* AUTH, SELECT, the probe */
    REDIS_UP,
    REDIS_CLOSED,
};

/* Of one connection; outlives it by the loop's turn in which its handle is closed. */
struct redis_socket {
    uv_poll_t poll; /* first */
    struct redis_client *client;
    int fd, events; /* that are asked for */
    SSL *ssl;       /* or NULL */
    bool ssl_wants_write;
};

/* A command whose answer is awaited. */
struct redis_call {
    struct redis_call *next;
    redis_answer_fn *fn; /* NULL: forgotten */
    void *arg;
    int64_t at;                          /* when it was sent, loop time */
    const struct redis_program *program; /* of redis_run, or NULL */
    struct buf rest;                     /* then: its words behind the digest, encoded */
    int words;                           /* and how many there are in all */
};

struct redis_client {
    struct redis_client_options options;
    struct lane *lane;
    /* any thread */
    atomic_bool is_up;
    /* the lane's thread */
    enum redis_state state;
    bool fresh; /* no attempt has failed yet */
    bool in_callback;
    bool spared;    /* the first call had more time, see redis_client.c */
    struct err why; /* it is down */
    SSL_CTX *tls;   /* or NULL */
    struct redis_socket *socket;
    uv_getaddrinfo_t resolving;
    struct addrinfo *addresses, *address; /* all, and the one that is tried */
    uv_prepare_t flush;                   /* runs while there is something to write */
    struct timer timer;                   /* of the attempt, of answers, of the next attempt */
    int64_t timer_at, up_at, heard_at;
    int attempts; /* that failed in a row */
    int handles;  /* still open, and a name being resolved */
    struct buf out;
    size_t out_sent;
    redisReader *reader;
    struct redis_call *first, **last; /* in the order of their answers */
    struct redis_call *spare;         /* for the next ones */
    int calls, greeting;              /* how many wait; of those the first ones are greetings */
    struct err broken;                /* found inside of a callback; code 0 = nothing */
};

/* redis_socket.c */
void redis_connect(struct redis_client *c);    /* from the name on */
void redis_disconnect(struct redis_client *c); /* no-op when there is none */
void redis_flush(struct redis_client *c);
void redis_catch_up(struct redis_client *c); /* sends and reads what there is; may break */
/* redis_send.c */
struct redis_call *redis_call_new(struct redis_client *c, redis_answer_fn *fn, void *arg);
struct redis_call *redis_call_take(struct redis_client *c); /* the first */
void redis_call_end(struct redis_client *c, struct redis_call *call, const redisReply *reply,
                    const struct err *err);
/* Those that wait now; their callbacks may send others. */
void redis_calls_end(struct redis_client *c, const struct err *err);
void redis_add_command(struct buf *out, const struct str *words, int count);
void redis_watch_answers(struct redis_client *c); /* sets the timer if it would come too late */
/* A script that the server does not know (again): behind everything else, whole. */
void redis_run_whole(struct redis_client *c, struct redis_call *call);
/* redis_reply.c */
bool redis_begins(const redisReply *reply, const char *word);
void redis_set_refusal(struct err *err, const redisReply *reply);
/* Another connection may reach a server that is ready, the master, or one that lets us in. */
bool redis_is_lost(const redisReply *reply, const struct err *err);
/* redis_client.c: what the socket brings. */
extern const struct err redis_closed;
void redis_connected(struct redis_client *c);
void redis_read(struct redis_client *c, const char *p, size_t n); /* may break the connection */
void redis_broken(struct redis_client *c, const struct err *err);
void redis_handle_closed(struct redis_client *c);
