/* postgres/put.c -- pushes, in a transaction.
 *
 * What this node's lanes have room for is claimed with its row, if nothing bounds it and nothing
 * is due before it (maru.put_here): a claim would take it next, and has its row read back. */
#include "jobs/postgres/postgres.h"

#include "base/mem.h"

int pg_flow_of(struct pg *pg, const struct job *job, struct err *err)
{
    struct buf key = {0};
    struct pg_args a = {0};
    buf_add(&key, job->kind->name, strlen(job->kind->name) + 1);
    buf_add_c(&key, job->queue->name);
    int flow = (int)(intptr_t)map_get(pg->flows, buf_str(&key));
    if (!flow) {
        pg_text(&a, job->kind->name);
        pg_text(&a, job->queue->name);
        PGresult *r = pg_call(&pg->to_write, "SELECT maru.flow($1, $2)", &a, err);
        flow = r ? (int)pg_get_int(r, 0, 0) : 0;
        PQclear(r);
        if (flow)
            map_set(pg->flows, buf_str(&key), (void *)(intptr_t)flow);
    }
    buf_free(&key);
    return flow;
}

void pg_forget_flows(struct pg *pg)
{
    map_destroy(pg->flows);
    pg->flows = map_create();
}

static bool next_block(struct pg *pg, int64_t *first, struct err *err)
{
    struct pg_args a = {0};
    PGresult *r = pg_call(&pg->to_write, "SELECT nextval('maru.block')", &a, err);
    if (!r)
        return false;
    *first = pg_get_int(r, 0, 0) << PG_BLOCK_BITS;
    PQclear(r);
    return true;
}

/* Ids for a push that found none lying ready; the engine gets a fresh block too. */
bool pg_give_ids(struct pg *pg, struct push_op *op, struct err *err)
{
    int64_t first;
    int64_t count = op->crowd ? crowd_ids(op) : op->count;
    if (pg->id_limit - pg->next_id < count) {
        if (!next_block(pg, &pg->next_id, err))
            return false;
        pg->id_limit = pg->next_id + (INT64_C(1) << PG_BLOCK_BITS);
        if (!next_block(pg, &first, err))
            return false;
        shared_ids(pg->jobs, first, first + (INT64_C(1) << PG_BLOCK_BITS));
    }
    if (op->crowd)
        crowd_number(op, pg->next_id);
    int64_t id = pg->next_id;
    for (struct job *job = op->first; job && !op->crowd; job = job->next)
        job->id = id++;
    pg->next_id += count;
    return true;
}

bool pg_ids(struct pg *pg, struct err *err)
{
    int64_t first;
    jobs_lock(pg->jobs);
    bool enough = pg->jobs->id_limit - pg->jobs->next_id >= INT64_C(1) << (PG_BLOCK_BITS - 2);
    jobs_unlock(pg->jobs);
    if (enough)
        return true;
    if (!pg_connect(&pg->to_write, err) || !next_block(pg, &first, err))
        return false;
    shared_ids(pg->jobs, first, first + (INT64_C(1) << PG_BLOCK_BITS));
    return true;
}

static bool take_fires(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    struct index got = {0};
    pg_array(&a, PG_INT8S);
    for (struct push_op *op = pg->pushes; op; op = op->next)
        if (op->schedule)
            pg_add_int(&a, op->first->id);
    bool any = a.counts[0] > 0;
    pg_array(&a, PG_TEXTS);
    for (struct push_op *op = pg->pushes; op; op = op->next)
        if (op->schedule)
            pg_add_text(&a, str_c(op->schedule), false);
    pg_array(&a, PG_INT8S);
    for (struct push_op *op = pg->pushes; op; op = op->next)
        if (op->schedule)
            pg_add_int(&a, op->instant / NS_PER_SECOND);
    if (!any) {
        pg_args_free(&a);
        return true;
    }
    bool ok =
        pg_collect(pg, pg_call(&pg->to_write, "SELECT maru.take_fires($1, $2, $3)", &a, err), &got);
    for (struct push_op *op = pg->pushes; op && ok; op = op->next)
        op->fired_before = op->schedule && !index_get(&got, op->first->id);
    index_free(&got);
    return ok;
}

/* An instant whose job was not made may still be fired. */
static bool give_back_fires(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    pg_array(&a, PG_TEXTS);
    for (struct push_op *op = pg->pushes; op; op = op->next)
        if (op->schedule && op->duplicate)
            pg_add_text(&a, str_c(op->schedule), false);
    bool any = a.counts[0] > 0;
    pg_array(&a, PG_INT8S);
    for (struct push_op *op = pg->pushes; op; op = op->next)
        if (op->schedule && op->duplicate)
            pg_add_int(&a, op->instant / NS_PER_SECOND);
    PGresult *r =
        any ? pg_call(&pg->to_write, "SELECT maru.give_back_fires($1, $2)", &a, err) : NULL;
    pg_args_free(&a);
    PQclear(r);
    return r || !any;
}

/* A cursor over the batch's jobs that are to be written: new ones, or those that replace. */
struct cursor {
    struct push_op *op;
    struct job *job;
    bool replacing;
};
static struct job *next_job(struct cursor *c)
{
    while (c->op && (!c->job || c->op->fired_before || c->op->duplicate ||
                     c->replacing != (c->op->replaced != 0))) {
        c->op = c->op->next;
        c->job = c->op ? c->op->first : NULL;
    }
    struct job *job = c->op ? c->job : NULL;
    if (job)
        c->job = job->next;
    return job;
}

enum column {
    HERE,
    ID,
    FLOW,
    PRIO,
    ATTEMPTS,
    DELAY,
    TIMEOUT,
    SCHEDULED,
    UNIQ,
    KEY,
    ARGS,
    EXTRA,
    COLUMNS
};
static const Oid column_types[COLUMNS] = {PG_INT2S, PG_INT8S, PG_INT4S, PG_INT2S,
                                          PG_INT2S, PG_INT8S, PG_INT4S, PG_INT8S,
                                          PG_TEXTS, PG_TEXTS, PG_TEXTS, PG_TEXTS};

static void add_extra(struct pg_args *a, const struct job *job)
{
    struct buf text = {0};
    if (job->extra)
        extra_print(job->extra, &text);
    pg_add_text(a, buf_str(&text), text.n == 0);
    buf_free(&text);
}

static void add_column(struct pg_args *a, enum column column, const struct push_op *op,
                       const struct job *job, int flow)
{
    const struct job_extra *extra = job_extra(job);
    int64_t delay = job->run_at - job->created_at;
    switch (column) {
    case HERE:
        pg_add_int(a, extra->lease != 0);
        break;
    case ID:
        pg_add_int(a, op->replaced ? op->replaced : job->id);
        break;
    case FLOW:
        pg_add_int(a, flow);
        break;
    case PRIO:
        pg_add_int(a, job->priority);
        break;
    case ATTEMPTS:
        pg_add_int(a, job->max_attempts);
        break;
    case DELAY:
        pg_add_int(a, delay > 0 ? delay : 0);
        break;
    case TIMEOUT:
        pg_add_int(a, extra->timeout_ms);
        break;
    case SCHEDULED:
        pg_add_int(a, extra->scheduled_at);
        break;
    case UNIQ:
        pg_add_text(a, job_unique(job), job->unique_n == 0);
        break;
    case KEY:
        pg_add_text(a, str_c(extra->key), !extra->key);
        break;
    case ARGS:
        pg_add_text(a, job_args(job), false);
        break;
    case EXTRA:
        add_extra(a, job);
        break;
    case COLUMNS:
        break;
    }
}

/* One call's rows, from *c on; *flows are theirs.  False with *err. */
static bool add_columns(struct pg *pg, struct pg_args *a, struct cursor *c, int *flows,
                        struct err *err)
{
    struct cursor end = *c;
    for (int column = pg->here ? HERE : ID; column < COLUMNS; column++) {
        struct cursor at = *c;
        const struct push_op *last = NULL;
        struct job *job;
        int flow = 0;
        pg_array(a, column_types[column]);
        for (int n = 0; n < PG_ROWS && (job = next_job(&at)); n++) {
            if (column == FLOW && (at.op != last || at.op->crowd) &&
                !(flow = pg_flow_of(pg, job, err)))
                return false;
            last = at.op;
            if (column == FLOW)
                flows[n] = flow;
            add_column(a, (enum column)column, at.op, job, flow);
        }
        end = at;
    }
    *c = end;
    return true;
}

/* The rows from `c` on have been put: those whose flow is in the answer are this node's. */
static void take_here(struct pg *pg, struct cursor c, const int *flows, int rows, PGresult *r)
{
    struct index fences = {0};
    for (int i = 0; r && i < PQntuples(r); i++)
        index_set(&fences, pg_get_int(r, i, 0), (void *)(intptr_t)pg_get_int(r, i, 1));
    for (int n = 0; n < rows; n++) {
        struct job *job = next_job(&c);
        int64_t fence = (intptr_t)index_get(&fences, flows[n]);
        bool marked = job_extra(job)->lease != 0;
        if (marked)
            job->extra->lease = (uint64_t)fence;
        pg->waits = pg->waits || !marked || !fence;
        pg->refused = pg->refused || (marked && !fence);
    }
    index_free(&fences);
}

static const char PUT[] = "SELECT maru.put($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)";
static const char PUT_AGAIN[] = "SELECT maru.put_again($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)";
static const char PUT_HERE[] =
    "SELECT flow, fence FROM maru.put_here($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13)";

static bool put(struct pg *pg, struct cursor *c, struct err *err)
{
    struct pg_args a = {0};
    struct cursor first = *c;
    int *flows = mem_alloc(PG_ROWS * sizeof *flows);
    if (pg->here)
        pg_int(&a, pg->here);
    bool ok = add_columns(pg, &a, c, flows, err);
    int rows = ok ? a.counts[a.n - 1] : 0;
    PGresult *r = NULL;
    if (rows) {
        const char *sql = pg->here ? PUT_HERE : c->replacing ? PUT_AGAIN : PUT;
        r = pg_call_often(&pg->to_write, sql, &a, err);
        take_here(pg, first, flows, rows, pg->here ? r : NULL);
    }
    pg_args_free(&a);
    PQclear(r);
    mem_free(flows);
    return ok && (r || !rows);
}

static bool put_all(struct pg *pg, bool replacing, struct err *err)
{
    struct cursor c = {.op = pg->pushes, .replacing = replacing};
    c.job = c.op ? c.op->first : NULL;
    for (struct cursor look = c; next_job(&look); look = c)
        if (!put(pg, &c, err))
            return false;
    return true;
}

bool pg_write_pushes(struct pg *pg, struct push_op *pushes, struct err *err)
{
    bool special = false;
    pg->pushes = pushes;
    for (struct push_op *op = pushes; op; op = op->next) {
        op->fired_before = op->duplicate = false;
        op->replaced = 0;
        special = special || op->schedule || op->first->unique_n;
        if (op->first->id == 0 && !pg_give_ids(pg, op, err))
            return false;
    }
    if (!pg_write_crowds(pg, pushes, err))
        return false;
    if (special && (!take_fires(pg, err) || !pg_take_keys(pg, err) || !give_back_fires(pg, err)))
        return false;
    if (!put_all(pg, false, err))
        return false;
    pg->here = 0; /* what replaces, and what is pushed later in this transaction, waits */
    return !special || put_all(pg, true, err);
}
