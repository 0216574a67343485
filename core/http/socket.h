/* socket.h -- WebSockets (RFC 6455 over HTTP/1.1), owned by the host.
 *
 * A socket outlives the generation that opened it: every event looks up the
 * route of the same owner and pattern in the set that serves now and is
 * answered by that route's handlers.  Events of one socket are handled one
 * after another; while one is handled (socket_done() not yet called) nothing
 * more is read from the client.  Lane thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/router.h"

struct http_request;
struct lane;
struct socket;

enum {
    SOCKET_MESSAGE_BYTES = 1 << 20, /* over it: close 1009 */
    SOCKET_PENDING_BYTES = 1 << 20, /* unsent bytes over which the socket is closed (1008) */
    SOCKET_PING_SECONDS = 30,       /* a ping is sent after so long without traffic */
    SOCKET_IDLE_SECONDS = 75,       /* closed when not even a pong came back */
};

enum socket_event { SOCKET_OPEN, SOCKET_MESSAGE, SOCKET_CLOSE };

/* The application's side, see http_app.socket: handles one event and calls
 * socket_done() when it is over (at once, or later).  request is set for
 * SOCKET_OPEN only and lives until the callback returns; data is the message,
 * borrowed until socket_done().  route is NULL for a SOCKET_CLOSE whose plugin
 * no longer has such a socket. */
typedef void socket_event_fn(void *arg, struct socket *socket, const struct http_route *route,
                             enum socket_event event, struct http_request *request,
                             struct str data);

void socket_done(struct socket *socket);
/* Queues a text message.  False when the socket is closing or was too slow. */
bool socket_send(struct socket *socket, struct str text);
bool socket_send_binary(struct socket *socket, struct str bytes);
void socket_close(struct socket *socket, int code, struct str reason);
bool socket_is_open(const struct socket *socket);
uint64_t socket_id(const struct socket *socket); /* unique in the process */
struct str socket_client(const struct socket *socket);
struct str socket_subject(const struct socket *socket);
struct str socket_request_id(const struct socket *socket);
struct lane *socket_lane(const struct socket *socket);
/* What the application keeps with a socket; it frees it at SOCKET_CLOSE. */
void socket_set_data(struct socket *socket, void *data);
void *socket_get_data(const struct socket *socket);
/* The socket of the calling lane with this id, or NULL once SOCKET_CLOSE was handled. */
struct socket *socket_find(uint64_t id);
