#include "base/json.h"
#include "base/mem.h"
#include "jobs/workflow_private.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MOST = 500, STEPS_MOST = 1000, SCAN = 20000 };

struct wf_read {
    struct sqlite_read read; /* first */
    struct jobs *jobs;
    struct workflow_query *query;
};

#define RUN_COLUMNS                                                                                \
    "SELECT id, plugin, name, shape, version, uniq, state, created_at, finished_at, steps, "       \
    "active,"                                                                                      \
    " waiting, error, (SELECT group_concat(name, ' ') FROM (SELECT DISTINCT s.name FROM"           \
    " maru_workflow_step s WHERE s.run = r.id AND s.state IN (1, 2) LIMIT 5)), data, result FROM"  \
    " maru_workflow r "

/* Filters that SQL leaves alone: an empty text is any. */
static bool matches(const struct workflow_query *q, sqlite3_stmt *s)
{
    int state = sqlite3_column_int(s, 6), active = sqlite3_column_int(s, 10);
    if (state == WORKFLOW_RUNNING && active && active == sqlite3_column_int(s, 11))
        state = WORKFLOW_WAITING;
    if (q->state != WORKFLOW_ANY && state != (int)q->state)
        return false;
    return (!q->plugin.n || str_eq(q->plugin, wf_column(s, 1))) &&
           (!q->name.n || str_eq(q->name, wf_column(s, 2))) &&
           (!q->key.n || str_eq(q->key, wf_column(s, 5)));
}

static bool list(struct wf *f, struct workflow_query *q)
{
    int rc = SQLITE_DONE, scan = SCAN;
    int left = q->limit <= 0 ? LIMIT_DEFAULT : q->limit > LIMIT_MOST ? LIMIT_MOST : q->limit;
    struct json w = json_to(&q->out);
    /* Few runs are unfinished, and they have an index; others are looked through from the newest.
     */
    bool unfinished = q->state == WORKFLOW_RUNNING || q->state == WORKFLOW_WAITING;
    sqlite3_stmt *s = wf_query(f,
                               unfinished ? RUN_COLUMNS "WHERE state = 1 AND id < ?1 ORDER BY id"
                                                        " DESC"
                                          : RUN_COLUMNS "WHERE id < ?1 ORDER BY id DESC",
                               "i", q->before ? q->before : INT64_MAX);
    if (!s)
        return false;
    while (left && scan-- > 0 && (rc = sqlite_step(f->conn, s, f->err)) == SQLITE_ROW) {
        if (!matches(q, s))
            continue;
        json_open(&w, '{');
        wf_print_run(&w, s);
        json_close(&w, '}');
        left--;
    }
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool print_input(struct wf *f, int64_t id, struct json *w)
{
    sqlite3_stmt *s =
        wf_query(f, "SELECT spec FROM maru_workflow_step WHERE run = ?1 AND seq = 0", "i", id);
    int rc = s ? sqlite_step(f->conn, s, f->err) : SQLITE_ERROR;
    json_key(w, "input");
    if (rc == SQLITE_ROW)
        json_raw(w, wf_column(s, 0));
    else
        json_null(w);
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static bool print_steps(struct wf *f, int64_t id, bool graph, struct json *w)
{
    int rc = SQLITE_ERROR;
    sqlite3_stmt *s =
        wf_query(f,
                 "SELECT seq, name, state, job, at, started_at, ended_at, woke_at, due_at,"
                 " attempt, version, await, next, error, result, otherwise,"
                 " iif(?3, spec, NULL) FROM maru_workflow_step WHERE run = ?1 AND seq > 0"
                 " ORDER BY seq LIMIT ?2",
                 "iii", id, (int64_t)STEPS_MOST, (int64_t)graph);
    json_key(w, "steps");
    json_open(w, '[');
    while (s && (rc = sqlite_step(f->conn, s, f->err)) == SQLITE_ROW)
        wf_print_step(w, f->jobs, s, graph);
    json_close(w, ']');
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool print_signals(struct wf *f, int64_t id, struct json *w)
{
    int rc = SQLITE_ERROR;
    sqlite3_stmt *s = wf_query(f,
                               "SELECT name, data, who, at FROM maru_workflow_signal WHERE"
                               " run = ?1 ORDER BY seq LIMIT 100",
                               "i", id);
    json_key(w, "signals");
    json_open(w, '[');
    while (s && (rc = sqlite_step(f->conn, s, f->err)) == SQLITE_ROW)
        wf_print_signal(w, s);
    json_close(w, ']');
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static void print_raw(struct json *w, const char *key, struct str json)
{
    json_key(w, key);
    if (json.n)
        json_raw(w, json);
    else
        json_null(w);
}

static bool one(struct wf *f, struct workflow_query *q)
{
    struct json w = json_to(&q->out);
    sqlite3_stmt *s = wf_query(f, RUN_COLUMNS "WHERE id = ?1", "i", q->id);
    int rc = s ? sqlite_step(f->conn, s, f->err) : SQLITE_ERROR;
    if (rc != SQLITE_ROW || (q->plugin.n && !str_eq(q->plugin, wf_column(s, 1)))) {
        if (s)
            sqlite3_reset(s);
        return rc == SQLITE_ROW || rc == SQLITE_DONE;
    }
    bool graph = sqlite3_column_int(s, 3) == WORKFLOW_GRAPH;
    json_open(&w, '{');
    wf_print_run(&w, s);
    print_raw(&w, "data", wf_column(s, 14));
    print_raw(&w, "result", wf_column(s, 15));
    wf_print_graph(&w, graph ? wf_find(f->set, wf_column(s, 1), wf_column(s, 2)) : NULL);
    sqlite3_reset(s);
    bool ok = print_input(f, q->id, &w) && print_steps(f, q->id, graph, &w) &&
              print_signals(f, q->id, &w);
    json_close(&w, '}');
    return ok;
}

static bool read_work(struct sqlite_conn *conn, struct sqlite_read *read)
{
    struct wf_read *r = (struct wf_read *)(void *)read;
    const struct wf_set *set = wf_set_ref(r->jobs);
    struct wf f = {
        .jobs = r->jobs, .w = r->jobs->workflows, .conn = conn, .set = set, .err = &read->err};
    bool ok = r->query->id ? one(&f, r->query) : list(&f, r->query);
    wf_set_unref(r->jobs, set);
    return ok;
}

static void read_done(struct sqlite_read *read)
{
    struct wf_read *r = (struct wf_read *)(void *)read;
    struct workflow_query *q = r->query;
    q->err = read->err;
    mem_free(r);
    q->done(q);
}

static void on_answer(struct lane_message *message)
{
    struct workflow_query *q = (struct workflow_query *)(void *)message;
    q->done(q);
}

void workflow_query(struct jobs *jobs, struct workflow_query *q)
{
    err_clear(&q->err);
    buf_clear(&q->out);
    if (!jobs->workflows) { /* a shared driver: there are none */
        q->message.fn = on_answer;
        lane_post(q->lane, &q->message);
        return;
    }
    struct wf_read *r = mem_zero(1, sizeof *r);
    r->jobs = jobs;
    r->query = q;
    r->read.work = read_work;
    r->read.done = read_done;
    sqlite_read(jobs->db, &r->read, q->lane);
}
