#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/celery/text.h"
#include "observe/log.h"

enum { HELD_SECONDS = 5, ROUNDS = 8 };

/* What one claim asks for. */
struct wish {
    struct shared_room room;
    struct redis_args args;
    struct arena *arena;
};

/* Queues of the configuration, of the kinds that run here, and where such were pushed. */
static int wanted_queues(struct redis_record *rec, struct wish *w, const char **list)
{
    int count = 0;
    for (int i = 0; i < rec->queue_count; i++)
        count = celery_queue_add(list, count, rec->queues[i]);
    jobs_lock(rec->jobs);
    for (int i = 0; i < w->room.kinds; i++)
        count = celery_queue_add(list, count, w->room.kind[i]->queue->name);
    for (size_t i = 0; rec->seen && i < rec->seen->elements; i++) {
        struct str kind = redis_item(rec->seen, i), queue = str_split(&kind, '\n');
        const struct kind *k = map_get(rec->jobs->kinds, kind);
        if (k && k->target)
            count = celery_queue_add(list, count, arena_strdup(w->arena, queue));
    }
    jobs_unlock(rec->jobs);
    return celery_consumed(rec, list, count);
}

/* Each task that runs here. */
static void add_kinds(struct redis_record *rec, struct wish *w)
{
    struct redis_args *a = &w->args;
    int count = w->room.kinds < REDIS_KINDS ? w->room.kinds : REDIS_KINDS;
    redis_arg_int(a, count);
    jobs_lock(rec->jobs);
    for (int i = 0; i < count; i++) {
        const struct kind *k = w->room.kind[i];
        redis_arg_c(a, arena_strdup(w->arena, str_c(k->task ? k->task : k->name)));
    }
    jobs_unlock(rec->jobs);
}

/* What a claim took whose answer did not arrive goes back. */
static bool forgo(struct redis_record *rec, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    redis_arg_c(a, rec->prefix);
    redis_arg_c(a, rec->process);
    redis_arg_int(a, rec->claim_seq);
    redisReply *reply = redis_eval(rec->keep, &redis_forgo, a, err);
    mem_free(a);
    if (!reply)
        return false;
    if (redis_int(reply) > 0) {
        log_warn("jobs", "%lld jobs go back: the answer that named them did not arrive",
                 (long long)redis_int(reply));
        rec->sweep_at = 0;
    }
    rec->unseen = false;
    freeReplyObject(reply);
    return true;
}

static redisReply *ask(struct redis_record *rec, struct wish *w, int want, struct err *err)
{
    const char *queues[REDIS_QUEUES];
    struct redis_args *a = &w->args;
    int count = wanted_queues(rec, w, queues);
    if (rec->unseen && !forgo(rec, err))
        return NULL;
    a->count = a->number_count = 0;
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, rec->jobs->options.lease_ns / NS_PER_SECOND);
    redis_arg_int(a, want);
    redis_arg_int(a, clock_wall_ns());
    redis_arg_c(a, rec->name);
    redis_arg_c(a, rec->process);
    redis_arg_int(a, ++rec->claim_seq);
    redis_arg_int(a, count);
    for (int i = 0; i < count; i++) /* the queue that was first last time is last now */
        redis_arg_c(a, queues[(i + rec->rotation) % count]);
    rec->rotation = count ? (rec->rotation + 1) % count : 0;
    add_kinds(rec, w);
    redisReply *reply = redis_eval(rec->keep, &redis_claim, a, err);
    rec->unseen = !reply && err->code == ERR_IO;
    return reply;
}

/* ORDER as the script's answer */
enum {
    ROW_ID,
    ROW_FENCE,
    ROW_ATTEMPT,
    ROW_CRASHES,
    ROW_FLAG,
    ROW_QUEUE,
    ROW_LIST,
    ROW_MAX,
    ROW_CREATED,
    ROW_UNIQUE,
    ROW_EXTRA,
    ROW_MESSAGE,
    ROW_LOST,
};

static struct claim *claim_make(const redisReply *row)
{
    struct claim *c = mem_zero(1, sizeof *c);
    struct str raw = redis_item(row, ROW_MESSAGE);
    c->arena = arena_create();
    c->id = redis_item_int(row, ROW_ID);
    c->lease = (uint64_t)redis_item_int(row, ROW_FENCE);
    c->attempt = (int)redis_item_int(row, ROW_ATTEMPT);
    c->raw = str_n(arena_strdup(c->arena, raw), raw.n);
    c->queue = str_dup(redis_item(row, ROW_QUEUE));
    c->claimed_wall = clock_wall_ns();
    return c;
}

/* Only what never ran expires. */
static bool has_begun(const redisReply *row, const struct claim *c)
{
    return c->attempt > 1 || redis_item_int(row, ROW_CRASHES) > 0;
}

/* It took down every process that ran it, as far as its leases tell: when, and whose they were. */
static struct str quarantine_text(const redisReply *row, struct claim *c)
{
    struct buf text = {0};
    struct str lost = redis_item(row, ROW_LOST), line;
    char when[32];
    long long s;
    buf_printf(&text, "quarantined: took the process down %lld times, or its node stopped",
               (long long)redis_item_int(row, ROW_CRASHES));
    for (const char *before = ":"; lost.n; before = ",") {
        line = str_split(&lost, '\n');
        if (!str_int64(str_split(&line, ' '), &s))
            continue;
        clock_format_utc(s * NS_PER_SECOND, when);
        buf_printf(&text, "%s lease of %.*s ran out by %s", before, (int)line.n, line.p, when);
    }
    struct str kept = str_c(arena_strdup(c->arena, buf_str(&text)));
    buf_free(&text);
    return kept;
}

/* Why it does not run now: false when it does. */
static bool turned_away(const redisReply *row, struct claim *c, struct ending *e, struct err *err)
{
    struct str flag = redis_item(row, ROW_FLAG);
    int64_t now = clock_wall_ns();
    *e = (struct ending){.claim = c, .attempt = c->attempt - 1};
    if (!celery_message_read(c->raw, c->arena, &c->m, err)) {
        e->kind = ENDING_BAD;
        e->error = str_c(err->message);
        log_warn("jobs", "a message in queue %s goes to the quarantine: %s", c->queue,
                 err->message);
    } else if (str_eq_c(flag, "cancelled") || str_eq_c(flag, "revoked")) {
        e->kind = ENDING_CANCELLED;
    } else if (c->m.expires_wall && now > c->m.expires_wall && !has_begun(row, c)) {
        e->kind = ENDING_EXPIRED;
    } else if (c->m.eta_wall > now) {
        e->kind = ENDING_BACK;
        e->run_at_wall = c->m.eta_wall;
    } else if (str_eq_c(flag, "unknown") && c->m.maru_id) {
        e->kind = ENDING_BACK; /* held: another node may have it, or a reload bring it */
        e->run_at_wall = now + HELD_SECONDS * NS_PER_SECOND;
    } else if (str_eq_c(flag, "unknown")) {
        e->kind = ENDING_DEAD;
        e->exception = "NotRegistered";
        e->error = c->m.task;
        log_warn("jobs", "nothing here runs task %.*s of queue %s", (int)c->m.task.n, c->m.task.p,
                 c->queue);
    } else if (redis_item_int(row, ROW_CRASHES) >= JOBS_CRASHES) {
        e->kind = ENDING_DEAD;
        e->exception = "WorkerLostError";
        e->error = quarantine_text(row, c);
    } else
        return false;
    return true;
}

/* What is kept of it beside its message, and whose limits hold. */
static void fill_extra(struct job *job, const redisReply *row, const struct claim *c)
{
    struct err err = {0};
    const char *field = atomic_load_explicit(&job->kind->key_field, memory_order_relaxed);
    double limit = c->m.soft_time_limit_s > 0 ? c->m.soft_time_limit_s : c->m.time_limit_s;
    if (!extra_parse(job, redis_item(row, ROW_EXTRA), &err))
        log_error("jobs", "%lld: %s", (long long)job->id, err.message);
    if (job->extra)
        job->extra->expires_at = 0;
    if (c->m.expires_wall && !has_begun(row, c))
        extra_make(job)->expires_at = c->m.expires_wall;
    if (limit > 0)
        extra_make(job)->timeout_ms = limit < 4e6 ? (uint32_t)(limit * 1000) : UINT32_MAX;
    if (job_key(job).n == 0 && c->m.key.n && c->m.key.n <= JOBS_UNIQUE_BYTES)
        extra_make(job)->key = str_dup(c->m.key);
    else if (job_key(job).n == 0 && field)
        key_fill(job, field);
}

static uint8_t priority_of(int priority)
{
    return priority < 3 ? JOB_HIGH : priority < 6 ? JOB_NORMAL : JOB_LOW;
}

static struct job *job_of(struct redis_record *rec, const redisReply *row, struct claim *c)
{
    struct buf args = {0};
    struct str unique = redis_item(row, ROW_UNIQUE);
    int64_t most = redis_item_int(row, ROW_MAX);
    jobs_lock(rec->jobs);
    struct kind *k = kind_of_task(rec->jobs, c->m.task);
    jobs_unlock(rec->jobs);
    if (!k)
        return NULL;
    celery_args_join(c->m.args, c->m.kwargs, &args);
    if (args.n > JOBS_ARGS_BYTES) {
        buf_free(&args);
        return NULL;
    }
    str_split(&unique, ':');
    struct job *job = shared_job(rec->jobs, c->id, c->lease, str_c(k->name), str_c(c->queue),
                                 buf_str(&args), unique);
    buf_free(&args);
    if (!job)
        return NULL;
    job->attempt = (uint16_t)(c->attempt - 1);
    job->max_attempts = (uint16_t)(most > 0 ? most : k->retries + 1);
    job->created_at = redis_item_int(row, ROW_CREATED);
    job->run_at = c->m.eta_wall ? c->m.eta_wall : job->created_at;
    job->crashes = (uint8_t)redis_item_int(row, ROW_CRASHES);
    job->priority = priority_of(c->m.priority);
    fill_extra(job, row, c);
    return job;
}

static void keep_claim(struct redis_record *rec, struct claim *c)
{
    pthread_mutex_lock(&rec->lock);
    struct claim *before = index_get(&rec->claims, c->id);
    index_set(&rec->claims, c->id, c);
    if (before && before->ending) /* the writer's, which will find it stale */
        before = NULL;
    pthread_mutex_unlock(&rec->lock);
    if (before) /* the lease was lost meanwhile; what still runs of it is stale */
        claim_free(before);
}

/* What does not run now is told to monitors, too, but for what goes back to others and for what
 * is no message. */
static bool is_told(const struct ending *e)
{
    return e->kind != ENDING_BAD &&
           (e->kind != ENDING_BACK || e->run_at_wall == e->claim->m.eta_wall);
}

/* The answer's rows; notes when a bucket refills that keeps some back. */
static const redisReply *rows_of(struct redis_record *rec, const redisReply *reply)
{
    long long ms;
    bool whole = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (whole && str_int64(redis_item(reply, 0), &ms))
        rec->refill_at = clock_steady_ns() + ms * NS_PER_MS;
    else if (whole)
        rec->refill_at = 0;
    return whole ? reply->element[1] : NULL;
}

/* Hands the rows to the engine, and ends those that do not run. */
static bool take_rows(struct redis_record *rec, const redisReply *reply, struct err *err)
{
    struct ending away[REDIS_CLAIM_MOST];
    struct err *reasons = mem_alloc(sizeof *reasons * REDIS_CLAIM_MOST);
    struct job *first = NULL, **end = &first;
    int n = 0;
    for (size_t i = 0; i < reply->elements && i < REDIS_CLAIM_MOST; i++) {
        struct claim *c = claim_make(reply->element[i]);
        bool out = turned_away(reply->element[i], c, &away[n], &reasons[n]);
        struct job *job = out ? NULL : job_of(rec, reply->element[i], c);
        if (!out || is_told(&away[n]))
            celery_events_received(rec, c);
        if (!out && job) {
            keep_claim(rec, c);
            *end = job;
            end = &job->next;
            continue;
        }
        if (!out)
            away[n] = (struct ending){.claim = c,
                                      .kind = ENDING_DEAD,
                                      .attempt = c->attempt,
                                      .error = STR("its arguments are too long for a job")};
        n++;
    }
    *end = NULL;
    shared_arrive(rec->jobs, first);
    bool ok = redis_ends_all(rec, rec->keep, away, n, err);
    if (ok)
        celery_events_ended(rec, away, NULL, n);
    for (int i = 0; i < n; i++)
        claim_free(away[i].claim);
    mem_free(reasons);
    return ok;
}

bool redis_claim_some(struct redis_record *rec, struct err *err)
{
    struct wish *w = mem_zero(1, sizeof *w);
    bool ok = true, again = true;
    /* Lanes may be faster than this, and a lease must be renewed all the same. */
    for (int round = 0; ok && again; round++) {
        if (round == ROUNDS) {
            redis_wake_keeper(rec);
            break;
        }
        shared_room(rec->jobs, &w->room);
        int want = w->room.jobs < REDIS_CLAIM_MOST ? w->room.jobs : REDIS_CLAIM_MOST;
        again = false;
        if (want <= 0)
            break;
        pthread_mutex_lock(&rec->lock);
        rec->more = false;
        pthread_mutex_unlock(&rec->lock);
        w->arena = arena_create();
        int64_t began = clock_ns();
        redisReply *reply = ask(rec, w, want, err);
        arena_destroy(w->arena);
        const redisReply *rows = rows_of(rec, reply);
        ok = rows && take_rows(rec, rows, err);
        if (ok)
            gauge_claim(rec->jobs, began);
        again = ok && rows->elements > 0;
        if (again || !ok) {
            pthread_mutex_lock(&rec->lock);
            rec->more = true;
            pthread_mutex_unlock(&rec->lock);
        }
        if (reply)
            freeReplyObject(reply);
    }
    mem_free(w);
    return ok;
}
