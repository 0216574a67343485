/* jobs_change.c -- what an operator changes of jobs and queues. */

#include <limits.h>
#include <stdio.h>

#include "admin/internal.h"
#include "base/mem.h"
#include "jobs/admin.h"

struct job_change {
    struct jobs_change change; /* first */
    struct admin_call *call;
};

static void on_job_changed(struct jobs_change *change)
{
    struct job_change *c = (struct job_change *)change;
    if (change->err.code) {
        admin_answer_err(c->call, &change->err);
    } else {
        buf_add_c(&c->call->out, "{\"ok\":true}");
        admin_answer(c->call, 200);
    }
    mem_free(c);
}

static void change_job(struct admin_call *call,
                       void (*fn)(struct jobs *jobs, struct jobs_change *change, int64_t id))
{
    struct job_change *c = mem_zero(1, sizeof *c);
    long long id;
    c->call = call;
    c->change.done = on_job_changed;
    c->change.lane = call->admin->parts->control;
    if (!str_int64(str_c(call->first), &id)) {
        err_set(&c->change.err, ERR_INVALID, "path.id must be a job's number");
        on_job_changed(&c->change);
        return;
    }
    fn(call->admin->parts->jobs, &c->change, id);
}

static void change_retry(struct admin_call *call)
{
    change_job(call, jobs_retry);
}

static void change_cancel(struct admin_call *call)
{
    change_job(call, jobs_cancel);
}

static void change_discard(struct admin_call *call)
{
    change_job(call, jobs_discard);
}

struct bulk_call {
    struct jobs_bulk bulk; /* first */
    struct admin_call *call;
    struct admin_body body;
    int64_t *ids;
};

static void on_bulk(struct jobs_bulk *bulk)
{
    struct bulk_call *c = (struct bulk_call *)bulk;
    struct admin_call *call = c->call;
    mem_free(call->detail);
    call->detail = mem_printf("%s: %lld of %lld", call->body, (long long)bulk->changed,
                              (long long)bulk->matched);
    if (bulk->err.code) {
        admin_answer_err(call, &bulk->err);
    } else {
        buf_printf(&call->out, "{\"matched\":%lld,\"changed\":%lld}", (long long)bulk->matched,
                   (long long)bulk->changed);
        admin_answer(call, 200);
    }
    admin_body_free(&c->body);
    mem_free(c->ids);
    mem_free(c);
}

/* "ids.0" … of the body. */
static bool read_ids(struct bulk_call *c, struct err *err)
{
    const struct admin_field *field;
    char path[24];
    c->ids = mem_alloc((size_t)c->body.count * sizeof *c->ids + 1);
    for (size_t n = 0;; c->bulk.id_count = ++n) {
        long long id;
        snprintf(path, sizeof path, "ids.%zu", n);
        if (!(field = admin_body_field(&c->body, path)))
            break;
        if (!field->text || !str_int64(str_c(field->text), &id))
            return err_set(err, ERR_INVALID, "ids must be jobs' numbers");
        c->ids[n] = id;
    }
    c->bulk.ids = c->bulk.id_count ? c->ids : NULL;
    return true;
}

/* A filter that is misspelt would match more than was meant. */
static bool read_bulk(struct bulk_call *c, struct err *err)
{
    static const char *const known[] = {"action",       "dry",         "ids.",     "filter.state",
                                        "filter.queue", "filter.kind", "filter.q", NULL};
    struct jobs_query *q = &c->bulk.query;
    if (!admin_body_read(c->call, &c->body, err) || !admin_body_only(&c->body, known, err) ||
        !read_ids(c, err))
        return false;
    const struct admin_body *b = &c->body;
    const char *state = admin_body_text(b, "filter.state", "");
    q->queue = str_c(admin_body_text(b, "filter.queue", ""));
    q->kind = str_c(admin_body_text(b, "filter.kind", ""));
    q->text = str_c(admin_body_text(b, "filter.q", ""));
    const char *dry = admin_body_text(b, "dry", "false");
    c->bulk.dry = !strcmp(dry, "true");
    if (!c->bulk.dry && strcmp(dry, "false") != 0)
        return err_set(err, ERR_INVALID, "dry must be true or false");
    if (!jobs_action_parse(str_c(admin_body_text(b, "action", "")), &c->bulk.action))
        return err_set(err, ERR_INVALID, "action must be retry, cancel or discard");
    if (*state && !job_state_parse(str_c(state), &q->state))
        return err_set(err, ERR_INVALID, "filter.state is no state");
    if (!c->bulk.ids && !*state && !q->queue.n && !q->kind.n && !q->text.n)
        return err_set(err, ERR_INVALID, "filter or ids must say which jobs");
    return true;
}

static void change_bulk(struct admin_call *call)
{
    struct bulk_call *c = mem_zero(1, sizeof *c);
    c->call = call;
    c->bulk.done = on_bulk;
    c->bulk.lane = call->admin->parts->control;
    bool ok = read_bulk(c, &c->bulk.err);
    call->dry = c->bulk.dry;
    if (ok)
        jobs_bulk(call->admin->parts->jobs, &c->bulk);
    else
        on_bulk(&c->bulk);
}

static struct job_change *change_create(struct admin_call *call)
{
    struct job_change *c = mem_zero(1, sizeof *c);
    c->call = call;
    c->change.done = on_job_changed;
    c->change.lane = call->admin->parts->control;
    return c;
}

static void set_paused(struct admin_call *call, bool paused)
{
    struct job_queue_change what = {.set = QUEUE_PAUSED, .paused = paused};
    jobs_queue_set(call->admin->parts->jobs, &change_create(call)->change, str_c(call->first),
                   &what);
}

static void change_pause(struct admin_call *call)
{
    set_paused(call, true);
}

static void change_resume(struct admin_call *call)
{
    set_paused(call, false);
}

/* A whole number, a rate, or null for what is declared; an absent one stays. */
static bool read_limit(const struct admin_body *body, const char *name, enum queue_field field,
                       int *number, struct job_rate *rate, struct job_queue_change *what,
                       struct err *err)
{
    const struct admin_field *f = admin_body_field(body, name);
    long long n = 0;
    if (!f)
        return true;
    if (!f->text) {
        what->reset |= field;
        return true;
    }
    what->set |= field;
    if (number && str_int64(str_c(f->text), &n) && n >= 0 && n <= INT_MAX) {
        *number = (int)n;
        return true;
    }
    if (rate && job_rate_parse(str_c(f->text), rate))
        return true;
    return err_set(err, ERR_INVALID, "%s must be %s or null, not '%.40s'", name,
                   number ? "a whole number" : "a rate such as \"100/s\", \"10/m\", \"1000/h\"",
                   f->text);
}

static void change_limits(struct admin_call *call)
{
    static const char *const known[] = {"concurrency",     "rate",     "weight",
                                        "key_concurrency", "key_rate", NULL};
    struct admin_body body;
    struct err err = {0};
    struct job_queue_change what = {0};
    struct job_queue_limits *l = &what.limits;
    bool ok = admin_body_read(call, &body, &err) && admin_body_only(&body, known, &err);
    ok = ok &&
         read_limit(&body, "concurrency", QUEUE_CONCURRENCY, &l->concurrency, NULL, &what, &err) &&
         read_limit(&body, "rate", QUEUE_RATE, NULL, &l->rate, &what, &err) &&
         read_limit(&body, "weight", QUEUE_WEIGHT, &l->weight, NULL, &what, &err) &&
         read_limit(&body, "key_concurrency", QUEUE_KEY_CONCURRENCY, &l->key_concurrency, NULL,
                    &what, &err) &&
         read_limit(&body, "key_rate", QUEUE_KEY_RATE, NULL, &l->key_rate, &what, &err);
    admin_body_free(&body);
    call->detail = mem_printf(" %s", call->body);
    if (ok)
        jobs_queue_set(call->admin->parts->jobs, &change_create(call)->change, str_c(call->first),
                       &what);
    else
        admin_answer_err(call, &err);
}

const struct admin_action admin_job_changes[] = {
    {"POST", "/admin/v1/queues/{name}/pause", change_pause, "queue.pause"},
    {"POST", "/admin/v1/queues/{name}/resume", change_resume, "queue.resume"},
    {"POST", "/admin/v1/queues/{name}/limits", change_limits, "queue.limits"},
    {"POST", "/admin/v1/jobs", admin_push_job, "job.push"},
    {"POST", "/admin/v1/jobs/bulk", change_bulk, "jobs.bulk"},
    {"POST", "/admin/v1/jobs/{id}/retry", change_retry, "job.retry"},
    {"POST", "/admin/v1/jobs/{id}/cancel", change_cancel, "job.cancel"},
    {"POST", "/admin/v1/jobs/{id}/discard", change_discard, "job.discard"},
    {NULL, NULL, NULL, NULL},
};
