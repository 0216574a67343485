/* workflows.c -- runs of workflows: what is there, and what an operator changes of one. */

#include "jobs/workflow/workflow.h"

#include "admin/internal.h"
#include "base/mem.h"

struct runs_view {
    struct workflow_query query; /* first */
    struct admin_call *call;
    char *state, *plugin, *name, *key;
};

static void free_view(struct runs_view *v)
{
    buf_free(&v->query.out);
    mem_free(v->state);
    mem_free(v->plugin);
    mem_free(v->name);
    mem_free(v->key);
    mem_free(v);
}

static void on_runs(struct workflow_query *query)
{
    struct runs_view *v = (struct runs_view *)query;
    struct admin_call *call = v->call;
    struct err none = {.code = ERR_NOT_FOUND, .message = "no such run of a workflow"};
    if (query->err.code) {
        admin_answer_err(call, &query->err);
    } else if (query->id && !query->out.n) {
        admin_answer_err(call, &none);
    } else {
        if (!query->id)
            buf_add_c(&call->out, "{\"workflows\":[");
        buf_add_str(&call->out, buf_str(&query->out));
        if (!query->id)
            buf_add_c(&call->out, "]}");
        admin_answer(call, 200);
    }
    free_view(v);
}

static bool read_state(struct runs_view *v)
{
    if (!*v->state || workflow_state_parse(str_c(v->state), &v->query.state))
        return true;
    return err_set(&v->query.err, ERR_INVALID,
                   "query.state is one of running, waiting, done, failed, cancelled");
}

static void view_runs(struct admin_call *call)
{
    struct runs_view *v = mem_zero(1, sizeof *v);
    long long id = 0;
    v->call = call;
    v->state = admin_query(call, "state", "");
    v->plugin = admin_query(call, "plugin", "");
    v->name = admin_query(call, "name", "");
    v->key = admin_query(call, "key", "");
    int64_t before = admin_query_int64(call, "after", 0);
    bool valid = !*call->first || (str_int64(str_c(call->first), &id) && id > 0);
    v->query.id = id;
    v->query.plugin = str_c(v->plugin);
    v->query.name = str_c(v->name);
    v->query.key = str_c(v->key);
    v->query.before = before > 0 ? before : 0;
    v->query.limit = admin_query_int(call, "limit", 50, 1, 500);
    v->query.done = on_runs;
    v->query.lane = call->admin->parts->control;
    if (!valid)
        err_set(&v->query.err, ERR_INVALID, "path.id must be a run's number");
    if (!valid || !read_state(v))
        on_runs(&v->query);
    else
        workflow_query(call->admin->parts->jobs, &v->query);
}

struct run_change {
    struct workflow_change change; /* first */
    struct admin_call *call;
    bool signals;
};

static void on_changed(struct workflow_change *change)
{
    struct run_change *c = (struct run_change *)change;
    if (change->err.code) {
        admin_answer_err(c->call, &change->err);
    } else {
        buf_add_c(&c->call->out, "{\"ok\":true");
        if (c->signals)
            buf_printf(&c->call->out, ",\"woke\":%s", change->woke ? "true" : "false");
        buf_add_c(&c->call->out, "}");
        admin_answer(c->call, 200);
    }
    mem_free(c);
}

/* NULL after an answer: the path names no run. */
static struct run_change *begin(struct admin_call *call, long long *id)
{
    struct err err = {.code = ERR_INVALID, .message = "path.id must be a run's number"};
    if (!str_int64(str_c(call->first), id) || *id < 1) {
        admin_answer_err(call, &err);
        return NULL;
    }
    struct run_change *c = mem_zero(1, sizeof *c);
    c->call = call;
    c->change.done = on_changed;
    c->change.lane = call->admin->parts->control;
    return c;
}

static void change_cancel(struct admin_call *call)
{
    long long id;
    struct run_change *c = begin(call, &id);
    if (c)
        workflow_cancel(call->admin->parts->jobs, &c->change, id, STR(""));
}

static void change_signal(struct admin_call *call)
{
    static const struct json_events silent = {0};
    long long id;
    struct err err = {0};
    struct str body = str_c(call->body);
    struct run_change *c = begin(call, &id);
    if (!c)
        return;
    if (!json_read(body, JSON_DEPTH_DEFAULT, &silent, NULL, &err)) {
        err_wrap(&err, "body");
        c->change.err = err;
        on_changed(&c->change);
        return;
    }
    struct str name = workflow_json_text(workflow_json_get(body, "name"));
    call->detail = mem_printf(" %.*s", (int)(name.n < 100 ? name.n : 100), name.p);
    c->signals = true;
    workflow_signal(call->admin->parts->jobs, &c->change, id, STR(""), name,
                    workflow_json_get(body, "data"), str_c(call->who));
}

const struct admin_action admin_workflows[] = {
    {"GET", "/admin/v1/workflows", view_runs, NULL},
    {"GET", "/admin/v1/workflows/{id}", view_runs, NULL},
    {"POST", "/admin/v1/workflows/{id}/cancel", change_cancel, "workflow.cancel"},
    {"POST", "/admin/v1/workflows/{id}/signal", change_signal, "workflow.signal"},
    {NULL, NULL, NULL, NULL},
};
