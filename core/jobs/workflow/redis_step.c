/* workflow/redis_step.c -- steps of runs, and signals that nobody waited for yet. */
#include "jobs/workflow/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

/* -- rows as texts: numbers, then pieces ------------------------------------------------------- */

void wfr_add_piece(struct buf *out, struct str piece)
{
    buf_printf(out, "%zu:", piece.n);
    buf_add_str(out, piece);
}

bool wfr_piece(struct str *rest, struct str *piece)
{
    long long n;
    struct str length = str_split(rest, ':');
    if (!str_int64(length, &n) || n < 0 || (size_t)n > rest->n)
        return false;
    *piece = str_n(rest->p, (size_t)n);
    *rest = str_n(rest->p + n, rest->n - (size_t)n);
    return true;
}

void wfr_row_write(const struct wfr_row *row, struct buf *out)
{
    buf_printf(out, "%d %d %d %lld %lld %lld %lld %lld %lld ", row->state, row->attempt,
               row->version, (long long)row->job, (long long)row->at, (long long)row->started,
               (long long)row->ended, (long long)row->woke, (long long)row->due);
    for (int i = 0; i < WFR_TEXTS; i++)
        wfr_add_piece(out, buf_str(&row->text[i]));
}

static long long number(struct str *rest)
{
    long long value = 0;
    str_int64(str_split(rest, ' '), &value);
    return value;
}

bool wfr_row_read(struct wfr_row *row, struct str text)
{
    row->state = (int)number(&text);
    row->attempt = (int)number(&text);
    row->version = (int)number(&text);
    int64_t *const numbers[] = {&row->job,   &row->at,   &row->started,
                                &row->ended, &row->woke, &row->due};
    for (int i = 0; i < 6; i++)
        *numbers[i] = number(&text);
    for (int i = 0; i < WFR_TEXTS; i++) {
        struct str piece;
        if (!wfr_piece(&text, &piece))
            return false;
        buf_clear(&row->text[i]);
        buf_add_str(&row->text[i], piece);
    }
    return true;
}

void wfr_row_free(struct wfr_row *row)
{
    for (int i = 0; i < WFR_TEXTS; i++)
        buf_free(&row->text[i]);
    mem_free(row);
}

void wfr_signal_write(const struct wfr_signal *s, struct buf *out)
{
    buf_printf(out, "%lld ", (long long)s->at);
    wfr_add_piece(out, s->name);
    wfr_add_piece(out, s->data);
    wfr_add_piece(out, s->who);
}

bool wfr_signal_read(struct wfr_signal *s, struct str text)
{
    s->at = number(&text);
    return wfr_piece(&text, &s->name) && wfr_piece(&text, &s->data) && wfr_piece(&text, &s->who);
}

/* -- rows of the decision ---------------------------------------------------------------------- */

static struct wfr_row *add(struct wfr *w, int seq)
{
    struct wfr_row *row = mem_zero(1, sizeof *row);
    row->seq = seq;
    if (w->row_count == w->row_cap) {
        w->row_cap = w->row_cap ? w->row_cap * 2 : 16;
        w->rows = mem_realloc(w->rows, w->row_cap * sizeof(struct wfr_row *));
    }
    w->rows[w->row_count++] = row;
    index_set(&w->by_seq, seq + 1, row);
    return row;
}

static struct wfr_row *read_row(struct wf *f, int seq, struct str text)
{
    struct wfr *w = wfr_of(f);
    struct wfr_row *row = add(w, seq);
    if (wfr_row_read(row, text))
        return row;
    err_set(f->err, ERR_CORRUPT, "workflows: step %d of run %lld cannot be read", seq,
            (long long)w->run);
    return NULL;
}

struct wfr_row *wfr_row(struct wf *f, int seq, bool make)
{
    struct wfr *w = wfr_of(f);
    struct wfr_row *row = index_get(&w->by_seq, seq + 1);
    if (row || (w->whole && !make))
        return row;
    if (!w->whole && *w->version) {
        redisReply *reply =
            wfr_ask(f, "HGET %swf:%lld:s %d", w->rec->prefix, (long long)w->run, seq);
        if (!reply)
            return NULL;
        if (reply->type == REDIS_REPLY_STRING)
            row = read_row(f, seq, redis_text(reply));
        bool corrupt = reply->type == REDIS_REPLY_STRING && !row;
        freeReplyObject(reply);
        if (row || corrupt)
            return row;
    }
    return make ? add(w, seq) : NULL;
}

static int by_number(const void *a, const void *b)
{
    const struct wfr_row *const *x = a, *const *y = b;
    return ((*x)->seq > (*y)->seq) - ((*x)->seq < (*y)->seq);
}

bool wfr_rows(struct wf *f)
{
    struct wfr *w = wfr_of(f);
    bool ok = true;
    if (!w->whole && *w->version) {
        redisReply *reply = wfr_ask(f, "HGETALL %swf:%lld:s", w->rec->prefix, (long long)w->run);
        for (size_t i = 0; reply && ok && i + 1 < reply->elements; i += 2) {
            int seq = (int)redis_int(reply->element[i]);
            if (!index_get(&w->by_seq, seq + 1))
                ok = read_row(f, seq, redis_item(reply, i + 1)) != NULL;
        }
        ok = ok && reply;
        if (reply)
            freeReplyObject(reply);
    }
    w->whole = ok;
    if (w->row_count)
        qsort(w->rows, w->row_count, sizeof(struct wfr_row *), by_number);
    return ok;
}

static void set(struct wfr_row *row, int text, struct str value)
{
    buf_clear(&row->text[text]);
    buf_add_str(&row->text[text], value);
}

static struct str get(const struct wfr_row *row, int text)
{
    return buf_str(&row->text[text]);
}

static char *dup_text(const struct wfr_row *row, int text)
{
    return row->text[text].n ? str_dup(get(row, text)) : NULL;
}

/* -- steps ------------------------------------------------------------------------------------- */

int wfr_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step)
{
    const struct wfr_row *row = wfr_row(f, seq, false);
    (void)run;
    if (!row)
        return f->err->code ? -1 : 0;
    step->name = str_dup(get(row, WFR_NAME));
    step->state = (enum wf_step_state)row->state;
    step->await = dup_text(row, WFR_AWAIT);
    step->next = dup_text(row, WFR_NEXT);
    step->otherwise = dup_text(row, WFR_OTHERWISE);
    step->on_error = dup_text(row, WFR_ON_ERROR);
    return 1;
}

/* For writing: made when it is missing.  NULL with f->err. */
static struct wfr_row *change(struct wf *f, int seq)
{
    struct wfr_row *row = wfr_row(f, seq, true);
    if (row)
        row->dirty = true;
    return row;
}

bool wfr_put_input(struct wf *f, int64_t run, struct str input)
{
    struct wfr_row *row = change(f, 0);
    (void)run;
    if (!row)
        return false;
    row->state = WF_DONE;
    row->at = f->now;
    set(row, WFR_SPEC, input);
    return true;
}

bool wfr_input(struct wf *f, int64_t run, struct buf *out)
{
    const struct wfr_row *row = wfr_row(f, 0, false);
    (void)run;
    if (row)
        buf_add_str(out, get(row, WFR_SPEC));
    return f->err->code == 0;
}

bool wfr_plan(struct wf *f, int64_t run, int seq, struct str name, const char *role,
              struct str spec)
{
    struct wfr_row *row = change(f, seq);
    (void)run;
    if (!row)
        return false;
    row->state = WF_PLANNED;
    row->at = f->now;
    set(row, WFR_NAME, name);
    set(row, WFR_NEXT, str_c(role));
    set(row, WFR_SPEC, spec);
    return true;
}

bool wfr_queue(struct wf *f, int64_t run, const struct wf_queued *q)
{
    struct wfr_row *row = change(f, q->seq);
    (void)run;
    if (!row)
        return false;
    bool planned = row->text[WFR_NAME].n > 0;
    row->state = WF_QUEUED;
    row->job = q->job;
    row->at = f->now;
    if (planned)
        return true;
    row->version = q->version;
    set(row, WFR_NAME, q->name);
    set(row, WFR_NEXT, q->role);
    set(row, WFR_ON_ERROR, q->on_error);
    set(row, WFR_SPEC, q->from);
    return true;
}

bool wfr_end_step(struct wf *f, int64_t run, const struct wf_over *s)
{
    struct wfr_row *row = change(f, s->seq);
    (void)run;
    if (!row)
        return false;
    row->state = (int)s->state;
    row->started = s->started_at;
    row->ended = f->now;
    row->attempt = s->attempt;
    set(row, WFR_ERROR, s->error);
    set(row, WFR_RESULT, s->result);
    return true;
}

static struct str due_member(struct wfr *w, const struct wfr_row *row)
{
    char text[48];
    int n = snprintf(text, sizeof text, "%lld:%d", (long long)w->run, row->seq);
    return wfr_keep(w, str_n(text, (size_t)n));
}

/* Where a wait is found: by its signal, and by its time. */
static void list_wait(struct wfr *w, const struct wfr_row *row)
{
    wfr_do(w, "HSET", "kik", wfr_key(w, "wf:%lld:w", (long long)w->run), (int64_t)row->seq,
           get(row, WFR_AWAIT));
    if (row->due)
        wfr_do(w, "ZADD", "ktk", wfr_key(w, "wf:due"), row->due, due_member(w, row));
}

static void unlist_wait(struct wfr *w, const struct wfr_row *row)
{
    wfr_do(w, "HDEL", "ki", wfr_key(w, "wf:%lld:w", (long long)w->run), (int64_t)row->seq);
    if (row->due)
        wfr_do(w, "ZREM", "kk", wfr_key(w, "wf:due"), due_member(w, row));
}

bool wfr_begin_wait(struct wf *f, int64_t run, const struct wf_wait *wait)
{
    struct wfr_row *row = change(f, wait->seq);
    (void)run;
    if (!row)
        return false;
    row->state = WF_WAITING;
    row->due = wait->due_at;
    set(row, WFR_AWAIT, wait->name);
    set(row, WFR_NEXT, wait->next);
    set(row, WFR_OTHERWISE, wait->otherwise);
    list_wait(wfr_of(f), row);
    return true;
}

bool wfr_end_wait(struct wf *f, int64_t run, int seq, const char *error)
{
    struct wfr_row *row = change(f, seq);
    (void)run;
    if (!row)
        return false;
    unlist_wait(wfr_of(f), row);
    row->state = WF_DONE;
    row->woke = f->now;
    row->due = 0;
    set(row, WFR_ERROR, str_c(error));
    return true;
}

bool wfr_hurry(struct wf *f, int64_t run, int seq)
{
    struct wfr *w = wfr_of(f);
    struct wfr_row *row = change(f, seq);
    (void)run;
    if (!row)
        return false;
    row->due = f->now;
    wfr_do(w, "ZADD", "ktk", wfr_key(w, "wf:due"), row->due, due_member(w, row));
    return true;
}

bool wfr_revive(struct wf *f, int64_t run, int seq)
{
    struct wfr_row *row = change(f, seq);
    (void)run;
    if (!row)
        return false;
    row->state = WF_QUEUED;
    buf_clear(&row->text[WFR_ERROR]);
    return true;
}

bool wfr_cancel_steps(struct wf *f, int64_t run, enum wf_step_state from)
{
    struct wfr *w = wfr_of(f);
    (void)run;
    if (!wfr_rows(f))
        return false;
    for (size_t i = 0; i < w->row_count; i++) {
        struct wfr_row *row = w->rows[i];
        if (row->seq == 0 || row->state != (int)from)
            continue;
        if (from == WF_WAITING) {
            unlist_wait(w, row);
            row->woke = f->now;
        }
        row->state = WF_CANCELLED;
        row->due = 0;
        row->dirty = true;
    }
    return true;
}

bool wfr_queued(struct wf *f, int64_t run, struct wf_ids *jobs)
{
    const struct wfr *w = wfr_of(f);
    (void)run;
    if (!wfr_rows(f))
        return false;
    for (size_t i = 0; i < w->row_count; i++)
        if (w->rows[i]->state == WF_QUEUED)
            wf_ids_add(jobs, w->rows[i]->job);
    return true;
}

static bool is_planned(const struct wfr_row *row, const char *role)
{
    return row && row->state == WF_PLANNED && str_eq_c(get(row, WFR_NEXT), role);
}

int wfr_planned(struct wf *f, int64_t run, int from, const char *role, int *seq, struct buf *out)
{
    const struct wfr *w = wfr_of(f);
    (void)run;
    /* A chain's next member is where it is looked for. */
    const struct wfr_row *found = from > 0 ? wfr_row(f, from, false) : NULL;
    if (f->err->code || (!is_planned(found, role) && !wfr_rows(f)))
        return -1;
    for (size_t i = 0; i < w->row_count && !is_planned(found, role); i++)
        found = w->rows[i]->seq >= from ? w->rows[i] : NULL;
    if (!is_planned(found, role))
        return 0;
    *seq = found->seq;
    buf_add_str(out, get(found, WFR_SPEC));
    return 1;
}

bool wfr_members(struct wf *f, int64_t run, void (*each)(void *arg, const struct wf_member_row *m),
                 void *arg)
{
    const struct wfr *w = wfr_of(f);
    (void)run;
    if (!wfr_rows(f))
        return false;
    for (size_t i = 0; i < w->row_count; i++) {
        const struct wfr_row *row = w->rows[i];
        if (row->seq == 0 || !str_eq_c(get(row, WFR_NEXT), "member"))
            continue;
        struct wf_member_row m = {.seq = row->seq,
                                  .state = (enum wf_step_state)row->state,
                                  .name = get(row, WFR_NAME),
                                  .error = get(row, WFR_ERROR),
                                  .result = get(row, WFR_RESULT)};
        each(arg, &m);
    }
    return true;
}

int wfr_waiting(struct wf *f, int64_t run, struct str signal, int *seq)
{
    redisReply *reply = wfr_ask(f, "HGETALL %swf:%lld:w", wfr_of(f)->rec->prefix, (long long)run);
    *seq = 0;
    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2) {
        int at = (int)redis_int(reply->element[i]);
        if (str_eq(redis_item(reply, i + 1), signal) && (!*seq || at < *seq))
            *seq = at;
    }
    if (reply)
        freeReplyObject(reply);
    return f->err->code ? -1 : *seq > 0;
}

/* The run and the step are in what the job carries; whether it is that one's job, and dead, the
 * row says, once the run is read. */
int wfr_failed(struct wf *f, int64_t job, int64_t *run, int *seq)
{
    struct wfr *w = wfr_of(f);
    struct job *carrier = job_create(str_n("", 0), str_n("", 0));
    redisReply *reply = wfr_ask(f, "HGET %sjob:%lld extra", w->rec->prefix, (long long)job);
    bool ok = reply && extra_parse(carrier, redis_text(reply), f->err);
    *run = job_extra(carrier)->workflow;
    *seq = (int)job_extra(carrier)->step;
    job_unref(carrier);
    if (reply)
        freeReplyObject(reply);
    if (!ok || !*run)
        return ok ? 0 : -1;
    redisReply *row = wfr_ask(f, "HGET %swf:%lld:s %d", w->rec->prefix, (long long)*run, *seq);
    struct wfr_row *step = mem_zero(1, sizeof *step);
    bool is =
        row && wfr_row_read(step, redis_text(row)) && step->state == WF_FAILED && step->job == job;
    wfr_row_free(step);
    if (row)
        freeReplyObject(row);
    return f->err->code ? -1 : is;
}

/* -- signals ----------------------------------------------------------------------------------- */

int wfr_keep_signal(struct wf *f, int64_t run, struct str name, struct str data, struct str who)
{
    struct wfr *w = wfr_of(f);
    struct buf text = {0};
    redisReply *reply = wfr_ask(f, "HLEN %swf:%lld:g", w->rec->prefix, (long long)run);
    int64_t kept = redis_int(reply);
    if (reply)
        freeReplyObject(reply);
    if (f->err->code || kept >= WORKFLOW_SIGNALS)
        return f->err->code ? -1 : 0;
    wfr_signal_write(&(struct wfr_signal){.name = name, .data = data, .who = who, .at = f->now},
                     &text);
    wfr_do(w, "HSET", "kik", wfr_key(w, "wf:%lld:g", (long long)run), w->signals + 1,
           buf_str(&text));
    wfr_do(w, "HSET", "kki", wfr_key(w, "wf:%lld", (long long)run), STR("sig"), w->signals + 1);
    buf_free(&text);
    return 1;
}

int wfr_take_signal(struct wf *f, int64_t run, struct str name, struct buf *data, struct buf *who,
                    int64_t *at)
{
    struct wfr *w = wfr_of(f);
    struct wfr_signal first = {0}, s;
    int64_t seq = 0;
    redisReply *reply = wfr_ask(f, "HGETALL %swf:%lld:g", w->rec->prefix, (long long)run);
    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2) {
        int64_t number = redis_int(reply->element[i]);
        if (wfr_signal_read(&s, redis_item(reply, i + 1)) && str_eq(s.name, name) &&
            (!seq || number < seq)) {
            seq = number;
            first = s;
        }
    }
    if (seq) {
        buf_add_str(data, first.data);
        buf_add_str(who, first.who);
        *at = first.at;
        wfr_do(w, "HDEL", "ki", wfr_key(w, "wf:%lld:g", (long long)run), seq);
    }
    if (reply)
        freeReplyObject(reply);
    return f->err->code ? -1 : seq > 0;
}

bool wfr_drop_signals(struct wf *f, int64_t run)
{
    wfr_do(wfr_of(f), "DEL", "k", wfr_key(wfr_of(f), "wf:%lld:g", (long long)run));
    return true;
}
