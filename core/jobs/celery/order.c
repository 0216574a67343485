/* celery/order.c -- what remote control orders: revoked tasks, limits, consumers, events.
 *
 * As with Celery's own workers an order holds for this process and until it ends; what an operator
 * sets by the admin API holds for all nodes, and is kept. */
#include "jobs/celery/worker.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "observe/log.h"

enum { HARD_AFTER_S = 10 };

static void say(struct buf *out, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* {"ok": …} or {"error": …} */
static void say(struct buf *out, const char *key, const char *format, ...)
{
    char text[512];
    va_list args;
    struct json w = json_to(out);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_open(&w, '{');
    json_key(&w, key);
    json_cstr(&w, text);
    json_close(&w, '}');
}

/* -- tasks -- */

struct revoking {
    struct redis_record *rec;
    bool terminate;
    struct buf ids; /* of those flagged; or, to terminate, of those that were here */
};

static bool is_in_state(struct redis_record *rec, int64_t id, const char *state)
{
    struct err err = {0};
    redisReply *reply =
        redis_command(rec->keep, &err, "HGET %sjob:%lld state", rec->prefix, (long long)id);
    bool same = str_eq_c(redis_text(reply), state);
    if (reply)
        freeReplyObject(reply);
    return same;
}

static bool is_here(struct redis_record *rec, int64_t id)
{
    pthread_mutex_lock(&rec->lock);
    bool here = index_get(&rec->claims, id) != NULL;
    pthread_mutex_unlock(&rec->lock);
    return here;
}

static int64_t flag(struct redis_record *rec, struct str uuid)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct err err = {0};
    int64_t id = redis_uuid_id(rec->cluster, uuid);
    redis_arg_c(a, rec->prefix);
    redis_arg(a, uuid);
    redis_arg_int(a, clock_wall_ns());
    redisReply *reply = redis_eval(rec->keep, &redis_revoke, a, &err);
    if (id == 0)
        id = redis_int(reply);
    if (reply)
        freeReplyObject(reply);
    mem_free(a);
    return id;
}

/* Flagged, it does not start any more, here or elsewhere.  One that runs goes on, unless it is to
 * be terminated: there is no process to shoot, and a Lua handler is cancelled where it waits. */
static void revoke_one(void *arg, struct str uuid)
{
    struct revoking *r = arg;
    int64_t id = flag(r->rec, uuid);
    bool here = id && is_here(r->rec, id);
    if (id && is_in_state(r->rec, id, "delayed")) /* no node will have it in hand, to tell of it */
        celery_events_revoked(r->rec, uuid);
    if (id && (r->terminate || !is_in_state(r->rec, id, "running")))
        redis_cancel_id(r->rec, id);
    if (r->terminate && !here)
        return;
    if (r->ids.n)
        buf_add_c(&r->ids, ", ");
    buf_add_str(&r->ids, uuid);
}

static void revoke_them(struct celery_call *call, bool terminate, struct buf *out)
{
    struct revoking r = {.rec = call->rec, .terminate = terminate};
    celery_each_text(json_pick_get(call->arguments, "task_id"), revoke_one, &r);
    const char *ids = r.ids.n ? r.ids.p : terminate ? "tasks unknown" : "";
    if (terminate)
        say(out, "ok", "terminate: %s", ids);
    else
        say(out, "ok", "tasks %s flagged as revoked", ids);
    buf_free(&r.ids);
}

static void on_revoke(struct celery_call *call, struct buf *out)
{
    revoke_them(call, celery_truth(json_pick_get(call->arguments, "terminate")), out);
}

static void on_terminate(struct celery_call *call, struct buf *out)
{
    revoke_them(call, true, out);
}

/* -- limits -- */

/* Lock held: the kind whose task the arguments name; NULL: nothing here runs it. */
static struct kind *kind_named(struct celery_call *call)
{
    struct buf task = {0};
    struct kind *k = NULL;
    if (json_pick_text(json_pick_get(call->arguments, "task_name"), &task))
        k = kind_of_task(call->rec->jobs, buf_str(&task));
    buf_free(&task);
    return k && k->target ? k : NULL;
}

static void on_rate_limit(struct celery_call *call, struct buf *out)
{
    struct jobs *jobs = call->rec->jobs;
    struct job_rate rate;
    if (!celery_rate_read(json_pick_get(call->arguments, "rate_limit"), &rate)) {
        say(out, "error", "Invalid rate limit string: 10/s, 10/m and 10/h are such");
        return;
    }
    jobs_lock(jobs);
    struct kind *k = kind_named(call);
    if (k) {
        limit_set(&k->limit, k->limit.most, rate);
        flow_kind_changed(jobs, k);
        dispatch(jobs);
    }
    jobs_unlock(jobs);
    if (!k)
        say(out, "error", "unknown task");
    else
        say(out, "ok",
            rate.count ? "new rate limit set successfully" : "rate limit disabled successfully");
}

/* Seconds, 0 when there are none; false: it is no time. */
static bool limit_of(struct celery_call *call, const char *key, double *out)
{
    struct str value = json_pick_get(call->arguments, key);
    *out = 0;
    return value.n == 0 || (json_pick_number(value, out) && *out >= 0 && *out <= 1e8);
}

/* The soft limit is a job's timeout, at which it is cancelled, the hard one the time after which
 * its VM is ended.  Either may be missing. */
static void on_time_limit(struct celery_call *call, struct buf *out)
{
    struct jobs *jobs = call->rec->jobs;
    double soft, hard;
    if (!limit_of(call, "soft", &soft) || !limit_of(call, "hard", &hard) || soft + hard <= 0) {
        say(out, "error", "soft or hard is a number of seconds");
        return;
    }
    double first = soft > 0 ? soft : hard;
    double last = hard > first ? hard : first + HARD_AFTER_S;
    jobs_lock(jobs);
    struct kind *k = kind_named(call);
    if (k) {
        k->timeout_ns = (int64_t)(first * (double)NS_PER_SECOND);
        k->hard_timeout_ns = (int64_t)(last * (double)NS_PER_SECOND);
    }
    jobs_unlock(jobs);
    if (k)
        say(out, "ok", "time limits set successfully");
    else
        say(out, "error", "unknown task");
}

/* -- queues -- */

int celery_queue_add(const char **list, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return count;
    if (count < REDIS_QUEUES)
        list[count++] = name;
    return count;
}

static int place_in(char *const *list, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return i;
    return -1;
}

static void take_out(char **list, int *count, const char *name)
{
    int at = place_in(list, *count, name);
    if (at < 0)
        return;
    mem_free(list[at]);
    list[at] = list[--*count];
}

static bool put_in(char **list, int *count, const char *name)
{
    if (place_in(list, *count, name) >= 0)
        return true;
    if (*count == REDIS_QUEUES)
        return false;
    list[(*count)++] = mem_strdup(name);
    return true;
}

int celery_consumed(const struct redis_record *rec, const char **list, int count)
{
    const struct celery_worker *w = rec->worker;
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (place_in(w->left, w->left_count, list[i]) < 0)
            list[kept++] = list[i];
    for (int i = 0; i < w->added_count; i++)
        kept = celery_queue_add(list, kept, w->added[i]);
    return kept;
}

/* The queue the arguments name, NUL-terminated; NULL with an answer: none that could be. */
static char *queue_named(struct celery_call *call, struct buf *out)
{
    struct buf name = {0};
    bool ok = json_pick_text(json_pick_get(call->arguments, "queue"), &name) && name.n > 0 &&
              name.n <= JOBS_NAME_BYTES;
    for (size_t i = 0; ok && i < name.n; i++)
        ok = (unsigned char)name.p[i] > ' ';
    if (!ok)
        say(out, "error", "queue is a name of 1 to %d characters", JOBS_NAME_BYTES);
    char *queue = ok ? str_dup(buf_str(&name)) : NULL;
    buf_free(&name);
    return queue;
}

static void on_add_consumer(struct celery_call *call, struct buf *out)
{
    struct redis_record *rec = call->rec;
    struct celery_worker *w = rec->worker;
    char *queue = queue_named(call, out);
    if (!queue)
        return;
    take_out(w->left, &w->left_count, queue);
    if (put_in(w->added, &w->added_count, queue)) {
        log_info("jobs", "remote control: queue %s is consumed here from now on", queue);
        say(out, "ok", "add consumer %s", queue);
    } else
        say(out, "error", "more than %d queues", REDIS_QUEUES);
    pthread_mutex_lock(&rec->lock);
    rec->more = rec->keep_due = true;
    pthread_mutex_unlock(&rec->lock);
    mem_free(queue);
}

static void on_cancel_consumer(struct celery_call *call, struct buf *out)
{
    struct celery_worker *w = call->rec->worker;
    char *queue = queue_named(call, out);
    if (!queue)
        return;
    take_out(w->added, &w->added_count, queue);
    if (put_in(w->left, &w->left_count, queue)) {
        log_warn("jobs", "remote control: queue %s is not consumed here any more", queue);
        say(out, "ok", "no longer consuming from %s", queue);
    } else
        say(out, "error", "more than %d queues", REDIS_QUEUES);
    mem_free(queue);
}

void celery_order_free(struct celery_worker *w)
{
    for (int i = 0; i < w->added_count; i++)
        mem_free(w->added[i]);
    for (int i = 0; i < w->left_count; i++)
        mem_free(w->left[i]);
}

/* -- events -- */

static void set_quiet(struct celery_call *call, bool quiet, struct buf *out)
{
    struct celery_worker *w = call->rec->worker;
    pthread_mutex_lock(&w->lock);
    bool was = w->quiet;
    w->quiet = quiet;
    pthread_mutex_unlock(&w->lock);
    say(out, "ok", "task events %s%s", was == quiet ? "already " : "",
        quiet ? "disabled" : "enabled");
}

static void on_enable_events(struct celery_call *call, struct buf *out)
{
    set_quiet(call, false, out);
}

static void on_disable_events(struct celery_call *call, struct buf *out)
{
    set_quiet(call, true, out);
}

static void on_heartbeat(struct celery_call *call, struct buf *out)
{
    struct err err = {0};
    (void)out;
    celery_beat(call->rec, &err);
}

/* -- what cannot be done -- */

static void refuse(struct buf *out, const char *what, const char *why)
{
    log_warn("jobs", "remote control: %s is not done: %s", what, why);
    say(out, "error", "%s is not supported: %s", what, why);
}

static void on_pool(struct celery_call *call, struct buf *out)
{
    (void)call;
    refuse(out, "changing the pool", "maru has the lanes it started with (lanes.job)");
}

static void on_autoscale(struct celery_call *call, struct buf *out)
{
    (void)call;
    refuse(out, "autoscaling", "maru has the lanes it started with (lanes.job)");
}

static void on_pool_restart(struct celery_call *call, struct buf *out)
{
    (void)call;
    refuse(out, "restarting the pool", "a plugin is loaded again when its files change");
}

static void on_shutdown(struct celery_call *call, struct buf *out)
{
    (void)call;
    refuse(out, "shutting down", "maru serves more than tasks; its own service manager stops it");
}

static void on_debug(struct celery_call *call, struct buf *out)
{
    (void)call;
    refuse(out, "looking into Python's memory", "there is none here");
}

const struct celery_method celery_orders[] = {
    {"revoke", on_revoke},
    {"terminate", on_terminate},
    {"rate_limit", on_rate_limit},
    {"time_limit", on_time_limit},
    {"add_consumer", on_add_consumer},
    {"cancel_consumer", on_cancel_consumer},
    {"enable_events", on_enable_events},
    {"disable_events", on_disable_events},
    {"heartbeat", on_heartbeat},
    {"pool_grow", on_pool},
    {"pool_shrink", on_pool},
    {"autoscale", on_autoscale},
    {"pool_restart", on_pool_restart},
    {"shutdown", on_shutdown},
    {"memsample", on_debug},
    {"memdump", on_debug},
    {"objgraph", on_debug},
    {NULL, NULL},
};
