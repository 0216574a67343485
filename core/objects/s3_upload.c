/* s3_upload.c -- an object that is written in pieces: parts of an upload. */
#include "base/clock.h"
#include "base/mem.h"
#include "objects/s3_private.h"

struct upload {
    struct list node; /* s3->uploads, once it has an id */
    struct s3 *s3;
    struct object_upload *u;
    struct buf part;  /* not sent yet */
    struct str bytes; /* the rest of what is being written */
    char *id;         /* of the multipart upload, once one has begun */
    struct buf parts; /* <Part>… of those sent */
    int count;
    int64_t size;
    size_t part_bytes; /* how big the next one is to be */
    void (*then)(struct upload *up);
};

static void fail(struct upload *up, const struct s3_answer *a)
{
    struct object_upload *u = up->u;
    u->err = a->err;
    if (a->err.code == ERR_EXISTS)
        err_set(&u->err, ERR_EXISTS, "there is an object %.*s", (int)u->key.n, u->key.p);
}

static void ask(struct upload *up, const struct s3_request *r, s3_done_fn *done)
{
    s3_send(up->s3, up->u->lane, r, done, up);
}

static struct s3_request request(const struct upload *up, const char *method)
{
    return (struct s3_request){.method = method, .plugin = up->u->plugin, .key = up->u->key};
}

static void add_type(struct upload *up, struct s3_request *r)
{
    s3_add_header(r, "content-type", up->u->type.n ? up->u->type : STR("application/octet-stream"));
}

bool s3_upload_is_here(struct s3 *s3, struct str id)
{
    bool found = false;
    pthread_mutex_lock(&s3->lock);
    list_each (node, &s3->uploads)
        found = found || str_eq_c(id, list_entry(node, struct upload, node)->id);
    pthread_mutex_unlock(&s3->lock);
    return found;
}

static void take_id(struct upload *up, struct str id)
{
    struct buf text = {0};
    xml_decode(&text, id);
    up->id = str_dup(buf_str(&text));
    buf_free(&text);
    pthread_mutex_lock(&up->s3->lock);
    list_push_back(&up->s3->uploads, &up->node);
    pthread_mutex_unlock(&up->s3->lock);
}

static void upload_over(struct upload *up)
{
    struct object_upload *u = up->u;
    struct s3 *s3 = up->s3;
    pthread_mutex_lock(&s3->lock);
    list_remove(&up->node);
    pthread_mutex_unlock(&s3->lock);
    buf_free(&up->part);
    buf_free(&up->parts);
    mem_free(up->id);
    mem_free(up);
    u->store = NULL;
    object_upload_answer(u);
    s3_over(s3);
}

static void on_part(void *arg, const struct s3_answer *a)
{
    struct upload *up = arg;
    if (a->err.code) {
        fail(up, a);
    } else {
        struct str etag = s3_header(a, "etag");
        buf_printf(&up->parts, "<Part><PartNumber>%d</PartNumber><ETag>%.*s</ETag></Part>",
                   up->count, (int)etag.n, etag.p);
        buf_clear(&up->part);
        /* Swift takes 1,000 parts, which are 12 GB by this; S3 10,000, which are 3.5 TB. */
        if (up->count % S3_GROW_PARTS == 0 && up->part_bytes < S3_LARGEST_PART_BYTES)
            up->part_bytes *= 2;
    }
    up->then(up);
}

static void send_part(struct upload *up)
{
    char number[16];
    struct s3_request r = request(up, "PUT");
    snprintf(number, sizeof number, "%d", ++up->count);
    s3_query(&r, "partNumber", str_c(number));
    s3_query(&r, "uploadId", str_c(up->id));
    r.body = buf_str(&up->part);
    r.body_lent = true;
    ask(up, &r, on_part);
}

static void on_begun(void *arg, const struct s3_answer *a)
{
    struct upload *up = arg;
    struct str id = a->err.code ? STR("") : xml_find(a->body, "UploadId");
    if (a->err.code)
        fail(up, a);
    else if (!id.n)
        err_set(&up->u->err, ERR_IO, "S3 began an upload without an id");
    if (up->u->err.code) {
        up->then(up);
        return;
    }
    take_id(up, id);
    send_part(up);
}

/* The collected part goes out; up->then comes after it. */
static void flush(struct upload *up)
{
    if (up->id) {
        send_part(up);
        return;
    }
    struct s3_request r = request(up, "POST");
    s3_query(&r, "uploads", STR(""));
    add_type(up, &r);
    ask(up, &r, on_begun);
}

static void take_bytes(struct upload *up)
{
    size_t room = up->part_bytes - up->part.n;
    size_t n = up->bytes.n < room ? up->bytes.n : room;
    if (up->u->err.code) {
        object_upload_answer(up->u);
        return;
    }
    buf_add(&up->part, up->bytes.p, n);
    up->bytes = str_n(up->bytes.p + n, up->bytes.n - n);
    up->then = take_bytes;
    if (up->bytes.n)
        flush(up);
    else
        object_upload_answer(up->u);
}

void s3_upload_begin(struct object_upload *u)
{
    struct upload *up = mem_zero(1, sizeof *up);
    up->s3 = (struct s3 *)u->store;
    up->u = u;
    up->part_bytes = S3_PART_BYTES;
    list_init(&up->node);
    u->state = up;
    s3_begin(up->s3);
    object_upload_answer(u);
}

void s3_upload_write(struct object_upload *u, struct str bytes)
{
    struct upload *up = u->state;
    up->bytes = bytes;
    up->size += (int64_t)bytes.n;
    take_bytes(up);
}

static void on_completed(void *arg, const struct s3_answer *a)
{
    struct upload *up = arg;
    struct object_upload *u = up->u;
    if (a->err.code) {
        fail(up, a);
    } else {
        struct buf etag = {0};
        s3_read_info(a, &u->info);
        xml_decode(&etag, xml_find(a->body, "ETag"));
        if (up->id && etag.n >= 2)
            snprintf(u->info.etag, sizeof u->info.etag, "%.*s", (int)etag.n - 2, etag.p + 1);
        buf_free(&etag);
        u->info.key = u->key;
        u->info.type = u->type;
        u->info.size = up->size;
        u->info.at = clock_wall_ns();
    }
    if (u->err.code && up->id) {
        u->commit = false;
        s3_upload_end(u);
        return;
    }
    upload_over(up);
}

/* The last part is there: the object is made of them. */
static void complete(struct upload *up)
{
    if (up->u->err.code) {
        up->u->commit = false;
        s3_upload_end(up->u);
        return;
    }
    struct s3_request r = request(up, "POST");
    struct buf body = {0};
    s3_query(&r, "uploadId", str_c(up->id));
    s3_add_header(&r, "content-type", STR("application/xml"));
    buf_printf(&body, "<CompleteMultipartUpload>%.*s</CompleteMultipartUpload>", (int)up->parts.n,
               up->parts.p);
    r.body = buf_str(&body);
    ask(up, &r, on_completed);
    buf_free(&body);
}

/* All of it fits into one request. */
static void put_whole(struct upload *up)
{
    struct s3_request r = request(up, "PUT");
    add_type(up, &r);
    r.body = buf_str(&up->part);
    r.body_lent = true;
    ask(up, &r, on_completed);
}

static void finish(struct upload *up)
{
    up->then = complete;
    if (!up->id)
        put_whole(up);
    else if (up->part.n)
        flush(up);
    else
        complete(up);
}

static void on_free_key(void *arg, const struct s3_answer *a)
{
    struct upload *up = arg;
    if (a->err.code == ERR_NOT_FOUND) {
        finish(up);
        return;
    }
    struct s3_answer exists = {.err.code = ERR_EXISTS};
    fail(up, a->err.code ? a : &exists);
    up->u->commit = false;
    s3_upload_end(up->u);
}

static void on_aborted(void *arg, const struct s3_answer *a)
{
    (void)a; /* what is left of it goes by the bucket's rule for unfinished uploads */
    upload_over(arg);
}

void s3_upload_end(struct object_upload *u)
{
    struct upload *up = u->state;
    if (!up) { /* it did not pass the checks */
        u->store = NULL;
        object_upload_answer(u);
        return;
    }
    struct s3_request r = request(up, u->commit ? "HEAD" : "DELETE");
    if (u->commit && !u->if_absent) {
        finish(up);
    } else if (u->commit) {
        ask(up, &r, on_free_key);
    } else {
        if (!u->err.code)
            err_set(&u->err, ERR_CANCELLED, "the upload was given up");
        if (up->id) {
            s3_query(&r, "uploadId", str_c(up->id));
            ask(up, &r, on_aborted);
        } else
            upload_over(up);
    }
}
