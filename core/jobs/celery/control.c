/* celery/control.c -- remote control: a request of `celery inspect`, `celery control` or Flower,
 * and its answer's way back.  Keeper thread. */
#include "jobs/celery/worker.h"

#include "base/json.h"
#include "base/mem.h"

static celery_method_fn *method_named(struct str name)
{
    static const struct celery_method *const tables[] = {celery_questions, celery_worker_questions,
                                                         celery_orders};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct celery_method *m = tables[t]; m->name; m++)
            if (str_eq_c(name, m->name))
                return m->run;
    return NULL;
}

static void unknown(struct str name, struct buf *out)
{
    struct json w = json_to(out);
    struct buf text = {0};
    buf_add_c(&text, "maru does not know the method ");
    buf_add_str(&text, name);
    json_open(&w, '{');
    json_key(&w, "error");
    json_str(&w, buf_str(&text));
    json_close(&w, '}');
    buf_free(&text);
}

/* Lamport's clock: later than what was heard of. */
static int64_t clock_after(struct celery_worker *w, int64_t heard)
{
    pthread_mutex_lock(&w->lock);
    if (heard > w->clock)
        w->clock = heard;
    int64_t now = ++w->clock;
    pthread_mutex_unlock(&w->lock);
    return now;
}

static void send_reply(struct redis_record *rec, const struct celery_request *request,
                       struct str json, struct arena *arena)
{
    struct buf text = {0};
    struct err err = {0};
    redisReply *reply = NULL;
    struct str queue = redis_bound_queue(rec, arena, request->exchange, request->routing_key);
    celery_reply_write(request, str_c(rec->node), json, clock_after(rec->worker, 0), &text);
    if (!str_eq(queue, request->routing_key)) /* otherwise nobody waits any more */
        reply = redis_command(rec->keep, &err, "LPUSH %b %b", queue.p, queue.n, text.p, text.n);
    if (reply)
        freeReplyObject(reply);
    buf_free(&text);
}

void celery_control_run(struct redis_record *rec, struct str message)
{
    struct arena *arena = arena_create();
    struct celery_request request;
    struct buf out = {0};
    if (celery_request_read(message, str_c(rec->node), arena, &request)) {
        struct celery_call call = {rec, request.arguments};
        celery_method_fn *run = method_named(request.method);
        clock_after(rec->worker, request.clock);
        if (run)
            run(&call, &out);
        else
            unknown(request.method, &out);
        if (request.routing_key.n)
            send_reply(rec, &request, buf_str(&out), arena);
    }
    buf_free(&out);
    arena_destroy(arena);
}
