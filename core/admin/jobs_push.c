/* jobs_push.c -- a job that an operator pushes by hand. */

#include "admin/internal.h"
#include "base/mem.h"
#include "jobs/jobs.h"
#include "jobs/workflow/workflow.h"

struct push_call {
    struct jobs_push push; /* first */
    struct admin_call *call;
};

static void on_pushed(struct jobs_push *push)
{
    struct push_call *c = (struct push_call *)push;
    if (push->err.code) {
        admin_answer_err(c->call, &push->err);
    } else {
        buf_printf(&c->call->out, "{\"ok\":true,\"job\":%lld}", (long long)push->first_id);
        admin_answer(c->call, 200);
    }
    mem_free(c);
}

/* At the top of the body only; what is in args is the handler's. */
struct names {
    int depth;
};

static bool on_key(void *arg, struct str key, struct err *err)
{
    const struct names *names = arg;
    if (names->depth > 1 || str_eq_c(key, "kind") || str_eq_c(key, "args"))
        return true;
    return err_set(err, ERR_INVALID, "there is no field '%.*s' here", (int)key.n, key.p);
}

static bool on_open(void *arg, struct err *err)
{
    (void)err;
    ((struct names *)arg)->depth++;
    return true;
}

static bool on_close(void *arg, struct err *err)
{
    (void)err;
    ((struct names *)arg)->depth--;
    return true;
}

/* A step of a workflow is no job without its run; cron's and M.on's are as good as M.jobs'. */
static bool read_push(struct admin_call *call, struct str *kind, struct str *args, struct err *err)
{
    static const struct json_events events = {.key = on_key,
                                              .begin_object = on_open,
                                              .begin_array = on_open,
                                              .end_object = on_close,
                                              .end_array = on_close};
    struct names names = {0};
    struct str body = str_c(call->body);
    if (!json_read(body, JSON_DEPTH_DEFAULT + 2, &events, &names, err))
        return err_wrap(err, "body");
    *kind = workflow_json_text(workflow_json_get(body, "kind"));
    *args = workflow_json_get(body, "args");
    call->detail = mem_printf(" %.*s", (int)(kind->n < 100 ? kind->n : 100), kind->p);
    if (!args->n)
        *args = STR("{}");
    if (args->p[0] != '{' && args->p[0] != '[')
        return err_set(err, ERR_INVALID, "args must be an object");
    if (jobs_offer(call->admin->parts->jobs, *kind) == JOB_UNKNOWN)
        return err_set(err, ERR_NOT_FOUND, "no plugin that serves now has a job '%.*s'",
                       (int)kind->n, kind->p);
    const char *end = kind->p + kind->n;
    for (const char *p = kind->p; p + 6 <= end; p++)
        if (!memcmp(p, ".flow:", 6))
            return err_set(err, ERR_INVALID, "%.*s is a step: a run of its workflow makes its jobs",
                           (int)kind->n, kind->p);
    return true;
}

void admin_push_job(struct admin_call *call)
{
    struct push_call *c = mem_zero(1, sizeof *c);
    struct job_spec spec = {0};
    struct str args;
    c->call = call;
    c->push.done = on_pushed;
    c->push.lane = call->admin->parts->control;
    if (!read_push(call, &spec.kind, &args, &c->push.err) ||
        !jobs_push(call->admin->parts->jobs, &c->push, &spec, &args, 1, &c->push.err))
        on_pushed(&c->push);
}
