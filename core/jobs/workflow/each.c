/* workflow/each.c -- bundles: one job of a step for each item of a list, and what came of all.
 *
 * The items' rows have the role "member", as those of a group; they are numbered one after the
 * other.  A line "*step first total left failed" of run->arrived counts down, and stays until the
 * step has another bundle: whoever starts behind it gets what its rows hold. */
#include "base/json.h"
#include "base/mem.h"
#include "jobs/workflow/private.h"

enum { ERRORS_TOLD = 100 };

static bool read_bundle(struct str line, struct wf_bundle *out)
{
    int *numbers[] = {&out->first, &out->total, &out->left, &out->failed};
    if (!line.n || *line.p != '*')
        return false;
    line = str_n(line.p + 1, line.n - 1);
    out->step = str_split(&line, ' ');
    for (int i = 0; i < 4; i++) {
        long long value = 0;
        str_int64(str_split(&line, ' '), &value);
        *numbers[i] = (int)value;
    }
    return true;
}

bool wf_bundle_next(struct str *lines, struct wf_bundle *out)
{
    while (lines->n)
        if (read_bundle(str_split(lines, '\n'), out))
            return true;
    return false;
}

bool wf_bundle_has(const struct wf_bundle *b, struct str step, int seq)
{
    return str_eq(b->step, step) && seq >= b->first && seq < b->first + b->total;
}

static bool find(const struct wf_run *run, struct str step, struct wf_bundle *out)
{
    struct str lines = buf_str(&run->arrived);
    while (wf_bundle_next(&lines, out))
        if (str_eq(out->step, step))
            return true;
    return false;
}

/* In the place of the one before; the step's text must not be of run->arrived. */
static void put(struct wf_run *run, struct str step, int first, int total, int left, int failed)
{
    struct buf kept = {0};
    struct wf_bundle b;
    struct str rest = buf_str(&run->arrived);
    while (rest.n) {
        struct str line = str_split(&rest, '\n');
        if (read_bundle(line, &b) && str_eq(b.step, step))
            continue;
        buf_add_str(&kept, line);
        buf_add_char(&kept, '\n');
    }
    buf_printf(&kept, "*%.*s %d %d %d %d\n", (int)step.n, step.p, first, total, left, failed);
    buf_free(&run->arrived);
    run->arrived = kept;
}

/* -- the beginning -------------------------------------------------------------------------- */

/* What all items' jobs get; behind it come ,"item":…,"index":…,"total":…} */
static bool write_head(struct wf *f, const struct wf_run *run, struct str step, struct str from,
                       struct buf *out)
{
    buf_printf(out,
               "{\"run\":%lld,\"workflow\":\"%s\",\"step\":\"%.*s\",\"n\":%d,\"version\":%d,"
               "\"from\":\"%.*s\",\"input\":",
               (long long)run->id, run->name, (int)step.n, step.p, run->steps + 1, run->version,
               (int)from.n, from.p);
    return f->store->input(f, run->id, out);
}

struct each {
    struct wf *f;
    struct wf_run *run;
    const struct workflow_decl *decl;
    const struct workflow_step_decl *step;
    struct str from, kind, head;
    int total;
};

static bool push_item(const struct each *e, int index, struct str item)
{
    struct wf_run *run = e->run;
    struct buf args = {0};
    struct err why;
    int64_t job;
    buf_add_str(&args, e->head);
    buf_add_c(&args, ",\"item\":");
    buf_add_str(&args, item);
    buf_printf(&args, ",\"index\":%d,\"total\":%d}", index, e->total);
    struct wf_push push = {.kind = e->kind, .args = buf_str(&args)};
    bool ok = wf_push(e->f, run, run->steps + 1, &push, &job, &why);
    buf_free(&args);
    if (!ok || !job)
        return ok &&
               wf_fail(e->f, run, "step '%s', item %d: %s", e->step->name, index, why.message);
    run->steps++;
    run->active++;
    struct wf_queued row = {
        .seq = run->steps,
        .name = str_c(e->step->name),
        .job = job,
        .role = STR("member"),
        .version = e->decl->version,
        .on_error = str_c(e->step->on_error),
        .from = e->from,
    };
    return e->f->store->queue(e->f, run->id, &row);
}

static int count_items(struct str items)
{
    struct str item;
    int n = 0;
    while (n <= WORKFLOW_MEMBERS && wf_item(&items, &item))
        n++;
    return n;
}

/* False with f->err; the run may have failed. */
static bool check_room(const struct each *e, struct str items)
{
    struct wf_bundle b;
    int most = e->decl->max_steps ? e->decl->max_steps : WORKFLOW_STEPS;
    size_t bytes = items.n + (size_t)e->total * (e->head.n + 64);
    const char *name = e->step->name;
    if (e->total > WORKFLOW_MEMBERS)
        return wf_fail(e->f, e->run, "step '%s' has more than %d items", name, WORKFLOW_MEMBERS);
    if (e->run->steps + e->total > most)
        return wf_fail(e->f, e->run, "more than %d steps (max_steps) with %d items of '%s'", most,
                       e->total, name);
    if (bytes > WORKFLOW_EACH_BYTES)
        return wf_fail(e->f, e->run,
                       "the items of '%s' have %zu bytes, each with the run's input; the most is"
                       " %d",
                       name, bytes, WORKFLOW_EACH_BYTES);
    if (find(e->run, str_c(name), &b) && b.left > 0)
        return wf_fail(e->f, e->run, "step '%s' has %d items under way already", name, b.left);
    return true;
}

bool wf_each_start(struct wf *f, struct wf_run *run, const struct workflow_decl *decl,
                   const struct workflow_step_decl *step, struct str from, struct str items)
{
    struct buf head = {0};
    struct str item;
    char *kind = mem_printf("%s.flow:%s.%s", run->plugin, run->name, step->name);
    bool ok = write_head(f, run, str_c(step->name), from, &head);
    struct each e = {f, run, decl, step, from, str_c(kind), buf_str(&head), count_items(items)};
    ok = ok && check_room(&e, items);
    if (ok && run->state == WORKFLOW_RUNNING) {
        put(run, str_c(step->name), run->steps + 1, e.total, e.total, 0);
        for (int i = 1; ok && run->state == WORKFLOW_RUNNING && wf_item(&items, &item); i++)
            ok = push_item(&e, i, item);
    }
    buf_free(&head);
    mem_free(kind);
    return ok;
}

/* -- the end -------------------------------------------------------------------------------- */

bool wf_is_item(const struct wf_run *run, const struct wf_step *step)
{
    struct str lines = buf_str(&run->arrived);
    struct wf_bundle b;
    while (step->next && !strcmp(step->next, "member") && wf_bundle_next(&lines, &b))
        if (str_eq_c(b.step, step->name))
            return true;
    return false;
}

bool wf_each_ended(struct wf *f, struct wf_run *run, const struct wf_step *step,
                   const struct wf_end *end, struct wf_bundle *b)
{
    find(run, str_c(step->name), b);
    if (!wf_bundle_has(b, str_c(step->name), step->seq) || b->left == 0)
        return wf_fail(f, run, "an item of '%s' was retried when the others were over", step->name);
    b->left--;
    b->failed += !end->done;
    b->step = str_c(step->name);
    put(run, b->step, b->first, b->total, b->left, b->failed);
    if (!end->done && !step->on_error)
        return wf_fail(f, run, "step '%s', item %d of %d: %.*s", step->name,
                       step->seq - b->first + 1, b->total, (int)end->error.n, end->error.p);
    return true;
}

/* -- what came of all ----------------------------------------------------------------------- */

struct gathering {
    const struct wf_bundle *bundle;
    struct buf results, errors;
    int told;
};

static void gather_one(void *arg, const struct wf_member_row *m)
{
    struct gathering *g = arg;
    if (!wf_bundle_has(g->bundle, m->name, m->seq) || g->results.n > JOBS_ARGS_BYTES)
        return;
    bool done = m->state == WF_DONE;
    buf_add_char(&g->results, g->results.n ? ',' : '[');
    buf_add_str(&g->results, !done ? STR("false") : m->result.n ? m->result : STR("true"));
    if (done || g->told++ >= ERRORS_TOLD)
        return;
    struct json w = json_to(&g->errors);
    if (g->errors.n)
        buf_add_char(&g->errors, ',');
    json_open(&w, '{');
    json_key(&w, "index");
    json_int(&w, m->seq - g->bundle->first + 1);
    json_key(&w, "message");
    json_str(&w, m->error);
    json_close(&w, '}');
}

/* "step":{"results":[…],"errors":[…],"failed":n} */
static bool add_results(struct wf *f, const struct wf_run *run, const struct wf_bundle *b,
                        struct buf *out)
{
    struct gathering g = {.bundle = b};
    bool ok = f->store->members(f, run->id, gather_one, &g);
    buf_printf(out, "%s\"%.*s\":{\"results\":", out->n ? "," : "{", (int)b->step.n, b->step.p);
    buf_add_str(out, g.results.n ? buf_str(&g.results) : STR("["));
    buf_add_c(out, "],\"errors\":[");
    buf_add_str(out, buf_str(&g.errors));
    buf_printf(out, "],\"failed\":%d}", b->failed);
    buf_free(&g.results);
    buf_free(&g.errors);
    return ok;
}

static bool waits_for(const struct workflow_step_decl *join, struct str step)
{
    for (int i = 0; i < join->join_count; i++) {
        struct str rest = str_c(join->join[i]);
        while (rest.n)
            if (str_eq(str_split(&rest, ' '), step))
                return true;
    }
    return false;
}

bool wf_each_results(struct wf *f, const struct wf_run *run, const struct workflow_step_decl *step,
                     struct str from, struct buf *out)
{
    struct str lines = buf_str(&run->arrived);
    struct wf_bundle b;
    bool ok = true;
    while (ok && wf_bundle_next(&lines, &b))
        if (b.left == 0 && (str_eq(b.step, from) || waits_for(step, b.step)))
            ok = add_results(f, run, &b, out);
    if (out->n)
        buf_add_char(out, '}');
    return ok;
}
