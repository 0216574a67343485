/* postgres/write.c -- the engine's batch as one transaction. */
#include "jobs/postgres/postgres.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

bool pg_collect(struct pg *pg, PGresult *r, struct index *ids)
{
    if (!r)
        return false;
    for (int i = 0; i < PQntuples(r); i++)
        index_set(ids, pg_get_int(r, i, 0), pg);
    PQclear(r);
    return true;
}

static void add_end(struct pg_args *a, int column, const struct jobs *jobs, const struct job *job,
                    int64_t now_wall)
{
    const struct job_extra *extra = job_extra(job);
    int64_t delay = job->run_at > now_wall ? job->run_at - now_wall : job->end == JOB_END_RETRY;
    bool failed = job->end != JOB_END_DONE && extra->error;
    /* What a graph's step brings is in the step's own row. */
    bool graph = extra->workflow && strstr(job->kind->name, ".flow:");
    bool result = job->end == JOB_END_DONE && job->result && !graph;
    const int64_t numbers[] = {job->id,
                               (int64_t)extra->lease,
                               job->end,
                               job->attempt,
                               delay,
                               job->started_at,
                               extra->result_ttl_ns ? extra->result_ttl_ns
                                                    : jobs->options.result_ttl_ns};
    if (column < 7)
        pg_add_int(a, numbers[column]);
    else if (column == 7)
        pg_add_text(a, str_c(failed ? extra->error : ""), !failed);
    else
        pg_add_text(a, result ? str_n(job->result->bytes, job->result->n) : STR(""), !result);
}

/* From *at on; what the database took is remembered in pg->taken by its id. */
static bool put_ends(struct pg *pg, struct list **at, struct err *err)
{
    static const Oid types[] = {PG_INT8S, PG_INT8S, PG_INT2S, PG_INT2S, PG_INT8S,
                                PG_INT8S, PG_INT8S, PG_TEXTS, PG_TEXTS};
    struct pg_args a = {0};
    struct list *ends = &pg->jobs->batch.ends, *node = *at;
    int64_t now_wall = clock_wall_ns();
    for (int column = 0; column < 9; column++) {
        node = *at;
        pg_array(&a, types[column]);
        for (int n = 0; n < PG_ROWS && node != ends; n++, node = node->next)
            add_end(&a, column, pg->jobs, list_entry(node, struct job, link), now_wall);
    }
    *at = node;
    return pg_collect(
        pg, pg_call_often(&pg->to_write, "SELECT maru.finish($1,$2,$3,$4,$5,$6,$7,$8,$9)", &a, err),
        &pg->taken);
}

static bool write_ends(struct pg *pg, struct err *err)
{
    struct list *at = pg->jobs->batch.ends.next;
    index_free(&pg->taken);
    while (at != &pg->jobs->batch.ends)
        if (!put_ends(pg, &at, err))
            return false;
    return true;
}

static bool number_batch(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    pg_text(&a, pg->writer);
    pg_int(&a, pg->seq);
    PGresult *r =
        pg_call_often(&pg->to_write,
                      "INSERT INTO maru.writer VALUES($1, $2, maru.now()) ON CONFLICT (id)"
                      " DO UPDATE SET seq = excluded.seq, at = excluded.at",
                      &a, err);
    PQclear(r);
    return r != NULL;
}

/* Whether the batch of this number is in the database.  It is written to, so that a commit which
 * is still under way there ends first. */
static bool is_written(struct pg *pg, bool *written, struct err *err)
{
    struct pg_args a = {0};
    pg_text(&a, pg->writer);
    pg_int(&a, pg->seq);
    PGresult *r = pg_call(&pg->to_write,
                          "INSERT INTO maru.writer AS w VALUES($1, 0, maru.now()) ON CONFLICT (id)"
                          " DO UPDATE SET at = excluded.at RETURNING (w.seq >= $2)::int",
                          &a, err);
    *written = r && pg_get_int(r, 0, 0);
    PQclear(r);
    return r != NULL;
}

/* Which of the batch's jobs this node may have at once. */
static void mark(struct pg *pg)
{
    pthread_mutex_lock(&pg->lock);
    int64_t node = pg->node;
    pthread_mutex_unlock(&pg->lock);
    int most = node ? JOBS_QUEUED : 0;
    pg->waits = pg->refused = false;
    atomic_store(&pg->coming, 0);
    atomic_store(&pg->coming, shared_mark(pg->jobs, pg->jobs->batch.pushes, most));
    pg->here = atomic_load(&pg->coming) ? node : 0;
    pg->taker = pg->here;
}

static bool transaction(struct pg *pg, struct err *err)
{
    struct err ignored;
    pg->seq++;
    mark(pg);
    if (pg_run(&pg->to_write, "BEGIN; SET LOCAL maru.decides = '1'", err) &&
        pg_write_pushes(pg, pg->jobs->batch.pushes, err) &&
        pg_write_settings(pg, pg->jobs->batch.settings, err) && write_ends(pg, err) &&
        pg_write_attempts(pg, err) && pg_read_cancelled(pg, err) &&
        workflow_record(pg->jobs, pg, err) && pg_count_members(pg, err) && number_batch(pg, err)) {
        pg->unknown = true;
        if (!pg_run(&pg->to_write, "COMMIT", err)) {
            pg->unknown = err->code == ERR_IO;
            pg_forget_flows(pg);
            return false;
        }
        pg->unknown = false;
        return true;
    }
    pg->here = 0;
    pg_forget_flows(pg);
    pg_run(&pg->to_write, "ROLLBACK", &ignored);
    return false;
}

bool pg_settle(struct pg *pg, struct err *err)
{
    bool written;
    return is_written(pg, &written, err);
}

bool pg_write(struct pg *pg, struct err *err)
{
    bool written = false;
    if (!pg_connect(&pg->to_write, err))
        return false;
    if (pg->unknown && !is_written(pg, &written, err))
        return false;
    pg->unknown = false;
    return written || transaction(pg, err);
}
