#include "http/socket.h"

#include <openssl/evp.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/internal.h"

static const h2o_iovec_t accept_name = {H2O_STRLIT("sec-websocket-accept")};
static const h2o_iovec_t version_name = {H2O_STRLIT("sec-websocket-version")};

enum {
    SOCKET_PIECE_BYTES = 64 << 10, /* given to the kernel at once */
    SOCKET_CLOSE_SECONDS = 5,      /* waiting for the client's half of the closing */
    SOCKET_INBOX = 16,             /* messages read ahead of the handler */
    ACCEPT_TEXT = 32,              /* base64 of a SHA-1, with room */
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
    char *path, *owner, *client, *subject, *request_id;
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

static _Atomic uint64_t last_id;
static _Thread_local struct map *by_id; /* the lane's sockets */

/* ---- life ---- */

static void destroy(struct socket *socket)
{
    socket->lane->socket_count--;
    map_remove(by_id, str_n((const char *)&socket->id, sizeof socket->id));
    wslay_event_context_free(socket->ws);
    buf_free(&socket->out);
    mem_free(socket->path);
    mem_free(socket->owner);
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

/* The connection is over; SOCKET_CLOSE follows the messages still waiting. */
static void end(struct socket *socket)
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
        end(socket);
    else
        pump(socket);
}

static void pump(struct socket *socket)
{
    if (socket->ended || !socket->sock || socket->in_flight)
        return;
    if (wslay_event_want_write(socket->ws) && wslay_event_send(socket->ws) != 0) {
        end(socket);
        return;
    }
    if (socket->out.n > 0) {
        h2o_iovec_t piece = {socket->out.p, socket->out.n};
        socket->in_flight = true;
        h2o_socket_write(socket->sock, &piece, 1, on_written);
    } else if (wslay_event_get_close_sent(socket->ws) &&
               wslay_event_get_close_received(socket->ws)) {
        end(socket);
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

/* Parses what is there; stops the reading while the handler is behind. */
static void receive(struct socket *socket)
{
    if (socket->ended || !socket->sock)
        return;
    if (wslay_event_want_read(socket->ws) && wslay_event_recv(socket->ws) != 0) {
        end(socket);
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
    socket->heard_ns = lane_now(socket->lane->lane);
    socket->pinged = false;
    if (error)
        end(socket);
    else
        receive(socket);
}

/* ---- events ---- */

/* The route that has this socket's path now, if it is still the same plugin's. */
static const struct http_route *find_route(struct socket *socket)
{
    struct router_match match;
    if (socket->set && socket->set->router &&
        router_match(socket->set->router, STR("GET"), str_c(socket->path), true, &match) ==
            ROUTER_FOUND &&
        match.route->kind == HTTP_ROUTE_SOCKET && strcmp(match.route->owner, socket->owner) == 0)
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
        receive(socket);
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

/* ---- accepting ---- */

static void make_accept(struct str key, char out[ACCEPT_TEXT])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_DigestInit_ex(md, EVP_sha1(), NULL);
    EVP_DigestUpdate(md, key.p, key.n);
    EVP_DigestUpdate(md, guid, sizeof guid - 1);
    EVP_DigestFinal_ex(md, digest, &n);
    EVP_MD_CTX_free(md);
    EVP_EncodeBlock((unsigned char *)out, digest, (int)n);
}

/* A page of another site must not reach a socket with its visitor's cookies. */
static bool origin_allowed(const struct http_request *r)
{
    struct str origin = r->origin, host = request_host(r);
    if (origin.n == 0)
        return true;
    const char *const *list = r->lane->server->options.cors_origins;
    for (int i = 0; list && list[i]; i++)
        if (str_eq_c(origin, list[i]) || strcmp(list[i], "*") == 0)
            return true;
    size_t scheme = str_starts(origin, STR("https://")) ? 8 : 7;
    return origin.n > scheme && str_eq(str_n(origin.p + scheme, origin.n - scheme), host);
}

/* Answers what is no proper handshake; true when it did. */
static bool refuse(struct http_request *r, struct str key)
{
    if (!request_is_websocket(r) || key.n != 24) {
        response_token(r, H2O_TOKEN_UPGRADE, STR("websocket"));
        respond_problem(r, 426, "websocket", STR("this path is a WebSocket over HTTP/1.1"),
                        str_n(NULL, 0));
        return true;
    }
    if (!str_eq_c(request_header(r, STR("sec-websocket-version")), "13")) {
        response_header(r, &version_name, STR("13"));
        respond_problem(r, 426, "websocket", STR("only WebSocket version 13"), str_n(NULL, 0));
        return true;
    }
    if (!origin_allowed(r)) {
        respond_problem(r, 403, "origin", STR("this origin may not open a socket here"),
                        str_n(NULL, 0));
        return true;
    }
    return false;
}

static struct socket *create(struct http_request *r)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_ws_recv,
        .send_callback = on_ws_send,
        .on_msg_recv_callback = on_ws_message,
    };
    struct socket *socket = mem_zero(1, sizeof *socket);
    if (wslay_event_context_server_init(&socket->ws, &callbacks, socket) != 0) {
        mem_free(socket);
        return NULL;
    }
    wslay_event_config_set_max_recv_msg_length(socket->ws, SOCKET_MESSAGE_BYTES);
    socket->id = atomic_fetch_add(&last_id, 1) + 1;
    socket->lane = r->lane;
    if (!by_id)
        by_id = map_create();
    map_set(by_id, str_n((const char *)&socket->id, sizeof socket->id), socket);
    list_init(&socket->due);
    list_init(&socket->inbox);
    list_push_back(&r->lane->sockets, &socket->node);
    r->lane->socket_count++;
    socket->path = str_dup(r->raw_path);
    socket->owner = mem_strdup(r->route->owner);
    socket->client = str_dup(request_client(r));
    socket->subject = str_dup(r->subject);
    socket->request_id = str_dup(request_id(r));
    socket->heard_ns = lane_now(r->lane->lane);
    return socket;
}

static void on_upgraded(void *arg, h2o_socket_t *sock, size_t request_bytes)
{
    struct socket *socket = arg;
    if (!sock) {
        end(socket);
        return;
    }
    struct http_conn *conn = sock->on_close.data;
    conn->phase = CONN_SOCKET;
    list_remove(&conn->mark);
    sock->data = socket;
    socket->sock = sock;
    h2o_buffer_consume(&sock->input, request_bytes);
    if (socket->ended) {
        socket->sock = NULL;
        h2o_socket_close(sock);
        return;
    }
    receive(socket);
}

void socket_accept(struct http_request *r)
{
    struct str key = request_header(r, STR("sec-websocket-key"));
    if (refuse(r, key))
        return;
    struct socket *socket = r->lane->draining ? NULL : create(r);
    if (!socket) {
        respond_problem(r, 503, "closed", STR("the server is stopping"), str_n(NULL, 0));
        return;
    }
    char *accept = request_alloc(r, ACCEPT_TEXT);
    make_accept(key, accept);
    response_begin(r, 101);
    r->req->res.reason = "Switching Protocols";
    response_token(r, H2O_TOKEN_UPGRADE, STR("websocket"));
    response_header(r, &accept_name, str_c(accept));
    list_remove(&r->node);
    r->state = REQUEST_UPGRADED;
    socket->busy = true;
    socket->set = r->set;
    r->set = NULL;
    const struct http_app *app = &r->lane->server->options.app;
    app->socket(app->arg, socket, r->route, SOCKET_OPEN, r, str_n(NULL, 0));
    h2o_http1_upgrade(r->req, NULL, 0, on_upgraded, socket);
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
            end(socket);
        } else if (silent >= SOCKET_IDLE_SECONDS && socket->reading) {
            end(socket);
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
            end(socket);
        else
            socket_close(socket, code, STR("the server is stopping"));
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

struct socket *socket_find(uint64_t id)
{
    return by_id ? map_get(by_id, str_n((const char *)&id, sizeof id)) : NULL;
}

void socket_forget_lane(void)
{
    map_destroy(by_id);
    by_id = NULL;
}
