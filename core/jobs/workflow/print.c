#include "base/clock.h"
#include "base/json.h"
#include "jobs/workflow/private.h"

enum { RESULT_SHOWN = 64 * 1024 };

/* ORDER workflow_state */
static const char *const state_names[] = {"any",  "running", "waiting",
                                          "done", "failed",  "cancelled"};
/* ORDER workflow_shape */
static const char *const shape_names[] = {"graph", "chain", "group", "chord"};
/* ORDER wf_step_state */
static const char *const step_names[] = {"planned", "ready",  "waiting",
                                         "done",    "failed", "cancelled"};

bool workflow_state_parse(struct str text, enum workflow_state *out)
{
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
        if (str_eq_c(text, state_names[i])) {
            *out = (enum workflow_state)i;
            return true;
        }
    return false;
}

const char *workflow_state_name(enum workflow_state state)
{
    return state_names[state];
}

static void print_text(struct json *w, const char *key, struct str text)
{
    json_key(w, key);
    if (text.n)
        json_str(w, text);
    else
        json_null(w);
}

void wf_print_raw(struct json *w, const char *key, struct str json)
{
    json_key(w, key);
    if (json.n)
        json_raw(w, json);
    else
        json_null(w);
}

void wf_print_run(struct json *w, const struct wf_run_row *r)
{
    bool waits = r->state == WORKFLOW_RUNNING && r->active && r->active == r->waiting;
    json_key(w, "id");
    json_int(w, r->id);
    print_text(w, "plugin", r->plugin);
    print_text(w, "name", r->name);
    json_key(w, "shape");
    json_cstr(w, shape_names[r->shape & 3]);
    json_key(w, "version");
    json_int(w, r->version);
    print_text(w, "key", r->key);
    json_key(w, "state");
    json_cstr(w, state_names[waits ? WORKFLOW_WAITING : r->state]);
    print_time(w, "created_at", r->created_at);
    print_time(w, "finished_at", r->finished_at);
    json_key(w, "steps_total");
    json_int(w, r->steps);
    json_key(w, "active");
    json_int(w, r->active);
    print_text(w, "error", r->error);
    print_text(w, "at", r->at); /* names of the steps that are active */
}

/* A queued step is what its job is. */
static const char *job_word(struct jobs *jobs, int64_t id)
{
    jobs_lock(jobs);
    const struct job *job = index_get(&jobs->index, id);
    enum job_state state = job ? job_state_of(job) : JOB_READY;
    bool held = job && state == JOB_READY && !job->kind->target;
    jobs_unlock(jobs);
    return held ? "held" : job_state_name(state);
}

int wf_step_place(struct jobs *jobs, const struct wf_step_row *r)
{
    enum job_state state = JOB_ANY;
    if (r->state == WF_DONE)
        return JOB_DONE;
    if (r->state == WF_CANCELLED)
        return JOB_CANCELLED;
    if (r->state != WF_QUEUED)
        return JOB_DEAD;
    job_state_parse(str_c(r->job_state ? r->job_state : job_word(jobs, r->job)), &state);
    return (int)state;
}

/* {"step","from","n","total","held","ready",…}: n: the number of the first; failed, as of a step.
 */
void wf_print_tally(struct json *w, const struct wf_tally *t)
{
    json_open(w, '{');
    json_key(w, "step");
    json_cstr(w, t->step);
    print_text(w, "from", str_c(t->from));
    json_key(w, "n");
    json_int(w, t->first);
    json_key(w, "total");
    json_int(w, t->total);
    for (int state = JOB_ANY; state <= JOB_DEAD; state++) {
        if (state == JOB_EXPIRED)
            continue;
        json_key(w, state == JOB_ANY    ? "held"
                    : state == JOB_DEAD ? "failed"
                                        : job_state_name((enum job_state)state));
        json_int(w, t->count[state]);
    }
    print_time(w, "started_at", t->started_at);
    print_time(w, "ended_at", t->ended_at);
    json_close(w, '}');
}

static void print_times(struct json *w, const struct wf_step_row *r)
{
    print_time(w, "created_at", r->created_at);
    print_time(w, "started_at", r->started_at);
    print_time(w, "ended_at", r->ended_at);
    print_time(w, "woke_at", r->woke_at);
    print_time(w, "due_at", r->due_at);
}

static const char *step_word(struct jobs *jobs, const struct wf_step_row *r)
{
    if (r->state == WF_QUEUED)
        return r->job_state ? r->job_state : job_word(jobs, r->job);
    return step_names[r->state >= 0 && r->state <= WF_CANCELLED ? r->state : 0];
}

void wf_print_step(struct json *w, struct jobs *jobs, const struct wf_step_row *r, bool graph)
{
    json_open(w, '{');
    json_key(w, "n");
    json_int(w, r->seq);
    print_text(w, "name", r->name);
    json_key(w, "state");
    json_cstr(w, step_word(jobs, r));
    json_key(w, "job");
    r->job ? json_int(w, r->job) : json_null(w);
    print_times(w, r);
    json_key(w, "attempt");
    json_int(w, r->attempt);
    json_key(w, "version");
    json_int(w, r->version);
    print_text(w, "waits_for", r->await);
    print_text(w, graph ? "then" : "role", r->next);
    print_text(w, "otherwise", r->otherwise);
    print_text(w, "error", r->error);
    print_text(w, "from", graph ? r->from : STR(""));
    if (graph) {
        wf_print_raw(w, "set", workflow_json_get(r->result, "set"));
        wf_print_raw(w, "next", workflow_json_get(r->result, "next"));
    } else
        wf_print_raw(w, "result", r->result.n > RESULT_SHOWN ? STR("null") : r->result);
    json_close(w, '}');
}

static void print_texts(struct json *w, const char *key, char *const *list, int count)
{
    json_key(w, key);
    json_open(w, '[');
    for (int i = 0; i < count; i++)
        json_cstr(w, list[i]);
    json_close(w, ']');
}

void wf_print_graph(struct json *w, const struct workflow_decl *decl)
{
    json_key(w, "graph");
    if (!decl) {
        json_null(w);
        return;
    }
    json_open(w, '{');
    json_key(w, "start");
    json_cstr(w, decl->start);
    json_key(w, "version");
    json_int(w, decl->version);
    json_key(w, "steps");
    json_open(w, '[');
    for (int i = 0; i < decl->step_count; i++) {
        const struct workflow_step_decl *s = &decl->steps[i];
        json_open(w, '{');
        json_key(w, "name");
        json_cstr(w, s->name);
        print_texts(w, "next", s->next, s->next_count);
        print_texts(w, "join", s->join, s->join_count);
        json_key(w, "on_error");
        json_cstr(w, s->on_error);
        json_key(w, "each");
        json_bool(w, s->each);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

void wf_print_signal(struct json *w, struct str name, struct str data, struct str who, int64_t at)
{
    json_open(w, '{');
    print_text(w, "name", name);
    wf_print_raw(w, "data", data);
    print_text(w, "by", who);
    print_time(w, "at", at);
    json_close(w, '}');
}
