/* postgres/claim.c -- the thread that asks for work. */
#include "jobs/postgres/postgres.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

enum {
    C_ID,
    C_FENCE,
    C_FLOW,
    C_PRIO,
    C_ATTEMPT,
    C_MAX,
    C_CRASHES,
    C_TIMEOUT,
    C_CREATED,
    C_RUN_AT,
    C_SCHEDULED,
    C_UNIQ,
    C_ERROR,
    C_ARGS,
    C_EXTRA,
};

static struct pg_flow *name_of(struct pg *pg, int64_t flow, struct err *err)
{
    struct pg_flow *f = index_get(&pg->names, flow);
    struct pg_args a = {0};
    if (f)
        return f;
    pg_int(&a, flow);
    PGresult *r = pg_call(&pg->to_claim,
                          "SELECT k.name, q.name FROM maru.flow f JOIN maru.kind k ON k.id = f.kind"
                          " JOIN maru.queue q ON q.id = f.queue WHERE f.id = $1",
                          &a, err);
    if (r && PQntuples(r) == 1) {
        f = mem_alloc(sizeof *f);
        *f = (struct pg_flow){str_dup(pg_get(r, 0, 0)), str_dup(pg_get(r, 0, 1))};
        index_set(&pg->names, flow, f);
    } else if (r)
        err_set(err, ERR_CORRUPT, "PostgreSQL: maru.flow has no row %lld", (long long)flow);
    PQclear(r);
    return f;
}

static struct job *read_job(struct pg *pg, const PGresult *r, int row, struct err *err)
{
    struct pg_flow *f = name_of(pg, pg_get_int(r, row, C_FLOW), err);
    if (!f)
        return NULL;
    struct job *job =
        shared_job(pg->jobs, pg_get_int(r, row, C_ID), (uint64_t)pg_get_int(r, row, C_FENCE),
                   str_c(f->kind), str_c(f->queue), pg_get(r, row, C_ARGS), pg_get(r, row, C_UNIQ));
    if (!job) {
        err_set(err, ERR_LIMIT, "jobs: %d names of kinds and queues are known", JOBS_NAMES);
        return NULL;
    }
    job->priority = (uint8_t)(pg_get_int(r, row, C_PRIO) % JOBS_PRIORITIES);
    job->attempt = (uint16_t)pg_get_int(r, row, C_ATTEMPT);
    job->max_attempts = (uint16_t)pg_get_int(r, row, C_MAX);
    job->crashes = (uint8_t)pg_get_int(r, row, C_CRASHES);
    job->created_at = pg_get_int(r, row, C_CREATED);
    job->run_at = pg_get_int(r, row, C_RUN_AT);
    extra_read(job, pg_get_int(r, row, C_TIMEOUT), pg_get_int(r, row, C_SCHEDULED));
    if (!PQgetisnull(r, row, C_ERROR))
        extra_set_error(job, str_dup(pg_get(r, row, C_ERROR)));
    if (!PQgetisnull(r, row, C_EXTRA) && !extra_parse(job, pg_get(r, row, C_EXTRA), err)) {
        log_error("jobs", "%lld: %s", (long long)job->id, err->message);
        err_clear(err);
    }
    return job;
}

static PGresult *ask(struct pg *pg, const struct shared_room *room, int64_t node, struct err *err)
{
    struct pg_args a = {0};
    pg_int(&a, node);
    pg_array(&a, PG_INT4S);
    for (int i = 0; i < room->kinds; i++)
        pg_add_int(&a, pg->kinds[i]);
    pg_int(&a, room->jobs);
    return pg_call_often(&pg->to_claim, "SELECT * FROM maru.claim($1, $2, $3::int)", &a, err);
}

/* What a claim took whose answer did not arrive goes back: the lease is this node's, which lives
 * on.  The node's row, which a claim holds, says that none is under way any more. */
static bool give_back_unseen(struct pg *pg, int64_t node, struct err *err)
{
    struct pg_args a = {0};
    if (!pg->unseen)
        return true;
    pg_int(&a, node);
    PGresult *r =
        pg_call(&pg->to_claim, "SELECT 1 FROM maru.node WHERE id = $1 FOR UPDATE", &a, err);
    if (!r)
        return false;
    PQclear(r);
    pg_int(&a, node);
    pg_int(&a, pg->last_fence);
    r = pg_call(&pg->to_claim, PG_GIVE_BACK(" WHERE c.node = $1 AND c.fence > $2"), &a, err);
    if (!r)
        return false;
    if (PQntuples(r))
        log_warn("jobs", "%d jobs go back: the answer that named them did not arrive",
                 PQntuples(r));
    PQclear(r);
    pg->unseen = false;
    return true;
}

static void drop_all(struct job *job)
{
    for (struct job *next; job; job = next) {
        next = job->next;
        job_unref(job);
    }
}

/* True when there is more. */
static bool claim(struct pg *pg, struct shared_room *room, int64_t node, struct err *err)
{
    struct job *first = NULL, **end = &first;
    int64_t began = clock_ns();
    if (!give_back_unseen(pg, node, err) || !pg_declare(pg, room, node, err))
        return false;
    pg->unseen = true;
    PGresult *r = ask(pg, room, node, err);
    int rows = r ? PQntuples(r) : 0;
    for (int i = 0; i + 1 < rows; i++) {
        struct job *job = read_job(pg, r, i, err);
        if (!job && err->code == ERR_IO)
            break;
        if (!job) { /* its lease runs out with this node's */
            log_error("jobs", "claimed %lld: %s", (long long)pg_get_int(r, i, C_ID), err->message);
            err_clear(err);
            continue;
        }
        *end = job;
        end = &job->next;
    }
    *end = NULL;
    if (rows && err->code != ERR_IO) {
        pg->unseen = false;
        pg->last_fence = pg_get_int(r, rows - 1, C_FENCE);
        shared_arrive(pg->jobs, first);
    } else
        drop_all(first);
    int64_t due = rows ? pg_get_int(r, rows - 1, C_RUN_AT) : 0;
    bool more = rows && !PQgetisnull(r, rows - 1, C_RUN_AT) && due == 0;
    int64_t poll = PG_POLL_MS * NS_PER_MS;
    pg->next_poll_ns = clock_ns() + (due > 0 && due < poll ? due : poll);
    PQclear(r);
    gauge_claim(pg->jobs, began);
    return more;
}

/* Lock held: sleeps until there may be something and there is room for it. */
static int64_t wait_for_work(struct pg *pg)
{
    for (;;) {
        if (pg->ending)
            return -1;
        bool due = pg->claim_wanted || clock_ns() >= pg->next_poll_ns;
        if (due && pg->node && atomic_exchange(&pg->room, false)) {
            pg->claim_wanted = false;
            pg->claiming = true;
            return pg->node;
        }
        if (due && !pg->node)
            pg->next_poll_ns = clock_ns() + PG_POLL_MS * NS_PER_MS;
        /* The engine signals only when `room` turns true, so a due look polls for it. */
        pg_sleep(pg, &pg->claim_wake, due ? clock_ns() + PG_POLL_MS * NS_PER_MS : pg->next_poll_ns);
    }
}

static void step(struct pg *pg, int64_t node)
{
    struct err err = {0};
    bool more = false;
    shared_room(pg->jobs, &pg->room_now);
    int left = pg->room_now.jobs - atomic_load(&pg->coming);
    pg->room_now.jobs = left > 0 ? left : 0;
    if (pg->room_now.jobs == 0 || pg->room_now.kinds == 0) {
        more = true; /* unchanged: what is there stays there until there is room */
    } else {
        more = pg_connect(&pg->to_claim, &err) && claim(pg, &pg->room_now, node, &err);
        if (!err.code) {
            atomic_store(&pg->room, true); /* to be looked at again, it may not be full */
            pg_unclaimed(pg, NULL);
        }
    }
    if (err.code == ERR_IO)
        pg_away(pg, &err);
    else if (err.code && err.code != ERR_CONFLICT) /* the lease is lost, beat sees to it */
        pg_unclaimed(pg, &err);
    if (err.code) {
        atomic_store(&pg->room, true);
        pg->next_poll_ns = clock_ns() + PG_POLL_MS * NS_PER_MS / 5;
    }
    pthread_mutex_lock(&pg->lock);
    pg->claim_wanted = pg->claim_wanted || more;
    pg->claiming = false;
    pg->caught_up = !more && !err.code;
    pthread_cond_signal(&pg->claim_over);
    pthread_mutex_unlock(&pg->lock);
}

void *pg_claim_main(void *arg)
{
    struct pg *pg = arg;
    int64_t node;
    pg->kinds = mem_zero(SHARED_KINDS, sizeof *pg->kinds);
    for (;;) {
        pthread_mutex_lock(&pg->lock);
        node = wait_for_work(pg);
        pthread_mutex_unlock(&pg->lock);
        if (node < 0)
            break;
        step(pg, node);
    }
    pg_disconnect(&pg->to_claim);
    mem_free(pg->kinds);
    return NULL;
}
