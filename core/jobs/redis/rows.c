/* redis/rows.c -- jobs as Redis has them, for people. */
#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery/text.h"
#include "jobs/search.h"

/* ORDER as redis_rows answers */
enum {
    COL_ID,
    COL_STATE,
    COL_KIND,
    COL_QUEUE,
    COL_PRIORITY,
    COL_ATTEMPT,
    COL_MAX,
    COL_CRASHES,
    COL_ARGS,
    COL_ERROR,
    COL_RESULT,
    COL_CREATED,
    COL_RUN_AT,
    COL_STARTED,
    COL_FINISHED,
    COL_UUID,
    COL_META,
    COL_EXTERNAL,
    COL_UNIQUE,
    COL_EXTRA
};

/* A job whose message went to a Python worker is what the result backend says. */
static void apply_meta(const redisReply *row, struct job_row *r, struct celery_answer *answer)
{
    struct str meta = redis_item(row, COL_META);
    int64_t done = 0;
    struct buf text = {0};
    if (meta.n == 0 || !celery_result_read(meta, answer))
        return;
    if (json_pick_text(json_pick_get(meta, "date_done"), &text) &&
        celery_time_parse(buf_str(&text), &done))
        r->finished_at = done;
    buf_free(&text);
    r->error = buf_str(&answer->error);
    if (answer->state == CELERY_SUCCESS) {
        r->state = JOB_DONE;
        r->result = answer->result;
    } else if (answer->state == CELERY_FAILURE) {
        r->state = JOB_DEAD;
    } else if (answer->state == CELERY_REVOKED) {
        r->state = str_eq_c(r->error, "TaskRevokedError: expired") ? JOB_EXPIRED : JOB_CANCELLED;
    } else
        r->state = answer->state == CELERY_STARTED ? JOB_RUNNING : JOB_DELAYED;
}

/* The kind a task is called here. */
static const char *kind_name(struct redis_record *rec, struct arena *arena, struct str task)
{
    jobs_lock(rec->jobs);
    const struct kind *k = kind_of_task(rec->jobs, task);
    const char *name = k ? k->name : arena_strdup(arena, task);
    jobs_unlock(rec->jobs);
    return name;
}

/* Key, batch and the like, of a job that is none: the caller lets go of it; NULL: there is nothing.
 */
static struct job *extra_of(const redisReply *row, struct job_row *r)
{
    struct str unique = redis_item(row, COL_UNIQUE), extra = redis_item(row, COL_EXTRA);
    struct err err = {0};
    str_split(&unique, ':');
    r->unique = unique;
    if (extra.n == 0)
        return NULL;
    struct job *job = job_create(str_n("", 0), str_n("", 0));
    if (extra_parse(job, extra, &err))
        r->extra = job->extra;
    return job;
}

bool redis_print_row(struct redis_record *rec, const struct jobs_query *q,
                     const struct search *search, const redisReply *row, struct buf *out,
                     enum job_state *state)
{
    struct arena *arena = arena_create();
    struct celery_answer meta = {0};
    struct job_row r = {.id = redis_item_int(row, COL_ID),
                        .kind = kind_name(rec, arena, redis_item(row, COL_KIND)),
                        .queue = arena_strdup(arena, redis_item(row, COL_QUEUE)),
                        .priority = (int)redis_item_int(row, COL_PRIORITY),
                        .attempt = (int)redis_item_int(row, COL_ATTEMPT),
                        .max_attempts = (int)redis_item_int(row, COL_MAX),
                        .crashes = (int)redis_item_int(row, COL_CRASHES),
                        .args = redis_item(row, COL_ARGS),
                        .error = redis_item(row, COL_ERROR),
                        .result = redis_item(row, COL_RESULT),
                        .has_result = q->id != 0,
                        .python = redis_item(row, COL_EXTERNAL).n > 0,
                        .created_at = redis_item_int(row, COL_CREATED),
                        .run_at = redis_item_int(row, COL_RUN_AT),
                        .started_at = redis_item_int(row, COL_STARTED),
                        .finished_at = redis_item_int(row, COL_FINISHED)};
    struct job *shell = extra_of(row, &r);
    bool there = job_state_parse(redis_item(row, COL_STATE), &r.state);
    if (there)
        apply_meta(row, &r, &meta);
    if (r.priority < 0 || r.priority >= JOBS_PRIORITIES)
        r.priority = JOB_NORMAL;
    const struct str texts[] = {str_c(r.kind), r.args, r.error};
    bool matches = there && (q->queue.n == 0 || str_eq_c(q->queue, r.queue)) &&
                   (q->kind.n == 0 || str_eq_c(q->kind, r.kind)) &&
                   search_matches_texts(search, texts, 3);
    *state = r.state;
    if (matches && (q->state == JOB_ANY || q->state == r.state)) {
        if (out->n)
            buf_add_char(out, ',');
        print_row(out, &r);
    }
    buf_free(&meta.error);
    arena_destroy(arena);
    if (shell)
        job_unref(shell);
    return matches;
}

redisReply *redis_rows_of(struct redis_record *rec, const redisReply *ids, size_t step,
                          struct err *err)
{
    struct redis_args *a = mem_alloc(sizeof *a);
    a->count = a->number_count = 0;
    redis_arg_c(a, rec->prefix);
    for (size_t i = 0; i < ids->elements; i += step)
        redis_arg(a, redis_item(ids, i));
    redisReply *rows = redis_eval(rec->keep, &redis_rows, a, err);
    mem_free(a);
    return rows;
}

/* Codes as jobs_why(); why.lua says what keeps it. */
static void print_why(struct json *w, struct str reason)
{
    struct buf code = {0};
    double until = 0, running = 0, limit = 0;
    char text[32];
    json_pick_text(json_pick_get(reason, "code"), &code);
    json_open(w, '{');
    json_key(w, "code");
    json_str(w, buf_str(&code));
    if (json_pick_number(json_pick_get(reason, "until"), &until)) {
        clock_format_utc((int64_t)(until * 1e9), text);
        json_key(w, "until");
        json_cstr(w, text);
    }
    if (json_pick_number(json_pick_get(reason, "limit"), &limit) &&
        json_pick_number(json_pick_get(reason, "running"), &running)) {
        json_key(w, "running");
        json_int(w, (int64_t)running);
        json_key(w, "limit");
        json_int(w, (int64_t)limit);
    }
    json_close(w, '}');
    buf_free(&code);
}

/* What Celery calls the kind; the text lives in the arena. */
static struct str task_name(struct redis_record *rec, struct arena *arena, struct str kind)
{
    jobs_lock(rec->jobs);
    const struct kind *k = map_get(rec->jobs->kinds, kind);
    struct str task = k && k->task ? str_c(k->task) : kind;
    task = str_n(arena_strdup(arena, task), task.n);
    jobs_unlock(rec->jobs);
    return task;
}

/* Nothing when it is not queued, and when this process has it: jobs_why() knows more then. */
static bool look_why(struct redis_record *rec, struct jobs_query *q, struct str kind,
                     struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct arena *arena = arena_create();
    struct buf out = {0};
    struct json w = json_to(&out);
    struct json_pick p;
    struct str reason;
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, q->id);
    redis_arg(a, task_name(rec, arena, kind));
    redisReply *reply = redis_eval(rec->keep, &redis_why, a, err);
    arena_destroy(arena);
    mem_free(a);
    if (json_pick_open(&p, redis_text(reply), '[')) {
        json_open(&w, '[');
        while (json_pick_item(&p, &reason))
            print_why(&w, reason);
        json_close(&w, ']');
        if (out.n < sizeof q->why)
            snprintf(q->why, sizeof q->why, "%.*s", (int)out.n, out.p);
    }
    buf_free(&out);
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

bool redis_look_one(struct redis_record *rec, struct jobs_query *q, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct search search = {0};
    enum job_state state;
    bool ok = true;
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, q->id);
    redisReply *rows = redis_eval(rec->keep, &redis_rows, a, err);
    mem_free(a);
    if (!rows)
        return false;
    if (rows->elements == 1 &&
        redis_print_row(rec, q, &search, rows->element[0], &q->out, &state) &&
        (state == JOB_READY || state == JOB_DELAYED))
        ok = look_why(rec, q, redis_item(rows->element[0], COL_KIND), err);
    freeReplyObject(rows);
    return ok;
}
