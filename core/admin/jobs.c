/* jobs.c -- queues, jobs and workers: what is there. */

#include "jobs/admin.h"

#include "admin/internal.h"
#include "base/mem.h"

static void view_queues(struct admin_call *call)
{
    jobs_print_queues(call->admin->parts->jobs, &call->out);
    admin_answer(call, 200);
}

static void view_rates(struct admin_call *call)
{
    struct err none = {.code = ERR_NOT_FOUND, .message = "no such queue"};
    char *queue = admin_query(call, "queue", "");
    int64_t from = admin_query_int64(call, "since", 0);
    if (jobs_print_rates(call->admin->parts->jobs, str_c(queue), from, &call->out))
        admin_answer(call, 200);
    else
        admin_answer_err(call, &none);
    mem_free(queue);
}

static void view_workers(struct admin_call *call)
{
    jobs_print_workers(call->admin->parts->jobs, call->admin->parts->node, &call->out);
    admin_answer(call, 200);
}

struct jobs_view {
    struct jobs_query query; /* first */
    struct admin_call *call;
    char *state, *queue, *kind, *text, *after;
};

static void write_counts(struct buf *out, const struct jobs_query *q)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    for (int i = JOB_ANY + 1; i < JOB_STATES; i++) {
        json_key(&w, job_state_name((enum job_state)i));
        json_int(&w, q->counts[i]);
    }
    json_close(&w, '}');
}

static void write_list(struct buf *out, const struct jobs_query *q)
{
    buf_add_c(out, "{\"jobs\":[");
    buf_add_str(out, buf_str(&q->out));
    buf_printf(out, "],\"next\":%s%s%s,\"partial\":%s", *q->next ? "\"" : "",
               *q->next ? q->next : "null", *q->next ? "\"" : "", q->partial ? "true" : "false");
    if (q->count) {
        buf_add_c(out, ",\"counts\":");
        write_counts(out, q);
    }
    buf_add_char(out, '}');
}

/* The job's object with "why" in it. */
static void write_one(struct admin_call *call, const struct jobs_query *q)
{
    buf_add(&call->out, q->out.p, q->out.n - 1);
    buf_add_c(&call->out, ",\"why\":");
    if (*q->why)
        buf_add_c(&call->out, q->why);
    else
        jobs_why(call->admin->parts->jobs, q->id, &call->out);
    buf_add_char(&call->out, '}');
}

static void on_jobs(struct jobs_query *query)
{
    struct jobs_view *v = (struct jobs_view *)query;
    struct admin_call *call = v->call;
    struct err none = {.code = ERR_NOT_FOUND, .message = "no such job"};
    if (query->err.code) {
        admin_answer_err(call, &query->err);
    } else if (query->id && !query->out.n) {
        admin_answer_err(call, &none);
    } else {
        if (query->id)
            write_one(call, query);
        else
            write_list(&call->out, query);
        admin_answer(call, 200);
    }
    buf_free(&query->out);
    mem_free(v->state);
    mem_free(v->queue);
    mem_free(v->kind);
    mem_free(v->text);
    mem_free(v->after);
    mem_free(v);
}

static void refuse_state(struct err *err)
{
    struct buf names = {0};
    for (int i = JOB_ANY + 1; i < JOB_STATES; i++)
        buf_printf(&names, "%s%s", i > JOB_ANY + 1 ? ", " : "", job_state_name((enum job_state)i));
    err_set(err, ERR_INVALID, "query.state is one of %s", names.p);
    buf_free(&names);
}

static void view_jobs(struct admin_call *call)
{
    struct jobs_view *v = mem_zero(1, sizeof *v);
    long long id = 0;
    v->call = call;
    v->state = admin_query(call, "state", "");
    v->queue = admin_query(call, "queue", "");
    v->kind = admin_query(call, "kind", "");
    v->text = admin_query(call, "q", "");
    v->after = admin_query(call, "after", "");
    if (*call->first && (!str_int64(str_c(call->first), &id) || id < 1))
        err_set(&v->query.err, ERR_INVALID, "path.id must be a job's number");
    v->query.id = id;
    v->query.queue = str_c(v->queue);
    v->query.kind = str_c(v->kind);
    v->query.text = str_c(v->text);
    v->query.after = str_c(v->after);
    v->query.count = admin_query_int(call, "count", 0, 0, 1) == 1;
    v->query.limit = admin_query_int(call, "limit", 50, 1, 500);
    v->query.done = on_jobs;
    v->query.lane = call->admin->parts->control;
    if (*v->state && !job_state_parse(str_c(v->state), &v->query.state))
        refuse_state(&v->query.err);
    if (v->query.err.code) {
        on_jobs(&v->query);
        return;
    }
    jobs_query(call->admin->parts->jobs, &v->query);
}

const struct admin_action admin_jobs[] = {
    {"GET", "/admin/v1/queues", view_queues, NULL},
    {"GET", "/admin/v1/workers", view_workers, NULL},
    {"GET", "/admin/v1/jobs", view_jobs, NULL},
    {"GET", "/admin/v1/jobs/rates", view_rates, NULL},
    {"GET", "/admin/v1/jobs/{id}", view_jobs, NULL},
    {NULL, NULL, NULL, NULL},
};
