#include "jobs/private.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

/* Rows of ended jobs are deleted in chunks sorted by id, because deletes in random
 * order are what SQLite is slow at (a tenth of the rate), and in slices, because
 * a large one would hold up every commit. */
enum {
    CHUNK = 8192,          /* ids sorted together */
    RANGE = 512,           /* neighbours deleted by one statement */
    ROWS_A_STEP = 64,      /* rows of maru_job_fin deleted by one step */
    EXPIRY_SLICE = 500,    /* rows of results and dead jobs looked at by one step */
    KEPT_JOBS = 20000,     /* ended ones whose arguments can still be looked at … */
    KEPT_BYTES = 32 << 20, /* … unless these have more, together */
    KEPT_MORE = 1024,      /* so many over it go together */
};
static const int64_t expiry_pause_ns = 60 * NS_PER_SECOND;

static void add_id(struct fold *f, const struct fin_record *r)
{
    if (f->waiting_n == f->waiting_cap) {
        f->waiting_cap = f->waiting_cap ? f->waiting_cap * 2 : 1024;
        f->waiting = mem_realloc(f->waiting, f->waiting_cap * sizeof *f->waiting);
    }
    struct fold_id *added = &f->waiting[f->waiting_n++];
    *added = (struct fold_id){.id = r->id, .bytes = INT64_C(1) << (r->args_bits & 31)};
    f->waiting_bytes += added->bytes;
}

static size_t waiting(const struct fold *f)
{
    return f->waiting_n - f->waiting_at;
}

static bool keeps_too_much(const struct fold *f, size_t more)
{
    return waiting(f) > KEPT_JOBS + more || f->waiting_bytes > KEPT_BYTES;
}

void fold_recorded(struct fold *f, int64_t seq, const struct fin_record *records, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_id(f, &records[i]);
    f->recorded += (int64_t)n;
    if (f->rows_n == f->rows_cap) {
        if (f->rows_at)
            memmove(f->rows, f->rows + f->rows_at, (f->rows_n - f->rows_at) * sizeof *f->rows);
        f->rows_n -= f->rows_at;
        f->rows_at = 0;
        f->rows_cap = f->rows_n * 2 + 256;
        f->rows = mem_realloc(f->rows, f->rows_cap * sizeof *f->rows);
    }
    f->rows[f->rows_n++] = (struct fold_row){seq, f->recorded};
    f->next_seq = seq + 1;
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void next_chunk(struct fold *f)
{
    if (!f->chunk)
        f->chunk = mem_alloc(CHUNK * sizeof *f->chunk);
    size_t n = 0;
    for (; n < CHUNK && keeps_too_much(f, 0); n++) {
        const struct fold_id *first = &f->waiting[f->waiting_at++];
        f->chunk[n] = first->id;
        f->waiting_bytes -= first->bytes;
    }
    if (f->waiting_at * 2 >= f->waiting_n) {
        f->waiting_n -= f->waiting_at;
        memmove(f->waiting, f->waiting + f->waiting_at, f->waiting_n * sizeof *f->waiting);
        f->waiting_at = 0;
    }
    qsort(f->chunk, n, sizeof *f->chunk, compare_ids);
    f->chunk_n = n;
    f->chunk_at = 0;
}

/* Deletes chunk[at …] as far as the ids are neighbours; returns how many. */
static size_t delete_range(struct sqlite_conn *conn, sqlite3_stmt *s, const struct fold *f,
                           size_t at, struct err *err)
{
    size_t n = 1;
    while (at + n < f->chunk_n && n < RANGE && f->chunk[at + n] == f->chunk[at] + (int64_t)n)
        n++;
    sqlite3_bind_int64(s, 1, f->chunk[at]);
    sqlite3_bind_int64(s, 2, f->chunk[at + n - 1]);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? n : 0;
}

static bool delete_jobs(struct fold *f, struct sqlite_conn *conn, int64_t until_ns, struct err *err)
{
    static const char sql[] = "DELETE FROM maru_job WHERE id BETWEEN ?1 AND ?2";
    if (f->chunk_at == f->chunk_n && keeps_too_much(f, KEPT_MORE))
        next_chunk(f);
    if (f->chunk_at == f->chunk_n)
        return true;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    while (s && f->chunk_at + f->done_now < f->chunk_n) {
        size_t n = delete_range(conn, s, f, f->chunk_at + f->done_now, err);
        if (n == 0)
            return false;
        f->done_now += n;
        if (clock_ns() >= until_ns)
            break;
    }
    return s != NULL;
}

static bool run_id(struct sqlite_conn *conn, const char *sql, int64_t id, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, id);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool record_next_id(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO maru_job_meta(key, value) VALUES('next_id', ?1)";
    jobs_lock(jobs);
    int64_t next_id = jobs->next_id;
    jobs_unlock(jobs);
    return run_id(conn, sql, next_id, err);
}

/* How many of those that ended first have no row any more.  Within a chunk they go by their ids,
 * not as they ended: of one that is not done nobody knows which are left. */
static int64_t whole_chunks(const struct fold *f)
{
    return f->chunk_at == f->chunk_n ? f->folded : f->folded - (int64_t)f->chunk_at;
}

/* A row of maru_job_fin goes when its jobs' rows are gone and the history no
 * longer needs it.  Then nothing on disk may be left that knows how far ids got. */
static bool delete_rows(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    struct fold *f = &jobs->fold;
    while (f->rows_now < ROWS_A_STEP && f->rows_at + f->rows_now < f->rows_n) {
        const struct fold_row *row = &f->rows[f->rows_at + f->rows_now];
        if (row->until > whole_chunks(f) || f->recorded - row->until < JOBS_HISTORY)
            break;
        if (f->rows_now == 0 && !record_next_id(jobs, conn, err))
            return false;
        if (!run_id(conn, "DELETE FROM maru_job_fin WHERE seq = ?1", row->seq, err))
            return false;
        f->rows_now++;
    }
    return true;
}

/* Looks at a slice of a table from *cursor on; deletes what is older than least.
 * *cursor is 0 when the end was reached. */
static bool expire(struct sqlite_conn *conn, const char *read, const char *remove, int64_t *cursor,
                   int64_t least, struct fold *f, struct err *err)
{
    int64_t gone[EXPIRY_SLICE];
    int count = 0, seen = 0, rc;
    sqlite3_stmt *s = sqlite_prepared(conn, read, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, *cursor);
    sqlite3_bind_int(s, 2, EXPIRY_SLICE);
    while ((rc = sqlite_step(conn, s, err)) == SQLITE_ROW) {
        *cursor = sqlite3_column_int64(s, 0);
        seen++;
        if (sqlite3_column_int64(s, 1) < least) {
            gone[count++] = *cursor;
            if (f)
                f->dead_queues[f->dead_gone++] = (uint32_t)sqlite3_column_int64(s, 2);
        }
    }
    sqlite3_reset(s);
    if (seen < EXPIRY_SLICE)
        *cursor = 0;
    for (int i = 0; i < count && rc == SQLITE_DONE; i++)
        if (!run_id(conn, remove, gone[i], err))
            return false;
    return rc == SQLITE_DONE;
}

static bool expire_step(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    struct fold *f = &jobs->fold;
    int64_t now = clock_ns(), wall = clock_wall_ns();
    if (now < f->next_expiry_ns)
        return true;
    if (!expire(conn, "SELECT id, expires_at FROM maru_job_done WHERE id > ?1 ORDER BY id LIMIT ?2",
                "DELETE FROM maru_job_done WHERE id = ?1", &f->done_at, wall, NULL, err))
        return false;
    if (!expire(conn,
                "SELECT id, dead_at, queue FROM maru_job_dead WHERE id > ?1 ORDER BY id LIMIT ?2",
                "DELETE FROM maru_job_dead WHERE id = ?1", &f->dead_at,
                wall - jobs->options.dead_ttl_ns, f, err))
        return false;
    if (!expire(conn,
                "SELECT id, ended_at FROM maru_job_attempt WHERE id > ?1 ORDER BY id LIMIT ?2",
                "DELETE FROM maru_job_attempt WHERE id = ?1", &f->attempt_at,
                wall - jobs->options.dead_ttl_ns, NULL, err))
        return false;
    if (!expire(conn,
                "SELECT id, ifnull(nullif(finished_at, 0), 9223372036854775807) FROM"
                " maru_job_batch WHERE id > ?1 ORDER BY id LIMIT ?2",
                "DELETE FROM maru_job_batch WHERE id = ?1", &f->crowd_at,
                wall - jobs->options.dead_ttl_ns, NULL, err))
        return false;
    if (!expire(conn, "SELECT id, until FROM maru_job_unique WHERE id > ?1 ORDER BY id LIMIT ?2",
                "DELETE FROM maru_job_unique WHERE id = ?1", &f->unique_at, wall, NULL, err))
        return false;
    if (f->dead_gone && !record_next_id(jobs, conn, err))
        return false;
    f->next_expiry_ns =
        now + (f->done_at || f->dead_at || f->attempt_at || f->crowd_at || f->unique_at
                   ? 0
                   : expiry_pause_ns);
    return true;
}

bool fold_step(struct jobs *jobs, struct sqlite_conn *conn, int64_t budget_ns, struct err *err)
{
    struct fold *f = &jobs->fold;
    int64_t until_ns = clock_ns() + budget_ns;
    f->done_now = f->rows_now = 0;
    f->dead_gone = 0;
    if (!f->dead_queues)
        f->dead_queues = mem_alloc(EXPIRY_SLICE * sizeof *f->dead_queues);
    return delete_jobs(f, conn, until_ns, err) && delete_rows(jobs, conn, err) &&
           expire_step(jobs, conn, err);
}

void fold_committed(struct jobs *jobs)
{
    struct fold *f = &jobs->fold;
    f->chunk_at += f->done_now;
    f->folded += (int64_t)f->done_now;
    f->rows_at += f->rows_now;
    for (size_t i = 0; i < f->dead_gone; i++) {
        struct queue *q =
            f->dead_queues[i] <= jobs->words ? jobs->queue_words[f->dead_queues[i]] : NULL;
        if (q)
            q->dead--;
        jobs->dead--;
    }
    f->done_now = f->rows_now = f->dead_gone = 0;
}

bool fold_is_idle(const struct fold *f)
{
    return f->chunk_at == f->chunk_n && !keeps_too_much(f, KEPT_MORE) &&
           (f->rows_at == f->rows_n || f->recorded - f->rows[f->rows_at].until < JOBS_HISTORY) &&
           clock_ns() < f->next_expiry_ns;
}

size_t fold_backlog(const struct fold *f)
{
    size_t over = waiting(f) > KEPT_JOBS ? waiting(f) - KEPT_JOBS : 0;
    return f->chunk_n - f->chunk_at + over;
}

void fold_free(struct fold *f)
{
    mem_free(f->waiting);
    mem_free(f->chunk);
    mem_free(f->rows);
    mem_free(f->dead_queues);
}
