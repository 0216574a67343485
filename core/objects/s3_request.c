/* s3_request.c -- one signed request and its answer. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/validate.h"
#include "loop/lane.h"
#include "objects/checksum.h"
#include "objects/s3_private.h"
#include "observe/log.h"

enum { ANSWER_BYTES = 1 << 20 };
#define S3_ONCE_NS (5 * NS_PER_SECOND)

struct sent {
    struct list link; /* s3->requests of its lane */
    struct s3 *s3;
    struct http_fetch *fetch;
    s3_done_fn *done;
    void *arg;
    char *what; /* for errors: "PUT plugin/key" */
    bool bucket, aside, posted;
    struct err refused;
    struct lane_message message; /* of one that was not sent */
};

void s3_begin(struct s3 *s3)
{
    pthread_mutex_lock(&s3->lock);
    s3->under_way++;
    pthread_mutex_unlock(&s3->lock);
}

void s3_over(struct s3 *s3)
{
    pthread_mutex_lock(&s3->lock);
    if (--s3->under_way == 0)
        pthread_cond_broadcast(&s3->quiet);
    pthread_mutex_unlock(&s3->lock);
}

struct str s3_header(const struct s3_answer *answer, const char *name)
{
    for (int i = 0; i < answer->header_count; i++)
        if (str_eq_c(answer->headers[i].name, name))
            return answer->headers[i].value;
    return STR("");
}

void s3_query(struct s3_request *r, const char *name, struct str value)
{
    invariant(r->query_count < S3_PAIRS);
    r->query[r->query_count++] = (struct sigv4_pair){str_c(name), value};
}

void s3_add_header(struct s3_request *r, const char *name, struct str value)
{
    invariant(r->header_count < S3_PAIRS);
    r->headers[r->header_count++] = (struct sigv4_pair){str_c(name), value};
}

static int64_t number(struct str text)
{
    char digits[24] = "";
    memcpy(digits, text.p ? text.p : "", text.n < sizeof digits - 1 ? text.n : sizeof digits - 1);
    return strtoll(digits, NULL, 10);
}

void s3_read_info(const struct s3_answer *answer, struct object_info *info)
{
    struct tm tm = {0};
    char when[40] = "";
    struct str etag = s3_header(answer, "etag"), range = s3_header(answer, "content-range");
    struct str modified = s3_header(answer, "last-modified");
    while (str_split(&range, '/').n && range.n && memchr(range.p, '/', range.n))
        ;
    info->size = range.n ? number(range) : number(s3_header(answer, "content-length"));
    if (etag.n >= 2 && etag.p[0] == '"')
        etag = str_n(etag.p + 1, etag.n - 2);
    snprintf(info->etag, sizeof info->etag, "%.*s", (int)etag.n, etag.p ? etag.p : "");
    snprintf(when, sizeof when, "%.*s", (int)modified.n, modified.p ? modified.p : "");
    if (strptime(when, "%a, %d %b %Y %H:%M:%S", &tm))
        info->at = (int64_t)timegm(&tm) * NS_PER_SECOND;
}

static enum err_code code_of(int status, struct str code)
{
    switch (status) {
    case 404:
        return str_eq_c(code, "NoSuchBucket") ? ERR_IO : ERR_NOT_FOUND;
    case 403:
        return ERR_FORBIDDEN;
    case 409:
        return ERR_CONFLICT;
    case 412:
        return ERR_EXISTS;
    case 416:
        return ERR_INVALID;
    case 429:
    case 503:
        return ERR_BUSY;
    case 507:
        return ERR_FULL;
    default:
        return ERR_IO;
    }
}

static void explain_skew(struct s3_answer *a)
{
    int64_t theirs = http_date_parse(s3_header(a, "date"));
    int64_t off = clock_wall_ns() / NS_PER_SECOND - theirs;
    char by[48] = "";
    if (theirs >= 0)
        snprintf(by, sizeof by, " by %lld s %s", (long long)(off < 0 ? -off : off),
                 off < 0 ? "behind" : "ahead");
    err_set(&a->err, ERR_FORBIDDEN,
            "S3 refuses signatures of this machine because its clock is off%s: have it follow "
            "NTP",
            by);
}

/* Some answers to POST say 200 and fail in their body; what GET brings is an object's own text. */
static void judge(const struct sent *s, struct s3_answer *a)
{
    bool failed = a->status > 299 || a->status < 200;
    struct str error = failed || s->posted ? xml_find(a->body, "Error") : STR("");
    if (!failed && !error.n)
        return;
    a->code = xml_find(error, "Code");
    struct str message = xml_find(error, "Message");
    err_set(&a->err, failed ? code_of(a->status, a->code) : ERR_IO,
            "S3 answered %d%s%.*s to %.300s%s%.*s", a->status, a->code.n ? " " : "", (int)a->code.n,
            a->code.p, s->what, message.n ? ": " : "", (int)(message.n < 200 ? message.n : 200),
            message.p);
    if (str_eq_c(a->code, "RequestTimeTooSkewed"))
        explain_skew(a);
}

/* What a server says of one object is no fault of the server. */
static void tell_health(const struct sent *s, const struct s3_answer *a)
{
    struct s3 *s3 = s->s3;
    bool lost = a->status == 404 && (s->bucket || str_eq_c(a->code, "NoSuchBucket"));
    bool down = a->status == 0 || (a->status >= 500 && a->status != 501) || a->status == 403 ||
                a->status == 401 || lost;
    if (a->err.code == ERR_CLOSED || a->err.code == ERR_LIMIT || s->aside)
        return;
    atomic_store(&s3->down, down);
    atomic_store_explicit(&s3->heard_ns, clock_steady_ns(), memory_order_relaxed);
    if (down ? driver_health_down(s3->health, &a->err) : driver_health_up(s3->health))
        (down ? log_warn : log_info)("objects", "S3 %s%.400s", down ? "fails: " : "answers again",
                                     down ? a->err.message : "");
}

static void sent_free(struct sent *s)
{
    struct s3 *s3 = s->s3;
    mem_free(s->what);
    mem_free(s);
    s3_over(s3);
}

static enum err_code fetch_error(enum fetch_code code)
{
    return code == FETCH_TIMEOUT     ? ERR_TIMEOUT
           : code == FETCH_TOO_LARGE ? ERR_LIMIT
           : code == FETCH_FORBIDDEN ? ERR_FORBIDDEN
                                     : ERR_IO;
}

static void on_result(void *arg, const struct fetch_result *result)
{
    struct sent *s = arg;
    struct s3_answer a = {.status = result->status};
    list_remove(&s->link);
    if (result->code == FETCH_OK) {
        a.body = result->body;
        a.headers = result->headers;
        a.header_count = result->header_count;
        judge(s, &a);
    } else
        err_set(&a.err, fetch_error(result->code), "%.300s: %s", s->what, result->message);
    tell_health(s, &a);
    s->done(s->arg, &a);
    sent_free(s);
}

static void on_refused(struct lane_message *message)
{
    struct sent *s = (struct sent *)(void *)((char *)message - offsetof(struct sent, message));
    struct s3_answer a = {.err = s->refused};
    s->done(s->arg, &a);
    sent_free(s);
}

static struct list *requests_of(struct s3 *s3, struct lane *lane)
{
    pthread_mutex_lock(&s3->lock);
    if (!s3->lanes[lane->index]) {
        s3->lanes[lane->index] = lane;
        list_init(&s3->requests[lane->index]);
    }
    pthread_mutex_unlock(&s3->lock);
    return &s3->requests[lane->index];
}

static bool is_closing(struct s3 *s3)
{
    pthread_mutex_lock(&s3->lock);
    bool closing = s3->closing;
    pthread_mutex_unlock(&s3->lock);
    return closing;
}

/* The path as it is signed, not encoded. */
static void write_path(struct buf *out, const struct s3 *s3, const struct s3_request *r)
{
    buf_add_c(out, s3->base);
    buf_add_char(out, '/');
    if (r->plugin)
        buf_printf(out, "%s/%.*s", r->plugin, (int)r->key.n, r->key.p);
}

/* What is signed, host being the last. */
struct signing {
    struct sigv4_pair headers[S3_PAIRS + 4];
    int count;
    char when[SIGV4_TIME + 1], hash[SIGV4_HEX + 1];
    int64_t at;
    struct buf path, url, authorization;
};

static void sign(const struct s3 *s3, const struct s3_request *r, struct signing *g)
{
    struct sigv4_keys keys = {str_c(s3->id), str_c(s3->secret), str_c(s3->token), str_c(s3->region),
                              STR("s3")};
    g->at = clock_wall_ns() / NS_PER_SECOND;
    sigv4_time(g->when, g->at);
    sigv4_hash(g->hash, r->body);
    memcpy(g->headers, r->headers, sizeof r->headers);
    g->count = r->header_count;
    g->headers[g->count++] = (struct sigv4_pair){STR("x-amz-date"), str_c(g->when)};
    g->headers[g->count++] = (struct sigv4_pair){STR("x-amz-content-sha256"), str_c(g->hash)};
    if (keys.token.n)
        g->headers[g->count++] = (struct sigv4_pair){STR("x-amz-security-token"), keys.token};
    g->headers[g->count++] = (struct sigv4_pair){STR("host"), str_c(s3->host)};
    write_path(&g->path, s3, r);
    sigv4_authorization(&g->authorization, &keys,
                        &(struct sigv4_request){.method = str_c(r->method),
                                                .path = buf_str(&g->path),
                                                .query = r->query,
                                                .query_count = r->query_count,
                                                .headers = g->headers,
                                                .header_count = g->count,
                                                .payload = str_c(g->hash),
                                                .at = g->at});
    buf_add_c(&g->url, s3->origin);
    sigv4_encode(&g->url, buf_str(&g->path), true);
    if (r->query_count) {
        buf_add_char(&g->url, '?');
        sigv4_query(&g->url, r->query, r->query_count);
    }
}

static bool fetch(struct s3 *s3, struct lane *lane, struct sent *s, const struct s3_request *r,
                  struct err *err)
{
    struct signing g = {.count = 0};
    struct fetch_header headers[S3_PAIRS + 4];
    const char *entries[] = {s3->allow};
    sign(s3, r, &g);
    int n = 0;
    for (; n < g.count - 1; n++) /* the URL says the host */
        headers[n] = (struct fetch_header){g.headers[n].name, g.headers[n].value};
    headers[n++] = (struct fetch_header){STR("authorization"), buf_str(&g.authorization)};
    if (checksum_same(r->sha256, g.hash, err))
        s->fetch = http_fetch(
            (*s3->clients)[lane->index],
            &(struct fetch_options){
                .method = str_c(r->method),
                .url = buf_str(&g.url),
                .body = r->body,
                .body_lent = r->body_lent,
                .headers = headers,
                .header_count = n,
                .allow = {entries, 1},
                .timeout_ns = r->once && s3->timeout_ns > S3_ONCE_NS ? S3_ONCE_NS : s3->timeout_ns,
                .max_bytes = r->max_bytes ? r->max_bytes : ANSWER_BYTES,
                .retries = r->once ? 0 : S3_RETRIES,
                .backoff_ns = 100 * NS_PER_MS,
                .repeatable = strcmp(r->method, "POST") != 0,
                .exact = true},
            on_result, s, err);
    buf_free(&g.path);
    buf_free(&g.url);
    buf_free(&g.authorization);
    return s->fetch != NULL;
}

void s3_send(struct s3 *s3, struct lane *lane, const struct s3_request *request, s3_done_fn *done,
             void *arg)
{
    struct sent *s = mem_zero(1, sizeof *s);
    s3_begin(s3);
    s->s3 = s3;
    s->done = done;
    s->arg = arg;
    s->posted = strcmp(request->method, "POST") == 0;
    s->bucket = !request->plugin;
    s->aside = request->aside;
    s->what = request->plugin
                  ? mem_printf("%s %s/%.*s", request->method, request->plugin, (int)request->key.n,
                               request->key.p ? request->key.p : "")
                  : mem_printf("%s of the bucket", request->method);
    if (is_closing(s3))
        err_set(&s->refused, ERR_CLOSED, "maru is stopping");
    else if (fetch(s3, lane, s, request, &s->refused)) {
        list_push_back(requests_of(s3, lane), &s->link);
        return;
    }
    s->message.fn = on_refused;
    lane_post(lane, &s->message);
}

/* On a lane. */
static void cancel_lane(void *arg)
{
    struct list *requests = arg;
    while (!list_empty(requests)) {
        struct sent *s = list_entry(requests->next, struct sent, link);
        struct s3_answer a = {.status = 0};
        list_remove(&s->link);
        http_fetch_cancel(s->fetch);
        err_set(&a.err, ERR_CLOSED, "maru is stopping");
        s->done(s->arg, &a);
        sent_free(s);
    }
}

void s3_cancel_all(struct s3 *s3)
{
    struct lane *lanes[S3_LANES];
    pthread_mutex_lock(&s3->lock);
    s3->closing = true;
    memcpy(lanes, s3->lanes, sizeof lanes);
    pthread_mutex_unlock(&s3->lock);
    for (int i = 0; i < S3_LANES; i++)
        if (lanes[i])
            lane_call_wait(lanes[i], cancel_lane, &s3->requests[i]);
    pthread_mutex_lock(&s3->lock);
    while (s3->under_way)
        pthread_cond_wait(&s3->quiet, &s3->lock);
    pthread_mutex_unlock(&s3->lock);
}
