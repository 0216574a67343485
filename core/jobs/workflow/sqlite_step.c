/* workflow/sqlite_step.c -- steps of runs, and signals that nobody waited for yet. */
#include "base/mem.h"
#include "jobs/workflow/sqlite.h"

int wfs_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step)
{
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT name, state, await, next, otherwise, on_error"
                                " FROM maru_workflow_step WHERE run = ?1 AND seq = ?2",
                                "ii", run, (int64_t)seq);
    int is = wfs_found(f, s);
    if (is < 1)
        return is;
    step->name = str_dup(wfs_column(s, 0));
    step->state = (enum wf_step_state)sqlite3_column_int(s, 1);
    step->await = wfs_column_dup(s, 2);
    step->next = wfs_column_dup(s, 3);
    step->otherwise = wfs_column_dup(s, 4);
    step->on_error = wfs_column_dup(s, 5);
    sqlite3_reset(s);
    return 1;
}

bool wfs_put_input(struct wf *f, int64_t run, struct str input)
{
    return wfs_exec(f,
                    "INSERT INTO maru_workflow_step(run, seq, name, state, at, spec)"
                    " VALUES(?1, 0, '', 3, ?2, ?3)",
                    "iis", run, f->now, input);
}

bool wfs_input(struct wf *f, int64_t run, struct buf *out)
{
    sqlite3_stmt *s =
        wfs_query(f, "SELECT spec FROM maru_workflow_step WHERE run = ?1 AND seq = 0", "i", run);
    int is = wfs_found(f, s);
    if (is == 1) {
        buf_add_str(out, wfs_column(s, 0));
        sqlite3_reset(s);
    }
    return is >= 0;
}

bool wfs_plan(struct wf *f, int64_t run, int seq, struct str name, const char *role,
              struct str spec)
{
    return wfs_exec(f,
                    "INSERT INTO maru_workflow_step(run, seq, name, state, at, attempt, version,"
                    " next, spec) VALUES(?1, ?2, ?3, 0, ?4, 0, 0, ?5, ?6)",
                    "iisiss", run, (int64_t)seq, name, f->now, str_c(role), spec);
}

bool wfs_queue(struct wf *f, int64_t run, const struct wf_queued *q)
{
    return wfs_exec(f,
                    "INSERT INTO maru_workflow_step(run, seq, name, state, job, at, attempt,"
                    " version, next, on_error, spec)"
                    " VALUES(?1, ?2, ?3, 1, ?4, ?5, 0, ?6, ?7, ?8, ?9)"
                    " ON CONFLICT(run, seq) DO UPDATE SET state = 1, job = ?4, at = ?5",
                    "iisiiisss", run, (int64_t)q->seq, q->name, q->job, f->now, (int64_t)q->version,
                    wfs_nullable(q->role), wfs_nullable(q->on_error), wfs_nullable(q->from));
}

bool wfs_end_step(struct wf *f, int64_t run, const struct wf_over *s)
{
    return wfs_exec(f,
                    "UPDATE maru_workflow_step SET state = ?3, started_at = ?4, ended_at = ?5,"
                    " attempt = ?6, error = ?7, result = ?8 WHERE run = ?1 AND seq = ?2",
                    "iiiiiiss", run, (int64_t)s->seq, (int64_t)s->state, s->started_at, f->now,
                    (int64_t)s->attempt, wfs_nullable(s->error), wfs_nullable(s->result));
}

bool wfs_begin_wait(struct wf *f, int64_t run, const struct wf_wait *w)
{
    return wfs_exec(f,
                    "UPDATE maru_workflow_step SET state = 2, await = ?3, next = ?4,"
                    " otherwise = ?5, due_at = nullif(?6, 0) WHERE run = ?1 AND seq = ?2",
                    "iisssi", run, (int64_t)w->seq, w->name, w->next, w->otherwise, w->due_at);
}

bool wfs_end_wait(struct wf *f, int64_t run, int seq, const char *error)
{
    return wfs_exec(f,
                    "UPDATE maru_workflow_step SET state = 3, woke_at = ?3, due_at = NULL,"
                    " error = ?4 WHERE run = ?1 AND seq = ?2",
                    "iiis", run, (int64_t)seq, f->now, error ? str_c(error) : (struct str){0});
}

bool wfs_revive(struct wf *f, int64_t run, int seq)
{
    return wfs_exec(f,
                    "UPDATE maru_workflow_step SET state = 1, error = NULL"
                    " WHERE run = ?1 AND seq = ?2",
                    "ii", run, (int64_t)seq);
}

bool wfs_cancel_steps(struct wf *f, int64_t run, enum wf_step_state from)
{
    return wfs_exec(f,
                    "UPDATE maru_workflow_step SET state = 5, due_at = NULL,"
                    " woke_at = iif(?3 = 2, ?2, woke_at) WHERE run = ?1 AND state = ?3",
                    "iii", run, f->now, (int64_t)from);
}

bool wfs_queued(struct wf *f, int64_t run, struct wf_ids *jobs)
{
    int is;
    sqlite3_stmt *s =
        wfs_query(f, "SELECT job FROM maru_workflow_step WHERE run = ?1 AND state = 1", "i", run);
    while ((is = wfs_found(f, s)) == 1)
        wf_ids_add(jobs, sqlite3_column_int64(s, 0));
    return is == 0;
}

int wfs_planned(struct wf *f, int64_t run, int from, const char *role, int *seq, struct buf *out)
{
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT seq, spec FROM maru_workflow_step WHERE run = ?1 AND"
                                " seq >= ?2 AND state = 0 AND next = ?3 ORDER BY seq LIMIT 1",
                                "iis", run, (int64_t)from, str_c(role));
    int is = wfs_found(f, s);
    if (is == 1) {
        *seq = sqlite3_column_int(s, 0);
        buf_add_str(out, wfs_column(s, 1));
        sqlite3_reset(s);
    }
    return is;
}

bool wfs_members(struct wf *f, int64_t run, void (*each)(void *arg, const struct wf_member_row *m),
                 void *arg)
{
    int is;
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT seq, state, result, name, error FROM maru_workflow_step"
                                " WHERE run = ?1 AND next = 'member' ORDER BY seq",
                                "i", run);
    while ((is = wfs_found(f, s)) == 1) {
        struct wf_member_row m = {
            .seq = sqlite3_column_int(s, 0),
            .state = (enum wf_step_state)sqlite3_column_int(s, 1),
            .result = wfs_column(s, 2),
            .name = wfs_column(s, 3),
            .error = wfs_column(s, 4),
        };
        each(arg, &m);
    }
    return is == 0;
}

int wfs_waiting(struct wf *f, int64_t run, struct str signal, int *seq)
{
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT seq FROM maru_workflow_step WHERE run = ?1 AND state = 2"
                                " AND await = ?2 ORDER BY seq LIMIT 1",
                                "is", run, signal);
    int is = wfs_found(f, s);
    if (is == 1) {
        *seq = sqlite3_column_int(s, 0);
        sqlite3_reset(s);
    }
    return is;
}

int wfs_failed(struct wf *f, int64_t job, int64_t *run, int *seq)
{
    sqlite3_stmt *s = wfs_query(
        f, "SELECT run, seq FROM maru_workflow_step WHERE job = ?1 AND state = 4", "i", job);
    int is = wfs_found(f, s);
    if (is == 1) {
        *run = sqlite3_column_int64(s, 0);
        *seq = sqlite3_column_int(s, 1);
        sqlite3_reset(s);
    }
    return is;
}

/* -- signals -------------------------------------------------------------------------------- */

int wfs_keep_signal(struct wf *f, int64_t run, struct str name, struct str data, struct str who)
{
    sqlite3_stmt *s = wfs_query(
        f, "SELECT count(*), max(seq) FROM maru_workflow_signal WHERE run = ?1", "i", run);
    int is = wfs_found(f, s);
    if (is < 1)
        return -1;
    int64_t kept = sqlite3_column_int64(s, 0), last = sqlite3_column_int64(s, 1);
    sqlite3_reset(s);
    if (kept >= WORKFLOW_SIGNALS)
        return 0;
    return wfs_exec(f,
                    "INSERT INTO maru_workflow_signal(run, seq, name, data, at, who)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                    "iissis", run, last + 1, name, data, f->now, who)
               ? 1
               : -1;
}

int wfs_take_signal(struct wf *f, int64_t run, struct str name, struct buf *data, struct buf *who,
                    int64_t *at)
{
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT seq, data, who, at FROM maru_workflow_signal WHERE"
                                " run = ?1 AND name = ?2 ORDER BY seq LIMIT 1",
                                "is", run, name);
    int is = wfs_found(f, s);
    if (is < 1)
        return is;
    int64_t seq = sqlite3_column_int64(s, 0);
    buf_add_str(data, wfs_column(s, 1));
    buf_add_str(who, wfs_column(s, 2));
    *at = sqlite3_column_int64(s, 3);
    sqlite3_reset(s);
    return wfs_exec(f, "DELETE FROM maru_workflow_signal WHERE run = ?1 AND seq = ?2", "ii", run,
                    seq)
               ? 1
               : -1;
}

bool wfs_drop_signals(struct wf *f, int64_t run)
{
    return wfs_exec(f, "DELETE FROM maru_workflow_signal WHERE run = ?1", "i", run);
}
