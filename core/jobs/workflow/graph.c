#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "jobs/workflow/private.h"

/* A way through the graph, from the step that ended to the one that follows. */
struct way {
    struct wf *f;
    struct wf_run *run;
    const struct workflow_decl *decl;
    struct str from;
    struct str more; /* JSON members for the step's job: the signal, the error */
};

static const struct workflow_decl *decl_of(struct wf *f, const struct wf_run *run)
{
    return wf_find(f->set, str_c(run->plugin), str_c(run->name));
}

/* What the step's job gets; lua/maru/workflow_run.lua reads it. */
static bool write_args(const struct way *way, struct str step, struct buf *out)
{
    const struct wf_run *run = way->run;
    buf_printf(out, "{\"run\":%lld,\"workflow\":\"%s\",\"step\":\"%.*s\",\"n\":%d,\"version\":%d",
               (long long)run->id, run->name, (int)step.n, step.p, run->steps + 1, run->version);
    if (way->from.n)
        buf_printf(out, ",\"from\":\"%.*s\"", (int)way->from.n, way->from.p);
    buf_add_c(out, ",\"input\":");
    if (!way->f->store->input(way->f, run->id, out))
        return false;
    buf_add_c(out, ",\"state\":");
    buf_add_str(out, run->data.n ? buf_str(&run->data) : STR("{}"));
    buf_add_str(out, way->more);
    buf_add_char(out, '}');
    return true;
}

static bool queue_step(const struct way *way, const struct workflow_step_decl *step)
{
    struct wf *f = way->f;
    struct wf_run *run = way->run;
    struct buf args = {0}, results = {0};
    int64_t job;
    struct err why;
    int most = way->decl->max_steps ? way->decl->max_steps : WORKFLOW_STEPS;
    if (run->steps >= most)
        return wf_fail(f, run, "more than %d steps (max_steps), the next would be '%s'", most,
                       step->name);
    char *kind = mem_printf("%s.flow:%s.%s", run->plugin, run->name, step->name);
    bool ok = write_args(way, str_c(step->name), &args) &&
              wf_each_results(f, run, step, way->from, &results);
    struct wf_push push = {
        .kind = str_c(kind), .args = buf_str(&args), .previous = buf_str(&results)};
    ok = ok && wf_push(f, run, run->steps + 1, &push, &job, &why);
    if (ok && !job)
        ok = wf_fail(f, run, "step '%s': %s", step->name, why.message);
    else if (ok) {
        run->steps++;
        run->active++;
        struct wf_queued row = {
            .seq = run->steps,
            .name = str_c(step->name),
            .job = job,
            .version = way->decl->version,
            .on_error = str_c(step->on_error),
            .from = way->from,
        };
        ok = f->store->queue(f, run->id, &row);
    }
    buf_free(&args);
    buf_free(&results);
    mem_free(kind);
    return ok;
}

/* -- joins: run->arrived holds a line "join step" for each that came ------------------------ */

static bool has_arrived(const struct wf_run *run, struct str join, struct str step)
{
    struct str rest = buf_str(&run->arrived);
    while (rest.n) {
        struct str line = str_split(&rest, '\n');
        if (str_eq(str_split(&line, ' '), join) && str_eq(line, step))
            return true;
    }
    return false;
}

static void forget_arrivals(struct wf_run *run, struct str join)
{
    struct buf kept = {0};
    struct str rest = buf_str(&run->arrived);
    while (rest.n) {
        struct str line = str_split(&rest, '\n'), step = line;
        if (str_eq(str_split(&step, ' '), join))
            continue;
        buf_add_str(&kept, line);
        buf_add_char(&kept, '\n');
    }
    buf_free(&run->arrived);
    run->arrived = kept;
}

/* The first line of the join that nobody came for, or NULL; names: whether `from` is in any. */
static const char *missing(const struct wf_run *run, const struct workflow_step_decl *join,
                           struct str from, bool *names)
{
    const char *first = NULL;
    for (int i = 0; i < join->join_count; i++) {
        struct str rest = str_c(join->join[i]);
        bool came = false;
        while (rest.n) {
            struct str step = str_split(&rest, ' ');
            came = came || has_arrived(run, str_c(join->name), step);
            *names = *names || str_eq(step, from);
        }
        if (!came && !first)
            first = join->join[i];
    }
    return first;
}

static bool arrive(const struct way *way, const struct workflow_step_decl *join)
{
    struct wf_run *run = way->run;
    bool names = false;
    missing(run, join, way->from, &names);
    if (!names)
        return wf_fail(way->f, run, "step '%.*s' leads to the join '%s', which does not name it",
                       (int)way->from.n, way->from.p, join->name);
    if (!has_arrived(run, str_c(join->name), way->from))
        buf_printf(&run->arrived, "%s %.*s\n", join->name, (int)way->from.n, way->from.p);
    if (missing(run, join, way->from, &names))
        return true;
    forget_arrivals(run, str_c(join->name));
    return queue_step(way, join);
}

static bool go(const struct way *way, struct str to)
{
    struct wf_run *run = way->run;
    const struct workflow_step_decl *step = wf_find_step(way->decl, to);
    if (run->state != WORKFLOW_RUNNING)
        return true;
    if (!way->decl)
        return wf_fail(way->f, run, "plugin %s does not declare this workflow any more",
                       run->plugin);
    if (!step)
        return wf_fail(way->f, run, "there is no step '%.*s' in version %d of the workflow",
                       (int)to.n, to.p, way->decl->version);
    if (step->each)
        return wf_fail(way->f, run, "step '%s' is for run:each", step->name);
    return step->join_count ? arrive(way, step) : queue_step(way, step);
}

/* The lines of joins: what a run that is over has not met. */
static struct str unmet(const struct wf_run *run)
{
    struct str rest = buf_str(&run->arrived);
    while (rest.n && *rest.p == '*')
        str_split(&rest, '\n');
    return rest;
}

/* When no step is left the run is done, unless a join still waits for somebody. */
static bool settle_run(struct wf *f, struct wf_run *run)
{
    if (run->state != WORKFLOW_RUNNING || run->active)
        return true;
    struct str rest = unmet(run);
    if (!rest.n)
        return wf_finish(f, run, WORKFLOW_DONE);
    struct str join = str_split(&rest, ' ');
    const struct workflow_step_decl *step = wf_find_step(decl_of(f, run), join);
    bool names = false;
    const char *who = step ? missing(run, step, STR(""), &names) : NULL;
    return wf_fail(f, run, "the join '%.*s' waits for '%s', which led elsewhere", (int)join.n,
                   join.p, who ? who : "?");
}

bool wf_graph_start(struct wf *f, struct wf_run *run, struct str input)
{
    const struct workflow_decl *decl = decl_of(f, run);
    struct way way = {.f = f, .run = run, .decl = decl};
    return f->store->put_input(f, run->id, input.n ? input : STR("{}")) &&
           go(&way, str_c(decl ? decl->start : ""));
}

/* ,"error":{"step":…,"message":…} */
static void write_error(struct buf *out, struct str step, struct str message)
{
    struct json w = json_to(out);
    buf_add_c(out, ",\"error\":");
    json_open(&w, '{');
    json_key(&w, "step");
    json_str(&w, step);
    json_key(&w, "message");
    json_str(&w, message);
    json_close(&w, '}');
}

static bool went_wrong(struct way *way, const struct wf_step *step, struct str message)
{
    struct buf more = {0};
    if (!step->on_error)
        return wf_fail(way->f, way->run, "step '%s': %.*s", step->name, (int)message.n, message.p);
    write_error(&more, str_c(step->name), message);
    way->more = buf_str(&more);
    bool ok = go(way, str_c(step->on_error));
    buf_free(&more);
    return ok;
}

/* -- waiting -------------------------------------------------------------------------------- */

void wf_write_signal(struct buf *out, struct str name, struct str data, struct str who, int64_t at)
{
    struct json w = json_to(out);
    buf_add_c(out, ",\"signal\":");
    json_open(&w, '{');
    json_key(&w, "name");
    json_str(&w, name);
    if (data.n && !str_eq_c(data, "null")) {
        json_key(&w, "data");
        json_raw(&w, data);
    }
    json_key(&w, "by");
    json_str(&w, who);
    json_key(&w, "at");
    json_num(&w, (double)at / (double)NS_PER_SECOND);
    json_close(&w, '}');
}

/* The oldest kept signal of this name, taken: 1 with *out written, 0, or -1. */
static int take_signal(struct wf *f, int64_t run, struct str name, struct buf *out)
{
    struct buf data = {0}, who = {0};
    int64_t at;
    int is = f->store->take_signal(f, run, name, &data, &who, &at);
    if (is == 1)
        wf_write_signal(out, name, buf_str(&data), buf_str(&who), at);
    buf_free(&data);
    buf_free(&who);
    return is;
}

static bool begin_wait(struct way *way, const struct wf_step *step, struct str wait)
{
    struct wf *f = way->f;
    struct str name = workflow_json_text(workflow_json_get(wait, "signal")),
               next = workflow_json_text(workflow_json_get(wait, "next"));
    struct str otherwise = workflow_json_text(workflow_json_get(wait, "otherwise"));
    struct str timeout = workflow_json_get(wait, "timeout");
    struct buf more = {0};
    int is = name.n ? take_signal(f, way->run->id, name, &more) : 0;
    way->more = buf_str(&more);
    bool ok = is == 1 ? go(way, next) : is == 0;
    buf_free(&more);
    if (is != 0)
        return ok;
    char *seconds = str_dup(timeout);
    int64_t due = timeout.n ? f->now + (int64_t)(strtod(seconds, NULL) * (double)NS_PER_SECOND) : 0;
    mem_free(seconds);
    if (due && (!f->w->due_new || due < f->w->due_new))
        f->w->due_new = due;
    way->run->active++;
    way->run->waiting++;
    struct wf_wait row = {step->seq, name, next, otherwise, due};
    return f->store->begin_wait(f, way->run->id, &row);
}

static bool end_wait(struct wf *f, struct wf_run *run, const struct wf_step *step,
                     const char *error)
{
    run->active--;
    run->waiting--;
    return f->store->end_wait(f, run->id, step->seq, error);
}

bool wf_graph_woke(struct wf *f, struct wf_run *run, const struct wf_step *step, struct str signal)
{
    struct way way = {f, run, decl_of(f, run), str_c(step->name), signal};
    return end_wait(f, run, step, NULL) && go(&way, str_c(step->next)) && settle_run(f, run);
}

static bool late(struct wf *f, struct wf_run *run, const struct wf_step *step)
{
    struct buf more = {0};
    struct way way = {.f = f, .run = run, .decl = decl_of(f, run), .from = str_c(step->name)};
    bool ok = end_wait(f, run, step, step->await ? "timeout" : NULL);
    if (step->await)
        buf_printf(&more, ",\"timed_out\":\"%s\"", step->await);
    way.more = buf_str(&more);
    if (ok && step->otherwise)
        ok = go(&way, str_c(step->otherwise));
    else if (ok) {
        char *why = mem_printf("no signal '%s' came in time", step->await ? step->await : "");
        ok = went_wrong(&way, step, str_c(why));
        mem_free(why);
    }
    buf_free(&more);
    return ok && settle_run(f, run);
}

bool wf_graph_due(struct wf *f, struct wf_run *run, const struct wf_step *step)
{
    struct buf signal = {0};
    int is = step->await ? take_signal(f, run->id, str_c(step->await), &signal) : 0;
    bool ok = is == 1   ? wf_graph_woke(f, run, step, buf_str(&signal))
              : is == 0 ? late(f, run, step)
                        : false;
    buf_free(&signal);
    return ok;
}

/* -- the end of a step ---------------------------------------------------------------------- */

static bool checkpoint(struct wf *f, struct wf_run *run, struct str move)
{
    struct str set = workflow_json_get(move, "set"), remove = workflow_json_get(move, "remove");
    struct buf data = {0};
    if (!set.n && !remove.n)
        return true;
    wf_patch(&data, buf_str(&run->data), set, remove);
    if (data.n > WORKFLOW_STATE_BYTES) {
        size_t n = data.n;
        buf_free(&data);
        return wf_fail(f, run, "the state has %zu bytes, the most is %d", n, WORKFLOW_STATE_BYTES);
    }
    buf_free(&run->data);
    run->data = data;
    return true;
}

/* What follows a bundle whose items have all ended. */
static bool go_on(const struct way *way, const struct wf_bundle *b)
{
    const struct workflow_step_decl *step = wf_find_step(way->decl, b->step);
    if (!step)
        return wf_fail(way->f, way->run, "there is no step '%.*s' in the workflow any more",
                       (int)b->step.n, b->step.p);
    if (b->failed && step->on_error)
        return go(way, str_c(step->on_error));
    return !step->next_count || go(way, str_c(step->next[0]));
}

static bool each(const struct way *way, struct str move)
{
    struct str name = workflow_json_text(workflow_json_get(move, "step"));
    const struct workflow_step_decl *step = wf_find_step(way->decl, name);
    struct str items = workflow_json_get(move, "items"), first = items, item;
    if (way->run->state != WORKFLOW_RUNNING)
        return true;
    if (!step || !step->each)
        return wf_fail(way->f, way->run, "there is no step '%.*s' with each = true", (int)name.n,
                       name.p);
    if (!wf_each_start(way->f, way->run, way->decl, step, way->from, items))
        return false;
    if (way->run->state != WORKFLOW_RUNNING || wf_item(&first, &item))
        return true;
    struct way behind = {way->f, way->run, way->decl, str_c(step->name), {0}};
    return go_on(&behind, &(struct wf_bundle){.step = behind.from});
}

bool wf_graph_ended(struct wf *f, struct wf_run *run, const struct wf_step *step,
                    const struct wf_end *end)
{
    struct way way = {.f = f, .run = run, .decl = decl_of(f, run), .from = str_c(step->name)};
    struct str move = end->result, name, items;
    struct wf_bundle bundle;
    if (wf_is_item(run, step))
        return wf_each_ended(f, run, step, end, &bundle) &&
               (run->state != WORKFLOW_RUNNING || bundle.left || go_on(&way, &bundle)) &&
               settle_run(f, run);
    if (!end->done)
        return went_wrong(&way, step, end->error) && settle_run(f, run);
    if (!checkpoint(f, run, move))
        return false;
    struct str wait = workflow_json_get(move, "wait"), next = workflow_json_get(move, "next");
    bool ok = true;
    if (wait.n && run->state == WORKFLOW_RUNNING)
        ok = begin_wait(&way, step, wait);
    while (ok && next.n && wf_item(&next, &name))
        ok = go(&way, workflow_json_text(name));
    items = workflow_json_get(move, "each");
    ok = ok && (!items.n || each(&way, items));
    return ok && settle_run(f, run);
}
