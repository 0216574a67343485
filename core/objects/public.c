#include "objects/public.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/request.h"
#include "http/validate.h"
#include "objects/checksum.h"
#include "objects/ticket.h"
#include "observe/log.h"

enum { PIECE_BYTES = 256 << 10 };

/* One request, with what it asks of the store; outlives the client. */
struct transfer {
    union {
        struct object_download down;
        struct object_upload up;
    };
    struct http_request *request; /* NULL once the client has gone or is answered */
    struct ticket ticket;
    struct checksum *checksum; /* PUT: what the client says of its bytes, or NULL */
    char *plugin, *piece;
    struct buf text; /* of the ticket */
    int64_t left;    /* GET: bytes still to come */
    size_t at;       /* PUT: bytes of the body written; GET: bytes of down.bytes gone out */
    bool streaming, over;
};

static void transfer_free(struct transfer *t)
{
    checksum_free(t->checksum);
    mem_free(t->plugin);
    mem_free(t->piece);
    buf_free(&t->text);
    mem_free(t);
}

/* Of an address, and of what is sent with it. */
static void refuse(struct http_request *r, const struct err *err)
{
    switch (err->code) {
    case ERR_FORBIDDEN:
        respond_problemf(r, 403, "forbidden", "%s", err->message);
        break;
    case ERR_TIMEOUT:
        respond_problemf(r, 403, "expired", "%s", err->message);
        break;
    case ERR_LIMIT:
        respond_problemf(r, 413, "limit", "%s", err->message);
        break;
    default:
        respond_problemf(r, 400, "invalid", "%s", err->message);
    }
}

/* Of the store: what it says of itself and of its server is for the log, not for who has an
 * address. */
static void refuse_failed(struct http_request *r, const struct err *err)
{
    static const struct {
        enum err_code code;
        int status;
        const char *name, *text;
    } known[] = {{ERR_NOT_FOUND, 404, "not_found", "there is no such object"},
                 {ERR_FULL, 507, "full", "the object store is full"},
                 {ERR_BUSY, 503, "busy", "the object store is busy"},
                 {ERR_CLOSED, 503, "closed", "maru is stopping"},
                 {ERR_TIMEOUT, 504, "timeout", "the object store did not answer in time"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == err->code) {
            respond_problemf(r, known[i].status, known[i].name, "%s", known[i].text);
            return;
        }
    log_warn("objects", "an address could not be served: %s", err->message);
    respond_problemf(r, 502, "io", "the object store did not answer as it should");
}

/* -- GET -- */

static void close_down(struct transfer *t)
{
    if (!t->over)
        object_download_close(&t->down);
    t->over = true;
}

static void on_gone(void *arg)
{
    struct transfer *t = arg;
    t->request = NULL;
    close_down(t);
}

static void on_closed(struct object_download *d)
{
    transfer_free((struct transfer *)(void *)d);
}

/* What is there of the piece goes out, as far as the client takes it; then the next one is asked
 * for.  Whatever comes after stream_write() said that the client has gone is `gone`'s. */
static void pump(void *arg)
{
    struct transfer *t = arg;
    struct str bytes = t->down.bytes;
    while (t->request && t->at < bytes.n) {
        size_t n = bytes.n - t->at < STREAM_FULL_BYTES ? bytes.n - t->at : STREAM_FULL_BYTES;
        enum stream_result result = stream_write(t->request, str_n(bytes.p + t->at, n));
        t->at += n;
        if (result != STREAM_OK)
            return;
    }
    if (t->request && t->left > 0)
        object_download_next(&t->down);
    else if (t->request) {
        stream_close(t->request);
        on_gone(t);
    }
}

static const struct stream_events events = {.drained = pump, .gone = on_gone};

static struct str type_shown(const struct transfer *t)
{
    struct str type = t->ticket.type.n ? t->ticket.type : t->down.info.type;
    return type.n ? type : STR("application/octet-stream");
}

static void add_headers(struct transfer *t, const char *etag)
{
    struct http_request *r = t->request;
    const struct object_info *info = &t->down.info;
    bool shown = t->ticket.shown && ticket_is_harmless(type_shown(t));
    struct buf text = {0};
    char date[30];
    ticket_disposition(&text, t->ticket.name, shown);
    http_date_format(info->at / NS_PER_SECOND, date);
    respond_header(r, STR("content-disposition"), buf_str(&text));
    respond_header(r, STR("content-security-policy"), STR("sandbox; default-src 'none'"));
    respond_header(r, STR("x-content-type-options"), STR("nosniff"));
    respond_header(r, STR("accept-ranges"), STR("bytes"));
    respond_header(r, STR("etag"), str_c(etag));
    respond_header(r, STR("last-modified"), str_n(date, 29));
    buf_free(&text);
}

/* Answers what needs no byte of the object: true. */
static bool answer_without(struct transfer *t, const char *etag, uint64_t *first, uint64_t *last,
                           enum range_result *range)
{
    struct http_request *r = t->request;
    uint64_t size = (uint64_t)t->down.info.size;
    struct str known = request_header(r, STR("if-none-match"));
    struct str asked = request_header(r, STR("range")), only = request_header(r, STR("if-range"));
    if (known.p && etag_listed(known, str_c(etag), false)) {
        respond(r, 304, STR(""), STR(""));
        return true;
    }
    bool part = asked.p && (!only.p || etag_listed(only, str_c(etag), true));
    *range = part ? range_parse(asked, size, first, last) : RANGE_WHOLE;
    if (*range != RANGE_OUTSIDE)
        return false;
    char text[64];
    snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)size);
    respond_header(r, STR("content-range"), str_c(text));
    respond_problemf(r, 416, "range", "the object has %llu bytes", (unsigned long long)size);
    return true;
}

static void begin_answer(struct transfer *t, uint64_t first, uint64_t last, bool part)
{
    struct http_request *r = t->request;
    const struct object_info *info = &t->down.info;
    struct str type = type_shown(t);
    bool head = str_eq_c(request_method(r), "HEAD");
    char text[96];
    t->left = info->size == 0 ? 0 : (int64_t)(last - first) + 1;
    snprintf(text, sizeof text, "bytes %llu-%llu/%lld", (unsigned long long)first,
             (unsigned long long)last, (long long)info->size);
    if (part)
        respond_header(r, STR("content-range"), str_c(text));
    request_on_cancel(r, NULL, NULL);
    stream_length(r, t->left);
    t->streaming = true;
    if (head) {
        static const struct stream_events none;
        t->request = NULL;
        stream_start(r, part ? 206 : 200, type, &none, NULL);
        close_down(t);
        return;
    }
    stream_start(r, part ? 206 : 200, type, &events, t);
    pump(t);
}

static void on_opened(struct transfer *t)
{
    struct http_request *r = t->request;
    struct object_download *d = &t->down;
    char etag[OBJECT_ETAG_BYTES + 2];
    uint64_t first = 0, last = d->info.size > 0 ? (uint64_t)d->info.size - 1 : 0;
    enum range_result range = RANGE_WHOLE;
    snprintf(etag, sizeof etag, "\"%s\"", d->info.etag);
    request_on_cancel(r, NULL, NULL);
    if (!d->err.code)
        add_headers(t, etag);
    else
        refuse_failed(r, &d->err);
    if (d->err.code || answer_without(t, etag, &first, &last, &range)) {
        t->request = NULL;
        close_down(t);
        return;
    }
    if (range == RANGE_PART)
        object_download_part(d, (int64_t)first, (int64_t)(last - first) + 1);
    begin_answer(t, first, last, range == RANGE_PART);
}

static void on_got(struct object_download *d)
{
    struct transfer *t = (struct transfer *)(void *)d;
    struct http_request *r = t->request;
    if (r && !t->streaming) {
        on_opened(t);
    } else if (r && d->err.code) {
        t->request = NULL;
        stream_abort(r);
        close_down(t);
    } else if (r) {
        t->at = 0;
        t->left -= (int64_t)d->bytes.n;
        pump(t);
    }
}

static void get(struct objects *store, struct transfer *t)
{
    t->down.plugin = t->plugin;
    t->down.key = t->ticket.key;
    t->down.got = on_got;
    t->down.closed = on_closed;
    request_on_cancel(t->request, on_gone, t);
    object_download_begin(store, &t->down, request_lane(t->request));
}

/* -- PUT -- */

static void end_up(struct transfer *t, bool commit)
{
    if (!t->over)
        object_upload_end(&t->up, commit);
    t->over = true;
}

/* The body goes with the request, so that a piece of it that is being written is a copy. */
static void on_sender_gone(void *arg)
{
    struct transfer *t = arg;
    t->request = NULL;
    end_up(t, false);
}

static void on_ready(struct object_upload *u)
{
    struct transfer *t = (struct transfer *)(void *)u;
    if (!t->request || t->over)
        return;
    if (u->err.code) {
        end_up(t, false);
        return;
    }
    struct str body = request_body(t->request);
    size_t n = body.n - t->at < PIECE_BYTES ? body.n - t->at : PIECE_BYTES;
    if (n == 0) {
        end_up(t, true);
        return;
    }
    memcpy(t->piece, body.p + t->at, n);
    t->at += n;
    object_upload_write(u, str_n(t->piece, n));
}

static void on_ended(struct object_upload *u)
{
    struct transfer *t = (struct transfer *)(void *)u;
    struct http_request *r = t->request;
    char etag[OBJECT_ETAG_BYTES + 2];
    if (r) {
        request_on_cancel(r, NULL, NULL);
        snprintf(etag, sizeof etag, "\"%s\"", u->info.etag);
        if (t->checksum && u->err.code == ERR_CONFLICT) {
            respond_problemf(r, 400, "checksum", "%s", u->err.message);
        } else if (u->err.code) {
            refuse_failed(r, &u->err);
        } else {
            respond_header(r, STR("etag"), str_c(etag));
            respond(r, 200, STR(""), STR(""));
        }
    }
    transfer_free(t);
}

static bool check_put(const struct transfer *t, struct str *type, struct err *err)
{
    struct str body = request_body(t->request), wanted = t->ticket.type;
    *type = request_header(t->request, STR("content-type"));
    if (t->ticket.max && (int64_t)body.n > t->ticket.max)
        return err_set(err, ERR_LIMIT, "%zu bytes; this address takes at most %lld", body.n,
                       (long long)t->ticket.max);
    if (wanted.n && !str_eq(wanted, *type))
        return err_set(err, ERR_FORBIDDEN, "this address takes content of type %.*s", (int)wanted.n,
                       wanted.p);
    return object_type_check(*type, err);
}

static bool expect(struct transfer *t, struct err *err)
{
    struct str md5 = request_header(t->request, STR("content-md5"));
    struct str sha = request_header(t->request, STR("x-amz-checksum-sha256"));
    if (!md5.p && !sha.p)
        return true;
    t->checksum = t->up.checksum = checksum_create();
    return (!md5.p || checksum_expect_base64(t->checksum, CHECKSUM_MD5, md5, err)) &&
           (!sha.p || checksum_expect_base64(t->checksum, CHECKSUM_SHA256, sha, err));
}

static void put(struct objects *store, struct transfer *t)
{
    struct err err = {0};
    struct str type;
    if (!check_put(t, &type, &err) || !expect(t, &err)) {
        refuse(t->request, &err);
        transfer_free(t);
        return;
    }
    /* The type outlives the request, as the key does. */
    size_t at = t->text.n, key_at = (size_t)(t->ticket.key.p - t->text.p);
    buf_add_str(&t->text, type);
    t->up.type = str_n(t->text.p + at, type.n);
    t->up.key = str_n(t->text.p + key_at, t->ticket.key.n);
    t->up.plugin = t->plugin;
    t->up.ready = on_ready;
    t->up.ended = on_ended;
    t->piece = mem_alloc(PIECE_BYTES);
    request_on_cancel(t->request, on_sender_gone, t);
    object_upload_begin(store, &t->up, request_lane(t->request));
}

static struct http_refusal refusal_of(enum err_code code)
{
    return code == ERR_TIMEOUT ? (struct http_refusal){403, "expired", "its time is over", 0}
           : code == ERR_FORBIDDEN
               ? (struct http_refusal){403, "forbidden",
                                       "the signature is not one of this address and method", 0}
               : (struct http_refusal){400, "invalid", "this is no address that was given out", 0};
}

bool objects_admit(const struct http_arrival *a, struct objects *store, struct http_refusal *out)
{
    struct buf text = {0};
    struct ticket ticket;
    struct err err = {0};
    if (!store) {
        *out = (struct http_refusal){404, "not_found", "this server keeps no objects", 0};
        return false;
    }
    bool ok = ticket_read(&ticket, a->match->values[0], true, a->query,
                          clock_wall_ns() / NS_PER_SECOND, store->ticket_key, &text, &err);
    if (!ok)
        *out = refusal_of(err.code);
    else if (ticket.max && a->body_bytes > ticket.max)
        *out = (struct http_refusal){413, "limit", "the body is larger than this address takes",
                                     ticket.max};
    buf_free(&text);
    return ok && (!ticket.max || a->body_bytes <= ticket.max);
}

void objects_public(struct http_request *r, void *arg)
{
    struct objects *store = *(struct objects *const *)arg;
    struct err err = {0};
    bool writes = str_eq_c(request_method(r), "PUT");
    if (!store) {
        respond_problemf(r, 404, "not_found", "this server keeps no objects");
        return;
    }
    struct transfer *t = mem_zero(1, sizeof *t);
    t->request = r;
    t->plugin = str_dup(request_param(r, "plugin"));
    if (!ticket_read(&t->ticket, str_c(t->plugin), writes, request_query(r),
                     clock_wall_ns() / NS_PER_SECOND, store->ticket_key, &t->text, &err)) {
        refuse(r, &err);
        transfer_free(t);
    } else if (writes)
        put(store, t);
    else
        get(store, t);
}
