/* query.c -- looks at jobs, on a pool thread: first which ones, then what they are.  Memory
 * is scanned in slices, so that nobody waits long for the lock; a job that changes
 * its state meanwhile may be seen in either, or not at all. */

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "jobs/driver.h"
#include "jobs/look.h"

enum {
    LIMIT_DEFAULT = 50,
    LIMIT_MOST = 500,
    SLICE_JOBS = 1024,
    SLICE_RECORDS = 8192,
    SLICE_BYTES = 256 << 10, /* of texts */
};

bool look_wants(const struct jobs_query *q, enum job_state state)
{
    if (q->ids_of)
        return q->ids_of & 1u << state;
    return q->state == JOB_ANY || q->state == state;
}

void look_offer(struct look *l, enum job_state state, int64_t key, int64_t id,
                enum pick_source source)
{
    l->query->counts[state]++;
    if (l->query->ids_of) {
        if (look_wants(l->query, state))
            buf_add(&l->query->out, &id, sizeof id);
        return;
    }
    if (look_wants(l->query, state) &&
        (key > l->after_key || (key == l->after_key && id > l->after_id)))
        picks_add(&l->picks, key, id, source);
}

void look_separate(struct buf *out)
{
    if (out->n)
        buf_add_char(out, ',');
}

/* -- memory --------------------------------------------------------------------------------- */

/* Lock held.  Adds to *bytes what was read of it. */
static void offer_job(struct look *l, const struct job *job, size_t *bytes)
{
    enum job_state state = job_state_of(job);
    if (!l->query->count && !look_wants(l->query, state))
        return;
    *bytes += l->search.word_count ? job->args_n : 0;
    if (!search_matches_job(&l->search, job))
        return;
    look_offer(l, state, l->query->state == JOB_DELAYED ? job->run_at : -job->id, job->id,
               PICK_MEMORY);
}

static void scan_running(struct look *l)
{
    struct jobs *jobs = l->jobs;
    size_t bytes = 0;
    jobs_lock(jobs);
    for (int i = 0; i < jobs->worker_count; i++)
        for (int r = 0; r < jobs->workers[i]->capacity; r++) {
            const struct run *run = &jobs->workers[i]->runs[r];
            if (run->in_use && run->job->run == run && run->job->place == PLACE_RUNNING)
                offer_job(l, run->job, &bytes);
        }
    jobs_unlock(jobs);
}

/* From the newest on down.  False when too many ids in between have ended. */
static bool walk_down(struct look *l)
{
    struct jobs *jobs = l->jobs;
    jobs_lock(jobs);
    int64_t id = l->after_key > INT64_MIN ? -l->after_key : jobs->next_id;
    int64_t least = id - 4 * (int64_t)jobs->index.count - SLICE_JOBS;
    jobs_unlock(jobs);
    while (id > 1 && id > least && !l->picks.full) {
        size_t bytes = 0;
        jobs_lock(jobs);
        for (int n = 0; n < SLICE_JOBS && id > 1 && bytes < SLICE_BYTES; n++) {
            const struct job *job = index_get(&jobs->index, --id);
            if (job)
                offer_job(l, job, &bytes);
        }
        jobs_unlock(jobs);
        if (l->picks.n >= l->picks.most)
            picks_finish(&l->picks);
    }
    return id <= 1 || l->picks.full;
}

/* Every slot of the index; from the start again if it grew meanwhile. */
static void scan_index(struct look *l)
{
    struct jobs *jobs = l->jobs;
    size_t at = 0, size = 0;
    bool more = true;
    while (more) {
        size_t bytes = 0;
        jobs_lock(jobs);
        if (jobs->index.size != size) {
            size = jobs->index.size;
            at = 0;
            l->query->counts[JOB_READY] = l->query->counts[JOB_DELAYED] =
                l->query->counts[JOB_RUNNING] = 0;
        }
        for (int n = 0; n < SLICE_JOBS && at < size && bytes < SLICE_BYTES; n++, at++)
            if (jobs->index.slots[at].id)
                offer_job(l, jobs->index.slots[at].value, &bytes);
        more = at < size;
        jobs_unlock(jobs);
    }
}

static void scan_unfinished(struct look *l)
{
    const struct jobs_query *q = l->query;
    if (q->state == JOB_RUNNING && !q->count)
        scan_running(l);
    else if (q->count || q->ids_of || q->state == JOB_DELAYED || !walk_down(l))
        scan_index(l);
}

/* By its names; its arguments are looked at by look_kept(), its result by look_table(). */
bool look_matches(const struct look *l, const struct fin_record *r)
{
    const struct kind *k = r->kind <= l->jobs->words ? l->jobs->kind_words[r->kind] : NULL;
    const struct str name = str_c(k ? k->name : "");
    return search_matches_names(&l->search, r->kind, r->queue) &&
           search_matches_texts(&l->search, &name, 1);
}

static void scan_history(struct look *l)
{
    const struct fin_record *r;
    bool more = true;
    for (size_t at = 0; more;) {
        jobs_lock(l->jobs);
        for (int n = 0; n < SLICE_RECORDS && (r = history_back(&l->jobs->history, at)); n++, at++)
            if (look_matches(l, r))
                look_offer(l, job_state_of_end(r->end), -r->id, r->id, PICK_MEMORY);
        more = history_back(&l->jobs->history, at) != NULL;
        jobs_unlock(l->jobs);
    }
}

/* -- both ----------------------------------------------------------------------------------- */

/* Whether a look goes through the jobs in a state. */
static bool goes(const struct jobs_query *q, enum job_state state)
{
    return q->count || look_wants(q, state);
}

static bool scan(struct sqlite_conn *conn, struct look *l)
{
    const struct jobs_query *q = l->query;
    if (l->search.nothing)
        return true;
    if (goes(q, JOB_READY) || goes(q, JOB_DELAYED) || goes(q, JOB_RUNNING))
        scan_unfinished(l);
    if (goes(q, JOB_DONE) || goes(q, JOB_CANCELLED) || goes(q, JOB_EXPIRED)) {
        scan_history(l);
        if (l->search.word_count && !look_kept(conn, l))
            return false;
    }
    return (!goes(q, JOB_DEAD) || look_table(conn, l, JOB_DEAD)) &&
           (!goes(q, JOB_DONE) || look_table(conn, l, JOB_DONE));
}

/* *known: memory has it.  False with read.err. */
static bool print_known(struct sqlite_conn *conn, struct look *l, int64_t id, bool *known)
{
    struct jobs *jobs = l->jobs;
    jobs_lock(jobs);
    const struct job *job = index_get(&jobs->index, id);
    const struct fin_record *found = job ? NULL : history_find(&jobs->history, id);
    struct fin_record record = found ? *found : (struct fin_record){0};
    if (job) {
        look_separate(&l->query->out);
        print_job(&l->query->out, job);
    }
    jobs_unlock(jobs);
    *known = job || found;
    return !found || look_print_ended(conn, l, &record);
}

static bool print_pick(struct sqlite_conn *conn, struct look *l, const struct pick *pick)
{
    bool known = false;
    if (pick->source == PICK_MEMORY && !print_known(conn, l, pick->id, &known))
        return false;
    return known ||
           look_print_row(conn, l, pick->id, pick->source == PICK_DEAD ? JOB_DEAD : JOB_DONE);
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* A scan that began again has found some twice. */
void look_sort_ids(struct buf *out)
{
    size_t n = out->n / sizeof(int64_t), kept = 0;
    int64_t *ids = (int64_t *)(void *)out->p;
    if (n)
        qsort(ids, n, sizeof *ids, compare_ids);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || ids[i] != ids[kept - 1])
            ids[kept++] = ids[i];
    out->n = kept * sizeof *ids;
}

static bool list(struct sqlite_conn *conn, struct look *l)
{
    struct jobs_query *q = l->query;
    size_t limit = (size_t)(q->limit <= 0           ? LIMIT_DEFAULT
                            : q->limit > LIMIT_MOST ? LIMIT_MOST
                                                    : q->limit);
    picks_init(&l->picks, limit + 1);
    search_init(&l->search, l->jobs, q->queue, q->kind, q->text);
    bool ok = scan(conn, l);
    if (q->ids_of) {
        picks_free(&l->picks);
        look_sort_ids(&q->out);
        return ok;
    }
    picks_finish(&l->picks);
    size_t n = l->picks.n;
    while (n && l->picks.list[n - 1].key > l->floor)
        n--;
    bool more = n > limit;
    n = more ? limit : n;
    for (size_t i = 0; ok && i < n; i++)
        ok = print_pick(conn, l, &l->picks.list[i]);
    if (more)
        snprintf(q->next, sizeof q->next, "%lld.%lld", (long long)l->picks.list[n - 1].key,
                 (long long)l->picks.list[n - 1].id);
    else if (l->floor < INT64_MAX)
        snprintf(q->next, sizeof q->next, "%lld.%lld", (long long)l->floor, (long long)INT64_MAX);
    picks_free(&l->picks);
    return ok;
}

static bool find_ended(struct sqlite_conn *conn, struct look *l)
{
    const struct jobs_query *q = l->query;
    return look_print_row(conn, l, q->id, JOB_DONE) &&
           (q->out.n > 0 || look_print_row(conn, l, q->id, JOB_DEAD));
}

/* Done without a result: only the history knows it.  But a dead job may have come back to life
 * and have ended since this snapshot began, so its result is looked for in a new one. */
static bool find_row(struct sqlite_conn *conn, struct look *l)
{
    struct jobs_query *q = l->query;
    bool is_known = false;
    if (q->out.n == 0 && !find_ended(conn, l))
        return false;
    if (q->out.n == 0 && !print_known(conn, l, q->id, &is_known))
        return false;
    if (!is_known)
        return true;
    struct buf known = q->out;
    q->out = (struct buf){0};
    bool ok = sqlite_exec(conn, "commit; begin", &l->read.err) && find_ended(conn, l);
    if (q->out.n == 0) {
        q->out = known;
        return ok;
    }
    buf_free(&known);
    return ok;
}

/* The object is complete: its bracket goes behind what is added. */
static bool print_attempts(struct sqlite_conn *conn, struct jobs_query *q, struct err *err)
{
    q->out.n--;
    buf_add_c(&q->out, ",\"attempts\":");
    bool ok = attempt_print(conn, q->id, &q->out, err);
    buf_add_char(&q->out, '}');
    return ok;
}

static bool read_work(struct sqlite_conn *conn, struct sqlite_read *read)
{
    struct look *l = (struct look *)(void *)read;
    struct jobs_query *q = l->query;
    if (!q->id)
        return list(conn, l);
    return find_row(conn, l) && (q->out.n == 0 || print_attempts(conn, q, &read->err));
}

static void read_done(struct sqlite_read *read)
{
    struct look *l = (struct look *)(void *)read;
    struct jobs_query *q = l->query;
    q->err = read->err;
    mem_free(l);
    q->done(q);
}

static void on_answer(struct lane_message *message)
{
    struct jobs_query *q = (struct jobs_query *)(void *)message;
    q->done(q);
}

/* The one job that is asked for, if it is unfinished. */
static void find_one(struct jobs *jobs, struct jobs_query *q)
{
    jobs_lock(jobs);
    const struct job *job = index_get(&jobs->index, q->id);
    if (job)
        print_job(&q->out, job);
    jobs_unlock(jobs);
}

/* "key.id" of the last one seen. */
static bool parse_after(struct look *l, struct str text)
{
    long long key, id;
    if (!text.n)
        return true;
    struct str first = str_split(&text, '.');
    if (!str_int64(first, &key) || !str_int64(text, &id))
        return err_set(&l->query->err, ERR_INVALID, "after is not what an answer's next said");
    l->after_key = key;
    l->after_id = id;
    return true;
}

void jobs_query(struct jobs *jobs, struct jobs_query *q)
{
    q->err = (struct err){0};
    q->next[0] = q->why[0] = 0;
    q->partial = false;
    memset(q->counts, 0, sizeof q->counts);
    buf_clear(&q->out);
    if (jobs->driver->query) {
        jobs->driver->query(jobs, q);
        return;
    }
    struct look *l = mem_zero(1, sizeof *l);
    *l = (struct look){.jobs = jobs, .query = q, .after_key = INT64_MIN, .floor = INT64_MAX};
    if (q->id)
        find_one(jobs, q);
    if (!parse_after(l, q->after)) {
        mem_free(l);
        q->message.fn = on_answer;
        lane_post(q->lane, &q->message);
        return;
    }
    l->read.work = read_work;
    l->read.done = read_done;
    sqlite_read(jobs->db, &l->read, q->lane);
}
