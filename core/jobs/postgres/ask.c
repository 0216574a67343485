/* postgres/ask.c -- looks and changes of an operator, counts, upkeep, nodes that are gone. */
#include "jobs/postgres/postgres.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

enum {
    LIMIT_DEFAULT = 50,
    LIMIT_MOST = 500,
    COUNT_MS = 2000,  /* counts are at most so old while somebody looks */
    COUNT_SHARE = 20, /* and take at most this part of the time */
    UPKEEP_MS = 30000,
    REAPS = 8, /* a lease */
};

/* The numbers below. */
_Static_assert(JOB_READY == 1 && JOB_DONE == 4 && JOB_EXPIRED == 6 && JOB_DEAD == 7 &&
                   JOB_END_CANCELLED == 4 && JOB_END_EXPIRED == 6,
               "ORDER job_state, job_end");

/* $1 after which id (descending), $2 limit, $3 id or 0, $4 kind, $5 queue, $6 text or null.
 * Columns: id kind queue prio attempt max crashes created run started finished args error result
 * state uniq extra */
#define NAMES                                                                                      \
    " JOIN maru.flow f ON f.id = j.flow JOIN maru.kind k ON k.id = f.kind"                         \
    " JOIN maru.queue q ON q.id = f.queue"                                                         \
    " WHERE j.id < $1 AND ($3 = 0 OR j.id = $3) AND ($4 = '' OR k.name = $4)"                      \
    " AND ($5 = '' OR q.name = $5)"
#define TEXT(columns)                                                                              \
    " AND ($6 = '' OR strpos(lower(concat_ws(' ', k.name, " columns ")), lower($6)) > 0)"
#define HEAD "SELECT j.id, k.name, q.name, j.prio, j.attempt, j.max_attempts, "
#define TAIL " ORDER BY j.id DESC LIMIT $2"

static const char unfinished[] =
    HEAD "j.crashes, j.created_at, j.run_at, c.at, 0, j.args, j.error, NULL,"
         " CASE WHEN c.id IS NOT NULL THEN 3 WHEN j.run_at > maru.now() THEN 2 ELSE 1 END,"
         " j.uniq, j.extra FROM maru.job j LEFT JOIN maru.claimed c ON c.id = j.id" NAMES TEXT(
             "j.args, j.error") " AND ($7 = 0 OR $7 = CASE WHEN c.id IS NOT NULL THEN 3 WHEN "
                                "j.run_at > maru.now() THEN 2"
                                " ELSE 1 END)" TAIL;
static const char running[] =
    HEAD "j.crashes, j.created_at, j.run_at, c.at, 0, j.args, j.error, NULL, 3,"
         " j.uniq, j.extra FROM maru.claimed c JOIN maru.job j ON j.id = c.id" NAMES TEXT(
             "j.args, j.error") " AND $7 = 3" TAIL;
static const char dead[] =
    HEAD "j.crashes, j.created_at, 0, j.started_at, j.dead_at, j.args, j.error, NULL, 7,"
         " j.uniq, j.extra FROM maru.dead j" NAMES TEXT("j.args, j.error") " AND $7 IN (0, 7)" TAIL;
static const char done[] =
    HEAD "0, j.created_at, 0, j.started_at, j.finished_at, NULL, NULL, j.result, 4,"
         " NULL, NULL FROM maru.done j" NAMES TEXT(
             "''") " AND j.expires_at > maru.now() AND $7 IN (0, 4)" TAIL;
static const char past[] = HEAD
    "0, j.created_at, 0, j.started_at, j.finished_at, NULL, NULL, NULL,"
    " CASE j.fin WHEN 0 THEN 4 WHEN 4 THEN 5 ELSE 6 END, NULL, NULL FROM maru.past j" NAMES TEXT(
        "''") " AND ($7 = 0 OR $7 = CASE j.fin WHEN 0 THEN 4 WHEN 4 THEN 5 ELSE 6 END)" TAIL;

static void print_found(struct buf *out, const PGresult *r, int i)
{
    char *kind = str_dup(pg_get(r, i, 1)), *queue = str_dup(pg_get(r, i, 2));
    struct job_row row = {
        .id = pg_get_int(r, i, 0),
        .kind = kind,
        .queue = queue,
        .priority = (int)pg_get_int(r, i, 3),
        .attempt = (int)pg_get_int(r, i, 4),
        .max_attempts = (int)pg_get_int(r, i, 5),
        .crashes = (int)pg_get_int(r, i, 6),
        .created_at = pg_get_int(r, i, 7),
        .run_at = pg_get_int(r, i, 8),
        .started_at = pg_get_int(r, i, 9),
        .finished_at = pg_get_int(r, i, 10),
        .args = pg_get(r, i, 11),
        .error = pg_get(r, i, 12),
        .result = pg_get(r, i, 13),
        .has_result = !PQgetisnull(r, i, 13),
        .state = (enum job_state)pg_get_int(r, i, 14),
        .unique = pg_get(r, i, 15),
    };
    struct job *rare = job_create(STR(""), STR("")); /* for its extra */
    struct err ignored = {0};
    extra_parse(rare, pg_get(r, i, 16), &ignored);
    row.extra = rare->extra;
    if (row.state == JOB_RUNNING) /* an attempt counts when it ended; this one is under way */
        row.attempt++;
    if (out->n)
        buf_add_char(out, ',');
    print_row(out, &row);
    job_unref(rare);
    mem_free(kind);
    mem_free(queue);
}

static void add_text(struct pg_args *a, struct str text)
{
    char *copy = str_dup(text);
    pg_text(a, copy);
    mem_free(copy);
}

/* Rows of one table behind *after; returns how many, < 0 with q->err. */
static int look(struct pg *pg, struct jobs_query *q, const char *sql, int64_t *after, int left)
{
    struct pg_args a = {0};
    pg_int(&a, *after);
    pg_int(&a, left);
    pg_int(&a, q->id);
    add_text(&a, q->kind);
    add_text(&a, q->queue);
    add_text(&a, q->text);
    pg_int(&a, q->id ? 0 : q->state);
    PGresult *r = pg_call(&pg->to_ask, sql, &a, &q->err);
    int rows = r ? PQntuples(r) : -1;
    for (int i = 0; i < rows; i++)
        print_found(&q->out, r, i);
    if (rows > 0)
        *after = pg_get_int(r, rows - 1, 0);
    PQclear(r);
    return rows;
}

/* `after` is "table.id": the tables one after the other, each from its newest on. */
static void list(struct pg *pg, struct jobs_query *q)
{
    const char *const tables[] = {q->state == JOB_RUNNING && !q->id ? running : unfinished, dead,
                                  done, past};
    int left = q->id                   ? 1
               : q->limit <= 0         ? LIMIT_DEFAULT
               : q->limit > LIMIT_MOST ? LIMIT_MOST
                                       : q->limit;
    long long table = 0, id = INT64_MAX;
    struct str rest = q->after;
    if (rest.n && !(str_int64(str_split(&rest, '.'), &table) && str_int64(rest, &id) &&
                    table >= 0 && table < 4)) {
        err_set(&q->err, ERR_INVALID, "after is not what an answer's next said");
        return;
    }
    int64_t after = id;
    for (; table < 4 && left > 0; table++, after = INT64_MAX) {
        int rows = look(pg, q, tables[table], &after, left);
        if (rows < 0 || (q->id && rows > 0))
            return;
        left -= rows;
        if (left == 0 && !q->id)
            snprintf(q->next, sizeof q->next, "%lld.%lld", table, (long long)after);
    }
}

static void count_matches(struct pg *pg, struct jobs_query *q)
{
    struct pg_args a = {0};
    add_text(&a, q->kind);
    add_text(&a, q->queue);
    PGresult *r = pg_call(
        &pg->to_ask,
        "WITH fl AS (SELECT f.id FROM maru.flow f JOIN maru.kind k ON k.id = f.kind JOIN "
        "maru.queue q ON"
        " q.id = f.queue WHERE ($1 = '' OR k.name = $1) AND ($2 = '' OR q.name = $2))"
        " SELECT (SELECT count(*) FROM maru.ready r JOIN fl ON fl.id = r.flow WHERE r.run_at <= "
        "maru.now())"
        " + (SELECT count(*) FROM maru.parked p JOIN fl ON fl.id = p.flow),"
        " (SELECT count(*) FROM maru.ready r JOIN fl ON fl.id = r.flow WHERE r.run_at > "
        "maru.now()),"
        " (SELECT count(*) FROM maru.claimed c JOIN fl ON fl.id = c.flow),"
        " (SELECT count(*) FROM maru.done d JOIN fl ON fl.id = d.flow WHERE d.expires_at > "
        "maru.now())"
        " + (SELECT count(*) FROM maru.past p JOIN fl ON fl.id = p.flow WHERE p.fin = 0),"
        " (SELECT count(*) FROM maru.past p JOIN fl ON fl.id = p.flow WHERE p.fin = 4),"
        " (SELECT count(*) FROM maru.past p JOIN fl ON fl.id = p.flow WHERE p.fin = 6),"
        " (SELECT count(*) FROM maru.dead d JOIN fl ON fl.id = d.flow)",
        &a, &q->err);
    static const enum job_state states[] = {JOB_READY,     JOB_DELAYED, JOB_RUNNING, JOB_DONE,
                                            JOB_CANCELLED, JOB_EXPIRED, JOB_DEAD};
    for (int i = 0; r && i < 7; i++)
        q->counts[states[i]] = pg_get_int(r, 0, i);
    PQclear(r);
}

static void answer_query(struct lane_message *message)
{
    struct jobs_query *q = (struct jobs_query *)(void *)message;
    q->done(q);
}

static void answer_change(struct lane_message *message)
{
    struct jobs_change *c = (struct jobs_change *)(void *)message;
    c->done(c);
}

static void run_query(struct pg *pg, const struct pg_ask *ask)
{
    struct jobs_query *q = ask->query;
    if (ask->batch) {
        pg_show_batch(pg, q);
    } else if (pg_connect(&pg->to_ask, &q->err)) {
        if (q->ids_of)
            pg_find_ids(pg, q);
        else
            list(pg, q);
        if (q->id && q->out.n && !q->err.code) {
            pg_print_attempts(pg, q);
            pg_why(pg, q);
        }
        if (q->count && !q->err.code)
            count_matches(pg, q);
    }
    q->message.fn = answer_query;
    lane_post(q->lane, &q->message);
}

/* What such a job means for its run is decided where that is written. */
static bool is_dead_step(struct pg *pg, int64_t id, struct err *err)
{
    struct pg_args a = {0};
    pg_int(&a, id);
    PGresult *r = pg_call(&pg->to_ask,
                          "SELECT 1 FROM maru.dead WHERE id = $1 AND extra ~ '\"step\":'", &a, err);
    bool is = r && PQntuples(r);
    PQclear(r);
    return is;
}

static void run_change(struct pg *pg, struct pg_ask *ask)
{
    struct jobs_change *c = ask->change;
    struct pg_args a = {0};
    PGresult *r = NULL;
    c->err = (struct err){0};
    bool ok = pg_connect(&pg->to_ask, &c->err);
    if (ok && ask->retry && is_dead_step(pg, ask->id, &c->err)) {
        workflow_retry(pg->jobs, c, ask->id);
        return;
    }
    if (ok && !c->err.code) {
        pg_int(&a, ask->id);
        r = pg_call(&pg->to_ask, ask->sql, &a, &c->err);
    }
    if (r && PQgetisnull(r, 0, 0))
        err_set(&c->err, ERR_NOT_FOUND, "jobs: no such job %lld", (long long)ask->id);
    PQclear(r);
    c->message.fn = answer_change;
    if (c->lane)
        lane_post(c->lane, &c->message);
    else
        c->done(c);
    pthread_mutex_lock(&pg->lock);
    pg->claim_wanted = pg->look_wanted = true;
    pthread_cond_signal(&pg->claim_wake);
    pthread_mutex_unlock(&pg->lock);
}

void pg_submit(struct jobs *jobs, struct pg_ask ask)
{
    struct pg *pg = jobs->record;
    struct pg_ask *a = mem_alloc(sizeof *a);
    *a = ask;
    pthread_mutex_lock(&pg->lock);
    list_push_back(&pg->asks, &a->link);
    pthread_cond_signal(&pg->ask_wake);
    pthread_mutex_unlock(&pg->lock);
}

void pg_look_soon(struct pg *pg)
{
    pthread_mutex_lock(&pg->lock);
    pg->look_wanted = true;
    pthread_cond_signal(&pg->ask_wake);
    pthread_mutex_unlock(&pg->lock);
}

void pg_query(struct jobs *jobs, struct jobs_query *query)
{
    pg_submit(jobs, (struct pg_ask){.query = query});
}

void pg_cancel(struct jobs *jobs, struct jobs_change *change, int64_t id)
{
    pg_submit(jobs, (struct pg_ask){.change = change, .id = id, .sql = "SELECT maru.cancel($1)"});
}

void pg_retry(struct jobs *jobs, struct jobs_change *change, int64_t id)
{
    pg_submit(jobs, (struct pg_ask){
                        .change = change, .id = id, .sql = "SELECT maru.retry($1)", .retry = true});
}

void pg_discard(struct jobs *jobs, struct jobs_change *change, int64_t id)
{
    pg_submit(jobs, (struct pg_ask){.change = change, .id = id, .sql = "SELECT maru.discard($1)"});
}

static const char count_queues[] =
    "WITH r AS (SELECT f.queue, count(*) FILTER (WHERE r.run_at <= maru.now()) AS ready,"
    " count(*) FILTER (WHERE r.run_at > maru.now()) AS delayed"
    " FROM (SELECT flow, run_at FROM maru.ready UNION ALL SELECT flow, 0 FROM maru.parked) r"
    " JOIN maru.flow f ON f.id = r.flow GROUP BY 1),"
    " c AS (SELECT f.queue, count(*) AS n FROM maru.claimed c JOIN maru.flow f ON f.id = c.flow "
    "GROUP BY 1),"
    " d AS (SELECT f.queue, count(*) AS n FROM maru.dead d JOIN maru.flow f ON f.id = d.flow GROUP "
    "BY 1)"
    " SELECT q.name, r.ready, r.delayed, c.n, d.n, " PG_SETTINGS
    " FROM maru.queue q LEFT JOIN r ON r.queue = q.id"
    " LEFT JOIN c ON c.queue = q.id LEFT JOIN d ON d.queue = q.id";

static bool nodes(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    struct buf all = {0};
    pthread_mutex_lock(&pg->lock);
    pg_int(&a, pg->node);
    pthread_mutex_unlock(&pg->lock);
    PGresult *r = pg_call(&pg->to_ask,
                          "SELECT running FROM maru.node WHERE id <> $1 AND expires_at > maru.now()"
                          " ORDER BY name",
                          &a, err);
    for (int i = 0; r && i < PQntuples(r); i++) {
        struct str list = pg_get(r, i, 0);
        if (list.n > 2 && all.n)
            buf_add_char(&all, ',');
        if (list.n > 2)
            buf_add_str(&all, str_n(list.p + 1, list.n - 2));
    }
    if (r)
        shared_others(pg->jobs, buf_str(&all));
    PQclear(r);
    buf_free(&all);
    return r != NULL;
}

static bool count(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    int64_t began = clock_ns();
    PGresult *r = pg_call(&pg->to_ask, count_queues, &a, err);
    for (int i = 0; r && i < PQntuples(r); i++) {
        struct job_queue_change now = pg_read_settings(r, i, 5);
        settings_seen(pg->jobs, pg_get(r, i, 0), &now);
        shared_seen(pg->jobs, pg_get(r, i, 0), pg_get_int(r, i, 1), pg_get_int(r, i, 2),
                    pg_get_int(r, i, 3), pg_get_int(r, i, 4));
    }
    PQclear(r);
    bool ok = r && nodes(pg, err) && pg_see_cards(pg, err) && pg_count_workflows(pg, err) &&
              pg_observe(pg, err);
    int64_t pause = (clock_ns() - began) * COUNT_SHARE;
    if (pause < COUNT_MS * NS_PER_MS)
        pause = COUNT_MS * NS_PER_MS;
    pg->next_count_ns = clock_ns() + pause;
    return ok;
}

/* Only who held its own lease all the time may say that another's ran out: after the database
 * was away everybody gets the time to renew. */
static bool reap(struct pg *pg, struct err *err)
{
    struct pg_args a = {0};
    pthread_mutex_lock(&pg->lock);
    bool may = pg->steady_ns && clock_ns() - pg->steady_ns >= pg->lease_ns;
    pthread_mutex_unlock(&pg->lock);
    pg->next_reap_ns = clock_ns() + pg->lease_ns / REAPS;
    if (!may)
        return true;
    PGresult *r = pg_call(&pg->to_ask, "SELECT * FROM maru.reap()", &a, err);
    for (int i = 0; r && i < PQntuples(r); i++)
        log_warn("jobs", "node %s is gone; %lld jobs it had come back", PQgetvalue(r, i, 0),
                 (long long)pg_get_int(r, i, 1));
    if (r && PQntuples(r)) {
        pthread_mutex_lock(&pg->lock);
        pg->claim_wanted = true;
        pthread_cond_signal(&pg->claim_wake);
        pthread_mutex_unlock(&pg->lock);
        pg_run(&pg->to_ask, "NOTIFY maru, 'w'", err);
    }
    PQclear(r);
    return r != NULL;
}

static bool upkeep(struct pg *pg, struct err *err)
{
    pg->next_upkeep_ns = clock_ns() + UPKEEP_MS * NS_PER_MS;
    workflow_poll(pg->jobs); /* runs that are old */
    return pg_prepare(pg, &pg->to_ask, err) && pg_cancel_orphans(pg, err);
}

static bool look_for_workflows(struct pg *pg, struct err *err)
{
    pg->next_look_ns = clock_ns() + COUNT_MS / 4 * NS_PER_MS;
    return pg_look_for_workflows(pg, err);
}

static void tick(struct pg *pg)
{
    struct err err = {0};
    int64_t now = clock_ns();
    pthread_mutex_lock(&pg->lock);
    if (pg->count_wanted)
        pg->next_count_ns = 0;
    if (pg->look_wanted)
        pg->next_look_ns = 0;
    pg->count_wanted = pg->look_wanted = false;
    pthread_mutex_unlock(&pg->lock);
    if (now < pg->next_reap_ns && now < pg->next_count_ns && now < pg->next_upkeep_ns &&
        now < pg->next_look_ns)
        return;
    bool ok = pg_connect(&pg->to_ask, &err) && (now < pg->next_reap_ns || reap(pg, &err)) &&
              (now < pg->next_look_ns || look_for_workflows(pg, &err)) &&
              (now < pg->next_count_ns || count(pg, &err)) &&
              (now < pg->next_upkeep_ns || upkeep(pg, &err));
    if (!ok && err.code != ERR_IO)
        log_error("jobs", "upkeep: %s", err.message);
    if (!ok)
        pg->next_reap_ns = pg->next_count_ns = pg->next_look_ns =
            clock_ns() + COUNT_MS / 4 * NS_PER_MS;
}

void *pg_ask_main(void *arg)
{
    struct pg *pg = arg;
    pg->next_upkeep_ns = clock_ns() + UPKEEP_MS * NS_PER_MS;
    pthread_mutex_lock(&pg->lock);
    while (!pg->ending || !list_empty(&pg->asks)) {
        struct pg_ask *ask =
            list_empty(&pg->asks) ? NULL : list_entry(pg->asks.next, struct pg_ask, link);
        if (ask)
            list_remove(&ask->link);
        else
            pg_sleep(pg, &pg->ask_wake, clock_ns() + COUNT_MS / 4 * NS_PER_MS);
        pthread_mutex_unlock(&pg->lock);
        if (ask && ask->query)
            run_query(pg, ask);
        else if (ask && ask->workflow)
            pg_show_workflow(pg, ask->workflow);
        else if (ask)
            run_change(pg, ask);
        mem_free(ask);
        tick(pg);
        pthread_mutex_lock(&pg->lock);
    }
    pthread_mutex_unlock(&pg->lock);
    pg_disconnect(&pg->to_ask);
    return NULL;
}
