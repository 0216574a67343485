/* unique.c -- whose key it is: while it waits, until it ended, for a time; kept or replaced.
 *
 * jobs->uniques has the holder of a key, jobs->periods the keys that are held for a time
 * after a push, whatever became of the job; these are on disk in maru_job_unique.
 *
 * A key of scope queued is free while its job runs, so that another may have it when the first
 * waits again.  Then it stands behind the holder (extra->unique_next) and is the next to hold
 * it: the key is not free while one of them is queued.
 */
#include "jobs/private.h"

#include "base/clock.h"
#include "base/mem.h"

struct period {
    int64_t until, id; /* wall, ns; of the job that was pushed */
};

/* Of a map; valid until buf_free(key). */
static struct str key_of(const struct job *job, struct buf *key)
{
    struct str unique = job_unique(job);
    buf_add(key, &job->kind->word, sizeof job->kind->word);
    buf_add(key, unique.p, unique.n);
    return buf_str(key);
}

bool unique_take(struct jobs *jobs, struct job *job)
{
    struct buf key = {0};
    if (job->unique_n == 0)
        return true;
    bool is_free = !map_get(jobs->uniques, key_of(job, &key));
    if (is_free)
        map_set(jobs->uniques, buf_str(&key), job);
    buf_free(&key);
    return is_free;
}

/* Who stands before it, from the holder on; NULL when it is none of those behind him. */
static struct job *before(struct job *holder, const struct job *job)
{
    while (holder && job_extra(holder)->unique_next != job)
        holder = job_extra(holder)->unique_next;
    return holder;
}

void unique_release(struct jobs *jobs, struct job *job)
{
    struct buf key = {0};
    if (!job->unique_n)
        return;
    struct job *next = job_extra(job)->unique_next;
    struct job *holder = map_get(jobs->uniques, key_of(job, &key));
    struct job *ahead = holder == job ? NULL : before(holder, job);
    if (ahead)
        ahead->extra->unique_next = next;
    else if (holder == job && next)
        map_set(jobs->uniques, buf_str(&key), next);
    else if (holder == job)
        map_remove(jobs->uniques, buf_str(&key));
    if (next)
        job->extra->unique_next = NULL;
    buf_free(&key);
}

void unique_share(struct jobs *jobs, struct job *job)
{
    struct buf key = {0};
    if (unique_take(jobs, job))
        return;
    struct job *holder = map_get(jobs->uniques, key_of(job, &key));
    /* What is being written may be read without the lock, so it gets no extra here. */
    bool written = holder->place == PLACE_NONE || holder->place == PLACE_FINISHING;
    if (holder != job && written) {
        extra_make(job)->unique_next = holder;
        map_set(jobs->uniques, buf_str(&key), job);
    } else if (holder != job) {
        extra_make(job)->unique_next = job_extra(holder)->unique_next;
        extra_make(holder)->unique_next = job;
    }
    buf_free(&key);
}

/* The new job stands where the old one stood. */
static void stand_in(struct jobs *jobs, struct job *old, struct job *new)
{
    struct buf key = {0};
    struct job *next = job_extra(old)->unique_next;
    struct job *ahead = before(map_get(jobs->uniques, key_of(new, &key)), old);
    if (ahead)
        ahead->extra->unique_next = new;
    else
        map_set(jobs->uniques, buf_str(&key), new);
    if (next) {
        extra_make(new)->unique_next = next;
        old->extra->unique_next = NULL;
    }
    buf_free(&key);
}

void unique_started(struct jobs *jobs, struct job *job)
{
    if (job->unique_n && job_extra(job)->unique_queued)
        unique_release(jobs, job);
}

void unique_waits_again(struct jobs *jobs, struct job *job)
{
    if (job->unique_n && job_extra(job)->unique_queued)
        unique_share(jobs, job); /* if another has it now, both go on */
}

static void period_set(struct jobs *jobs, struct str key, int64_t id, int64_t until)
{
    struct period *p = mem_alloc(sizeof *p);
    *p = (struct period){.until = until, .id = id};
    mem_free(map_set(jobs->periods, key, p));
}

/* Whether a push before holds the key for a time that is not over. */
static bool in_period(struct jobs *jobs, struct str key, int64_t now_wall)
{
    struct period *p = map_get(jobs->periods, key);
    if (!p || p->until > now_wall)
        return p != NULL;
    mem_free(map_remove(jobs->periods, key));
    return false;
}

void unique_undo(struct jobs *jobs, struct job *job)
{
    struct buf key = {0};
    if (!job || job->unique_n == 0)
        return;
    unique_release(jobs, job);
    struct period *p = map_get(jobs->periods, key_of(job, &key));
    if (p && p->id == job->id)
        mem_free(map_remove(jobs->periods, buf_str(&key)));
    buf_free(&key);
    struct job *late = index_remove(&jobs->late, job->id);
    if (late)
        job_unref(late);
}

/* A job that waits, so that what it is to do may change. */
static bool is_replaceable(const struct job *job)
{
    const struct job_extra *extra = job_extra(job);
    return job->place != PLACE_RUNNING && job->place != PLACE_FINISHING && !extra->batch &&
           !extra->previous;
}

bool unique_admit(struct jobs *jobs, struct push_op *op, const struct job_spec *spec,
                  struct err *err)
{
    struct job *job = op->first;
    struct buf key = {0};
    if (job->unique_n == 0)
        return true;
    int64_t now = clock_wall_ns();
    struct job *holder = map_get(jobs->uniques, key_of(job, &key));
    if (holder && spec->unique_replace && is_replaceable(holder))
        op->replaces = holder;
    bool is_free = op->replaces || (!holder && !in_period(jobs, buf_str(&key), now));
    if (is_free && !holder)
        map_set(jobs->uniques, buf_str(&key), job);
    if (is_free && spec->unique_period_ns > 0) {
        const struct period *was = map_get(jobs->periods, buf_str(&key));
        op->unique_was = was ? was->until : 0;
        op->unique_was_id = was ? was->id : 0;
        int64_t id = holder ? holder->id : jobs->next_id;
        op->unique_until = now + spec->unique_period_ns;
        period_set(jobs, buf_str(&key), id, op->unique_until);
    }
    buf_free(&key);
    return is_free || err_set(err, ERR_EXISTS, "jobs: %s %s has this unique key",
                              holder ? "an unfinished" : "an earlier", job->kind->name);
}

/* The new one takes the place of the old one: its id, its key, its turn by its own time. */
static void swap(struct jobs *jobs, struct job *old, struct job *new)
{
    if (old->place == PLACE_CLAIMED)
        unclaim(jobs, old);
    place_set(jobs, old, PLACE_NONE);
    jobs->count[PLACE_NONE]--;
    old->queue->count[PLACE_NONE]--;
    new->crashes = old->crashes;
    index_set(&jobs->index, new->id, new);
    stand_in(jobs, old, new);
    job_unref(old);
    jobs->count[PLACE_NONE]++;
    new->queue->count[PLACE_NONE]++;
    place_start(jobs, new, clock_wall_ns());
}

void unique_arrived(struct jobs *jobs, struct job *job)
{
    struct job *late = index_remove(&jobs->late, job->id);
    if (late)
        swap(jobs, job, late);
}

void unique_replace(struct jobs *jobs, struct push_op *push)
{
    struct job *old = push->replaces, *new = push->first;
    struct update_op *op = mem_zero(1, sizeof *op);
    struct buf extra = {0};
    size_t n;
    new->id = old->id;
    new->created_at = old->created_at;
    if (old->attempt || job_extra(old)->logged)
        extra_make(new)->logged = 1;
    if (new->extra)
        extra_print(new->extra, &extra);
    op->id = new->id;
    op->run_at = new->run_at;
    op->row = new;
    op->timeout_ms = job_extra(new)->timeout_ms;
    op->unique_until = push->unique_until;
    op->unique_was = push->unique_was;
    op->unique_was_id = push->unique_was_id;
    op->extra = extra.n ? buf_take(&extra, &n) : NULL;
    op->push = push;
    new->refs++; /* the row's */
    push->first = NULL;
    push->count = 0;
    if (index_get(&jobs->index, old->id) == old)
        swap(jobs, old, new);
    else { /* its own row is not on disk yet */
        struct job *before = index_remove(&jobs->late, old->id);
        if (before)
            job_unref(before);
        index_set(&jobs->late, old->id, new);
    }
    batch_add_update(&jobs->pending, op);
    dispatch(jobs);
}

bool unique_record(struct sqlite_conn *conn, const struct job *job, int64_t id, int64_t until,
                   struct err *err)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO maru_job_unique(id, kind, key, until) VALUES(?1, ?2, ?3, ?4)";
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    struct str key = job_unique(job);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, id);
    sqlite3_bind_int64(s, 2, job->kind->word);
    sqlite3_bind_text64(s, 3, key.p, key.n, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(s, 4, until);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool write_row(struct sqlite_conn *conn, const struct update_op *op, struct err *err)
{
    static const char sql[] =
        "UPDATE maru_job SET queue = ?2, priority = ?3, run_at = ?4, attempt = 0,"
        " max_attempts = ?5, timeout_ms = ?6, args = ?7, error = NULL, extra = ?8 WHERE id = ?1";
    const struct job *job = op->row;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, op->id);
    sqlite3_bind_int64(s, 2, job->queue->word);
    sqlite3_bind_int(s, 3, job->priority);
    sqlite3_bind_int64(s, 4, op->run_at);
    sqlite3_bind_int(s, 5, job->max_attempts);
    sqlite3_bind_int64(s, 6, op->timeout_ms);
    sqlite3_bind_text64(s, 7, job->bytes, job->args_n, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text(s, 8, op->extra, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool unique_record_row(struct sqlite_conn *conn, struct update_op *op, struct err *err)
{
    if (!write_row(conn, op, err))
        return false;
    op->missing = sqlite3_changes(conn->db) == 0;
    return op->missing || !op->unique_until ||
           unique_record(conn, op->row, op->id, op->unique_until, err);
}

/* Lock held: what was not written holds no key either; the period before it does again. */
static void period_undo(struct jobs *jobs, const struct update_op *op)
{
    struct buf key = {0};
    struct period *p = map_get(jobs->periods, key_of(op->row, &key));
    if (p && p->id == op->id && p->until == op->unique_until) {
        mem_free(map_remove(jobs->periods, buf_str(&key)));
        if (op->unique_was)
            period_set(jobs, buf_str(&key), op->unique_was_id, op->unique_was);
    }
    buf_free(&key);
}

void unique_row_free(struct jobs *jobs, struct update_op *op, const struct err *err)
{
    struct err missing = {0};
    if (!op->row)
        return;
    if (!err && op->missing) {
        err_set(&missing, ERR_CANCELLED, "jobs: the job it was to replace was not written");
        err = &missing;
    }
    if (op->push)
        push_answer(jobs, op->push, err);
    jobs_lock(jobs);
    if (err && op->unique_until)
        period_undo(jobs, op);
    if (err && index_get(&jobs->late, op->id) == op->row)
        job_unref(index_remove(&jobs->late, op->id));
    job_unref(op->row);
    jobs_unlock(jobs);
    mem_free(op->extra);
}

const char unique_read[] = "SELECT id, kind, key, until FROM maru_job_unique ORDER BY id";

void unique_restore(struct jobs *jobs, sqlite3_stmt *s)
{
    struct buf key = {0};
    uint32_t kind = (uint32_t)sqlite3_column_int64(s, 1);
    if (sqlite3_column_int64(s, 3) <= clock_wall_ns())
        return;
    buf_add(&key, &kind, sizeof kind);
    buf_add(&key, sqlite3_column_text(s, 2), (size_t)sqlite3_column_bytes(s, 2));
    period_set(jobs, buf_str(&key), sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 3));
    buf_free(&key);
}

void unique_sweep(struct jobs *jobs, int64_t now_wall)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(jobs->periods, &at, &key, &value))
        if (((struct period *)value)->until <= now_wall) {
            map_remove(jobs->periods, key);
            mem_free(value);
        }
}

void uniques_free(struct jobs *jobs)
{
    unique_sweep(jobs, INT64_MAX);
    map_destroy(jobs->periods);
    map_destroy(jobs->uniques);
    for (size_t i = 0; i < jobs->late.size; i++)
        if (jobs->late.slots[i].id)
            job_unref(jobs->late.slots[i].value);
    index_free(&jobs->late);
}
