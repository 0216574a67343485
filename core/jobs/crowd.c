/* crowd.c -- batches: jobs that are counted together, and one more when all have ended.
 *
 * (A struct batch is what one commit carries; a batch of a plugin is a struct crowd.)
 *
 * A shared record counts by itself, where it records an end, and pushes the last job there: any
 * node may end a member.
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

void crowd_counts(struct buf *out, int64_t id, int64_t total, int64_t succeeded, int64_t failed)
{
    buf_printf(out, "{\"id\":%lld,\"total\":%lld,\"succeeded\":%lld,\"failed\":%lld}",
               (long long)id, (long long)total, (long long)succeeded, (long long)failed);
}

/* The last job's arguments: the declared ones and what became of the members. */
static struct str print_args(const struct crowd *c, struct buf *out)
{
    struct str given = str_c(c->done_args);
    while (given.n && given.p[given.n - 1] != '}')
        given.n--;
    buf_add(out, given.p, given.n ? given.n - 1 : 0);
    if (given.n == 0)
        buf_add_char(out, '{');
    buf_printf(out, "%s\"batch\":", out->n > 1 ? "," : "");
    if (c->asked)
        buf_add_c(out, CROWD_COUNTS);
    else
        crowd_counts(out, c->id, c->total, c->succeeded, c->failed);
    buf_add_char(out, '}');
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
    if (c->last)
        job_unref(c->last);
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

int64_t crowd_ids(const struct push_op *op)
{
    return 1 + (op->crowd->last != NULL) + op->count;
}

void crowd_number(struct push_op *op, int64_t first)
{
    struct crowd *c = op->crowd;
    c->id = first++;
    if (c->last)
        c->last->id = first++;
    for (struct job *job = op->first; job; job = job->next) {
        job->id = first++;
        extra_make(job)->batch = c->id;
    }
}

/* Lock held: what a shared record pushes by itself.  It has no time to start by: nobody knows yet
 * when it is due. */
static bool prepare_last(struct jobs *jobs, struct push_op *op, struct err *err)
{
    struct crowd *c = op->crowd;
    struct buf text = {0};
    if (!c->done_kind)
        return true;
    struct job_spec spec = {.kind = str_c(c->done_kind->name)};
    struct job *last = c->last = job_create(print_args(c, &text), STR(""));
    buf_free(&text);
    if (!push_name(jobs, last, &spec, err))
        return false;
    push_fill_job(last, &spec, c->created_at);
    if (last->extra)
        last->extra->expires_at = 0;
    return true;
}

/* Lock held: ids as they lie ready, or none, and the driver gives them. */
static bool admit_shared(struct jobs *jobs, struct push_op *op, struct jobs_batch *batch,
                         struct err *err)
{
    op->crowd->asked = batch;
    if (!prepare_last(jobs, op, err))
        return false;
    bool ids = !jobs->driver->numbers && jobs->next_id + crowd_ids(op) <= jobs->id_limit;
    if (ids) {
        crowd_number(op, jobs->next_id);
        jobs->next_id += crowd_ids(op);
    }
    jobs->pushing += op->count;
    return true;
}

/* Lock held: ids and names; the jobs are the push's own. */
static bool admit(struct jobs *jobs, struct push_op *op, struct jobs_batch *batch,
                  const struct job_spec *specs, struct err *err)
{
    if (!push_room(jobs, op->count + 1, err))
        return false;
    if (batch->done_kind.n && !(op->crowd->done_kind = kind_get(jobs, batch->done_kind)))
        return err_set(err, ERR_LIMIT, "jobs: %d names of kinds and queues are known", JOBS_NAMES);
    for (struct job *job = op->first; job; job = job->next, specs++)
        if (!push_name(jobs, job, specs, err))
            return false;
    if (jobs->driver->shared)
        return admit_shared(jobs, op, batch, err);
    crowd_number(op, jobs->next_id);
    jobs->next_id += crowd_ids(op);
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
    if (!jobs->driver->query_batch && !shared_has(jobs, "batches", err))
        return false;
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
    if (!check(jobs, specs, args, count, err))
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
    push->first_id = op->first->id;
    batch->id = op->crowd->id;
    for (struct job *job = op->first; job; job = job->next, specs++)
        push_fill_job(job, specs, op->crowd->created_at);
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

void crowd_print(struct buf *out, const struct crowd_row *row)
{
    static const char *const names[] = {"id", "total", "succeeded", "failed", "pending"};
    const int64_t numbers[] = {row->id, row->total, row->succeeded, row->failed,
                               row->total - row->succeeded - row->failed};
    struct json w = json_to(out);
    json_open(&w, '{');
    for (int i = 0; i < 5; i++) {
        json_key(&w, names[i]);
        json_int(&w, numbers[i]);
    }
    print_time(&w, "created_at", row->created_at);
    print_time(&w, "finished_at", row->finished_at);
    json_key(&w, "done_job");
    if (row->done_job)
        json_int(&w, row->done_job);
    else
        json_null(&w);
    json_key(&w, "description");
    if (row->description.n)
        json_str(&w, row->description);
    else
        json_null(&w);
    json_close(&w, '}');
}

static void print_crowd(struct buf *out, sqlite3_stmt *s)
{
    const char *description = (const char *)sqlite3_column_text(s, 7);
    crowd_print(out, &(struct crowd_row){.id = sqlite3_column_int64(s, 0),
                                         .total = sqlite3_column_int64(s, 1),
                                         .succeeded = sqlite3_column_int64(s, 2),
                                         .failed = sqlite3_column_int64(s, 3),
                                         .created_at = sqlite3_column_int64(s, 4),
                                         .finished_at = sqlite3_column_int64(s, 5),
                                         .done_job = sqlite3_column_int64(s, 6),
                                         .description = str_c(description)});
}

static bool look_work(struct sqlite_conn *conn, struct sqlite_read *read)
{
    static const char sql[] =
        "SELECT id, total, succeeded, failed, created_at, finished_at, done_job, description"
        " FROM maru_job_batch WHERE id = ?1";
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
    q->err = (struct err){0};
    buf_clear(&q->out);
    if (jobs->driver->query_batch) {
        jobs->driver->query_batch(jobs, q);
        return;
    }
    struct crowd_look *l = mem_zero(1, sizeof *l);
    l->query = q;
    l->read.work = look_work;
    l->read.done = look_done;
    sqlite_read(jobs->db, &l->read, q->lane);
}
