/* workflow/sqlite_look.c -- what a look at runs reads, and what a restart finds. */
#include "base/mem.h"
#include "jobs/workflow/sqlite.h"

enum { SCAN = 20000 };

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

static struct wf_run_row read_run(sqlite3_stmt *s)
{
    return (struct wf_run_row){
        .id = sqlite3_column_int64(s, 0),
        .plugin = wfs_column(s, 1),
        .name = wfs_column(s, 2),
        .shape = sqlite3_column_int(s, 3),
        .version = sqlite3_column_int(s, 4),
        .key = wfs_column(s, 5),
        .state = sqlite3_column_int(s, 6),
        .created_at = sqlite3_column_int64(s, 7),
        .finished_at = sqlite3_column_int64(s, 8),
        .steps = sqlite3_column_int(s, 9),
        .active = sqlite3_column_int(s, 10),
        .waiting = sqlite3_column_int(s, 11),
        .error = wfs_column(s, 12),
        .at = wfs_column(s, 13),
        .data = wfs_column(s, 14),
        .result = wfs_column(s, 15),
    };
}

static bool list(struct wf *f, struct workflow_query *q)
{
    int is = 0, scan = SCAN, left = wf_list_limit(q);
    /* Few runs are unfinished, and they have an index; others are looked through from the newest.
     */
    bool unfinished = q->state == WORKFLOW_RUNNING || q->state == WORKFLOW_WAITING;
    sqlite3_stmt *s = wfs_query(f,
                                unfinished ? RUN_COLUMNS "WHERE state = 1 AND id < ?1 ORDER BY id"
                                                         " DESC"
                                           : RUN_COLUMNS "WHERE id < ?1 ORDER BY id DESC",
                                "i", q->before ? q->before : INT64_MAX);
    while (left && scan-- > 0 && (is = wfs_found(f, s)) == 1) {
        struct wf_run_row row = read_run(s);
        if (!wf_list_wants(q, &row))
            continue;
        wf_list_add(q, &row);
        left--;
    }
    if (is == 1)
        sqlite3_reset(s);
    return is >= 0;
}

static struct wf_step_row read_step(sqlite3_stmt *s)
{
    return (struct wf_step_row){
        .seq = sqlite3_column_int(s, 0),
        .name = wfs_column(s, 1),
        .state = sqlite3_column_int(s, 2),
        .job = sqlite3_column_int64(s, 3),
        .created_at = sqlite3_column_int64(s, 4),
        .started_at = sqlite3_column_int64(s, 5),
        .ended_at = sqlite3_column_int64(s, 6),
        .woke_at = sqlite3_column_int64(s, 7),
        .due_at = sqlite3_column_int64(s, 8),
        .attempt = sqlite3_column_int(s, 9),
        .version = sqlite3_column_int(s, 10),
        .await = wfs_column(s, 11),
        .next = wfs_column(s, 12),
        .error = wfs_column(s, 13),
        .result = wfs_column(s, 14),
        .otherwise = wfs_column(s, 15),
        .from = wfs_column(s, 16),
    };
}

static bool show_steps(struct wf *f, struct wf_shown *shown, int64_t id)
{
    int is;
    sqlite3_stmt *s =
        wfs_query(f,
                  "SELECT seq, name, state, job, at, started_at, ended_at, woke_at, due_at,"
                  " attempt, version, await, next, error,"
                  " iif(?3 AND next = 'member', NULL, result), otherwise,"
                  " iif(?3, spec, NULL) FROM maru_workflow_step WHERE run = ?1 AND seq > 0"
                  " ORDER BY seq LIMIT ?2",
                  "iii", id, (int64_t)WF_STEPS_SHOWN, (int64_t)shown->graph);
    while ((is = wfs_found(f, s)) == 1) {
        struct wf_step_row row = read_step(s);
        wf_show_step(shown, &row);
    }
    return is == 0;
}

static bool show_signals(struct wf *f, struct wf_shown *shown, int64_t id)
{
    int is;
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT name, data, who, at FROM maru_workflow_signal WHERE"
                                " run = ?1 ORDER BY seq LIMIT ?2",
                                "ii", id, (int64_t)WF_SIGNALS_SHOWN);
    while ((is = wfs_found(f, s)) == 1)
        wf_show_signal(shown, wfs_column(s, 0), wfs_column(s, 1), wfs_column(s, 2),
                       sqlite3_column_int64(s, 3));
    return is == 0;
}

static bool one(struct wf *f, struct workflow_query *q)
{
    struct wf_shown shown = {.jobs = f->jobs, .query = q};
    struct buf input = {0};
    if (!wfs_input(f, q->id, &input))
        return false;
    sqlite3_stmt *s = wfs_query(f, RUN_COLUMNS "WHERE id = ?1", "i", q->id);
    int is = wfs_found(f, s);
    bool theirs = is == 1 && q->plugin.n && !str_eq(q->plugin, wfs_column(s, 1));
    if (is == 1 && !theirs) {
        struct wf_run_row row = read_run(s);
        wf_show_begin(&shown, &row, buf_str(&input));
    }
    buf_free(&input);
    if (is == 1)
        sqlite3_reset(s);
    if (is < 1 || theirs)
        return is >= 0;
    bool ok = show_steps(f, &shown, q->id) && show_signals(f, &shown, q->id);
    wf_show_end(&shown);
    return ok;
}

static bool read_work(struct sqlite_conn *conn, struct sqlite_read *read)
{
    struct wf_read *r = (struct wf_read *)(void *)read;
    struct wf f = {.jobs = r->jobs, .w = r->jobs->workflows, .record = conn, .err = &read->err};
    return r->query->id ? one(&f, r->query) : list(&f, r->query);
}

static void read_done(struct sqlite_read *read)
{
    struct wf_read *r = (struct wf_read *)(void *)read;
    struct workflow_query *q = r->query;
    q->err = read->err;
    mem_free(r);
    q->done(q);
}

void wfs_query_run(struct jobs *jobs, struct workflow_query *q)
{
    struct wf_read *r = mem_zero(1, sizeof *r);
    r->jobs = jobs;
    r->query = q;
    r->read.work = read_work;
    r->read.done = read_done;
    sqlite_read(jobs->db, &r->read, q->lane);
}

/* -- recovery ------------------------------------------------------------------------------- */

static bool read_steps(struct wf *f)
{
    int is;
    struct workflows *w = f->w;
    sqlite3_stmt *s =
        wfs_query(f,
                  "SELECT s.job, s.run, s.seq, r.shape, r.state FROM maru_workflow_step s JOIN"
                  " maru_workflow r ON r.id = s.run WHERE s.state = 1",
                  "");
    while ((is = wfs_found(f, s)) == 1) {
        struct wf_ref *ref = mem_zero(1, sizeof *ref);
        enum workflow_state state = (enum workflow_state)sqlite3_column_int(s, 4);
        ref->job = sqlite3_column_int64(s, 0);
        ref->run = sqlite3_column_int64(s, 1);
        ref->seq = sqlite3_column_int(s, 2);
        ref->graph = sqlite3_column_int(s, 3) == WORKFLOW_GRAPH;
        index_set(&w->by_job, ref->job, ref);
        if (state == WORKFLOW_CANCELLED || (state == WORKFLOW_FAILED && ref->graph))
            wf_ids_add(&w->orphans, ref->job);
    }
    return is == 0;
}

static bool read_counts(struct wf *f)
{
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT count(*), coalesce(sum(active > 0 AND waiting = active),"
                                " 0), (SELECT min(due_at) FROM maru_workflow_step WHERE state = 2"
                                " AND due_at > 0) FROM maru_workflow WHERE state = 1",
                                "");
    int is = wfs_found(f, s);
    if (is == 1) {
        f->w->running = sqlite3_column_int64(s, 0);
        f->w->waiting = sqlite3_column_int64(s, 1);
        f->w->due_wall = sqlite3_column_int64(s, 2);
        sqlite3_reset(s);
    }
    return is == 1;
}

bool workflow_recover(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    struct wf f = {.jobs = jobs, .w = jobs->workflows, .record = conn, .err = err};
    return !jobs->workflows || (read_steps(&f) && read_counts(&f));
}
