#include "jobs/private.h"

#include "base/mem.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MOST = 500, SCAN = 20000 };

/* A query that needs the disk. */
struct jobs_read {
    struct sqlite_read read; /* first */
    struct jobs *jobs;
    struct jobs_query *query;
    int left;
};

static bool matches(const struct jobs_query *q, const struct kind *k, const struct queue *queue)
{
    return (q->kind.n == 0 || (k && str_eq_c(q->kind, k->name))) &&
           (q->queue.n == 0 || (queue && str_eq_c(q->queue, queue->name)));
}

static bool wants(const struct jobs_query *q, enum job_state state)
{
    return q->state == JOB_ANY || q->state == state;
}

static void separate(struct buf *out)
{
    if (out->n)
        buf_add_char(out, ',');
}

static void add_job(struct jobs_query *q, const struct job *job, int *left)
{
    if (*left == 0 || !matches(q, job->kind, job->queue))
        return;
    separate(&q->out);
    print_job(&q->out, job);
    --*left;
}

static void add_list(struct jobs_query *q, const struct list *jobs, int *left, int *scan)
{
    list_each (node, jobs) {
        if (*left == 0 || (*scan)-- <= 0)
            return;
        add_job(q, list_entry(node, struct job, link), left);
    }
}

static void add_running(struct jobs *jobs, struct jobs_query *q, int *left)
{
    for (int i = 0; i < jobs->worker_count; i++)
        for (int r = 0; r < jobs->workers[i]->capacity; r++) {
            const struct run *run = &jobs->workers[i]->runs[r];
            if (run->in_use && run->job->run == run && run->job->place == PLACE_RUNNING)
                add_job(q, run->job, left);
        }
}

static void add_ready(struct jobs *jobs, struct jobs_query *q, int *left, int *scan)
{
    for (int i = 0; i < jobs->worker_count; i++)
        add_list(q, &jobs->workers[i]->inbox, left, scan);
    for (uint32_t w = 1; w <= jobs->words; w++)
        for (int p = 0; p < JOBS_PRIORITIES && jobs->queue_words[w]; p++)
            add_list(q, &jobs->queue_words[w]->ready[p], left, scan);
    for (uint32_t w = 1; w <= jobs->words; w++)
        for (int p = 0; p < JOBS_PRIORITIES && jobs->kind_words[w]; p++)
            add_list(q, &jobs->kind_words[w]->limit.parked[p], left, scan);
    for (int p = 0; p < JOBS_PRIORITIES; p++)
        add_list(q, &jobs->suspects.parked[p], left, scan);
}

/* The heap's nodes in the order of their time: the frontier holds whose parents
 * were taken, so each step looks at a few hundred at most. */
static void add_delayed(struct jobs *jobs, struct jobs_query *q, int *left, int *scan)
{
    enum { FRONTIER = 1 << 11 };
    uint32_t frontier[FRONTIER], n = 0;
    const struct heap *h = &jobs->due;
    if (h->count)
        frontier[n++] = 0;
    while (n && *left && (*scan)-- > 0 && n + 4 <= FRONTIER) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < n; i++)
            if (h->nodes[frontier[i]]->key < h->nodes[frontier[best]]->key)
                best = i;
        uint32_t at = frontier[best];
        frontier[best] = frontier[--n];
        add_job(q, list_entry(h->nodes[at], struct job, due), left);
        for (uint32_t c = 4 * at + 1; c <= 4 * at + 4 && c < h->count; c++)
            frontier[n++] = c;
    }
}

static void add_finished(struct jobs *jobs, struct jobs_query *q, int *left)
{
    const struct fin_record *r;
    for (size_t i = 0; *left && (r = history_back(&jobs->history, i)); i++) {
        enum job_state state = r->end == JOB_END_DONE ? JOB_DONE : JOB_CANCELLED;
        const struct kind *k = r->kind <= jobs->words ? jobs->kind_words[r->kind] : NULL;
        const struct queue *queue = r->queue <= jobs->words ? jobs->queue_words[r->queue] : NULL;
        if (!wants(q, state) || !matches(q, k, queue))
            continue;
        separate(&q->out);
        print_record(&q->out, jobs, r);
        --*left;
    }
}

/* What memory knows.  Returns how many more are asked for. */
static int list_memory(struct jobs *jobs, struct jobs_query *q)
{
    int left = q->limit <= 0 ? LIMIT_DEFAULT : q->limit > LIMIT_MOST ? LIMIT_MOST : q->limit;
    int scan = SCAN;
    jobs_lock(jobs);
    if (wants(q, JOB_RUNNING))
        add_running(jobs, q, &left);
    if (wants(q, JOB_READY))
        add_ready(jobs, q, &left, &scan);
    if (wants(q, JOB_DELAYED))
        add_delayed(jobs, q, &left, &scan);
    if (wants(q, JOB_DONE) || wants(q, JOB_CANCELLED))
        add_finished(jobs, q, &left);
    jobs_unlock(jobs);
    return left;
}

static struct str column_text(sqlite3_stmt *s, int i)
{
    const void *p = sqlite3_column_text(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

#define DEAD_COLUMNS                                                                               \
    "SELECT id, kind, queue, priority, attempt, max_attempts, created_at, started_at, dead_at,"    \
    " args, error, crashes FROM maru_job_dead "
#define DONE_COLUMNS                                                                               \
    "SELECT id, kind, queue, priority, attempt, max_attempts, created_at, started_at,"             \
    " finished_at, result FROM maru_job_done "

/* Kinds and queues live as long as the jobs, so the names are good without the lock. */
static void row_names(struct jobs *jobs, sqlite3_stmt *s, struct kind **k, struct queue **q)
{
    uint32_t kind = (uint32_t)sqlite3_column_int64(s, 1);
    uint32_t queue = (uint32_t)sqlite3_column_int64(s, 2);
    jobs_lock(jobs);
    *k = kind <= jobs->words ? jobs->kind_words[kind] : NULL;
    *q = queue <= jobs->words ? jobs->queue_words[queue] : NULL;
    jobs_unlock(jobs);
}

static void add_row(struct jobs_read *r, sqlite3_stmt *s, enum job_state state)
{
    struct kind *k;
    struct queue *q;
    row_names(r->jobs, s, &k, &q);
    if (!matches(r->query, k, q))
        return;
    struct job_row row = {
        .id = sqlite3_column_int64(s, 0),
        .kind = k ? k->name : "?",
        .queue = q ? q->name : "?",
        .state = state,
        .priority = sqlite3_column_int(s, 3),
        .attempt = sqlite3_column_int(s, 4),
        .max_attempts = sqlite3_column_int(s, 5),
        .created_at = sqlite3_column_int64(s, 6),
        .started_at = sqlite3_column_int64(s, 7),
        .finished_at = sqlite3_column_int64(s, 8),
    };
    if (state == JOB_DEAD) {
        row.args = column_text(s, 9);
        row.error = column_text(s, 10);
        row.crashes = sqlite3_column_int(s, 11);
    } else {
        row.result = column_text(s, 9);
        row.has_result = true;
    }
    separate(&r->query->out);
    print_row(&r->query->out, &row);
    r->left--;
}

static bool read_rows(struct sqlite_conn *conn, struct jobs_read *r, const char *sql, int64_t value,
                      enum job_state state)
{
    int rc = SQLITE_DONE, scan = SCAN;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, &r->read.err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, value);
    while (r->left && scan-- > 0 && (rc = sqlite_step(conn, s, &r->read.err)) == SQLITE_ROW)
        add_row(r, s, state);
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool read_work(struct sqlite_conn *conn, struct sqlite_read *read)
{
    struct jobs_read *r = (struct jobs_read *)(void *)read;
    const struct jobs_query *q = r->query;
    if (!q->id)
        return read_rows(conn, r, DEAD_COLUMNS "WHERE id < ?1 ORDER BY id DESC", INT64_MAX,
                         JOB_DEAD);
    if (!read_rows(conn, r, DONE_COLUMNS "WHERE id = ?1", q->id, JOB_DONE))
        return false;
    return !r->left || read_rows(conn, r, DEAD_COLUMNS "WHERE id = ?1", q->id, JOB_DEAD);
}

static void read_done(struct sqlite_read *read)
{
    struct jobs_read *r = (struct jobs_read *)(void *)read;
    struct jobs_query *q = r->query;
    q->err = read->err;
    /* Done without a result: only the history knows it. */
    if (q->id && q->out.n == 0 && !q->err.code) {
        jobs_lock(r->jobs);
        const struct fin_record *record = history_find(&r->jobs->history, q->id);
        if (record)
            print_record(&q->out, r->jobs, record);
        jobs_unlock(r->jobs);
    }
    mem_free(r);
    q->done(q);
}

static void on_answer(struct lane_message *message)
{
    struct jobs_query *q = (struct jobs_query *)(void *)message;
    q->done(q);
}

/* True when memory has the one job that is asked for. */
static bool find_one(struct jobs *jobs, struct jobs_query *q)
{
    jobs_lock(jobs);
    const struct job *job = index_get(&jobs->index, q->id);
    if (job)
        print_job(&q->out, job);
    jobs_unlock(jobs);
    return job != NULL;
}

void jobs_query(struct jobs *jobs, struct jobs_query *q)
{
    q->err = (struct err){0};
    buf_clear(&q->out);
    int left = q->id ? !find_one(jobs, q) : list_memory(jobs, q);
    if (left == 0 || (!q->id && !wants(q, JOB_DEAD))) {
        q->message.fn = on_answer;
        lane_post(q->lane, &q->message);
        return;
    }
    struct jobs_read *r = mem_zero(1, sizeof *r);
    r->jobs = jobs;
    r->query = q;
    r->left = left;
    r->read.work = read_work;
    r->read.done = read_done;
    sqlite_read(jobs->db, &r->read, q->lane);
}
