/* s3_download.c -- an object that is read in pieces: ranges of it. */
#include "base/mem.h"
#include "objects/s3_private.h"

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
    struct s3 *s3 = dl->s3;
    buf_free(&dl->chunk);
    mem_free(dl);
    s3_over(s3);
}
