/* directory_write.c -- objects come and go: a file on the pool, then its row by the writer. */
#include "base/clock.h"
#include "base/mem.h"
#include "objects/checksum.h"
#include "objects/directory_private.h"

/* A file and the row it is to get; of a delete only the row. */
struct record {
    struct sqlite_write write; /* first */
    struct directory *dir;
    struct str plugin, key, type; /* the caller's */
    const struct blob *blob;      /* NULL: a delete */
    struct writing writing;
    const char *etag;
    int64_t at;
    bool if_absent;
    char old[BLOB_ID_BYTES];            /* whose row this was, or empty */
    void (*recorded)(struct record *r); /* writer thread; r->write.err */
};

static bool find_old(struct sqlite_conn *conn, struct record *r, struct err *err)
{
    sqlite3_stmt *s =
        sqlite_prepared(conn, "SELECT file FROM maru_object WHERE plugin = ?1 AND key = ?2", err);
    if (!s)
        return false;
    r->old[0] = '\0';
    sqlite3_bind_text(s, 1, r->plugin.p, (int)r->plugin.n, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, r->key.p, (int)r->key.n, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    if (rc == SQLITE_ROW)
        snprintf(r->old, sizeof r->old, "%s", (const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool run(struct sqlite_conn *conn, sqlite3_stmt *s, struct err *err)
{
    int rc = s ? sqlite_step(conn, s, err) : SQLITE_ERROR;
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool write_row(struct sqlite_conn *conn, const struct record *r, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(
        conn,
        r->blob ? "INSERT OR REPLACE INTO maru_object(plugin, key, file, size, at, type, etag)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                : "DELETE FROM maru_object WHERE plugin = ?1 AND key = ?2",
        err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, r->plugin.p, (int)r->plugin.n, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, r->key.p, (int)r->key.n, SQLITE_STATIC);
    if (r->blob) {
        sqlite3_bind_text(s, 3, r->blob->id, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 4, r->blob->size);
        sqlite3_bind_int64(s, 5, r->at);
        sqlite3_bind_text(s, 6, r->type.n ? r->type.p : "", (int)r->type.n, SQLITE_STATIC);
        sqlite3_bind_text(s, 7, r->etag, -1, SQLITE_STATIC);
    }
    return run(conn, s, err);
}

static bool note_gone(struct sqlite_conn *conn, const struct record *r, struct err *err)
{
    sqlite3_stmt *s =
        sqlite_prepared(conn, "INSERT OR IGNORE INTO maru_object_gone(file) VALUES(?1)", err);
    if (s)
        sqlite3_bind_text(s, 1, r->old, -1, SQLITE_STATIC);
    return run(conn, s, err);
}

static bool record_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct record *r = (struct record *)(void *)w;
    if (!find_old(conn, r, &w->err))
        return false;
    if (!r->blob && !*r->old)
        return err_set(&w->err, ERR_NOT_FOUND, "there is no object %.*s", (int)r->key.n, r->key.p);
    if (r->if_absent && *r->old)
        return err_set(&w->err, ERR_EXISTS, "there is an object %.*s", (int)r->key.n, r->key.p);
    return write_row(conn, r, &w->err) && (!*r->old || note_gone(conn, r, &w->err));
}

static void record_done(struct sqlite_write *w)
{
    struct record *r = (struct record *)(void *)w;
    if (!w->err.code)
        directory_tidy(r->dir, r->blob ? r->blob->id : "", r->old);
    else if (r->blob)
        blob_remove(r->dir->path, r->blob->id);
    r->recorded(r);
}

static void record(struct record *r)
{
    r->write.work = record_work;
    r->write.done = record_done;
    sqlite_write(r->dir->db, &r->write, NULL);
}

/* -- put and delete -- */

struct change {
    struct record record; /* first */
    struct pool_job job;
    struct object_call *call;
    struct blob blob;
    struct err err;
};

static void answer(struct change *c, const struct err *err)
{
    struct directory *d = c->record.dir;
    directory_wrote(d, &c->record.writing);
    c->call->err = *err;
    object_answer(c->call);
    mem_free(c);
    directory_over(d);
}

static void on_recorded(struct record *r)
{
    struct change *c = (struct change *)(void *)r;
    answer(c, &r->write.err);
}

static void write_blob(struct pool_job *job)
{
    struct change *c = (struct change *)(void *)((char *)job - offsetof(struct change, job));
    struct directory *d = c->record.dir;
    const char *path = d->path;
    c->blob.fd = -1;
    bool ok = blob_create(&c->blob, path, &c->err);
    if (ok)
        directory_writes(d, &c->record.writing, c->blob.id);
    ok = ok && blob_write(&c->blob, c->call->body, &c->err) &&
         blob_seal(&c->blob, path, c->call->info.etag, &c->err) &&
         checksum_same(c->call->sha256, c->call->info.etag, &c->err);
    blob_close(&c->blob);
    if (!ok)
        blob_remove(path, c->blob.id);
}

static void on_written(struct pool_job *job)
{
    struct change *c = (struct change *)(void *)((char *)job - offsetof(struct change, job));
    if (job->cancelled)
        err_set(&c->err, ERR_CLOSED, "maru is stopping");
    if (c->err.code) {
        answer(c, &c->err);
        return;
    }
    struct object_info *info = &c->call->info;
    info->key = c->call->key;
    info->type = c->call->type;
    info->size = c->blob.size;
    info->at = c->record.at = clock_wall_ns();
    c->record.blob = &c->blob;
    c->record.etag = info->etag;
    record(&c->record);
}

static struct change *change_create(struct directory *d, struct object_call *call)
{
    struct change *c = mem_zero(1, sizeof *c);
    directory_begin(d);
    c->call = call;
    c->record.dir = d;
    c->record.plugin = str_c(call->plugin);
    c->record.key = call->key;
    c->record.type = call->type;
    c->record.if_absent = call->if_absent;
    c->record.recorded = on_recorded;
    return c;
}

void directory_put(struct directory *d, struct object_call *call)
{
    struct change *c = change_create(d, call);
    c->job.work = write_blob;
    c->job.done = on_written;
    pool_submit(d->pool, &c->job, NULL);
}

void directory_delete(struct directory *d, struct object_call *call)
{
    struct change *c = change_create(d, call);
    c->record.if_absent = false;
    record(&c->record);
}

/* -- many at once: one transaction -- */

struct purge {
    struct sqlite_write write; /* first */
    struct directory *dir;
    struct object_call *call;
    char (*gone)[BLOB_ID_BYTES];
    int gone_count;
};

static bool purge_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct purge *p = (struct purge *)(void *)w;
    const struct object_call *c = p->call;
    struct record r = {.plugin = str_c(c->plugin)};
    p->gone_count = 0; /* it may be asked to do it again */
    for (int i = 0; i < c->key_count; i++) {
        r.key = c->keys[i];
        if (!find_old(conn, &r, &w->err))
            return false;
        if (!*r.old)
            continue;
        if (!write_row(conn, &r, &w->err) || !note_gone(conn, &r, &w->err))
            return false;
        memcpy(p->gone[p->gone_count++], r.old, BLOB_ID_BYTES);
    }
    return true;
}

static void purge_done(struct sqlite_write *w)
{
    struct purge *p = (struct purge *)(void *)w;
    struct directory *d = p->dir;
    for (int i = 0; i < p->gone_count && !w->err.code; i++)
        directory_tidy(d, "", p->gone[i]);
    p->call->err = w->err;
    p->call->count = p->call->key_count;
    object_answer(p->call);
    mem_free(p->gone);
    mem_free(p);
    directory_over(d);
}

void directory_delete_many(struct directory *d, struct object_call *call)
{
    struct purge *p = mem_zero(1, sizeof *p);
    directory_begin(d);
    p->dir = d;
    p->call = call;
    p->gone = mem_zero((size_t)call->key_count + 1, sizeof *p->gone);
    p->write.work = purge_work;
    p->write.done = purge_done;
    sqlite_write(d->db, &p->write, NULL);
}

/* -- uploads -- */

struct upload {
    struct record record; /* first */
    struct pool_job job;
    struct object_upload *u;
    struct blob blob;
    struct str bytes;
    bool created;
};

static struct upload *upload_of(struct pool_job *job)
{
    return (struct upload *)(void *)((char *)job - offsetof(struct upload, job));
}

static void upload_over(struct upload *up)
{
    struct directory *d = up->record.dir;
    directory_wrote(d, &up->record.writing);
    up->u->store = NULL;
    object_upload_answer(up->u);
    mem_free(up);
    directory_over(d);
}

static void upload_recorded(struct record *r)
{
    struct upload *up = (struct upload *)(void *)r;
    up->u->err = r->write.err;
    upload_over(up);
}

static void upload_create(struct pool_job *job)
{
    struct upload *up = upload_of(job);
    struct directory *d = up->record.dir;
    up->created = blob_create(&up->blob, d->path, &up->u->err);
    if (up->created)
        directory_writes(d, &up->record.writing, up->blob.id);
}

static void upload_add(struct pool_job *job)
{
    struct upload *up = upload_of(job);
    (void)blob_write(&up->blob, up->bytes, &up->u->err);
}

static void upload_seal(struct pool_job *job)
{
    struct upload *up = upload_of(job);
    struct object_upload *u = up->u;
    if (up->created && u->commit)
        (void)blob_seal(&up->blob, up->record.dir->path, u->info.etag, &u->err);
    blob_close(&up->blob);
    if (up->created && (!u->commit || u->err.code))
        blob_remove(up->record.dir->path, up->blob.id);
}

static void on_step(struct pool_job *job)
{
    struct upload *up = upload_of(job);
    if (job->cancelled && !up->u->err.code)
        err_set(&up->u->err, ERR_CLOSED, "maru is stopping");
    object_upload_answer(up->u);
}

static void on_sealed(struct pool_job *job)
{
    struct upload *up = upload_of(job);
    struct object_upload *u = up->u;
    if (job->cancelled) {
        upload_seal(job);
        err_set(&u->err, ERR_CLOSED, "maru is stopping");
    }
    if (!u->commit && !u->err.code)
        err_set(&u->err, ERR_CANCELLED, "the upload was given up");
    if (u->err.code) {
        upload_over(up);
        return;
    }
    u->info.key = u->key;
    u->info.type = u->type;
    u->info.size = up->blob.size;
    u->info.at = up->record.at = clock_wall_ns();
    up->record.blob = &up->blob;
    up->record.etag = u->info.etag;
    record(&up->record);
}

static void step(struct upload *up, void (*work)(struct pool_job *),
                 void (*done)(struct pool_job *))
{
    up->job.work = work;
    up->job.done = done;
    pool_submit(up->record.dir->pool, &up->job, NULL);
}

/* One that did not pass the checks has no state. */
void directory_upload_begin(struct object_upload *u)
{
    struct upload *up = mem_zero(1, sizeof *up);
    struct directory *d = (struct directory *)u->store;
    directory_begin(d);
    up->u = u;
    up->blob.fd = -1;
    up->record.dir = d;
    up->record.plugin = str_c(u->plugin);
    up->record.key = u->key;
    up->record.type = u->type;
    up->record.if_absent = u->if_absent;
    up->record.recorded = upload_recorded;
    u->state = up;
    step(up, upload_create, on_step);
}

void directory_upload_write(struct object_upload *u, struct str bytes)
{
    struct upload *up = u->state;
    up->bytes = bytes;
    step(up, upload_add, on_step);
}

void directory_upload_end(struct object_upload *u)
{
    struct upload *up = u->state;
    if (up) {
        step(up, upload_seal, on_sealed);
        return;
    }
    u->store = NULL;
    object_upload_answer(u);
}
