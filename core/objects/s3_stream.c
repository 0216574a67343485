/* s3_stream.c -- objects in pieces: parts of an upload, ranges of a download. */
#include "base/clock.h"
#include "base/mem.h"
#include "objects/s3_private.h"

/* -- uploads -- */

struct upload {
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

static void upload_over(struct upload *up)
{
    struct object_upload *u = up->u;
    struct s3 *s3 = up->s3;
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
    struct buf text = {0};
    xml_decode(&text, id);
    up->id = str_dup(buf_str(&text));
    buf_free(&text);
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

/* -- downloads -- */

struct download {
    struct s3 *s3;
    struct object_download *d;
    struct buf chunk;
    size_t given; /* bytes of the chunk that were */
    int64_t at, end;
};

/* A range is what is worth a request; what a caller gets is a piece of it. */
static void give(struct download *dl)
{
    size_t n = dl->chunk.n - dl->given;
    n = n < OBJECT_CHUNK_BYTES ? n : OBJECT_CHUNK_BYTES;
    dl->d->bytes = str_n(dl->chunk.p + dl->given, n);
    dl->given += n;
    object_download_answer(dl->d);
}

static void on_head(void *arg, const struct s3_answer *a)
{
    struct download *dl = arg;
    struct object_download *d = dl->d;
    d->err = a->err;
    if (a->err.code == ERR_NOT_FOUND)
        err_set(&d->err, ERR_NOT_FOUND, "there is no object %.*s", (int)d->key.n, d->key.p);
    if (!a->err.code) {
        s3_read_info(a, &d->info);
        buf_add_str(&d->text, s3_header(a, "content-type"));
        d->info.type = buf_str(&d->text);
        d->info.key = d->key;
        dl->at = d->from;
        dl->end = d->n && d->n < d->info.size - d->from ? d->from + d->n : d->info.size;
        if (d->from > d->info.size || (d->from && d->from == d->info.size))
            err_set(&d->err, ERR_INVALID, "the object has %lld bytes, nothing begins at %lld",
                    (long long)d->info.size, (long long)d->from);
    }
    object_download_answer(d);
}

void s3_download_begin(struct object_download *d)
{
    struct download *dl = mem_zero(1, sizeof *dl);
    dl->s3 = (struct s3 *)d->store;
    dl->d = d;
    d->state = dl;
    s3_begin(dl->s3);
    s3_send(dl->s3, d->lane,
            &(struct s3_request){.method = "HEAD", .plugin = d->plugin, .key = d->key}, on_head,
            dl);
}

static void on_range(void *arg, const struct s3_answer *a)
{
    struct download *dl = arg;
    struct object_download *d = dl->d;
    d->err = a->err;
    if (a->err.code == ERR_EXISTS || a->err.code == ERR_NOT_FOUND)
        err_set(&d->err, ERR_CONFLICT, "object %.*s was replaced while it was read", (int)d->key.n,
                d->key.p);
    buf_clear(&dl->chunk);
    dl->given = 0;
    if (!a->err.code) {
        buf_add_str(&dl->chunk, a->body);
        dl->at += (int64_t)a->body.n;
        if (a->body.n == 0 || dl->at > dl->end)
            err_set(&d->err, ERR_IO, "S3 answered %zu bytes of another part of %.*s", a->body.n,
                    (int)d->key.n, d->key.p);
    }
    d->bytes = STR("");
    if (d->err.code)
        object_download_answer(d);
    else
        give(dl);
}

void s3_download_next(struct object_download *d)
{
    struct download *dl = d->state;
    char range[64], etag[OBJECT_ETAG_BYTES + 2];
    if (dl->given < dl->chunk.n) {
        give(dl);
        return;
    }
    if (dl->at == dl->end) {
        d->bytes = STR("");
        object_download_answer(d);
        return;
    }
    int64_t last = dl->end - dl->at > S3_RANGE_BYTES ? dl->at + S3_RANGE_BYTES : dl->end;
    struct s3_request r = {
        .method = "GET", .plugin = d->plugin, .key = d->key, .max_bytes = S3_RANGE_BYTES};
    snprintf(range, sizeof range, "bytes=%lld-%lld", (long long)dl->at, (long long)last - 1);
    snprintf(etag, sizeof etag, "\"%s\"", d->info.etag);
    s3_add_header(&r, "range", str_c(range));
    s3_add_header(&r, "if-match", str_c(etag));
    s3_send(dl->s3, d->lane, &r, on_range, dl);
}

void s3_download_part(struct object_download *d, int64_t from, int64_t n)
{
    struct download *dl = d->state;
    dl->at = from;
    dl->end = from + n;
}

void s3_download_close(struct object_download *d)
{
    struct download *dl = d->state;
    d->store = NULL;
    d->bytes = STR("");
    object_download_answer(d);
    if (!dl)
        return;
    struct s3 *s3 = dl->s3;
    buf_free(&dl->chunk);
    mem_free(dl);
    s3_over(s3);
}
