/* workflow/query.c -- a look at runs: what is the same wherever it is read. */
#include "base/mem.h"
#include "jobs/workflow/private.h"

int wf_list_limit(const struct workflow_query *q)
{
    return q->limit <= 0 ? WF_LIST_DEFAULT : q->limit > WF_LIST_MOST ? WF_LIST_MOST : q->limit;
}

bool wf_list_wants(const struct workflow_query *q, const struct wf_run_row *row)
{
    int state = row->state;
    if (state == WORKFLOW_RUNNING && row->active && row->active == row->waiting)
        state = WORKFLOW_WAITING;
    if (q->state != WORKFLOW_ANY && state != (int)q->state)
        return false;
    return (!q->plugin.n || str_eq(q->plugin, row->plugin)) &&
           (!q->name.n || str_eq(q->name, row->name)) && (!q->key.n || str_eq(q->key, row->key));
}

void wf_list_add(struct workflow_query *q, const struct wf_run_row *row)
{
    struct json w = json_to(&q->out);
    if (q->out.n)
        buf_add_char(&q->out, ',');
    json_open(&w, '{');
    wf_print_run(&w, row);
    json_close(&w, '}');
}

void wf_show_begin(struct wf_shown *s, const struct wf_run_row *row, struct str input)
{
    const struct wf_set *set = wf_set_ref(s->jobs);
    s->w = json_to(&s->query->out);
    s->graph = row->shape == WORKFLOW_GRAPH;
    json_open(&s->w, '{');
    wf_print_run(&s->w, row);
    wf_print_raw(&s->w, "data", row->data);
    wf_print_raw(&s->w, "result", row->result);
    wf_print_graph(&s->w, s->graph ? wf_find(set, row->plugin, row->name) : NULL);
    wf_print_raw(&s->w, "input", input);
    json_key(&s->w, "steps");
    json_open(&s->w, '[');
    wf_set_unref(s->jobs, set);
}

/* Of a graph: a job of run:each.  A step that led to one named "member" had to wait for it. */
static bool is_item(const struct wf_shown *s, const struct wf_step_row *r)
{
    return s->graph && str_eq_c(r->next, "member") && !r->await.n && !r->woke_at &&
           r->state != WF_WAITING;
}

static struct wf_tally *tally_of(struct wf_shown *s, const struct wf_step_row *r)
{
    struct wf_tally *last = s->tally_count ? &s->tallies[s->tally_count - 1] : NULL;
    if (last && str_eq_c(r->name, last->step) && r->seq == last->first + last->total)
        return last;
    s->tallies = mem_realloc(s->tallies, (size_t)(s->tally_count + 1) * sizeof *s->tallies);
    last = &s->tallies[s->tally_count++];
    *last = (struct wf_tally){.step = str_dup(r->name), .from = str_dup(r->from), .first = r->seq};
    return last;
}

/* True when this one is to be seen beside the count of all. */
static bool count_item(struct wf_shown *s, const struct wf_step_row *r)
{
    struct wf_tally *t = tally_of(s, r);
    int state = wf_step_place(s->jobs, r);
    t->total++;
    t->count[state]++;
    if (r->started_at && (!t->started_at || r->started_at < t->started_at))
        t->started_at = r->started_at;
    if (r->ended_at > t->ended_at)
        t->ended_at = r->ended_at;
    return t->total <= WF_ITEMS_PRINTED ||
           (state == JOB_DEAD && t->count[JOB_DEAD] <= WF_ERRORS_PRINTED);
}

/* The first ones and, of a run that is longer, where it stands and what has failed: nobody
 * could answer a step that is not shown. */
static bool is_listed(const struct wf_shown *s, const struct wf_step_row *r)
{
    if (s->printed < WF_STEPS_PRINTED)
        return true;
    int place = wf_step_place(s->jobs, r);
    bool over = place == JOB_DONE || place == JOB_CANCELLED;
    bool telling = s->graph ? !over : place == JOB_RUNNING || place == JOB_DEAD;
    return telling && s->printed < 2 * WF_STEPS_PRINTED;
}

void wf_show_step(struct wf_shown *s, const struct wf_step_row *row)
{
    bool item = is_item(s, row);
    if ((item && !count_item(s, row)) || !is_listed(s, row))
        return;
    s->printed++;
    wf_print_step(&s->w, s->jobs, row, s->graph && !item);
}

static void print_tallies(struct wf_shown *s)
{
    json_key(&s->w, "bundles");
    json_open(&s->w, '[');
    for (int i = 0; i < s->tally_count; i++) {
        wf_print_tally(&s->w, &s->tallies[i]);
        mem_free(s->tallies[i].step);
        mem_free(s->tallies[i].from);
    }
    json_close(&s->w, ']');
    mem_free(s->tallies);
    s->tallies = NULL;
}

static void begin_signals(struct wf_shown *s)
{
    if (s->signals)
        return;
    s->signals = true;
    json_close(&s->w, ']');
    json_key(&s->w, "signals");
    json_open(&s->w, '[');
}

void wf_show_signal(struct wf_shown *s, struct str name, struct str data, struct str who,
                    int64_t at)
{
    begin_signals(s);
    wf_print_signal(&s->w, name, data, who, at);
}

void wf_show_end(struct wf_shown *s)
{
    begin_signals(s);
    json_close(&s->w, ']');
    print_tallies(s);
    json_close(&s->w, '}');
}

static void on_answer(struct lane_message *message)
{
    struct workflow_query *q = (struct workflow_query *)(void *)message;
    q->done(q);
}

void workflow_answer(struct workflow_query *q)
{
    q->message.fn = on_answer;
    lane_post(q->lane, &q->message);
}

void workflow_query(struct jobs *jobs, struct workflow_query *q)
{
    err_clear(&q->err);
    buf_clear(&q->out);
    if (jobs->workflows)
        jobs->workflows->store->query(jobs, q);
    else /* this driver has none */
        workflow_answer(q);
}
