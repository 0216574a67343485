#include <stdarg.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "http/internal.h"
#include "observe/metrics.h"

/* Names of headers that the library has no token for. */
static const h2o_iovec_t request_id_name = {H2O_STRLIT("x-request-id")};
static const h2o_iovec_t content_options_name = {H2O_STRLIT("x-content-type-options")};

enum { RESPONSE_HEADERS = 8 }; /* room that is taken at once */

const char *status_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (titles[i].status == status)
            return titles[i].title;
    return status < 400 ? "OK" : "Error";
}

static void put_header(struct http_request *r, const h2o_iovec_t *name, struct str value)
{
    h2o_headers_t *headers = &r->req->res.headers;
    h2o_vector_reserve(&r->req->pool, headers,
                       headers->size < RESPONSE_HEADERS ? RESPONSE_HEADERS : headers->size + 1);
    headers->entries[headers->size++] =
        (h2o_header_t){(h2o_iovec_t *)(uintptr_t)name, NULL, iovec_of(value)};
}

void response_header(struct http_request *r, const h2o_iovec_t *static_name, struct str value)
{
    put_header(r, static_name, value);
}

void response_token(struct http_request *r, const h2o_token_t *token, struct str value)
{
    put_header(r, &token->buf, value);
}

static bool is_header_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return name.n > 0;
}

/* Headers that belong to the framing, which the server writes by itself. */
static bool is_framing(struct str name)
{
    static const char *const names[] = {"content-length", "transfer-encoding", "connection",
                                        "upgrade",        "keep-alive",        "date"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq_c(name, names[i]))
            return true;
    return false;
}

bool respond_header(struct http_request *r, struct str name, struct str value)
{
    if (!is_header_name(name) || is_framing(name))
        return false;
    for (size_t i = 0; i < value.n; i++)
        if (((unsigned char)value.p[i] < 0x20 && value.p[i] != '\t') || value.p[i] == 0x7f)
            return false;
    value = request_copy(r, value);
    const h2o_token_t *token = h2o_lookup_token(name.p, name.n);
    if (token) {
        put_header(r, &token->buf, value);
        return true;
    }
    h2o_iovec_t *copy = request_alloc(r, sizeof *copy);
    *copy = iovec_of(request_copy(r, name));
    put_header(r, copy, value);
    return true;
}

/* A header that is never the same twice is costly in HTTP/2 (each pushes
 * another out of the compression table), so there the request id is answered
 * to those who sent one, and with errors. */
void response_begin(struct http_request *r, int status)
{
    r->status = status;
    r->req->res.status = status;
    r->req->res.reason = status_title(status);
    r->req->compress_hint = H2O_COMPRESS_HINT_DISABLE; /* marks answers as ours, see below */
    if (!r->http2 || r->request_id.p || status >= 400)
        put_header(r, &request_id_name, request_id(r));
    if (r->lane->draining)
        r->req->http1_is_persistent = 0;
}

h2o_generator_t *response_generator(void)
{
    static h2o_generator_t generator; /* nothing to proceed with, nothing to stop */
    return &generator;
}

void response_send(struct http_request *r, int status, struct str body)
{
    response_begin(r, status);
    r->state = REQUEST_ANSWERED;
    unsent_begin(r, r->answer || r->file ? 0 : body.n);
    bool bare = status == 204 || status == 304 || status < 200;
    if (!bare)
        r->req->res.content_length = body.n;
    h2o_iovec_t piece = iovec_of(body);
    h2o_start_response(r->req, response_generator());
    h2o_send(r->req, &piece, bare || r->head || body.n == 0 ? 0 : 1, H2O_SEND_STATE_FINAL);
}

static void content_type(struct http_request *r, struct str type)
{
    if (type.n == 0)
        return;
    put_header(r, &H2O_TOKEN_CONTENT_TYPE->buf, request_copy(r, type));
    if (!str_starts(type, STR("application/json")))
        put_header(r, &content_options_name, STR("nosniff"));
}

/* Sends body, which is the request's own by now. */
static void finish(struct http_request *r, int status, struct str type, struct str body)
{
    if (r->flight)
        flight_land(r, status, type, body);
    content_type(r, type);
    struct buf packed = {0};
    bool vary = false;
    bool wanted = status != 204 && compress_wanted(r, type, body.n, &vary);
    if (vary)
        response_token(r, H2O_TOKEN_VARY, STR("accept-encoding"));
    if (wanted && compress_body(r->lane, body, &packed)) {
        response_token(r, H2O_TOKEN_CONTENT_ENCODING, STR("gzip"));
        mem_free(r->body);
        size_t n;
        r->body = buf_take(&packed, &n);
        body = str_n(r->body, n);
    }
    request_release(r);
    r->cancel = NULL;
    response_send(r, status, body);
}

void respond(struct http_request *r, int status, struct str type, struct str body)
{
    finish(r, status, type, body.n > 0 ? request_copy(r, body) : body);
}

void respond_take(struct http_request *r, int status, struct str type, struct buf *body)
{
    size_t n;
    r->body = buf_take(body, &n);
    finish(r, status, type, str_n(r->body, n));
}

static void write_problem(struct buf *out, int status, const char *code, struct str detail,
                          struct str id, struct str extra_json)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    json_key(&w, "type");
    json_cstr(&w, "about:blank");
    json_key(&w, "title");
    json_cstr(&w, status_title(status));
    json_key(&w, "status");
    json_int(&w, status);
    if (detail.n > 0) {
        json_key(&w, "detail");
        json_str(&w, detail);
    }
    if (code) {
        json_key(&w, "code");
        json_cstr(&w, code);
    }
    json_key(&w, "instance");
    json_str(&w, id);
    if (extra_json.n > 0) {
        buf_add_char(out, ',');
        buf_add_str(out, extra_json);
    }
    json_close(&w, '}');
}

void respond_problem(struct http_request *r, int status, const char *code, struct str detail,
                     struct str extra_json)
{
    struct buf body = {0};
    write_problem(&body, status, code, detail, request_id(r), extra_json);
    respond_take(r, status, STR("application/problem+json"), &body);
}

void respond_problemf(struct http_request *r, int status, const char *code, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    respond_problem(r, status, code, str_c(text), str_n(NULL, 0));
}

/* ---- errors the library answers by itself, as bare text: made problems ---- */

struct problem_stream {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

static void send_problem(h2o_ostream_t *stream, h2o_req_t *req, h2o_iovec_t *bufs, size_t count,
                         h2o_send_state_t state)
{
    struct problem_stream *self = (struct problem_stream *)stream;
    h2o_ostream_send_next(stream, req, count > 0 ? &self->body : bufs, count > 0 ? 1 : 0, state);
}

static const char *problem_code(int status)
{
    switch (status) {
    case 413:
        return "body_too_large";
    case 417:
        return "expectation";
    default:
        return "bad_request";
    }
}

static void on_setup_problem(h2o_filter_t *filter, h2o_req_t *req, h2o_ostream_t **slot)
{
    (void)filter;
    if (req->compress_hint != H2O_COMPRESS_HINT_DISABLE && req->res.status >= 400) {
        struct http_conn *conn = conn_of(req);
        char detail[128] = "the request is malformed";
        if (req->res.status == 413)
            snprintf(detail, sizeof detail, "the body is over the limit of %zu bytes",
                     req->conn->ctx->globalconf->max_request_entity_size);
        struct buf text = {0};
        char *id = h2o_mem_alloc_pool(&req->pool, REQUEST_ID_MADE + 1);
        request_make_id(id);
        write_problem(&text, req->res.status, problem_code(req->res.status), str_c(detail),
                      str_n(id, REQUEST_ID_MADE), str_n(NULL, 0));
        struct problem_stream *stream =
            (struct problem_stream *)(void *)h2o_add_ostream(req, sizeof *stream, slot);
        stream->super.do_send = send_problem;
        stream->body = h2o_strdup(&req->pool, text.p, text.n);
        buf_free(&text);
        slot = &stream->super.next;
        req->res.content_length = stream->body.len;
        h2o_set_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE,
                       H2O_STRLIT("application/problem+json"), 1);
        h2o_add_header_by_str(&req->pool, &req->res.headers, request_id_name.base,
                              request_id_name.len, 0, NULL, id, REQUEST_ID_MADE);
        if (req->version < 0x200)
            conn_linger(conn);
        http_stats_count(conn->lane->server->stats, req->res.status, 0);
    }
    h2o_setup_next_ostream(req, slot);
}

void response_problem_filter(h2o_pathconf_t *path)
{
    h2o_create_filter(path, sizeof(h2o_filter_t))->on_setup_ostream = on_setup_problem;
}
