/* workflow/redis_look.c -- looks at runs, on the keeper's thread. */
#include "jobs/workflow/redis.h"

#include <stdlib.h>

#include "base/mem.h"

enum { SLICE = 200, SCAN = 20000, PLACES = 1000 };

#define FIELDS                                                                                     \
    "plugin name shape declared key state created finished steps active waiting error data "       \
    "result v"

static struct wf_run_row read_run(int64_t id, const redisReply *r)
{
    return (struct wf_run_row){.id = id,
                               .plugin = redis_item(r, 0),
                               .name = redis_item(r, 1),
                               .shape = (int)redis_item_int(r, 2),
                               .version = (int)redis_item_int(r, 3),
                               .key = redis_item(r, 4),
                               .state = (int)redis_item_int(r, 5),
                               .created_at = redis_item_int(r, 6),
                               .finished_at = redis_item_int(r, 7),
                               .steps = (int)redis_item_int(r, 8),
                               .active = (int)redis_item_int(r, 9),
                               .waiting = (int)redis_item_int(r, 10),
                               .error = redis_item(r, 11),
                               .data = redis_item(r, 12),
                               .result = redis_item(r, 13)};
}

/* Rows of a hash of steps or signals, by their numbers. */
struct numbered {
    int64_t number;
    struct str text;
};

static int by_number(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static struct numbered *sorted(const redisReply *hash, size_t *count)
{
    *count = hash ? hash->elements / 2 : 0;
    struct numbered *list = mem_alloc((*count + 1) * sizeof *list);
    for (size_t i = 0; i < *count; i++)
        list[i] = (struct numbered){redis_item_int(hash, 2 * i), redis_item(hash, 2 * i + 1)};
    qsort(list, *count, sizeof *list, by_number);
    return list;
}

static redisReply *hash_of(struct redis_record *rec, int64_t id, const char *part, struct err *err)
{
    return redis_command(rec->keep, err, "HGETALL %swf:%lld:%s", rec->prefix, (long long)id, part);
}

/* The steps of a run, in order.  The caller frees them. */
static struct wfr_row **read_steps(struct redis_record *rec, int64_t id, size_t *count,
                                   struct err *err)
{
    size_t n;
    redisReply *hash = hash_of(rec, id, "s", err);
    struct numbered *list = sorted(hash, &n);
    struct wfr_row **rows = mem_zero(n + 1, sizeof(struct wfr_row *));
    *count = 0;
    for (size_t i = 0; i < n && *count <= WF_STEPS_SHOWN; i++) {
        struct wfr_row *row = mem_zero(1, sizeof *row);
        row->seq = (int)list[i].number;
        if (wfr_row_read(row, list[i].text))
            rows[(*count)++] = row;
        else
            wfr_row_free(row);
    }
    mem_free(list);
    if (hash)
        freeReplyObject(hash);
    return rows;
}

static void free_steps(struct wfr_row **rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wfr_row_free(rows[i]);
    mem_free(rows);
}

static bool has_word(struct str text, struct str word)
{
    while (text.n)
        if (str_eq(str_split(&text, ' '), word))
            return true;
    return false;
}

/* Names of its steps that are queued or wait, five at most. */
static void add_places(struct wfr_row **rows, size_t count, struct buf *out)
{
    int n = 0;
    for (size_t i = 0; i < count && n < 5; i++) {
        struct str name = buf_str(&rows[i]->text[WFR_NAME]);
        bool is_there = rows[i]->state == WF_QUEUED || rows[i]->state == WF_WAITING;
        if (!is_there || rows[i]->seq == 0 || has_word(buf_str(out), name))
            continue;
        buf_printf(out, "%s%.*s", out->n ? " " : "", (int)name.n, name.p);
        n++;
    }
}

static void add_run(struct redis_record *rec, struct workflow_query *q, int64_t id,
                    const redisReply *r, int *left, struct err *err)
{
    struct wf_run_row row = read_run(id, r);
    struct buf at = {0};
    size_t count = 0;
    if (!row.state || !wf_list_wants(q, &row))
        return;
    /* Of a big group who looks at it alone sees where it is. */
    struct wfr_row **rows =
        row.active && row.steps <= PLACES ? read_steps(rec, id, &count, err) : NULL;
    add_places(rows, count, &at);
    row.at = buf_str(&at);
    wf_list_add(q, &row);
    --*left;
    free_steps(rows, count);
    buf_free(&at);
}

/* {id, fields} of those up to `top`, newest first, without what is big of them. */
static redisReply *slice_of(struct redis_record *rec, const struct workflow_query *q, int64_t top,
                            struct err *err)
{
    static const char text[] =
        "local P, out = ARGV[1], {}\n"
        "for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', P .. 'wf:' .. ARGV[2], ARGV[3], '-inf',"
        " 'LIMIT', 0, ARGV[4])) do\n"
        "  out[#out + 1] = {id, redis.call('HMGET', P .. 'wf:' .. id, 'plugin', 'name', 'shape',"
        " 'declared', 'key', 'state', 'created', 'finished', 'steps', 'active', 'waiting',"
        " 'error')}\n"
        "end\n"
        "return out\n";
    struct redis_script script = {text, ""};
    struct redis_args *a = mem_zero(1, sizeof *a);
    struct buf index = {0};
    bool unfinished = q->state == WORKFLOW_RUNNING || q->state == WORKFLOW_WAITING;
    if (q->name.n)
        buf_add_c(&index, "name:");
    buf_add_str(&index, q->name.n ? q->name : str_c(unfinished ? "live" : "all"));
    redis_script_init(&script);
    redis_arg_c(a, rec->prefix);
    redis_arg(a, buf_str(&index));
    redis_arg_int(a, top);
    redis_arg_int(a, SLICE);
    redisReply *reply = redis_eval(rec->keep, &script, a, err);
    buf_free(&index);
    mem_free(a);
    return reply;
}

static bool list(struct redis_record *rec, struct workflow_query *q, struct err *err)
{
    int left = wf_list_limit(q), scan = SCAN;
    int64_t before = q->before ? q->before : INT64_MAX;
    while (left && scan > 0 && !err->code) {
        redisReply *slice = slice_of(rec, q, before - 1, err);
        size_t n = slice ? slice->elements : 0;
        for (size_t i = 0; i < n && left && !err->code; i++) {
            const redisReply *one = slice->element[i];
            before = redis_item_int(one, 0);
            if (one->elements == 2)
                add_run(rec, q, before, one->element[1], &left, err);
        }
        scan -= (int)n;
        if (slice)
            freeReplyObject(slice);
        if (n < SLICE)
            break;
    }
    return err->code == 0;
}

/* What the jobs of queued steps do, wherever they are: a state each, empty for other steps. */
static bool read_states(struct redis_record *rec, struct wfr_row **rows, size_t count,
                        const char **states, struct err *err)
{
    static const char text[] = "local out = {}\n"
                               "for i = 2, #ARGV do\n"
                               "  out[i - 1] = redis.call('HGET', ARGV[1] .. 'job:' .. ARGV[i], "
                               "'state') or ''\n"
                               "end\n"
                               "return out\n";
    struct redis_script script = {text, ""};
    struct redis_args *a = mem_alloc(sizeof *a);
    redis_script_init(&script);
    for (size_t from = 0; from < count && !err->code; from += SLICE) {
        a->count = a->number_count = 0;
        redis_arg_c(a, rec->prefix);
        for (size_t i = from; i < count && i < from + SLICE; i++)
            redis_arg_int(a, rows[i]->state == WF_QUEUED ? rows[i]->job : 0);
        redisReply *r = redis_eval(rec->keep, &script, a, err);
        for (size_t i = 0; r && i < r->elements; i++) {
            enum job_state state;
            if (job_state_parse(redis_item(r, i), &state))
                states[from + i] = job_state_name(state);
        }
        if (r)
            freeReplyObject(r);
    }
    mem_free(a);
    return err->code == 0;
}

static void show_step(struct wf_shown *shown, const struct wfr_row *row, const char *job_state)
{
    struct wf_step_row s = {.seq = row->seq,
                            .job = row->job,
                            .created_at = row->at,
                            .started_at = row->started,
                            .ended_at = row->ended,
                            .woke_at = row->woke,
                            .due_at = row->due,
                            .name = buf_str(&row->text[WFR_NAME]),
                            .await = buf_str(&row->text[WFR_AWAIT]),
                            .next = buf_str(&row->text[WFR_NEXT]),
                            .otherwise = buf_str(&row->text[WFR_OTHERWISE]),
                            .error = buf_str(&row->text[WFR_ERROR]),
                            .result = buf_str(&row->text[WFR_RESULT]),
                            .from = shown->graph ? buf_str(&row->text[WFR_SPEC]) : STR(""),
                            .state = row->state,
                            .attempt = row->attempt,
                            .version = row->version,
                            .job_state = job_state};
    wf_show_step(shown, &s);
}

static void show_signals(struct redis_record *rec, struct wf_shown *shown, int64_t id,
                         struct err *err)
{
    size_t count;
    redisReply *hash = hash_of(rec, id, "g", err);
    struct numbered *rows = sorted(hash, &count);
    for (size_t i = 0; i < count && i < WF_SIGNALS_SHOWN; i++) {
        struct wfr_signal s;
        if (wfr_signal_read(&s, rows[i].text))
            wf_show_signal(shown, s.name, s.data, s.who, s.at);
    }
    mem_free(rows);
    if (hash)
        freeReplyObject(hash);
}

static void show(struct redis_record *rec, struct workflow_query *q, struct wf_run_row *row,
                 struct err *err)
{
    struct wf_shown shown = {.jobs = rec->jobs, .query = q};
    struct buf at = {0};
    size_t count;
    struct wfr_row **rows = read_steps(rec, q->id, &count, err);
    const char **states = mem_zero(count + 1, sizeof *states);
    bool graph = count && rows[0]->seq == 0;
    read_states(rec, rows, count, states, err);
    add_places(rows, count, &at);
    row->at = buf_str(&at);
    wf_show_begin(&shown, row, graph ? buf_str(&rows[0]->text[WFR_SPEC]) : STR(""));
    for (size_t i = graph; i < count; i++)
        show_step(&shown, rows[i], states[i]);
    show_signals(rec, &shown, q->id, err);
    wf_show_end(&shown);
    free_steps(rows, count);
    mem_free(states);
    buf_free(&at);
}

static bool one(struct redis_record *rec, struct workflow_query *q, struct err *err)
{
    redisReply *r =
        redis_command(rec->keep, err, "HMGET %swf:%lld " FIELDS, rec->prefix, (long long)q->id);
    struct wf_run_row row = read_run(q->id, r);
    if (r && row.state && (!q->plugin.n || str_eq(q->plugin, row.plugin)))
        show(rec, q, &row, err);
    if (r)
        freeReplyObject(r);
    return err->code == 0;
}

bool redis_look_workflow(struct redis_record *rec, struct workflow_query *q, struct err *err)
{
    return q->id ? one(rec, q, err) : list(rec, q, err);
}
