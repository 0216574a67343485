#include "http/socket.h"

#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/internal.h"
#include "http/socket_internal.h"

enum {
    SOCKET_PIECE_BYTES = 64 << 10, /* given to the kernel at once */
    SOCKET_CLOSE_SECONDS = 5,      /* waiting for the client's half of the closing */
    SOCKET_INBOX = 16,             /* messages read ahead of the handler */
};

static _Atomic uint64_t last_id;
static _Thread_local struct map *by_id; /* the lane's sockets */
static _Thread_local struct socket_owner *owners;

/* ---- life ---- */

static void destroy(struct socket *socket)
{
    socket->lane->socket_count--;
    map_remove(by_id, str_n((const char *)&socket->id, sizeof socket->id));
    wslay_event_context_free(socket->ws);
    buf_free(&socket->out);
    mem_free(socket->path);
    socket->owner->open--;
    mem_free(socket->client);
    mem_free(socket->subject);
    mem_free(socket->request_id);
    mem_free(socket);
}

static void make_due(struct socket *socket)
{
    if (!socket->busy && list_empty(&socket->due))
        list_push_back(&socket->lane->due_sockets, &socket->due);
}

void socket_end(struct socket *socket)
{
    if (socket->ended)
        return;
    socket->ended = true;
    h2o_socket_t *sock = socket->sock;
    socket->sock = NULL;
    list_remove(&socket->node);
    if (sock)
        h2o_socket_close(sock);
    make_due(socket);
}

/* ---- sending ---- */

static ssize_t on_ws_send(wslay_event_context_ptr ws, const uint8_t *bytes, size_t n, int flags,
                          void *arg)
{
    struct socket *socket = arg;
    (void)flags;
    if (socket->out.n >= SOCKET_PIECE_BYTES) {
        wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    buf_add(&socket->out, bytes, n);
    return (ssize_t)n;
}

static void pump(struct socket *socket);

static void on_written(h2o_socket_t *sock, const char *error)
{
    struct socket *socket = sock->data;
    socket->in_flight = false;
    buf_free(&socket->out);
    if (error)
        socket_end(socket);
    else
        pump(socket);
}

static void pump(struct socket *socket)
{
    if (socket->ended || !socket->sock || socket->in_flight)
        return;
    if (wslay_event_want_write(socket->ws) && wslay_event_send(socket->ws) != 0) {
        socket_end(socket);
        return;
    }
    if (socket->out.n > 0) {
        h2o_iovec_t piece = {socket->out.p, socket->out.n};
        socket->in_flight = true;
        h2o_socket_write(socket->sock, &piece, 1, on_written);
    } else if (wslay_event_get_close_sent(socket->ws) &&
               wslay_event_get_close_received(socket->ws)) {
        socket_end(socket);
    }
}

static bool send_message(struct socket *socket, uint8_t opcode, struct str bytes)
{
    if (socket->ended || wslay_event_get_close_sent(socket->ws) ||
        wslay_event_get_close_received(socket->ws))
        return false;
    if (wslay_event_get_queued_msg_length(socket->ws) + bytes.n > SOCKET_PENDING_BYTES) {
        if (socket->sock)
            shutdown(h2o_socket_get_fd(socket->sock), SHUT_RDWR);
        return false;
    }
    struct wslay_event_msg message = {opcode, (const uint8_t *)bytes.p, bytes.n};
    if (wslay_event_queue_msg(socket->ws, &message) != 0)
        return false;
    pump(socket);
    return true;
}

bool socket_send(struct socket *socket, struct str text)
{
    return send_message(socket, WSLAY_TEXT_FRAME, text);
}

bool socket_send_binary(struct socket *socket, struct str bytes)
{
    return send_message(socket, WSLAY_BINARY_FRAME, bytes);
}

void socket_close(struct socket *socket, int code, struct str reason)
{
    if (socket->ended || wslay_event_get_close_sent(socket->ws))
        return;
    if (reason.n > 123)
        reason.n = 123;
    wslay_event_queue_close(socket->ws, (uint16_t)code, (const uint8_t *)reason.p, reason.n);
    socket->closing_ns = lane_now(socket->lane->lane);
    pump(socket);
}

/* ---- reading ---- */

static ssize_t on_ws_recv(wslay_event_context_ptr ws, uint8_t *to, size_t n, int flags, void *arg)
{
    struct socket *socket = arg;
    (void)flags;
    h2o_buffer_t **input = &socket->sock->input;
    if ((*input)->size == 0 || socket->inbox_count >= SOCKET_INBOX) {
        wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (n > (*input)->size)
        n = (*input)->size;
    memcpy(to, (*input)->bytes, n);
    h2o_buffer_consume(input, n);
    return (ssize_t)n;
}

static void on_ws_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *in,
                          void *arg)
{
    struct socket *socket = arg;
    (void)ws;
    if (in->opcode != WSLAY_TEXT_FRAME && in->opcode != WSLAY_BINARY_FRAME)
        return;
    struct message *message = mem_alloc(sizeof *message + in->msg_length + 1);
    message->n = in->msg_length;
    memcpy(message->bytes, in->msg, in->msg_length);
    list_push_back(&socket->inbox, &message->node);
    socket->inbox_count++;
    make_due(socket);
}

static void on_read(h2o_socket_t *sock, const char *error);

void socket_receive(struct socket *socket)
{
    if (socket->ended || !socket->sock)
        return;
    if (wslay_event_want_read(socket->ws) && wslay_event_recv(socket->ws) != 0) {
        socket_end(socket);
        return;
    }
    bool read = socket->inbox_count < SOCKET_INBOX;
    if (read && !socket->reading)
        h2o_socket_read_start(socket->sock, on_read);
    else if (!read && socket->reading)
        h2o_socket_read_stop(socket->sock);
    socket->reading = read;
    pump(socket);
}

static void on_read(h2o_socket_t *sock, const char *error)
{
    struct socket *socket = sock->data;
    socket->lane->lane->heard++;
    socket->heard_ns = lane_now(socket->lane->lane);
    socket->pinged = false;
    if (error) {
        conn_failed(sock->on_close.data);
        socket_end(socket);
    } else {
        socket_receive(socket);
    }
}

const struct wslay_event_callbacks socket_callbacks = {
    .recv_callback = on_ws_recv,
    .send_callback = on_ws_send,
    .on_msg_recv_callback = on_ws_message,
};

/* ---- events ---- */

/* The route that has this socket's path now, if it is still the same plugin's. */
static const struct http_route *find_route(struct socket *socket)
{
    struct router_match match;
    if (socket->set && socket->set->router &&
        router_match(socket->set->router, STR("GET"), str_c(socket->path), true, &match) ==
            ROUTER_FOUND &&
        match.route->kind == HTTP_ROUTE_SOCKET &&
        strcmp(match.route->owner, socket->owner->name) == 0)
        return match.route;
    return NULL;
}

static void release(struct socket *socket)
{
    const struct http_app *app = &socket->lane->server->options.app;
    if (socket->set)
        app->release(app->arg, socket->lane->lane, socket->set);
    socket->set = NULL;
    mem_free(socket->handled);
    socket->handled = NULL;
}

static void tell(struct socket *socket, enum socket_event event, struct str data)
{
    const struct http_app *app = &socket->lane->server->options.app;
    socket->set = app->acquire(app->arg, socket->lane->lane);
    const struct http_route *route = find_route(socket);
    socket->busy = true;
    if (route || event == SOCKET_CLOSE) {
        app->socket(app->arg, socket, route, event, NULL, data);
        return;
    }
    socket_close(socket, 1001, STR("the plugin is gone"));
    socket_done(socket);
}

/* Handles one event, if there is one and none is being handled. */
static void run(struct socket *socket)
{
    if (socket->busy)
        return;
    if (!list_empty(&socket->inbox)) {
        struct message *message = list_entry(socket->inbox.next, struct message, node);
        list_remove(&message->node);
        socket->inbox_count--;
        socket->handled = message;
        tell(socket, SOCKET_MESSAGE, str_n(message->bytes, message->n));
    } else if (socket->ended && !socket->close_told) {
        socket->close_told = true;
        tell(socket, SOCKET_CLOSE, str_n(NULL, 0));
    }
}

void socket_done(struct socket *socket)
{
    release(socket);
    socket->busy = false;
    if (socket->close_told) {
        destroy(socket);
        return;
    }
    if (!list_empty(&socket->inbox) || socket->ended)
        make_due(socket);
    else
        socket_receive(socket);
}

void socket_run_due(struct http_lane *lane)
{
    struct list due;
    list_init(&due);
    list_splice(&due, &lane->due_sockets);
    while (!list_empty(&due)) {
        struct socket *socket = list_entry(due.next, struct socket, due);
        list_remove(&socket->due);
        run(socket);
    }
}

/* ---- keeping ---- */

void socket_sweep(struct http_lane *lane)
{
    int64_t now = lane_now(lane->lane);
    list_each_safe (node, &lane->sockets) {
        struct socket *socket = list_entry(node, struct socket, node);
        int64_t silent = (now - socket->heard_ns) / NS_PER_SECOND;
        if (!socket->sock)
            continue;
        if (socket->closing_ns > 0 &&
            now - socket->closing_ns > SOCKET_CLOSE_SECONDS * NS_PER_SECOND) {
            socket_end(socket);
        } else if (silent >= SOCKET_IDLE_SECONDS && socket->reading) {
            socket_end(socket);
        } else if (silent >= SOCKET_PING_SECONDS && !socket->pinged) {
            socket->pinged = true;
            struct wslay_event_msg ping = {WSLAY_PING, NULL, 0};
            wslay_event_queue_msg(socket->ws, &ping);
            pump(socket);
        }
    }
}

void socket_close_all(struct http_lane *lane, int code)
{
    list_each_safe (node, &lane->sockets) {
        struct socket *socket = list_entry(node, struct socket, node);
        if (lane->closing)
            socket_end(socket);
        else
            socket_close(socket, code, STR("the server is stopping"));
    }
}

void http_lane_close_sockets(struct http_lane *lane, const char *owner, int code, struct str reason)
{
    list_each_safe (node, &lane->sockets) {
        struct socket *socket = list_entry(node, struct socket, node);
        if (!strcmp(socket->owner->name, owner))
            socket_close(socket, code, reason);
    }
}

/* ---- what the application reads ---- */

bool socket_is_open(const struct socket *socket)
{
    return !socket->ended && !wslay_event_get_close_sent(socket->ws);
}

uint64_t socket_id(const struct socket *socket)
{
    return socket->id;
}

struct str socket_client(const struct socket *socket)
{
    return str_c(socket->client);
}

struct str socket_subject(const struct socket *socket)
{
    return str_c(socket->subject);
}

struct str socket_request_id(const struct socket *socket)
{
    return str_c(socket->request_id);
}

struct lane *socket_lane(const struct socket *socket)
{
    return socket->lane->lane;
}

void socket_set_data(struct socket *socket, void *data)
{
    socket->data = data;
}

void *socket_get_data(const struct socket *socket)
{
    return socket->data;
}

void socket_register(struct socket *socket)
{
    socket->id = atomic_fetch_add(&last_id, 1) + 1;
    if (!by_id)
        by_id = map_create();
    map_set(by_id, str_n((const char *)&socket->id, sizeof socket->id), socket);
    socket->lane->socket_count++;
}

struct socket_owner *socket_owner(const char *name)
{
    struct socket_owner *owner = owners;
    while (owner && strcmp(owner->name, name) != 0)
        owner = owner->next;
    if (owner)
        return owner;
    owner = mem_zero(1, sizeof *owner);
    owner->name = mem_strdup(name);
    owner->next = owners;
    owners = owner;
    return owner;
}

struct socket *socket_find(uint64_t id)
{
    return by_id ? map_get(by_id, str_n((const char *)&id, sizeof id)) : NULL;
}

void socket_forget_lane(void)
{
    map_destroy(by_id);
    by_id = NULL;
    for (struct socket_owner *owner; (owner = owners);) {
        owners = owner->next;
        mem_free(owner->name);
        mem_free(owner);
    }
}
