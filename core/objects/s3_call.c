/* s3_call.c -- whole objects. */
#include "base/clock.h"
#include "base/mem.h"
#include "objects/s3_private.h"

static struct s3 *store_of(const struct object_call *c)
{
    return (struct s3 *)c->store;
}

static void ask(struct object_call *c, const struct s3_request *r, s3_done_fn *done)
{
    s3_send(store_of(c), c->lane, r, done, c);
}

void s3_call_failed(struct object_call *c, const struct s3_answer *a)
{
    c->err = a->err;
    if (a->err.code == ERR_NOT_FOUND)
        err_set(&c->err, ERR_NOT_FOUND, "there is no object %.*s", (int)c->key.n, c->key.p);
    if (a->err.code == ERR_EXISTS)
        err_set(&c->err, ERR_EXISTS, "there is an object %.*s", (int)c->key.n, c->key.p);
    object_answer(c);
}

static void take_type(struct object_call *c, const struct s3_answer *a)
{
    struct str type = s3_header(a, "content-type");
    buf_add_str(&c->text, type);
    c->info.type = buf_str(&c->text);
    c->info.key = c->key;
    s3_read_info(a, &c->info);
}

/* -- put -- */

static void put(struct object_call *c, bool guarded);

static void on_free_key(void *arg, const struct s3_answer *a)
{
    struct object_call *c = arg;
    if (a->err.code == ERR_NOT_FOUND) {
        put(c, false);
        return;
    }
    struct s3_answer exists = {.err.code = ERR_EXISTS};
    s3_call_failed(c, a->err.code ? a : &exists);
}

static void on_put(void *arg, const struct s3_answer *a)
{
    struct object_call *c = arg;
    if (a->status == 501 && c->if_absent) { /* no If-None-Match: look, then put */
        ask(c, &(struct s3_request){.method = "HEAD", .plugin = c->plugin, .key = c->key},
            on_free_key);
        return;
    }
    if (a->err.code) {
        s3_call_failed(c, a);
        return;
    }
    s3_read_info(a, &c->info);
    c->info.key = c->key;
    c->info.type = c->type;
    c->info.size = (int64_t)c->body.n;
    c->info.at = clock_wall_ns();
    object_answer(c);
}

static void put(struct object_call *c, bool guarded)
{
    struct s3_request r = {
        .method = "PUT", .plugin = c->plugin, .key = c->key, .body = c->body, .sha256 = c->sha256};
    s3_add_header(&r, "content-type", c->type.n ? c->type : STR("application/octet-stream"));
    if (guarded)
        s3_add_header(&r, "if-none-match", STR("*"));
    ask(c, &r, on_put);
}

/* -- get, stat, delete -- */

static void on_get(void *arg, const struct s3_answer *a)
{
    struct object_call *c = arg;
    if (a->err.code) {
        s3_call_failed(c, a);
        return;
    }
    take_type(c, a);
    buf_add_str(&c->out, a->body);
    object_answer(c);
}

static void get(struct object_call *c)
{
    char range[64];
    struct s3_request r = {
        .method = "GET", .plugin = c->plugin, .key = c->key, .max_bytes = OBJECT_BODY_BYTES};
    if (c->n)
        snprintf(range, sizeof range, "bytes=%lld-%lld", (long long)c->from,
                 (long long)(c->from + c->n - 1));
    else
        snprintf(range, sizeof range, "bytes=%lld-", (long long)c->from);
    if (c->from || c->n)
        s3_add_header(&r, "range", str_c(range));
    ask(c, &r, on_get);
}

static void on_stat(void *arg, const struct s3_answer *a)
{
    struct object_call *c = arg;
    if (a->err.code) {
        s3_call_failed(c, a);
        return;
    }
    take_type(c, a);
    object_answer(c);
}

static void on_deleted(void *arg, const struct s3_answer *a)
{
    struct object_call *c = arg;
    c->err = a->err;
    object_answer(c);
}

/* S3 does not say whether there was one. */
static void on_found(void *arg, const struct s3_answer *a)
{
    struct object_call *c = arg;
    if (a->err.code)
        s3_call_failed(c, a);
    else
        ask(c, &(struct s3_request){.method = "DELETE", .plugin = c->plugin, .key = c->key},
            on_deleted);
}

void s3_run(struct objects *store, struct object_call *call)
{
    struct s3_request head = {.method = "HEAD", .plugin = call->plugin, .key = call->key};
    (void)store;
    switch (call->op) {
    case OBJECT_PUT:
        put(call, call->if_absent);
        break;
    case OBJECT_GET:
        get(call);
        break;
    case OBJECT_STAT:
        ask(call, &head, on_stat);
        break;
    case OBJECT_DELETE:
        ask(call, &head, on_found);
        break;
    case OBJECT_DELETE_MANY:
        s3_delete_many(call);
        break;
    case OBJECT_LIST_KEYS:
        s3_list(call);
        break;
    }
}
