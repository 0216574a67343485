/* workflow_query.c -- a look at runs: what is the same wherever it is read. */
#include "jobs/workflow_private.h"

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

void wf_show_step(struct wf_shown *s, const struct wf_step_row *row)
{
    wf_print_step(&s->w, s->jobs, row, s->graph);
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
