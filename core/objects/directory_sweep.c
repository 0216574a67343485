/* directory_sweep.c -- files in tmp/ that nobody writes any more: looked for at times, as opening
 * the folder does once.  A file whose row is committed goes to its place, another one away.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "objects/directory_private.h"
#include "observe/log.h"

struct sweep {
    struct pool_job job; /* first */
    struct sqlite_write write;
    struct directory *dir;
    struct buf old; /* ids, each with a NUL */
    char *placed;   /* for each of them: whether it has a row */
    int count;
    struct err err;
};

static struct sweep *of_write(struct sqlite_write *w)
{
    return (struct sweep *)(void *)((char *)w - offsetof(struct sweep, write));
}

static void over(struct sweep *s)
{
    struct directory *d = s->dir;
    if (s->err.code && s->err.code != ERR_CLOSED)
        log_warn("objects", "unfinished uploads were not looked for: %s", s->err.message);
    buf_free(&s->old);
    mem_free(s->placed);
    mem_free(s);
    directory_over(d);
}

static bool note(void *arg, const char *id, struct err *err)
{
    struct sweep *s = arg;
    (void)err;
    if (strlen(id) >= BLOB_ID_BYTES || directory_is_written(s->dir, id))
        return true;
    buf_add(&s->old, id, strlen(id) + 1);
    s->count++;
    return true;
}

static void look(struct pool_job *job)
{
    struct sweep *s = (struct sweep *)(void *)job;
    int64_t before = clock_wall_ns() - s->dir->objects.upkeep.ttl_ns;
    (void)blob_each_unplaced(s->dir->path, before, note, s, &s->err);
}

static bool find_rows(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct sweep *s = of_write(w);
    const char *id = s->old.p;
    sqlite3_stmt *found =
        sqlite_prepared(conn, "SELECT 1 FROM maru_object WHERE file = ?1", &w->err);
    int rc = found ? SQLITE_DONE : SQLITE_ERROR;
    for (int i = 0; i < s->count && (rc == SQLITE_ROW || rc == SQLITE_DONE); i++) {
        sqlite3_bind_text(found, 1, id, -1, SQLITE_STATIC);
        rc = sqlite_step(conn, found, &w->err);
        sqlite3_reset(found);
        s->placed[i] = rc == SQLITE_ROW;
        id += strlen(id) + 1;
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static void on_found(struct sqlite_write *w)
{
    struct sweep *s = of_write(w);
    const char *id = s->old.p;
    s->err = w->err;
    for (int i = 0; i < s->count && !s->err.code; i++) {
        directory_tidy(s->dir, s->placed[i] ? id : "", s->placed[i] ? "" : id);
        id += strlen(id) + 1;
    }
    if (!s->err.code)
        log_info("objects", "%d files of unfinished uploads were tidied up", s->count);
    over(s);
}

static void on_looked(struct pool_job *job)
{
    struct sweep *s = (struct sweep *)(void *)job;
    if (job->cancelled || s->err.code || s->count == 0) {
        over(s);
        return;
    }
    s->placed = mem_zero((size_t)s->count, 1);
    s->write.work = find_rows;
    s->write.done = on_found;
    sqlite_write(s->dir->db, &s->write, NULL);
}

static void start(struct directory *d)
{
    d->sweep.upkeep = true;
    timer_start(d->objects.lane, &d->sweep, d->objects.upkeep.every_ns);
}

static void on_time(struct timer *timer)
{
    struct directory *d = list_entry(timer, struct directory, sweep);
    struct sweep *s = mem_zero(1, sizeof *s);
    directory_begin(d);
    s->dir = d;
    s->job.work = look;
    s->job.done = on_looked;
    pool_submit(d->pool, &s->job, NULL);
    start(d);
}

void directory_sweep_begin(struct objects *store)
{
    struct directory *d = (struct directory *)store;
    d->sweep.fire = on_time;
    start(d);
}

void directory_sweep_end(struct objects *store)
{
    struct directory *d = (struct directory *)store;
    timer_stop(store->lane, &d->sweep);
}
