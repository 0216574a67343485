/* workflow/redis_commit.c -- what a decision comes to, in one call of redis/decide.lua. */
#include "jobs/workflow/redis.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/celery/text.h"
#include "observe/log.h"

enum { ANSWER_MS = 5000, JOBS_PER_MS = 20 };

void wfr_reset(struct wfr *w)
{
    for (size_t i = 0; i < w->row_count; i++)
        wfr_row_free(w->rows[i]);
    mem_free(w->rows);
    index_free(&w->by_seq);
    mem_free(w->words.p);
    mem_free(w->words.n);
    if (w->arena)
        arena_destroy(w->arena);
    if (w->claim)
        claim_release(w->rec, w->claim);
    *w = (struct wfr){.rec = w->rec, .conn = w->conn};
}

/* The steps that are not as they were. */
static void add_rows(struct wfr *w)
{
    struct str hash = wfr_key(w, "wf:%lld:s", (long long)w->run);
    for (size_t i = 0; i < w->row_count; i++) {
        struct buf text = {0};
        if (!w->rows[i]->dirty)
            continue;
        wfr_row_write(w->rows[i], &text);
        wfr_do(w, "HSET", "kik", hash, (int64_t)w->rows[i]->seq, buf_str(&text));
        buf_free(&text);
    }
}

static void add_cancels(struct wf *f, struct wfr_words *to)
{
    struct wfr *w = wfr_of(f);
    struct buf meta = {0};
    int64_t ttl = f->jobs->options.result_ttl_ns / NS_PER_SECOND;
    redis_cancelled_meta(&meta);
    wfr_int(w, to, clock_wall_ns());
    wfr_word(w, to, buf_str(&meta));
    wfr_int(w, to, ttl > 0 ? ttl : 1);
    wfr_int(w, to, (int64_t)f->w->cancels.n);
    for (size_t i = 0; i < f->w->cancels.n; i++)
        wfr_int(w, to, f->w->cancels.ids[i]);
    buf_free(&meta);
}

/* Their texts are copied: a call has room for a few jobs, a group has thousands. */
static int add_pushes(struct wf *f, struct wfr_words *to)
{
    struct wfr *w = wfr_of(f);
    struct redis_pushing *p = mem_zero(1, sizeof *p);
    int count = 0;
    for (struct push_op *op = f->w->pushes; op; op = op->next)
        count += op->count;
    wfr_int(w, to, count);
    for (struct push_op *op = f->w->pushes; op; op = op->next)
        for (const struct job *job = op->first; job; job = job->next) {
            redis_pushing_begin(w->rec, p, "", 0);
            int before = p->args.count;
            redis_pushing_add(w->rec, p, op, job);
            for (int i = before; i < p->args.count; i++)
                wfr_word(w, to, str_n(p->args.p[i], p->args.n[i]));
        }
    redis_pushing_end(p);
    mem_free(p);
    return count;
}

static void append(struct wfr_words *to, struct wfr *w, const struct wfr_words *from)
{
    for (int i = 0; i < from->count; i++)
        wfr_word(w, to, str_n(from->p[i], from->n[i]));
}

/* All behind the job's end.  How many jobs it pushes or cancels. */
static int add_decision(struct wf *f, struct wfr_words *to)
{
    struct wfr *w = wfr_of(f);
    char token[37];
    celery_uuid(token);
    if (w->run)
        add_rows(w);
    if (w->run)
        wfr_int(w, to, w->run);
    else
        wfr_word(w, to, STR(""));
    wfr_word(w, to, str_c(w->version));
    wfr_word(w, to, str_c(token));
    wfr_word(w, to, w->claims_key ? w->key : STR(""));
    if (f->stray)
        wfr_int(w, to, f->stray->id);
    else
        wfr_word(w, to, STR(""));
    wfr_int(w, to, w->retry[0].p ? 6 : 0);
    for (int i = 0; i < 6 && w->retry[0].p; i++)
        wfr_word(w, to, w->retry[i]);
    wfr_int(w, to, w->commands);
    append(to, w, &w->words);
    add_cancels(f, to);
    return add_pushes(f, to) + (int)f->w->cancels.n;
}

/* In front of the rest, whose place is the last argument. */
static struct wfr_words whole_call(struct wfr *w, const struct redis_args *end, bool ends,
                                   const struct wfr_words *rest)
{
    struct wfr_words all = {0};
    wfr_word(w, &all, str_c(w->rec->prefix));
    wfr_int(w, &all, clock_wall_ns());
    wfr_int(w, &all, ends);
    for (int i = 0; i < end->count; i++)
        wfr_word(w, &all, str_n(end->p[i], end->n[i]));
    if (!ends) { /* where the script looks for a job and its fence */
        wfr_word(w, &all, STR(""));
        wfr_word(w, &all, STR(""));
    }
    int place = all.count + 1;
    append(&all, w, rest);
    wfr_int(w, &all, place);
    return all;
}

/* Once more as it was when the answer did not arrive: what was done is not done twice. */
static redisReply *send_call(struct wf *f, const struct wfr_words *call, int jobs)
{
    struct wfr *w = wfr_of(f);
    int64_t until = clock_steady_ns() + WFR_PATIENCE_MS * NS_PER_MS;
    redisReply *reply = NULL;
    for (;;) {
        if (redis_reach(w->rec, w->conn, "writer", f->err))
            reply = redis_eval_words(*w->conn, &redis_decide, call->p, call->n, call->count,
                                     ANSWER_MS + jobs / JOBS_PER_MS, f->err);
        if (reply || !wfr_again(w, f->err, until))
            return reply;
    }
}

/* The job's end, as the driver ends others; where a Celery chord ends, too, it has to be told what
 * that has, and comes again. */
static redisReply *send_all(struct wf *f, struct ending *e)
{
    struct wfr *w = wfr_of(f);
    struct redis_args *end = mem_zero(1, sizeof *end);
    struct redis_parcel *parcel = e ? redis_parcel_make(w->rec, e) : NULL;
    struct wfr_words rest = {0};
    int jobs = add_decision(f, &rest);
    redisReply *reply = NULL;
    do {
        if (reply)
            redis_parcel_complete(parcel, reply);
        if (reply)
            freeReplyObject(reply);
        end->count = end->number_count = 0;
        if (parcel)
            redis_parcel_args(w->rec, parcel, end);
        struct wfr_words call = whole_call(w, end, e != NULL, &rest);
        reply = send_call(f, &call, jobs);
        mem_free(call.p);
        mem_free(call.n);
    } while (reply && parcel && reply->type == REDIS_REPLY_ARRAY);
    if (parcel)
        redis_parcel_free(parcel);
    mem_free(rest.p);
    mem_free(rest.n);
    mem_free(end);
    return reply;
}

static struct ending ending_of_step(const struct wf *f)
{
    struct ending e = redis_ending_of(f->job, wfr_of(f)->claim);
    if (strstr(f->job->kind->name, ".flow:")) /* where it leads is the run's, not a result */
        e.result = str_n("", 0);
    return e;
}

/* It is over, here too. */
static void forget_job(struct wf *f, const struct ending *e, bool stale)
{
    struct wfr *w = wfr_of(f);
    struct job *job = (struct job *)(uintptr_t)f->job;
    if (stale)
        shared_stale(f->jobs, job);
    else
        celery_events_ended(w->rec, e, &job, 1);
    claim_drop(w->rec, w->claim);
    w->claim = NULL;
    extra_make(job)->lease = 0;
}

static int answered(struct wf *f, const struct ending *e, struct str text)
{
    struct wfr *w = wfr_of(f);
    if (str_eq_c(text, "again"))
        return 0;
    bool ok = str_eq_c(text, "ok");
    if (ok && (f->w->pushes || w->retry[0].p))
        redis_look_for_work(w->rec);
    if (w->claim)
        forget_job(f, e, !ok);
    if (ok)
        return 1;
    wf_forget(f->jobs);
    if (str_starts(text, STR("error ")))
        log_error("jobs", "run %lld: %.*s", (long long)w->run, (int)text.n, text.p);
    if (f->change && str_eq_c(text, "taken"))
        err_set(&f->change->err, ERR_EXISTS, "jobs: its unique key was taken meanwhile");
    else if (f->change && str_eq_c(text, "none"))
        err_set(&f->change->err, ERR_NOT_FOUND, "jobs: no dead job %lld", (long long)f->change->id);
    return 1;
}

static bool is_empty(const struct wf *f)
{
    const struct wfr *w = f->record;
    bool dirty = false;
    for (size_t i = 0; i < w->row_count; i++)
        dirty |= w->rows[i]->dirty;
    return !dirty && !w->claim && !f->stray && !w->retry[0].p && !w->commands && !f->w->pushes;
}

int wfr_commit(struct wf *f)
{
    struct wfr *w = wfr_of(f);
    struct ending e = {0};
    int is = 1;
    if (!is_empty(f)) {
        if (w->claim)
            e = ending_of_step(f);
        redisReply *reply = send_all(f, w->claim ? &e : NULL);
        is = reply ? answered(f, &e, redis_text(reply)) : -1;
        if (reply)
            freeReplyObject(reply);
    }
    wfr_reset(w);
    return is;
}

bool redis_write_workflows(struct redis_record *rec, struct redis **conn, struct err *err)
{
    struct wfr w = {.rec = rec, .conn = conn};
    bool ok = workflow_record(rec->jobs, &w, err);
    wfr_reset(&w);
    return ok;
}
