/* Chains, groups and chords: members in order, then perhaps a body; the column `next` of a row
 * says which it is. */
#include "base/mem.h"
#include "jobs/workflow/private.h"

static bool plan(struct wf *f, const struct wf_run *run, int seq, const char *role, struct str spec)
{
    struct str rest = spec, name = str_split(&rest, '\x1f');
    return f->store->plan(f, run->id, seq, name, role, spec);
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

static bool finish_with(struct wf *f, struct wf_run *run, struct str result)
{
    buf_clear(&run->result);
    buf_add_str(&run->result, result.n ? result : STR("null"));
    return wf_finish(f, run, WORKFLOW_DONE);
}

static bool chain_next(struct wf *f, struct wf_run *run, int seq, struct str result)
{
    struct buf spec = {0};
    int at, is = f->store->planned(f, run->id, seq + 1, "member", &at, &spec);
    bool ok = is == 1 ? wf_push_planned(f, run, at, "member", buf_str(&spec),
                                        result.n ? result : STR("null"))
                      : is == 0 && finish_with(f, run, result);
    buf_free(&spec);
    return ok;
}

/* [results in order], null for one that did not end well; the first such one says why. */
struct gathering {
    struct buf results, why;
    int failed;
};

static void gather_one(void *arg, const struct wf_member_row *m)
{
    struct gathering *g = arg;
    bool done = m->state == WF_DONE;
    buf_add_char(&g->results, g->results.n ? ',' : '[');
    buf_add_str(&g->results, done && m->result.n ? m->result : STR("null"));
    if (done || g->failed)
        return;
    g->failed = m->seq;
    buf_printf(&g->why, "member %d, %.*s: %.*s", m->seq, (int)m->name.n, m->name.p, (int)m->error.n,
               m->error.p);
}

static bool push_body(struct wf *f, struct wf_run *run, struct str results)
{
    struct buf spec = {0};
    int at, is = f->store->planned(f, run->id, 0, "body", &at, &spec);
    bool ok = is == 1 && wf_push_planned(f, run, at, "body", buf_str(&spec), results);
    if (is == 0)
        ok = wf_fail(f, run, "its body is not there");
    buf_free(&spec);
    return ok;
}

/* All members ended. */
static bool all_ended(struct wf *f, struct wf_run *run)
{
    struct gathering g = {0};
    bool ok = f->store->members(f, run->id, gather_one, &g);
    buf_add_char(&g.results, ']');
    if (ok && g.failed)
        ok = wf_fail(f, run, "%s", g.why.p);
    else if (ok && run->shape == WORKFLOW_CHORD)
        ok = push_body(f, run, buf_str(&g.results));
    else if (ok && g.results.n <= JOBS_RESULT_BYTES)
        ok = finish_with(f, run, buf_str(&g.results));
    else if (ok)
        ok = wf_finish(f, run, WORKFLOW_DONE); /* each step's row has its own */
    buf_free(&g.results);
    buf_free(&g.why);
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
