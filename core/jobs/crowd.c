/* crowd.c -- batches: jobs that are counted together, and one more when all have ended.
 *
 * (A struct batch is what one commit carries; a batch of a plugin is a struct crowd.)
 *
 *  I10 A crowd's counters on disk are those of the members' ends on disk: both change in
 *      one commit, and the commit of the last end has the row of the last job, too.
 *
 * Memory counts when an end joins the pending commit, and the values of that moment are
 * what this commit writes (I9); after a crash both are as of the last commit.
 */
#include "jobs/crowd.h"
#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

/* New values of a crowd's row; those of one commit become one. */
struct tally {
    struct effect effect; /* first */
    struct crowd *crowd;
    int64_t id, succeeded, failed, finished_at, done_job;
};

static bool record_tally(struct sqlite_conn *conn, const struct effect *effect, struct err *err)
{
    static const char sql[] = "UPDATE maru_job_batch SET succeeded = ?2, failed = ?3,"
                              " finished_at = ?4, done_job = ?5 WHERE id = ?1";
    const struct tally *t = (const struct tally *)(const void *)effect;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, t->id);
    sqlite3_bind_int64(s, 2, t->succeeded);
    sqlite3_bind_int64(s, 3, t->failed);
    sqlite3_bind_int64(s, 4, t->finished_at);
    sqlite3_bind_int64(s, 5, t->done_job);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static void seal_tally(struct effect *effect)
{
    ((struct tally *)(void *)effect)->crowd->pending = NULL;
}

static void forget_finished(struct jobs *jobs, struct effect *effect)
{
    struct tally *t = (struct tally *)(void *)effect;
    if (!t->finished_at)
        return;
    jobs_lock(jobs);
    index_remove(&jobs->crowds, t->id);
    jobs_unlock(jobs);
    crowd_free(t->crowd);
}

static const struct effect_type tally_type = {
    .record = record_tally, .sealed = seal_tally, .committed = forget_finished};

/* The last job's arguments: the declared ones and what became of the members. */
static struct str print_args(const struct crowd *c, struct buf *out)
{
    struct str given = str_c(c->done_args);
    while (given.n && given.p[given.n - 1] != '}')
        given.n--;
    buf_add(out, given.p, given.n ? given.n - 1 : 0);
    if (given.n == 0)
        buf_add_char(out, '{');
    buf_printf(out, "%s\"batch\":{\"id\":%lld,\"total\":%lld,\"succeeded\":%lld,\"failed\":%lld}}",
               out->n > 1 ? "," : "", (long long)c->id, (long long)c->total,
               (long long)c->succeeded, (long long)c->failed);
    return buf_str(out);
}

static void push_last(struct jobs *jobs, struct crowd *c)
{
    struct buf text = {0};
    if (!c->done_kind)
        return;
    struct str args = print_args(c, &text);
    c->done_job =
        follow_push(jobs, &(struct job_spec){.kind = str_c(c->done_kind->name)}, &args, 1);
    buf_free(&text);
}

void crowd_member_over(struct jobs *jobs, const struct job *job)
{
    struct crowd *c = index_get(&jobs->crowds, job_extra(job)->batch);
    if (!c)
        return;
    if (job->end == JOB_END_DONE)
        c->succeeded++;
    else
        c->failed++;
    if (c->succeeded + c->failed == c->total) {
        c->finished_at = clock_wall_ns();
        push_last(jobs, c);
    }
    if (!c->pending) {
        struct tally *t = mem_zero(1, sizeof *t);
        t->effect.type = &tally_type;
        t->crowd = c;
        c->pending = t;
        batch_add_effect(&jobs->pending, &t->effect);
    }
    struct tally *t = c->pending;
    t->id = c->id;
    t->succeeded = c->succeeded;
    t->failed = c->failed;
    t->finished_at = c->finished_at;
    t->done_job = c->done_job;
}

bool crowd_record(struct sqlite_conn *conn, const struct crowd *c, struct err *err)
{
    static const char sql[] =
        "INSERT INTO maru_job_batch(id, total, succeeded, failed, created_at, finished_at,"
        " done_kind, done_args, done_job, description) VALUES(?1, ?2, 0, 0, ?3, 0, ?4, ?5, 0, ?6)";
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, c->id);
    sqlite3_bind_int64(s, 2, c->total);
    sqlite3_bind_int64(s, 3, c->created_at);
    sqlite3_bind_int64(s, 4, c->done_kind ? c->done_kind->word : 0);
    if (c->done_args)
        sqlite3_bind_text(s, 5, c->done_args, -1, SQLITE_STATIC);
    if (c->description)
        sqlite3_bind_text(s, 6, c->description, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

void crowd_free(struct crowd *c)
{
    if (!c)
        return;
    mem_free(c->done_args);
    mem_free(c->description);
    mem_free(c);
}

void crowds_free(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->crowds.size; i++)
        if (jobs->crowds.slots[i].id)
            crowd_free(jobs->crowds.slots[i].value);
    index_free(&jobs->crowds);
}

static char *column_dup(sqlite3_stmt *s, int i)
{
    return mem_strdup((const char *)sqlite3_column_text(s, i));
}

/* Lock held: ids and names; the jobs are the push's own. */
static bool admit(struct jobs *jobs, struct push_op *op, const struct jobs_batch *batch,
                  const struct job_spec *specs, struct err *err)
{
    if (!push_room(jobs, op->count + 1, err))
        return false;
    if (batch->done_kind.n && !(op->crowd->done_kind = kind_get(jobs, batch->done_kind)))
        return err_set(err, ERR_LIMIT, "jobs: %d names of kinds and queues are known", JOBS_NAMES);
    for (struct job *job = op->first; job; job = job->next, specs++)
        if (!push_name(jobs, job, specs, err))
            return false;
    op->crowd->id = jobs->next_id++;
    op->first->id = jobs->next_id;
    jobs->next_id += op->count;
    jobs->pushing += op->count;
    return true;
}

static struct push_op *op_create(struct jobs *jobs, struct jobs_push *push,
                                 const struct jobs_batch *batch, const struct str *args, int count)
{
    struct push_op *op = mem_zero(1, sizeof *op);
    struct job **end = &op->first;
    op->jobs = jobs;
    op->push = push;
    op->count = push->count = count;
    op->crowd = mem_zero(1, sizeof *op->crowd);
    op->crowd->total = count;
    op->crowd->created_at = clock_wall_ns();
    op->crowd->done_args = batch->done_args.n ? str_dup(batch->done_args) : NULL;
    op->crowd->description = batch->description.n ? str_dup(batch->description) : NULL;
    for (int i = 0; i < count; i++) {
        *end = job_create(args[i], STR(""));
        end = &(*end)->next;
    }
    *end = NULL;
    return op;
}

static bool check(const struct jobs *jobs, const struct job_spec *specs, const struct str *args,
                  int count, struct err *err)
{
    if (jobs->driver->shared)
        return err_set(err, ERR_INVALID, "jobs: a batch needs the driver sqlite");
    if (count < 1 || count > JOBS_PUSH_COUNT)
        return err_set(err, ERR_LIMIT, "jobs: a batch has 1 to %d jobs", JOBS_PUSH_COUNT);
    for (int i = 0; i < count; i++) {
        if (specs[i].unique.n || specs[i].schedule.n)
            return err_set(err, ERR_INVALID, "jobs: a job of a batch has no unique key");
        if (!push_check(&specs[i], &args[i], 1, err))
            return false;
    }
    return true;
}

bool jobs_push_batch(struct jobs *jobs, struct jobs_push *push, struct jobs_batch *batch,
                     const struct job_spec *specs, const struct str *args, int count,
                     struct err *err)
{
    if (!shared_has(jobs, "batches", err) || !check(jobs, specs, args, count, err))
        return false;
    struct push_op *op = op_create(jobs, push, batch, args, count);
    err_clear(&push->err);
    jobs_lock(jobs);
    bool admitted = admit(jobs, op, batch, specs, err);
    jobs_unlock(jobs);
    if (!admitted) {
        push_free(op);
        return false;
    }
    int64_t id = op->first->id;
    push->first_id = id;
    batch->id = op->crowd->id;
    for (struct job *job = op->first; job; job = job->next, specs++) {
        job->id = id++;
        push_fill_job(job, specs, op->crowd->created_at);
        extra_make(job)->batch = op->crowd->id;
    }
    return push_hand_over(jobs, op, err);
}

const char crowd_read[] = "SELECT id, total, succeeded, failed, created_at, done_kind, done_args"
                          " FROM maru_job_batch WHERE finished_at = 0";

bool crowd_restore(struct jobs *jobs, sqlite3_stmt *s)
{
    uint32_t word = (uint32_t)sqlite3_column_int64(s, 5);
    if (word > jobs->words)
        return false;
    struct crowd *c = mem_zero(1, sizeof *c);
    c->id = sqlite3_column_int64(s, 0);
    c->total = sqlite3_column_int64(s, 1);
    c->succeeded = sqlite3_column_int64(s, 2);
    c->failed = sqlite3_column_int64(s, 3);
    c->created_at = sqlite3_column_int64(s, 4);
    c->done_kind = word ? jobs->kind_words[word] : NULL;
    c->done_args = column_dup(s, 6);
    index_set(&jobs->crowds, c->id, c);
    return true;
}

/* A look at one, from the disk: what is reported is on it. */
struct crowd_look {
    struct sqlite_read read; /* first */
    struct jobs_query *query;
};

static void print_crowd(struct buf *out, sqlite3_stmt *s)
{
    static const char *const numbers[] = {"id", "total", "succeeded", "failed", "pending"};
    struct json w = json_to(out);
    json_open(&w, '{');
    for (int i = 0; i < 5; i++) {
        json_key(&w, numbers[i]);
        json_int(&w, sqlite3_column_int64(s, i));
    }
    print_time(&w, "created_at", sqlite3_column_int64(s, 5));
    print_time(&w, "finished_at", sqlite3_column_int64(s, 6));
    json_key(&w, "done_job");
    if (sqlite3_column_int64(s, 7))
        json_int(&w, sqlite3_column_int64(s, 7));
    else
        json_null(&w);
    json_key(&w, "description");
    json_cstr(&w, (const char *)sqlite3_column_text(s, 8));
    json_close(&w, '}');
}

static bool look_work(struct sqlite_conn *conn, struct sqlite_read *read)
{
    static const char sql[] =
        "SELECT id, total, succeeded, failed, total - succeeded - failed, created_at, finished_at,"
        " done_job, description FROM maru_job_batch WHERE id = ?1";
    struct jobs_query *q = ((struct crowd_look *)(void *)read)->query;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, &read->err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, q->id);
    int rc = sqlite_step(conn, s, &read->err);
    if (rc == SQLITE_ROW)
        print_crowd(&q->out, s);
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static void look_done(struct sqlite_read *read)
{
    struct jobs_query *q = ((struct crowd_look *)(void *)read)->query;
    q->err = read->err;
    mem_free(read);
    q->done(q);
}

void jobs_query_batch(struct jobs *jobs, struct jobs_query *q)
{
    struct crowd_look *l = mem_zero(1, sizeof *l);
    q->err = (struct err){0};
    buf_clear(&q->out);
    l->query = q;
    l->read.work = look_work;
    l->read.done = look_done;
    sqlite_read(jobs->db, &l->read, q->lane);
}
