/* socket_internal.h -- the inside of a WebSocket, shared by socket.c and socket_accept.c. */
#pragma once

#include <wslay/wslay.h>

#include "http/internal.h"
#include "http/socket.h"

/* A plugin's sockets on this lane, also across its generations. */
struct socket_owner {
    struct socket_owner *next;
    char *name;
    int open;
};

struct message {
    struct list node;
    size_t n;
    char bytes[];
};

struct socket {
    uint64_t id;
    struct http_lane *lane;
    h2o_socket_t *sock; /* NULL before the upgrade and after the end */
    wslay_event_context_ptr ws;
    struct list node, due;
    struct socket_owner *owner;
    char *path, *client, *subject, *request_id;
    const struct http_set *set; /* pinned while an event is handled */
    struct list inbox;
    int inbox_count;
    struct message *handled;
    bool opened, busy, running, ended, close_told, reading;
    struct buf out; /* given to the kernel, until it took it */
    bool in_flight;
    int64_t heard_ns, closing_ns;
    bool pinged;
    void *data;
};

extern const struct wslay_event_callbacks socket_callbacks;

/* Of this lane, made when it is not there. */
struct socket_owner *socket_owner(const char *name);
void socket_register(struct socket *socket); /* gives it an id by which it can be found */
void socket_end(struct socket *socket);      /* the connection is over; SOCKET_CLOSE follows */
/* Parses what is there; stops the reading while the handler is behind. */
void socket_receive(struct socket *socket);
