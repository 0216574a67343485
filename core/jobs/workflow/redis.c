/* workflow/redis.c -- runs: read, and written down for the commit of a decision. */
#include "jobs/workflow/redis.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

struct str wfr_keep(struct wfr *w, struct str text)
{
    if (!w->arena)
        w->arena = arena_create();
    return str_n(arena_strdup(w->arena, text), text.n);
}

enum { AGAIN_MS = 50 };

/* -- words of commands ------------------------------------------------------------------------- */

void wfr_word(struct wfr *w, struct wfr_words *to, struct str text)
{
    if (to->count == to->cap) {
        to->cap = to->cap ? to->cap * 2 : 64;
        to->p = mem_realloc(to->p, (size_t)to->cap * sizeof *to->p);
        to->n = mem_realloc(to->n, (size_t)to->cap * sizeof *to->n);
    }
    to->p[to->count] = wfr_keep(w, text).p;
    to->n[to->count++] = text.n;
}

void wfr_int(struct wfr *w, struct wfr_words *to, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)value);
    wfr_word(w, to, str_n(text, (size_t)n));
}

void wfr_do(struct wfr *w, const char *command, const char *types, ...)
{
    va_list values;
    char score[40];
    va_start(values, types);
    wfr_int(w, &w->words, (int64_t)strlen(types) + 1);
    wfr_word(w, &w->words, str_c(command));
    for (; *types; types++) {
        if (*types == 'k') {
            wfr_word(w, &w->words, va_arg(values, struct str));
            continue;
        }
        int64_t value = va_arg(values, int64_t);
        if (*types == 'i') {
            wfr_int(w, &w->words, value);
            continue;
        }
        int n = snprintf(score, sizeof score, "%lld.%06d", (long long)(value / NS_PER_SECOND),
                         (int)(value % NS_PER_SECOND / 1000));
        wfr_word(w, &w->words, str_n(score, (size_t)n));
    }
    va_end(values);
    w->commands++;
}

struct str wfr_key(struct wfr *w, const char *format, ...)
{
    char name[160];
    struct buf text = {0};
    va_list values;
    va_start(values, format);
    vsnprintf(name, sizeof name, format, values);
    va_end(values);
    buf_add_c(&text, w->rec->prefix);
    buf_add_c(&text, name);
    struct str key = wfr_keep(w, buf_str(&text));
    buf_free(&text);
    return key;
}

bool wfr_again(struct wfr *w, struct err *err, int64_t until)
{
    pthread_mutex_lock(&w->rec->lock);
    bool stopping = w->rec->stopping;
    pthread_mutex_unlock(&w->rec->lock);
    if (err->code != ERR_IO || stopping || clock_steady_ns() >= until)
        return false;
    if (*w->conn)
        redis_failed(w->rec, w->conn, err);
    usleep(AGAIN_MS * 1000);
    err_clear(err);
    return true;
}

redisReply *wfr_ask(struct wf *f, const char *format, ...)
{
    struct wfr *w = wfr_of(f);
    int64_t until = clock_steady_ns() + WFR_PATIENCE_MS * NS_PER_MS;
    redisReply *reply = NULL;
    va_list values;
    do {
        va_start(values, format);
        if (redis_reach(w->rec, w->conn, "writer", f->err))
            reply = redis_vcommand(*w->conn, f->err, format, values);
        va_end(values);
    } while (!reply && wfr_again(w, f->err, until));
    return reply;
}

/* -- runs -------------------------------------------------------------------------------------- */

/* ORDER as load() asks */
enum {
    RUN_VERSION,
    RUN_PLUGIN,
    RUN_NAME,
    RUN_SHAPE,
    RUN_STATE,
    RUN_CREATED,
    RUN_DECLARED,
    RUN_STEPS,
    RUN_ACTIVE,
    RUN_WAITING,
    RUN_ARRIVED,
    RUN_DATA,
    RUN_ERROR,
    RUN_FINISHED,
    RUN_KEY,
    RUN_SIGNALS,
};

static struct str key_of(struct wfr *w, struct str plugin, struct str name, struct str key)
{
    struct buf text = {0};
    if (key.n == 0)
        return key;
    buf_printf(&text, "%swf:key:%.*s\n%.*s\n", w->rec->prefix, (int)plugin.n, plugin.p, (int)name.n,
               name.p);
    buf_add_str(&text, key);
    struct str copy = wfr_keep(w, buf_str(&text));
    buf_free(&text);
    return copy;
}

static bool only_waits(const struct wf_run *run)
{
    return run->state == WORKFLOW_RUNNING && run->active > 0 && run->waiting == run->active;
}

static void read_run(struct wfr *w, const redisReply *r, struct wf_run *run)
{
    struct str version = redis_item(r, RUN_VERSION), error = redis_item(r, RUN_ERROR);
    run->plugin = str_dup(redis_item(r, RUN_PLUGIN));
    run->name = str_dup(redis_item(r, RUN_NAME));
    run->shape = (enum workflow_shape)redis_item_int(r, RUN_SHAPE);
    run->state = (enum workflow_state)redis_item_int(r, RUN_STATE);
    run->created_at = redis_item_int(r, RUN_CREATED);
    run->version = (int)redis_item_int(r, RUN_DECLARED);
    run->steps = (int)redis_item_int(r, RUN_STEPS);
    run->active = (int)redis_item_int(r, RUN_ACTIVE);
    run->waiting = (int)redis_item_int(r, RUN_WAITING);
    buf_add_str(&run->arrived, redis_item(r, RUN_ARRIVED));
    buf_add_str(&run->data, redis_item(r, RUN_DATA));
    run->error = error.n ? str_dup(error) : NULL;
    run->finished_at = redis_item_int(r, RUN_FINISHED);
    snprintf(w->version, sizeof w->version, "%.*s", (int)version.n, version.p);
    w->run = run->id;
    w->was = run->state;
    w->was_waiting = only_waits(run);
    w->signals = redis_item_int(r, RUN_SIGNALS);
    w->key = key_of(w, str_c(run->plugin), str_c(run->name), redis_item(r, RUN_KEY));
}

static int load(struct wf *f, int64_t id, struct wf_run *run)
{
    struct wfr *w = wfr_of(f);
    redisReply *reply = wfr_ask(f,
                                "HMGET %swf:%lld v plugin name shape state created declared steps"
                                " active waiting arrived data error finished key sig",
                                w->rec->prefix, (long long)id);
    bool there = redis_item(reply, RUN_VERSION).n > 0;
    if (there)
        read_run(w, reply, run);
    if (reply)
        freeReplyObject(reply);
    return f->err->code ? -1 : there;
}

static void set(struct wfr *w, const char *field, struct str value)
{
    wfr_do(w, "HSET", "kkk", wfr_key(w, "wf:%lld", (long long)w->run), str_c(field), value);
}

static void set_int(struct wfr *w, const char *field, int64_t value)
{
    wfr_do(w, "HSET", "kki", wfr_key(w, "wf:%lld", (long long)w->run), str_c(field), value);
}

/* Where a run is found follows its state; the key is its own while it runs. */
static void file(struct wfr *w, const struct wf_run *run)
{
    bool runs = run->state == WORKFLOW_RUNNING, ran = w->was == WORKFLOW_RUNNING;
    bool waits = only_waits(run);
    if (waits != w->was_waiting)
        wfr_do(w, waits ? "SADD" : "SREM", "ki", wfr_key(w, "wf:waiting"), run->id);
    w->was_waiting = waits;
    if (run->state == w->was)
        return;
    if (ran)
        wfr_do(w, "ZREM", "ki", wfr_key(w, "wf:live"), run->id);
    else if (w->was != WORKFLOW_ANY)
        wfr_do(w, "ZREM", "ki", wfr_key(w, "wf:over:%d", (int)w->was), run->id);
    if (runs)
        wfr_do(w, "ZADD", "kii", wfr_key(w, "wf:live"), run->id, run->id);
    else
        wfr_do(w, "ZADD", "kti", wfr_key(w, "wf:over:%d", (int)run->state), run->finished_at,
               run->id);
    w->claims_key = runs && w->key.n;
    if (w->claims_key)
        wfr_do(w, "SET", "ki", w->key, run->id);
    else if (w->key.n && ran)
        wfr_do(w, "DEL", "k", w->key);
    w->was = run->state;
}

static bool save(struct wf *f, const struct wf_run *run)
{
    struct wfr *w = wfr_of(f);
    set_int(w, "state", (int64_t)run->state);
    set_int(w, "finished", run->finished_at);
    set_int(w, "declared", run->version);
    set_int(w, "steps", run->steps);
    set_int(w, "active", run->active);
    set_int(w, "waiting", run->waiting);
    set(w, "arrived", buf_str(&run->arrived));
    set(w, "data", buf_str(&run->data));
    set(w, "error", str_c(run->error));
    if (run->result.n)
        set(w, "result", buf_str(&run->result));
    file(w, run);
    return true;
}

/* 1: somebody has the key. */
static int taken(struct wf *f, int64_t but)
{
    struct wfr *w = wfr_of(f);
    if (!w->key.n)
        return 0;
    redisReply *reply = wfr_ask(f, "GET %b", w->key.p, w->key.n);
    int64_t id = redis_int(reply);
    if (reply)
        freeReplyObject(reply);
    return f->err->code ? -1 : id && id != but;
}

static bool number(struct wf *f, int64_t *id)
{
    redisReply *reply = wfr_ask(f, "INCR %swf:next", wfr_of(f)->rec->prefix);
    *id = redis_int(reply);
    if (reply)
        freeReplyObject(reply);
    return !f->err->code;
}

static int insert(struct wf *f, struct wf_run *run, struct str key)
{
    struct wfr *w = wfr_of(f);
    w->key = key_of(w, str_c(run->plugin), str_c(run->name), key);
    int is = taken(f, 0);
    if (is == 0 && (run->id || number(f, &run->id)))
        w->run = run->id;
    if (is || f->err->code) {
        w->run = 0;
        return is < 0 || f->err->code ? -1 : 0;
    }
    w->whole = true;
    w->was = WORKFLOW_ANY;
    set(w, "plugin", str_c(run->plugin));
    set(w, "name", str_c(run->name));
    set_int(w, "shape", (int64_t)run->shape);
    set_int(w, "created", run->created_at);
    set(w, "key", key);
    wfr_do(w, "ZADD", "kii", wfr_key(w, "wf:all"), run->id, run->id);
    wfr_do(w, "ZADD", "kii", wfr_key(w, "wf:name:%s", run->name), run->id, run->id);
    return 1;
}

static int blocked(struct wf *f, int64_t run)
{
    const struct wfr *w = wfr_of(f);
    if (!wfr_rows(f))
        return -1;
    for (size_t i = 0; i < w->row_count; i++)
        if (w->rows[i]->state == WF_CANCELLED)
            return 1;
    return taken(f, run);
}

static bool remove_run(struct wf *f, int64_t id)
{
    static const char *const parts[] = {"", ":s", ":g", ":w"};
    struct wfr *w = wfr_of(f);
    struct wf_run run = {.id = id};
    int is = load(f, id, &run);
    if (is == 1 && run.active == 0 && run.state != WORKFLOW_RUNNING) {
        for (int i = 0; i < 4; i++)
            wfr_do(w, "DEL", "k", wfr_key(w, "wf:%lld%s", (long long)id, parts[i]));
        wfr_do(w, "ZREM", "ki", wfr_key(w, "wf:all"), id);
        wfr_do(w, "ZREM", "ki", wfr_key(w, "wf:name:%s", run.name), id);
        wfr_do(w, "ZREM", "ki", wfr_key(w, "wf:over:%d", (int)run.state), id);
    }
    wf_run_free(&run);
    return is >= 0;
}

/* -- jobs -------------------------------------------------------------------------------------- */

/* It is in w->pushes; what it still lacks is an id. */
static bool push(struct wf *f, struct push_op *op)
{
    struct wfr *w = wfr_of(f);
    if (op->first->id)
        return true;
    redisReply *reply = wfr_ask(f, "INCRBY %snext_id %d", w->rec->prefix, op->count);
    int64_t id = redis_int(reply) - op->count;
    if (reply)
        freeReplyObject(reply);
    for (struct job *job = op->first; job; job = job->next)
        job->id = ++id;
    return f->err->code == 0;
}

/* Its claim says what is to end; there is none when the lease was lost, or a try before this one
 * ended it. */
static int end_of(struct wf *f, const struct job *job, enum job_end *end)
{
    struct wfr *w = wfr_of(f);
    (void)end;
    if (!job_extra(job)->lease)
        return 0;
    w->claim = claim_find(w->rec, job->id, job_extra(job)->lease);
    if (w->claim)
        return 1;
    struct job *own = (struct job *)(uintptr_t)job;
    own->extra->lease = 0;
    shared_stale(f->jobs, own);
    return 0;
}

static int retry(struct wf *f, int64_t job)
{
    struct wfr *w = wfr_of(f);
    struct buf whole_message = {0}, now = {0};
    char id[24];
    redisReply *have = wfr_ask(f, "HMGET %sjob:%lld state m list", w->rec->prefix, (long long)job);
    bool dead = str_eq_c(redis_item(have, 0), "dead");
    if (dead) {
        struct str message = redis_item(have, 1);
        redis_fresh_message(message, true, &whole_message);
        redis_fresh_message(message, false, &now);
        int n = snprintf(id, sizeof id, "%lld", (long long)job);
        char stamp[24];
        int m = snprintf(stamp, sizeof stamp, "%lld", (long long)clock_wall_ns());
        const struct str words[6] = {str_n(id, (size_t)n), buf_str(&whole_message),
                                     redis_item(have, 2),  str_n(stamp, (size_t)m),
                                     buf_str(&now),        message};
        for (int i = 0; i < 6; i++)
            w->retry[i] = wfr_keep(w, words[i]);
    }
    if (have)
        freeReplyObject(have);
    buf_free(&whole_message);
    buf_free(&now);
    return f->err->code ? -1 : dead;
}

/* Decided on disk already; what runs here hears of it at once. */
static void cancel(struct jobs *jobs, const int64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        shared_cancel(jobs, ids[i]);
}

static bool begin(struct wf *f, const int64_t *runs, size_t count)
{
    (void)runs;
    (void)count;
    wfr_reset(wfr_of(f));
    return true;
}

const struct wf_store wf_redis = {
    .shared = true,
    .each = true,
    .commit = wfr_commit,
    .begin = begin,
    .load = load,
    .save = save,
    .number = number,
    .insert = insert,
    .blocked = blocked,
    .remove = remove_run,
    .load_step = wfr_load_step,
    .put_input = wfr_put_input,
    .input = wfr_input,
    .plan = wfr_plan,
    .queue = wfr_queue,
    .end_step = wfr_end_step,
    .begin_wait = wfr_begin_wait,
    .end_wait = wfr_end_wait,
    .hurry = wfr_hurry,
    .revive = wfr_revive,
    .cancel_steps = wfr_cancel_steps,
    .queued = wfr_queued,
    .planned = wfr_planned,
    .members = wfr_members,
    .waiting = wfr_waiting,
    .failed = wfr_failed,
    .keep_signal = wfr_keep_signal,
    .take_signal = wfr_take_signal,
    .drop_signals = wfr_drop_signals,
    .due = wfr_due,
    .expired = wfr_expired,
    .push = push,
    .end_of = end_of,
    .retry = retry,
    .strays = wfr_strays,
    .cancel = cancel,
    .query = redis_query_workflow,
};
