#include "base/clock.h"
#include "base/json.h"
#include "jobs/workflow_private.h"

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

static void print_raw(struct json *w, const char *key, struct str json)
{
    json_key(w, key);
    if (json.n)
        json_raw(w, json);
    else
        json_null(w);
}

void wf_print_run(struct json *w, sqlite3_stmt *s)
{
    int state = sqlite3_column_int(s, 6), active = sqlite3_column_int(s, 10);
    bool waits = state == WORKFLOW_RUNNING && active && active == sqlite3_column_int(s, 11);
    json_key(w, "id");
    json_int(w, sqlite3_column_int64(s, 0));
    print_text(w, "plugin", wf_column(s, 1));
    print_text(w, "name", wf_column(s, 2));
    json_key(w, "shape");
    json_cstr(w, shape_names[sqlite3_column_int(s, 3) & 3]);
    json_key(w, "version");
    json_int(w, sqlite3_column_int64(s, 4));
    print_text(w, "key", wf_column(s, 5));
    json_key(w, "state");
    json_cstr(w, state_names[waits ? WORKFLOW_WAITING : state]);
    print_time(w, "created_at", sqlite3_column_int64(s, 7));
    print_time(w, "finished_at", sqlite3_column_int64(s, 8));
    json_key(w, "steps_total");
    json_int(w, sqlite3_column_int64(s, 9));
    json_key(w, "active");
    json_int(w, active);
    print_text(w, "error", wf_column(s, 12));
    print_text(w, "at", wf_column(s, 13)); /* names of the steps that are active */
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

static void print_times(struct json *w, sqlite3_stmt *s)
{
    print_time(w, "created_at", sqlite3_column_int64(s, 4));
    print_time(w, "started_at", sqlite3_column_int64(s, 5));
    print_time(w, "ended_at", sqlite3_column_int64(s, 6));
    print_time(w, "woke_at", sqlite3_column_int64(s, 7));
    print_time(w, "due_at", sqlite3_column_int64(s, 8));
}

void wf_print_step(struct json *w, struct jobs *jobs, sqlite3_stmt *s, bool graph)
{
    int state = sqlite3_column_int(s, 2);
    int64_t job = sqlite3_column_int64(s, 3);
    struct str result = wf_column(s, 14);
    json_open(w, '{');
    json_key(w, "n");
    json_int(w, sqlite3_column_int64(s, 0));
    print_text(w, "name", wf_column(s, 1));
    json_key(w, "state");
    json_cstr(w, state == WF_QUEUED ? job_word(jobs, job)
                                    : step_names[state >= 0 && state <= WF_CANCELLED ? state : 0]);
    json_key(w, "job");
    job ? json_int(w, job) : json_null(w);
    print_times(w, s);
    json_key(w, "attempt");
    json_int(w, sqlite3_column_int64(s, 9));
    json_key(w, "version");
    json_int(w, sqlite3_column_int64(s, 10));
    print_text(w, "waits_for", wf_column(s, 11));
    print_text(w, graph ? "then" : "role", wf_column(s, 12));
    print_text(w, "otherwise", wf_column(s, 15));
    print_text(w, "error", wf_column(s, 13));
    print_text(w, "from", graph ? wf_column(s, 16) : STR(""));
    if (graph) {
        print_raw(w, "set", workflow_json_get(result, "set"));
        print_raw(w, "next", workflow_json_get(result, "next"));
    } else
        print_raw(w, "result", result.n > RESULT_SHOWN ? STR("null") : result);
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
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

void wf_print_signal(struct json *w, sqlite3_stmt *s)
{
    json_open(w, '{');
    print_text(w, "name", wf_column(s, 0));
    print_raw(w, "data", wf_column(s, 1));
    print_text(w, "by", wf_column(s, 2));
    print_time(w, "at", sqlite3_column_int64(s, 3));
    json_close(w, '}');
}
