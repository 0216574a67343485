/* Chains, groups and chords: members in order, then perhaps a body; the column `next` of a row
 * says which it is. */
#include "base/mem.h"
#include "jobs/workflow_private.h"

static bool plan(struct wf *f, const struct wf_run *run, int seq, const char *role, struct str spec)
{
    struct str name = spec;
    return wf_exec(f,
                   "INSERT INTO maru_workflow_step(run, seq, name, state, at, attempt, version,"
                   " next, spec) VALUES(?1, ?2, ?3, 0, ?4, 0, 0, ?5, ?6)",
                   "iisiss", run->id, (int64_t)seq, str_split(&name, '\x1f'), f->now, str_c(role),
                   spec);
}

bool wf_list_start(struct wf *f, struct wf_run *run, const struct wf_change *c)
{
    struct str body = c->specs[c->count], on_error = c->specs[c->count + 1];
    struct str none = {0};
    bool chain = run->shape == WORKFLOW_CHAIN;
    for (int i = 1; chain && i < c->count; i++)
        if (!plan(f, run, i + 1, "member", c->specs[i]))
            return false;
    if (body.n && !plan(f, run, c->count + 1, "body", body))
        return false;
    if (on_error.n && !plan(f, run, c->count + 2, "on_error", on_error))
        return false;
    for (int i = 0; i < (chain ? 1 : c->count) && run->state == WORKFLOW_RUNNING; i++)
        if (!wf_push_planned(f, run, i + 1, "member", c->specs[i], none))
            return false;
    return true;
}

/* The row that is planned: 1 with its spec in *out, 0 or -1. */
static int planned(struct wf *f, int64_t run, int seq, const char *role, int *at, struct buf *out)
{
    sqlite3_stmt *s = wf_query(f,
                               "SELECT seq, spec FROM maru_workflow_step WHERE run = ?1 AND"
                               " seq >= ?2 AND state = 0 AND next = ?3 ORDER BY seq LIMIT 1",
                               "iis", run, (int64_t)seq, str_c(role));
    int rc = s ? sqlite_step(f->conn, s, f->err) : SQLITE_ERROR;
    if (rc == SQLITE_ROW) {
        *at = sqlite3_column_int(s, 0);
        buf_add_str(out, wf_column(s, 1));
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -1;
}

static bool finish_with(struct wf *f, struct wf_run *run, struct str result)
{
    buf_clear(&run->result);
    buf_add_str(&run->result, result.n ? result : STR("null"));
    return wf_finish(f, run, WORKFLOW_DONE);
}

static bool chain_next(struct wf *f, struct wf_run *run, int seq, struct str result)
{
    struct buf spec = {0};
    int at, is = planned(f, run->id, seq + 1, "member", &at, &spec);
    bool ok = is == 1 ? wf_push_planned(f, run, at, "member", buf_str(&spec),
                                        result.n ? result : STR("null"))
                      : is == 0 && finish_with(f, run, result);
    buf_free(&spec);
    return ok;
}

/* [results in order], null for one that did not end well, whose place and error come back.
 * False with f->err. */
static bool gather(struct wf *f, int64_t run, struct buf *out, int *failed, struct buf *why)
{
    int rc = SQLITE_ERROR;
    sqlite3_stmt *s = wf_query(f,
                               "SELECT seq, state, result, name, error FROM maru_workflow_step"
                               " WHERE run = ?1 AND next = 'member' ORDER BY seq",
                               "i", run);
    *failed = 0;
    while (s && (rc = sqlite_step(f->conn, s, f->err)) == SQLITE_ROW) {
        struct str result = wf_column(s, 2);
        bool done = sqlite3_column_int(s, 1) == WF_DONE;
        buf_add_char(out, out->n ? ',' : '[');
        buf_add_str(out, done && result.n ? result : STR("null"));
        if (done || *failed)
            continue;
        *failed = sqlite3_column_int(s, 0);
        buf_printf(why, "member %d, %.*s: %.*s", *failed, (int)wf_column(s, 3).n, wf_column(s, 3).p,
                   (int)wf_column(s, 4).n, wf_column(s, 4).p);
    }
    buf_add_char(out, ']');
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool push_body(struct wf *f, struct wf_run *run, struct str results)
{
    struct buf spec = {0};
    int at, is = planned(f, run->id, 0, "body", &at, &spec);
    bool ok = is == 1 && wf_push_planned(f, run, at, "body", buf_str(&spec), results);
    if (is == 0)
        ok = wf_fail(f, run, "its body is not there");
    buf_free(&spec);
    return ok;
}

/* All members ended. */
static bool all_ended(struct wf *f, struct wf_run *run)
{
    struct buf results = {0}, why = {0};
    int failed;
    bool ok = gather(f, run->id, &results, &failed, &why);
    if (ok && failed)
        ok = wf_fail(f, run, "%s", why.p);
    else if (ok && run->shape == WORKFLOW_CHORD)
        ok = push_body(f, run, buf_str(&results));
    else if (ok && results.n <= JOBS_RESULT_BYTES)
        ok = finish_with(f, run, buf_str(&results));
    else if (ok)
        ok = wf_finish(f, run, WORKFLOW_DONE); /* each step's row has its own */
    buf_free(&results);
    buf_free(&why);
    return ok;
}

bool wf_list_ended(struct wf *f, struct wf_run *run, const struct wf_step *step,
                   const struct wf_end *end)
{
    bool member = step->next && !strcmp(step->next, "member");
    bool chain = run->shape == WORKFLOW_CHAIN;
    if (!end->done && (!member || run->shape != WORKFLOW_GROUP))
        return wf_fail(f, run, "%s %d, %s: %.*s", member ? "member" : "body", step->seq, step->name,
                       (int)end->error.n, end->error.p);
    if (!member)
        return finish_with(f, run, end->result);
    if (chain)
        return chain_next(f, run, step->seq, end->result);
    return run->active > 0 || all_ended(f, run);
}
