#include "jobs/elsewhere.h"

#include "base/mem.h"
#include "jobs/driver.h"
#include "observe/log.h"

enum { ID_BLOCK = 1 << 20 };
_Static_assert((int)ID_BLOCK >= (int)JOBS_PUSH_COUNT, "every push finds ids in a block");

static const char noun_name[] = "job";

/* A push whose row was not brought yet.  The row may come before the answer to the commit does,
 * which may be lost: what was seen is there, and whoever of the two is the last frees this. */
struct elsewhere {
    struct carry_put put;
    struct jobs *jobs;
    struct push_op *op;
    struct carry_row *row; /* being brought */
    bool ended;            /* under the lock: the transaction's lane knows how it ended */
    bool seen, brought;    /* under the lock: its row has come, and is in the queue */
};

/* -- ids --------------------------------------------------------------------------------------- */

struct reserving {
    struct sqlite_write write;
    struct jobs *jobs;
    int64_t first;
};

static bool reserve_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    return record_next_id(list_entry(w, struct reserving, write)->jobs, conn, &w->err);
}

static bool reserve_now(struct sqlite_conn *conn, void *arg, struct err *err)
{
    return record_next_id(arg, conn, err);
}

/* Lock held. */
static int64_t take_block(struct jobs *jobs)
{
    int64_t first = jobs->next_id;
    jobs->next_id += ID_BLOCK;
    return first;
}

static void give_block(struct jobs *jobs, int64_t first)
{
    jobs->kept_next = first;
    jobs->kept_limit = first + ID_BLOCK;
}

static void on_reserved(struct sqlite_write *w)
{
    struct reserving *r = list_entry(w, struct reserving, write);
    jobs_lock(r->jobs);
    r->jobs->reserving = false;
    if (!w->err.code)
        give_block(r->jobs, r->first);
    jobs_unlock(r->jobs);
    mem_free(r);
}

int64_t elsewhere_id(struct jobs *jobs, int count, struct err *err)
{
    struct reserving *r = NULL;
    int64_t id = 0;
    jobs_lock(jobs);
    if (jobs->kept_limit - jobs->kept_next >= count) {
        id = jobs->kept_next;
        jobs->kept_next += count;
    }
    if (!jobs->reserving && jobs->kept_limit - jobs->kept_next < ID_BLOCK / 2 && !jobs->closed) {
        jobs->reserving = true;
        r = mem_zero(1, sizeof *r);
        r->jobs = jobs;
        r->first = take_block(jobs);
    }
    jobs_unlock(jobs);
    if (r) {
        r->write = (struct sqlite_write){.work = reserve_work, .done = on_reserved};
        sqlite_write(jobs->db, &r->write, NULL);
    }
    if (!id)
        err_set(err, ERR_BUSY, "jobs: no ids lie ready, try again");
    return id;
}

/* -- into the transaction ---------------------------------------------------------------------- */

static void fill_body(struct buf *body, const struct push_op *op, const struct job_spec *spec,
                      const struct str *args)
{
    carry_int(body, op->first->id);
    carry_text(body, spec->kind);
    carry_text(body, spec->queue);
    carry_int(body, spec->priority);
    carry_int(body, spec->retries);
    carry_int(body, spec->timeout_ns);
    carry_int(body, spec->run_at_wall);
    carry_text(body, spec->unique);
    carry_int(body, spec->unique_queued);
    carry_int(body, spec->unique_period_ns);
    carry_text(body, spec->key);
    carry_int(body, spec->expires_ns);
    carry_int(body, spec->result_ttl_ns);
    carry_text(body, spec->trace);
    carry_int(body, op->count);
    for (int i = 0; i < op->count; i++)
        carry_text(body, args[i]);
    carry_text(body, str_c(op->jobs->driver->name));
}

static void on_inserted(struct carry_put *put)
{
    struct push_op *op = list_entry(put, struct elsewhere, put)->op;
    if (put->call.err.code)
        op->push->err = put->call.err;
    op->ran(op->push);
}

/* Kept: it is answered when its row has been brought. */
static void on_tx_end(struct carry_put *put, bool kept)
{
    struct elsewhere *e = list_entry(put, struct elsewhere, put);
    struct err err = {0};
    jobs_lock(e->jobs);
    bool brought = e->brought, stays = !brought && (kept || e->seen);
    e->ended = true;
    if (!brought && !stays) {
        map_remove(e->jobs->elsewhere, str_c(e->put.id));
        err = e->op->push->err;
    }
    jobs_unlock(e->jobs);
    if (stays)
        return;
    if (!brought && !err.code)
        err_set(&err, ERR_CANCELLED, "jobs: the transaction was rolled back");
    if (!brought)
        push_answer(e->jobs, e->op, &err);
    mem_free(e);
}

bool elsewhere_push(struct jobs *jobs, struct push_op *op, struct store_tx *tx,
                    const struct job_spec *spec, const struct str *args, struct err *err)
{
    struct buf body = {0};
    struct elsewhere *e = mem_zero(1, sizeof *e);
    e->jobs = jobs;
    e->op = op;
    e->put.ran = on_inserted;
    e->put.ended = on_tx_end;
    fill_body(&body, op, spec, args);
    if (!carry_insert(jobs->options.carry, &e->put, tx, noun_name, &body, err)) {
        mem_free(e);
        return false;
    }
    jobs_lock(jobs);
    map_set(jobs->elsewhere, str_c(e->put.id), e);
    jobs_unlock(jobs);
    return true;
}

/* -- out of it: this process pushed it --------------------------------------------------------- */

static struct elsewhere *of_write(struct sqlite_write *w)
{
    struct push_op *op = (struct push_op *)(void *)((char *)w - offsetof(struct push_op, write));
    return op->elsewhere;
}

static void on_ran(struct sqlite_write *w)
{
    carry_ran(of_write(w)->row, w->err.code ? &w->err : NULL);
}

/* Rolled back: its row comes again. */
static void on_taken(struct sqlite_write *w)
{
    struct elsewhere *e = of_write(w);
    struct carry_row *row = e->row;
    if (e->op->published) {
        push_answer(e->jobs, e->op, NULL);
        jobs_lock(e->jobs);
        map_remove(e->jobs->elsewhere, str_c(e->put.id));
        e->brought = true;
        bool last = e->ended;
        jobs_unlock(e->jobs);
        if (last)
            mem_free(e);
    }
    carry_done(row);
}

static void take(struct elsewhere *e, struct carry_row *row)
{
    struct push_op *op = e->op;
    e->row = row;
    op->elsewhere = e;
    op->write = (struct sqlite_write){
        .work = push_tx_work, .ran = on_ran, .committed = push_tx_committed, .done = on_taken};
    store_tx_work(row->tx, &op->write);
}

/* -- another process did ------------------------------------------------------------------------
 */

struct bringing {
    struct jobs_push push; /* first */
    struct carry_row *row;
};

static void on_push_ran(struct jobs_push *push)
{
    carry_ran(((struct bringing *)push)->row, push->err.code ? &push->err : NULL);
}

static void on_pushed(struct jobs_push *push)
{
    struct carry_row *row = ((struct bringing *)push)->row;
    mem_free(push);
    carry_done(row);
}

static void read_spec(struct str *body, struct job_spec *spec)
{
    spec->id = carry_next_int(body);
    spec->kind = carry_next(body);
    spec->queue = carry_next(body);
    spec->priority = (int)carry_next_int(body);
    spec->retries = (int)carry_next_int(body);
    spec->timeout_ns = carry_next_int(body);
    spec->run_at_wall = carry_next_int(body);
    spec->unique = carry_next(body);
    spec->unique_queued = carry_next_int(body) != 0;
    spec->unique_period_ns = carry_next_int(body);
    spec->key = carry_next(body);
    spec->expires_ns = carry_next_int(body);
    spec->result_ttl_ns = carry_next_int(body);
    spec->trace = carry_next(body);
}

static void make(struct jobs *jobs, struct carry_row *row)
{
    struct job_spec spec = {.id = 0};
    struct str body = row->body;
    struct err err = {0};
    read_spec(&body, &spec);
    int64_t count = carry_next_int(&body);
    if (count < 1 || count > JOBS_PUSH_COUNT)
        count = 0;
    struct str *args = mem_zero((size_t)count + 1, sizeof *args);
    for (int64_t i = 0; i < count; i++)
        args[i] = carry_next(&body);
    bool same = str_eq_c(carry_next(&body), jobs->driver->name);
    if (!same || (!row->own && !jobs->driver->shared)) /* an id of another queue */
        spec.id = 0;
    struct bringing *b = mem_zero(1, sizeof *b);
    b->push = (struct jobs_push){.done = on_pushed, .lane = jobs->options.lane};
    b->row = row;
    bool begun = jobs_push_tx(jobs, &b->push, row->tx, on_push_ran, &spec, args, (int)count, &err);
    mem_free(args);
    if (begun)
        return;
    mem_free(b);
    carry_ran(row, &err);
    carry_done(row);
}

static void bring(struct carry_row *row, void *arg)
{
    struct jobs *jobs = arg;
    jobs_lock(jobs);
    struct elsewhere *e = map_get(jobs->elsewhere, row->id);
    if (e)
        e->seen = true;
    jobs_unlock(jobs);
    if (e)
        take(e, row);
    else
        make(jobs, row);
}

/* -- life -------------------------------------------------------------------------------------- */

bool elsewhere_open(struct jobs *jobs, struct err *err)
{
    struct carry_noun noun = {.name = noun_name, .bring = bring, .arg = jobs};
    carry_add(jobs->options.carry, &noun);
    workflow_carry(jobs);
    if (jobs->driver->shared)
        return true;
    jobs_lock(jobs);
    int64_t first = take_block(jobs);
    jobs_unlock(jobs);
    if (!sqlite_work_wait(jobs->db, reserve_now, jobs, err))
        return false;
    jobs_lock(jobs);
    give_block(jobs, first);
    jobs_unlock(jobs);
    return true;
}

/* What was not brought is brought by the next process.  Lanes still turn; nobody waits there. */
void elsewhere_close(struct jobs *jobs)
{
    size_t at = 0;
    struct str name;
    void *value;
    struct err err;
    err_set(&err, ERR_CLOSED, "jobs: the server is stopping");
    while (map_next(jobs->elsewhere, &at, &name, &value)) {
        push_answer(jobs, ((struct elsewhere *)value)->op, &err);
        mem_free(value);
    }
    map_destroy(jobs->elsewhere);
}
