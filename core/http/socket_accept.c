#include <openssl/evp.h>

#include "base/mem.h"
#include "http/internal.h"
#include "http/socket_internal.h"

static const h2o_iovec_t accept_name = {H2O_STRLIT("sec-websocket-accept")};
static const h2o_iovec_t version_name = {H2O_STRLIT("sec-websocket-version")};

enum { ACCEPT_TEXT = 32 }; /* base64 of a SHA-1, with room */

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
    struct socket *socket = mem_zero(1, sizeof *socket);
    if (wslay_event_context_server_init(&socket->ws, &socket_callbacks, socket) != 0) {
        mem_free(socket);
        return NULL;
    }
    wslay_event_config_set_max_recv_msg_length(socket->ws, SOCKET_MESSAGE_BYTES);
    socket->lane = r->lane;
    socket_register(socket);
    list_init(&socket->due);
    list_init(&socket->inbox);
    list_push_back(&r->lane->sockets, &socket->node);
    socket->path = str_dup(r->raw_path);
    socket->owner = socket_owner(r->route->owner);
    socket->owner->open++;
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
        socket_end(socket);
        return;
    }
    struct http_conn *conn = sock->on_close.data;
    conn->phase = CONN_SOCKET;
    list_remove(&conn->mark);
    sock->data = socket;
    socket->sock = sock;
    h2o_buffer_consume(&sock->input, request_bytes);
    conn_take_ahead(conn);
    if (socket->ended) {
        socket->sock = NULL;
        h2o_socket_close(sock);
        return;
    }
    socket_receive(socket);
}

void socket_accept(struct http_request *r)
{
    struct str key = request_header(r, STR("sec-websocket-key"));
    const struct http_app *app = &r->lane->server->options.app;
    if (refuse(r, key))
        return;
    if (app->may_open && !app->may_open(app->arg, r, r->route, socket_owner(r->route->owner)->open))
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
    app->socket(app->arg, socket, r->route, SOCKET_OPEN, r, str_n(NULL, 0));
    h2o_http1_upgrade(r->req, NULL, 0, on_upgraded, socket);
}
