/* postgres/declare.c -- what this process's plugins declare, for limits that hold over all nodes.
 */
#include "jobs/postgres/postgres.h"

#include "base/mem.h"

/* ORDER of the arguments of maru.declare_kinds() and maru.declare_queues() behind the names. */
enum { KIND_NUMBERS = 8, QUEUE_NUMBERS = 6 };
static const Oid kind_types[KIND_NUMBERS] = {PG_INT2S, PG_INT4S, PG_INT4S, PG_INT4S,
                                             PG_INT8S, PG_INT8S, PG_INT8S, PG_INT8S};
static const Oid queue_types[QUEUE_NUMBERS] = {PG_INT4S, PG_INT8S, PG_INT8S,
                                               PG_INT4S, PG_INT8S, PG_INT8S};

struct kind_row {
    const char *name, *queue;
    int64_t numbers[KIND_NUMBERS];
};
struct queue_row {
    const char *name;
    int64_t numbers[QUEUE_NUMBERS];
};
struct declaration {
    struct buf kinds, queues; /* kind_row, queue_row */
    uint64_t hash;
};

static uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    return h;
}

static bool is_bounded(const struct job_queue_limits *l)
{
    return l->concurrency || l->rate.count || l->key_concurrency || l->key_rate.count;
}

/* Lock held.  Queues that kinds go to by themselves, and those that are bounded. */
static void read_queues(struct jobs *jobs, const struct shared_room *room, struct declaration *d)
{
    size_t at = 0;
    struct str name;
    void *value;
    while (map_next(jobs->queues, &at, &name, &value)) {
        const struct queue *q = value;
        const struct job_queue_limits *l = &q->declared;
        bool wanted = is_bounded(l);
        for (int i = 0; i < room->kinds && !wanted; i++)
            wanted = room->kind[i]->queue == q;
        struct queue_row row = {q->name,
                                {l->concurrency, l->rate.count, l->rate.period_ns,
                                 l->key_concurrency, l->key_rate.count, l->key_rate.period_ns}};
        if (wanted)
            buf_add(&d->queues, &row, sizeof row);
    }
}

static void read_all(struct pg *pg, const struct shared_room *room, int64_t node,
                     struct declaration *d)
{
    jobs_lock(pg->jobs);
    for (int i = 0; i < room->kinds; i++) {
        const struct kind *k = room->kind[i];
        const struct job_rate *rate = &k->limit.rate;
        struct kind_row row = {k->name,
                               k->queue->name,
                               {k->priority, k->retries + 1, room->most[i], k->key_concurrency,
                                rate->count, rate->period_ns, k->key_rate.count,
                                k->key_rate.period_ns}};
        buf_add(&d->kinds, &row, sizeof row);
    }
    read_queues(pg->jobs, room, d);
    jobs_unlock(pg->jobs);
    d->hash = mix(UINT64_C(0xcbf29ce484222325), &node, sizeof node);
    d->hash = mix(d->hash, d->kinds.p, d->kinds.n);
    d->hash = mix(d->hash, d->queues.p, d->queues.n);
}

static bool declare_queues(struct pg *pg, const struct declaration *d, struct err *err)
{
    const struct queue_row *rows = (const struct queue_row *)(const void *)d->queues.p;
    size_t n = d->queues.n / sizeof *rows;
    struct pg_args a = {0};
    pg_array(&a, PG_TEXTS);
    for (size_t i = 0; i < n; i++)
        pg_add_text(&a, str_c(rows[i].name), false);
    for (int column = 0; column < QUEUE_NUMBERS; column++) {
        pg_array(&a, queue_types[column]);
        for (size_t i = 0; i < n; i++)
            pg_add_int(&a, rows[i].numbers[column]);
    }
    PGresult *r =
        pg_call(&pg->to_claim, "SELECT maru.declare_queues($1, $2, $3, $4, $5, $6, $7)", &a, err);
    PQclear(r);
    return r != NULL;
}

/* Also fills pg->kinds, the ids of room->kind. */
static bool declare_kinds(struct pg *pg, const struct declaration *d, struct err *err)
{
    const struct kind_row *rows = (const struct kind_row *)(const void *)d->kinds.p;
    int n = (int)(d->kinds.n / sizeof *rows);
    struct pg_args a = {0};
    for (int column = 0; column < 2; column++) {
        pg_array(&a, PG_TEXTS);
        for (int i = 0; i < n; i++)
            pg_add_text(&a, str_c(column == 0 ? rows[i].name : rows[i].queue), false);
    }
    for (int column = 0; column < KIND_NUMBERS; column++) {
        pg_array(&a, kind_types[column]);
        for (int i = 0; i < n; i++)
            pg_add_int(&a, rows[i].numbers[column]);
    }
    PGresult *r =
        pg_call(&pg->to_claim, "SELECT maru.declare_kinds($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                &a, err);
    for (int i = 0; r && i < PQntuples(r) && i < n; i++)
        pg->kinds[i] = (int32_t)pg_get_int(r, i, 0);
    PQclear(r);
    return r != NULL;
}

/* So that every node can tell a job for which there is none. */
static bool tell_kinds(struct pg *pg, const struct shared_room *room, int64_t node, struct err *err)
{
    struct pg_args a = {0};
    pg_int(&a, node);
    pg_array(&a, PG_INT4S);
    for (int i = 0; i < room->kinds; i++)
        pg_add_int(&a, pg->kinds[i]);
    PGresult *r = pg_call(&pg->to_claim, "UPDATE maru.node SET kinds = $2 WHERE id = $1", &a, err);
    PQclear(r);
    return r != NULL;
}

bool pg_declare(struct pg *pg, const struct shared_room *room, int64_t node, struct err *err)
{
    struct declaration d = {0};
    read_all(pg, room, node, &d);
    bool ok =
        d.hash == pg->declared || (declare_queues(pg, &d, err) && declare_kinds(pg, &d, err) &&
                                   tell_kinds(pg, room, node, err));
    if (ok)
        pg->declared = d.hash;
    buf_free(&d.kinds);
    buf_free(&d.queues);
    return ok;
}
