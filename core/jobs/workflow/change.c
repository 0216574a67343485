#include <ctype.h>

#include "base/mem.h"
#include "jobs/driver.h"
#include "jobs/workflow/private.h"

static void on_answer(struct lane_message *message)
{
    struct workflow_change *change = (struct workflow_change *)(void *)message;
    change->done(change);
}

void wf_change_free(struct wf_change *c)
{
    buf_free(&c->text);
    mem_free(c->specs);
    mem_free(c);
}

void wf_change_answer(struct wf_change *c, const struct err *err)
{
    struct workflow_change *change = c->change;
    struct jobs_change *retry = c->retry;
    struct err own = err && !c->applied ? *err : c->err;
    wf_change_free(c);
    if (retry) {
        change_reply(retry, own.code ? &own : NULL);
        return;
    }
    change->err = own;
    change->message.fn = on_answer;
    if (change->lane)
        lane_post(change->lane, &change->message);
    else
        change->done(change);
}

/* -- on the writer thread ------------------------------------------------------------------- */

/* 1: there is the run that has this id; 0, or -1. */
static int was_started(struct wf *f, struct wf_change *c)
{
    struct wf_run run;
    if (!c->id)
        return 0;
    int is = wf_load(f, c->id, &run);
    wf_run_free(&run);
    c->change->id = c->id;
    return is;
}

static bool apply_start(struct wf *f, struct wf_change *c)
{
    const struct workflow_decl *decl = wf_find(f->set, c->plugin, c->name);
    struct wf_run run = {.id = c->id, .shape = c->shape, .created_at = f->now};
    int was = was_started(f, c);
    if (was)
        return was > 0;
    if (c->shape == WORKFLOW_GRAPH && !decl) {
        err_set(&c->err, ERR_NOT_FOUND, "there is no workflow %.*s", (int)c->name.n, c->name.p);
        return true;
    }
    run.plugin = str_dup(c->plugin);
    run.name = str_dup(c->name);
    run.version = decl && c->shape == WORKFLOW_GRAPH ? decl->version : 0;
    int is = wf_insert(f, &run, c->key);
    bool ok = is >= 0;
    if (is == 0)
        err_set(&c->err, ERR_EXISTS, "an unfinished run of %.*s has this key", (int)c->name.n,
                c->name.p);
    else if (is == 1)
        ok = (c->shape == WORKFLOW_GRAPH ? wf_graph_start(f, &run, c->data)
                                         : wf_list_start(f, &run, c)) &&
             wf_save(f, &run);
    c->change->id = run.id;
    wf_run_free(&run);
    return ok;
}

/* The run a change is about: 1 when it runs and is this plugin's; else 0 with c->err, or -1. */
static int load(struct wf *f, struct wf_change *c, struct wf_run *run)
{
    int is = wf_load(f, c->id, run);
    if (is == 1 && c->plugin.n && !str_eq_c(c->plugin, run->plugin))
        is = 0;
    if (is == 0)
        err_set(&c->err, ERR_NOT_FOUND, "there is no workflow run %lld", (long long)c->id);
    else if (is == 1 && run->state != WORKFLOW_RUNNING) {
        err_set(&c->err, ERR_CONFLICT, "workflow run %lld is %s already", (long long)c->id,
                workflow_state_name(run->state));
        is = 0;
    }
    return is;
}

static bool keep_signal(struct wf *f, struct wf_change *c)
{
    int is = f->store->keep_signal(f, c->id, c->name, c->data, c->who);
    if (is == 0)
        err_set(&c->err, ERR_FULL, "workflow run %lld keeps %d signals already", (long long)c->id,
                WORKFLOW_SIGNALS);
    return is >= 0;
}

static int waiting_step(struct wf *f, const struct wf_change *c, struct wf_step *step)
{
    int seq, is = f->store->waiting(f, c->id, c->name, &seq);
    return is == 1 ? wf_load_step(f, c->id, seq, step) : is;
}

static bool apply_signal(struct wf *f, struct wf_change *c)
{
    struct wf_run run;
    struct wf_step step = {0};
    struct buf signal = {0};
    int is = load(f, c, &run);
    if (is == 1 && run.shape != WORKFLOW_GRAPH) {
        err_set(&c->err, ERR_INVALID, "workflow run %lld is no graph: it waits for no signal",
                (long long)c->id);
        is = 0;
    }
    bool ok = is >= 0;
    c->change->woke = false;
    if (is == 1) {
        int waits = waiting_step(f, c, &step);
        ok = waits >= 0;
        if (waits == 1) {
            c->change->woke = true;
            wf_write_signal(&signal, c->name, c->data, c->who, f->now);
            ok = f->store->hurry && !wf_find(f->set, str_c(run.plugin), str_c(run.name))
                     ? keep_signal(f, c) && f->store->hurry(f, c->id, step.seq)
                     : wf_graph_woke(f, &run, &step, buf_str(&signal)) && wf_save(f, &run);
        } else if (waits == 0)
            ok = keep_signal(f, c);
    }
    buf_free(&signal);
    wf_step_free(&step);
    wf_run_free(&run);
    return ok;
}

static bool apply_cancel(struct wf *f, struct wf_change *c)
{
    struct wf_run run;
    int is = load(f, c, &run);
    bool ok = is >= 0;
    if (is == 1)
        ok = wf_finish(f, &run, WORKFLOW_CANCELLED) && wf_save(f, &run);
    wf_run_free(&run);
    return ok;
}

static bool apply_retry(struct wf *f, struct wf_change *c)
{
    int is = f->store->retry(f, c->id);
    if (is == 0 && !c->err.code)
        err_set(&c->err, ERR_NOT_FOUND, "jobs: no dead job %lld", (long long)c->id);
    return is == 1 ? wf_revived(f, c->id) : is == 0;
}

bool wf_apply(struct wf *f, struct wf_change *c)
{
    err_clear(&c->err);
    switch (c->type) {
    case WF_START:
        return apply_start(f, c);
    case WF_SIGNAL:
        return apply_signal(f, c);
    case WF_CANCEL:
        return apply_cancel(f, c);
    case WF_RETRY:
        return apply_retry(f, c);
    case WF_NUMBER:
        return f->store->number(f, &c->change->id);
    }
    return true;
}

/* -- from callers --------------------------------------------------------------------------- */

/* Copies *text behind the others; the place is made good by settle_texts(). */
static void keep(struct wf_change *c, struct str *to, struct str text)
{
    *to = str_n((const char *)c->text.n, text.n);
    buf_add_str(&c->text, text);
}

static void settle_text(struct wf_change *c, struct str *text)
{
    if (c->text.p)
        text->p = c->text.p + (size_t)text->p;
    else
        *text = STR("");
}

static void settle_texts(struct wf_change *c)
{
    settle_text(c, &c->plugin);
    settle_text(c, &c->name);
    settle_text(c, &c->key);
    settle_text(c, &c->data);
    settle_text(c, &c->who);
    for (int i = 0; c->specs && i < c->count + 2; i++)
        settle_text(c, &c->specs[i]);
}

/* False, and not queued, when the part takes no changes. */
static bool hand_over(struct jobs *jobs, struct wf_change *c, struct err *err)
{
    settle_texts(c);
    jobs_lock(jobs);
    struct workflows *w = jobs->workflows;
    bool ok = w && !jobs->closed && !jobs->failed.code;
    if (!w)
        err_set(err, ERR_INVALID, "workflows: jobs.driver = \"%s\" has none", jobs->driver->name);
    else if (!ok)
        err_set(err, ERR_CLOSED, "workflows: the queue is closed");
    if (ok) {
        *w->changes_end = c;
        w->changes_end = &c->next;
    }
    jobs_unlock(jobs);
    return ok;
}

static struct wf_change *change_create(struct workflow_change *change, enum wf_change_type type,
                                       int64_t id)
{
    struct wf_change *c = mem_zero(1, sizeof *c);
    c->change = change;
    c->type = type;
    c->id = id;
    if (change)
        err_clear(&change->err);
    return c;
}

static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (iscntrl((unsigned char)text.p[i]))
            return false;
    return true;
}

static bool check_member(const struct workflow_member *m, struct err *err)
{
    if (!m->kind.n || m->kind.n > JOBS_NAME_BYTES || m->queue.n > JOBS_NAME_BYTES ||
        !is_plain(m->kind) || !is_plain(m->queue))
        return err_set(err, ERR_INVALID, "workflows: names have 1 to %d bytes", JOBS_NAME_BYTES);
    if (m->args.n > JOBS_ARGS_BYTES)
        return err_set(err, ERR_LIMIT, "workflows: arguments have at most %d bytes, not %zu",
                       JOBS_ARGS_BYTES, m->args.n);
    return true;
}

bool wf_check_start(const struct workflow_start *s, struct err *err)
{
    bool ok = true;
    if (s->name.n > WORKFLOW_NAME_BYTES || s->key.n > JOBS_UNIQUE_BYTES)
        return err_set(err, ERR_LIMIT, "workflows: a name has at most %d bytes, a key %d",
                       WORKFLOW_NAME_BYTES, JOBS_UNIQUE_BYTES);
    if (s->key.n && (!utf8_valid(s->key) || memchr(s->key.p, 0, s->key.n)))
        return err_set(err, ERR_INVALID, "workflows: a key is text in UTF-8, without zero bytes");
    if (s->input.n > WORKFLOW_STATE_BYTES)
        return err_set(err, ERR_LIMIT, "workflows: the input has %zu bytes, the most is %d",
                       s->input.n, WORKFLOW_STATE_BYTES);
    if (s->shape != WORKFLOW_GRAPH && (s->count < 1 || s->count > WORKFLOW_MEMBERS))
        return err_set(err, ERR_LIMIT, "workflows: 1 to %d members", WORKFLOW_MEMBERS);
    for (int i = 0; ok && i < s->count; i++)
        ok = check_member(&s->members[i], err);
    return ok && (!s->body || check_member(s->body, err)) &&
           (!s->on_error || check_member(s->on_error, err));
}

static void keep_members(struct wf_change *c, const struct workflow_start *s)
{
    struct buf spec = {0};
    c->count = s->count;
    c->specs = mem_zero((size_t)s->count + 2, sizeof *c->specs);
    for (int i = 0; i < s->count + 2; i++) {
        const struct workflow_member *m = i < s->count    ? &s->members[i]
                                          : i == s->count ? s->body
                                                          : s->on_error;
        buf_clear(&spec);
        if (m)
            wf_spec_write(&spec, m);
        keep(c, &c->specs[i], buf_str(&spec));
    }
    buf_free(&spec);
}

bool workflow_start(struct jobs *jobs, struct workflow_change *change,
                    const struct workflow_start *start, struct err *err)
{
    if ((!jobs->workflows && !shared_has(jobs, "workflows", err)) || !wf_check_start(start, err))
        return false;
    struct wf_change *c = change_create(change, WF_START, start->id);
    c->shape = start->shape;
    keep(c, &c->plugin, start->plugin);
    keep(c, &c->name, start->name);
    keep(c, &c->key, start->key);
    keep(c, &c->data, start->input);
    keep_members(c, start);
    if (hand_over(jobs, c, err))
        return true;
    wf_change_free(c);
    return false;
}

bool wf_number(struct jobs *jobs, struct workflow_change *change, struct err *err)
{
    struct wf_change *c = change_create(change, WF_NUMBER, 0);
    if (hand_over(jobs, c, err))
        return true;
    wf_change_free(c);
    return false;
}

void workflow_signal(struct jobs *jobs, struct workflow_change *change, int64_t id,
                     struct str plugin, struct str name, struct str data, struct str who)
{
    struct err err = {0};
    struct wf_change *c = change_create(change, WF_SIGNAL, id);
    keep(c, &c->plugin, plugin);
    keep(c, &c->name, name);
    keep(c, &c->data, data.n ? data : STR("null"));
    keep(c, &c->who, who);
    if (!name.n || name.n > WORKFLOW_NAME_BYTES)
        err_set(&err, ERR_INVALID, "workflows: a signal's name has 1 to %d bytes",
                WORKFLOW_NAME_BYTES);
    else if (data.n > WORKFLOW_SIGNAL_BYTES)
        err_set(&err, ERR_LIMIT, "workflows: a signal's data has at most %d bytes",
                WORKFLOW_SIGNAL_BYTES);
    if (err.code || !hand_over(jobs, c, &err))
        wf_change_answer(c, &err);
}

void workflow_cancel(struct jobs *jobs, struct workflow_change *change, int64_t id,
                     struct str plugin)
{
    struct err err = {0};
    struct wf_change *c = change_create(change, WF_CANCEL, id);
    keep(c, &c->plugin, plugin);
    if (!hand_over(jobs, c, &err))
        wf_change_answer(c, &err);
}

void workflow_retry(struct jobs *jobs, struct jobs_change *change, int64_t job)
{
    struct err err = {0};
    struct wf_change *c = change_create(NULL, WF_RETRY, job);
    c->retry = change;
    if (!hand_over(jobs, c, &err))
        wf_change_answer(c, &err);
}
