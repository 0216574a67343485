/* directory_read.c -- looks: one reading connection finds the row, the same thread opens its file.
 */
#include "base/mem.h"
#include "objects/directory_private.h"

enum { TRIES = 5 }; /* a file may go between the look at its row and its opening */

static void read_info(sqlite3_stmt *s, int first, struct object_info *info, struct buf *text)
{
    info->size = sqlite3_column_int64(s, first);
    info->at = sqlite3_column_int64(s, first + 1);
    snprintf(info->etag, sizeof info->etag, "%s", (const char *)sqlite3_column_text(s, first + 3));
    info->type.n = (size_t)sqlite3_column_bytes(s, first + 2);
    info->type.p = NULL; /* set once text does not move any more */
    buf_add(text, sqlite3_column_text(s, first + 2), info->type.n);
}

/* 1: id and info are filled; 0: there is none; -1: *err. */
static int find(struct sqlite_conn *conn, const char *plugin, struct str key, struct blob *blob,
                struct object_info *info, struct buf *text, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(
        conn, "SELECT size, at, type, etag, file FROM maru_object WHERE plugin = ?1 AND key = ?2",
        err);
    if (!s)
        return -1;
    sqlite3_bind_text(s, 1, plugin, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, key.p, (int)key.n, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    if (rc == SQLITE_ROW) {
        buf_clear(text);
        read_info(s, 0, info, text);
        info->key = key;
        info->type.p = text->p;
        snprintf(blob->id, sizeof blob->id, "%s", (const char *)sqlite3_column_text(s, 4));
    }
    sqlite3_reset(s);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -1;
}

static bool find_and_open(struct sqlite_conn *conn, const struct directory *d, const char *plugin,
                          struct str key, struct blob *blob, struct object_info *info,
                          struct buf *text, bool *vanished, struct err *err)
{
    blob->fd = -1;
    int found = find(conn, plugin, key, blob, info, text, err);
    if (found == 0)
        err_set(err, ERR_NOT_FOUND, "there is no object %.*s", (int)key.n, key.p);
    if (found <= 0)
        return false;
    char id[BLOB_ID_BYTES];
    memcpy(id, blob->id, sizeof id);
    if (blob_open(blob, d->path, id, err))
        return true;
    *vanished = err->code == ERR_NOT_FOUND;
    if (*vanished)
        err->code = ERR_CORRUPT; /* should a newer look not help */
    return false;
}

static bool range_check(int64_t from, int64_t *n, int64_t size, struct err *err)
{
    if (from > size || (from == size && size > 0))
        return err_set(err, ERR_INVALID, "the object has %lld bytes, nothing begins at %lld",
                       (long long)size, (long long)from);
    if (*n == 0 || *n > size - from)
        *n = size - from;
    return true;
}

/* Whether the whole object is what was put. */
static bool verify(struct blob *blob, const struct object_info *info, struct err *err)
{
    char hash[BLOB_HASH_BYTES];
    blob_hash_text(&blob->hash, hash);
    return strcmp(hash, info->etag) == 0 ||
           err_set(err, ERR_CORRUPT, "the bytes of object %.*s are not those that were put",
                   (int)info->key.n, info->key.p);
}

static bool took_all(size_t got, int64_t wanted, const struct object_info *info, struct err *err)
{
    return (int64_t)got == wanted ||
           err_set(err, ERR_CORRUPT, "the file of object %.*s is shorter than what was put",
                   (int)info->key.n, info->key.p);
}

/* -- calls -- */

struct look {
    struct sqlite_read read; /* first */
    struct directory *dir;
    struct object_call *call;
    int tries;
    bool vanished;
};

static bool get(struct sqlite_conn *conn, struct look *l, struct err *err)
{
    struct object_call *c = l->call;
    struct blob blob;
    int64_t n = c->n;
    if (!find_and_open(conn, l->dir, c->plugin, c->key, &blob, &c->info, &c->text, &l->vanished,
                       err))
        return false;
    bool ok = range_check(c->from, &n, c->info.size, err);
    if (ok && n > OBJECT_BODY_BYTES)
        ok = err_set(err, ERR_LIMIT, "%lld bytes at once, the most is %d: read them in parts",
                     (long long)n, OBJECT_BODY_BYTES);
    ok = ok && blob_read(&blob, c->from, (size_t)n, &c->out, err) &&
         took_all(c->out.n, n, &c->info, err);
    if (ok && n == c->info.size) {
        crypto_hash_sha256_update(&blob.hash, (const unsigned char *)c->out.p, c->out.n);
        ok = verify(&blob, &c->info, err);
    }
    blob_close(&blob);
    return ok;
}

static bool stat_one(struct sqlite_conn *conn, struct look *l, struct err *err)
{
    struct object_call *c = l->call;
    struct blob blob;
    int found = find(conn, c->plugin, c->key, &blob, &c->info, &c->text, err);
    return found > 0 || (found == 0 && err_set(err, ERR_NOT_FOUND, "there is no object %.*s",
                                               (int)c->key.n, c->key.p));
}

/* Texts are offsets until all are there, since the buffer moves. */
static void add_item(struct object_call *c, sqlite3_stmt *s)
{
    struct object_info *item = &c->items[c->count++];
    item->key.n = (size_t)sqlite3_column_bytes(s, 4);
    buf_add(&c->text, sqlite3_column_text(s, 4), item->key.n);
    read_info(s, 0, item, &c->text);
}

static void point_items(struct object_call *c)
{
    const char *p = c->text.p;
    for (int i = 0; i < c->count; i++) {
        c->items[i].key.p = p;
        c->items[i].type.p = p + c->items[i].key.n;
        p += c->items[i].key.n + c->items[i].type.n;
    }
}

/* The least text behind all that begin with the prefix, in bytes; UTF-8 has no 0xff. */
static void prefix_end(struct str prefix, struct buf *out)
{
    buf_clear(out);
    buf_add_str(out, prefix);
    buf_add_char(out, (char)0xff);
}

/* The part of a key up to the first delimiter behind the prefix; empty: there is none. */
static struct str folded(struct str key, struct str prefix, struct str delimiter)
{
    const char *at =
        delimiter.n ? memmem(key.p + prefix.n, key.n - prefix.n, delimiter.p, delimiter.n) : NULL;
    return at ? str_n(key.p, (size_t)(at - key.p) + delimiter.n) : STR("");
}

static void add_prefix(struct object_call *c, struct str prefix)
{
    struct object_info *item = &c->items[c->count++];
    item->is_prefix = true;
    item->key.n = prefix.n;
    buf_add_str(&c->text, prefix);
}

/* Rows from behind `after` on; a prefix that was found is stepped over as a whole. */
static int list_rows(struct sqlite_conn *conn, sqlite3_stmt *s, struct object_call *c, int limit,
                     struct buf *after, struct err *err)
{
    int rc;
    sqlite3_bind_text(s, 3, after->n ? after->p : "", (int)after->n, SQLITE_TRANSIENT);
    while ((rc = sqlite_step(conn, s, err)) == SQLITE_ROW && c->count < limit) {
        struct str key = {(const char *)sqlite3_column_text(s, 4),
                          (size_t)sqlite3_column_bytes(s, 4)};
        struct str part = folded(key, c->key, c->delimiter);
        if (!part.n) {
            add_item(c, s);
            continue;
        }
        add_prefix(c, part);
        prefix_end(part, after);
        sqlite3_reset(s);
        sqlite3_bind_text(s, 3, after->p, (int)after->n, SQLITE_TRANSIENT);
    }
    sqlite3_reset(s);
    return rc;
}

static bool list(struct sqlite_conn *conn, struct look *l, struct err *err)
{
    struct object_call *c = l->call;
    int limit = c->limit > 0 && c->limit < OBJECT_LIST ? c->limit : OBJECT_LIST;
    sqlite3_stmt *s = sqlite_prepared(
        conn,
        "SELECT size, at, type, etag, key FROM maru_object WHERE plugin = ?1 AND key >= ?2 AND"
        " key > ?3 AND key < ?4 ORDER BY key LIMIT ?5",
        err);
    if (!s)
        return false;
    struct buf end = {0}, after = {0};
    prefix_end(c->key, &end);
    if (object_after_is_prefix(c))
        prefix_end(c->after, &after);
    else
        buf_add_str(&after, c->after);
    sqlite3_bind_text(s, 1, c->plugin, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, c->key.n ? c->key.p : "", (int)c->key.n, SQLITE_STATIC);
    sqlite3_bind_text(s, 4, end.p, (int)end.n, SQLITE_STATIC);
    sqlite3_bind_int(s, 5, limit + 1);
    c->items = mem_zero((size_t)limit, sizeof *c->items);
    c->count = 0;
    buf_clear(&c->text);
    int rc = list_rows(conn, s, c, limit, &after, err);
    c->more = rc == SQLITE_ROW;
    buf_free(&end);
    buf_free(&after);
    point_items(c);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool look_work(struct sqlite_conn *conn, struct sqlite_read *read)
{
    struct look *l = (struct look *)(void *)read;
    switch (l->call->op) {
    case OBJECT_GET:
        return get(conn, l, &read->err);
    case OBJECT_STAT:
        return stat_one(conn, l, &read->err);
    default:
        return list(conn, l, &read->err);
    }
}

static void look_done(struct sqlite_read *read)
{
    struct look *l = (struct look *)(void *)read;
    struct directory *d = l->dir;
    if (read->err.code && l->vanished && ++l->tries < TRIES) {
        l->vanished = false;
        sqlite_read(d->db, read, NULL);
        return;
    }
    l->call->err = read->err;
    object_answer(l->call);
    mem_free(l);
    directory_over(d);
}

void directory_read(struct directory *d, struct object_call *call)
{
    struct look *l = mem_zero(1, sizeof *l);
    directory_begin(d);
    l->dir = d;
    l->call = call;
    l->read.work = look_work;
    l->read.done = look_done;
    sqlite_read(d->db, &l->read, NULL);
}

/* -- downloads -- */

struct download {
    struct sqlite_read read; /* first */
    struct pool_job job;
    struct directory *dir;
    struct object_download *d;
    struct blob blob;
    struct buf chunk;
    int64_t at, left;
    int tries;
    bool vanished;
    bool whole; /* from its beginning to its end: the hash is looked at */
};

static bool open_work(struct sqlite_conn *conn, struct sqlite_read *read)
{
    struct download *dl = (struct download *)(void *)read;
    struct object_download *d = dl->d;
    return find_and_open(conn, dl->dir, d->plugin, d->key, &dl->blob, &d->info, &d->text,
                         &dl->vanished, &read->err);
}

static void opened(struct sqlite_read *read)
{
    struct download *dl = (struct download *)(void *)read;
    struct object_download *d = dl->d;
    if (read->err.code && dl->vanished && ++dl->tries < TRIES) {
        dl->vanished = false;
        sqlite_read(dl->dir->db, read, NULL);
        return;
    }
    d->err = read->err;
    dl->at = d->from;
    dl->left = d->n;
    if (!d->err.code && range_check(d->from, &dl->left, d->info.size, &d->err))
        dl->whole = dl->left == d->info.size;
    object_download_answer(d);
}

static void read_chunk(struct pool_job *job)
{
    struct download *dl = (struct download *)(void *)((char *)job - offsetof(struct download, job));
    struct object_download *d = dl->d;
    size_t n = dl->left < OBJECT_CHUNK_BYTES ? (size_t)dl->left : OBJECT_CHUNK_BYTES;
    buf_clear(&dl->chunk);
    if (!blob_read(&dl->blob, dl->at, n, &dl->chunk, &d->err) ||
        !took_all(dl->chunk.n, (int64_t)n, &d->info, &d->err))
        return;
    dl->at += (int64_t)n;
    dl->left -= (int64_t)n;
    if (!dl->whole)
        return;
    crypto_hash_sha256_update(&dl->blob.hash, (const unsigned char *)dl->chunk.p, n);
    if (dl->left == 0 && n)
        (void)verify(&dl->blob, &d->info, &d->err);
}

static void got_chunk(struct pool_job *job)
{
    struct download *dl = (struct download *)(void *)((char *)job - offsetof(struct download, job));
    struct object_download *d = dl->d;
    if (job->cancelled)
        err_set(&d->err, ERR_CLOSED, "maru is stopping");
    d->bytes = d->err.code ? STR("") : buf_str(&dl->chunk);
    object_download_answer(d);
}

void directory_download_begin(struct object_download *d)
{
    struct download *dl = mem_zero(1, sizeof *dl);
    dl->dir = (struct directory *)d->store;
    directory_begin(dl->dir);
    dl->d = d;
    dl->blob.fd = -1;
    dl->read.work = open_work;
    dl->read.done = opened;
    d->state = dl;
    sqlite_read(dl->dir->db, &dl->read, NULL);
}

void directory_download_next(struct object_download *d)
{
    struct download *dl = d->state;
    dl->job.work = read_chunk;
    dl->job.done = got_chunk;
    pool_submit(dl->dir->pool, &dl->job, NULL);
}

void directory_download_part(struct object_download *d, int64_t from, int64_t n)
{
    struct download *dl = d->state;
    dl->at = from;
    dl->left = n;
    dl->whole = n == d->info.size;
}

void directory_download_close(struct object_download *d)
{
    struct download *dl = d->state;
    struct directory *dir = dl->dir;
    blob_close(&dl->blob);
    buf_free(&dl->chunk);
    mem_free(dl);
    directory_over(dir);
}
