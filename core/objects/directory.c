#include "objects/directory.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "objects/directory_private.h"

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS maru_object(plugin TEXT, key TEXT, file TEXT, size INT, at INT,"
    " type TEXT, etag TEXT, PRIMARY KEY(plugin, key)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS maru_object_file ON maru_object(file);"
    "CREATE TABLE IF NOT EXISTS maru_object_gone(file TEXT PRIMARY KEY) WITHOUT ROWID;";

void directory_begin(struct directory *d)
{
    pthread_mutex_lock(&d->lock);
    d->under_way++;
    pthread_mutex_unlock(&d->lock);
}

void directory_over(struct directory *d)
{
    pthread_mutex_lock(&d->lock);
    if (--d->under_way == 0)
        pthread_cond_broadcast(&d->quiet);
    pthread_mutex_unlock(&d->lock);
}

/* -- files that have no row yet -- */

void directory_writes(struct directory *d, struct writing *w, const char *id)
{
    w->id = id;
    pthread_mutex_lock(&d->lock);
    list_push_back(&d->writing, &w->node);
    pthread_mutex_unlock(&d->lock);
}

void directory_wrote(struct directory *d, struct writing *w)
{
    pthread_mutex_lock(&d->lock);
    if (w->id)
        list_remove(&w->node);
    w->id = NULL;
    pthread_mutex_unlock(&d->lock);
}

bool directory_is_written(struct directory *d, const char *id)
{
    bool found = false;
    pthread_mutex_lock(&d->lock);
    list_each (node, &d->writing)
        found = found || strcmp(list_entry(node, struct writing, node)->id, id) == 0;
    pthread_mutex_unlock(&d->lock);
    return found;
}

/* -- files that lost their row (O2) -- */

struct tidying {
    struct pool_job job; /* first */
    struct sqlite_write write;
    struct directory *dir;
    char place[BLOB_ID_BYTES], gone[BLOB_ID_BYTES]; /* or empty */
};

static bool forget_gone(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct tidying *t = (struct tidying *)(void *)((char *)w - offsetof(struct tidying, write));
    sqlite3_stmt *s =
        sqlite_prepared(conn, "DELETE FROM maru_object_gone WHERE file = ?1", &w->err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, t->gone, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, &w->err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static void tidied(struct sqlite_write *w)
{
    struct tidying *t = (struct tidying *)(void *)((char *)w - offsetof(struct tidying, write));
    struct directory *d = t->dir;
    mem_free(t);
    directory_over(d);
}

static void tidy(struct pool_job *job)
{
    struct tidying *t = (struct tidying *)(void *)job;
    if (*t->place)
        blob_place(t->dir->path, t->place);
    if (*t->gone)
        blob_remove(t->dir->path, t->gone);
}

static void on_tidied(struct pool_job *job)
{
    struct tidying *t = (struct tidying *)(void *)job;
    if (*t->gone && !job->cancelled) {
        t->write.work = forget_gone;
        t->write.done = tidied;
        sqlite_write(t->dir->db, &t->write, NULL);
    } else
        tidied(&t->write);
}

void directory_tidy(struct directory *d, const char *place, const char *gone)
{
    struct tidying *t = mem_zero(1, sizeof *t);
    if (!*place && !*gone) {
        mem_free(t);
        return;
    }
    directory_begin(d);
    t->dir = d;
    snprintf(t->place, sizeof t->place, "%s", place);
    snprintf(t->gone, sizeof t->gone, "%s", gone);
    t->job.work = tidy;
    t->job.done = on_tidied;
    pool_submit(d->pool, &t->job, NULL);
}

/* -- opening -- */

struct sweep {
    struct directory *dir;
    struct sqlite_conn *conn;
};

/* A file whose row was committed goes to its place, another one is the rest of a crash. */
static bool sweep_one(void *arg, const char *id, struct err *err)
{
    struct sweep *sweep = arg;
    sqlite3_stmt *s =
        sqlite_prepared(sweep->conn, "SELECT 1 FROM maru_object WHERE file = ?1", err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_TRANSIENT);
    int rc = sqlite_step(sweep->conn, s, err);
    sqlite3_reset(s);
    if (rc == SQLITE_ROW)
        blob_place(sweep->dir->path, id);
    else if (rc == SQLITE_DONE)
        blob_remove(sweep->dir->path, id);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool prepare(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct sweep sweep = {.dir = arg, .conn = conn};
    int rc = SQLITE_ERROR;
    if (!sqlite_exec(conn, schema, err) ||
        !blob_each_unplaced(sweep.dir->path, INT64_MAX, sweep_one, &sweep, err))
        return false;
    sqlite3_stmt *s = sqlite_prepared(conn, "SELECT file FROM maru_object_gone", err);
    while (s && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW)
        blob_remove(sweep.dir->path, (const char *)sqlite3_column_text(s, 0));
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE && sqlite_exec(conn, "DELETE FROM maru_object_gone", err);
}

static void directory_close(struct objects *store)
{
    struct directory *d = (struct directory *)store;
    pthread_mutex_lock(&d->lock);
    while (d->under_way)
        pthread_cond_wait(&d->quiet, &d->lock);
    pthread_mutex_unlock(&d->lock);
    pthread_cond_destroy(&d->quiet);
    pthread_mutex_destroy(&d->lock);
    mem_free(d->path);
    mem_free(d);
}

static void run(struct objects *store, struct object_call *call)
{
    struct directory *d = (struct directory *)store;
    switch (call->op) {
    case OBJECT_PUT:
        directory_put(d, call);
        break;
    case OBJECT_DELETE:
        directory_delete(d, call);
        break;
    case OBJECT_DELETE_MANY:
        directory_delete_many(d, call);
        break;
    default:
        directory_read(d, call);
    }
}

static const struct objects_driver driver = {
    .name = "directory",
    .run = run,
    .upload_begin = directory_upload_begin,
    .upload_write = directory_upload_write,
    .upload_end = directory_upload_end,
    .download_begin = directory_download_begin,
    .download_next = directory_download_next,
    .download_part = directory_download_part,
    .download_close = directory_download_close,
    .begin = directory_sweep_begin,
    .end = directory_sweep_end,
    .close = directory_close,
};

struct objects *directory_open(const char *path, struct sqlite *db, struct pool *pool,
                               struct err *err)
{
    struct directory *d = mem_zero(1, sizeof *d);
    d->objects.driver = &driver;
    d->path = mem_strdup(path);
    d->db = db;
    d->pool = pool;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->quiet, NULL);
    list_init(&d->writing);
    if (blob_folder(path, err) && sqlite_work_wait(db, prepare, d, err))
        return &d->objects;
    directory_close(&d->objects);
    err_wrap(err, "objects");
    return NULL;
}
