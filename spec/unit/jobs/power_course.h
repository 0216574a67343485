/* power_course.h -- runs of workflows beside the jobs of power_model.h: what was said about them so
 * far, and whether what they do and show keeps to it.
 *
 * A run's number stands in its input or its members' arguments; every step that ends well leaves
 * "n<its number>" in the run's state.  So a handler's arguments say which ends were on disk when
 * its job was made, and a step that is known to have ended must not run again.  Under the model's
 * lock.
 */
#pragma once

#include "base/mem.h"
#include "jobs/power_model.h"
#include "jobs/workflow/private.h"

enum {
    COURSE_RUNS = 40000,
    COURSE_STEPS = 12,
    COURSE_SIGNALS = 40000,
    COURSE_MEMBERS = 5,
    COURSE_KINDS = 13,
    COURSE_MOVE_BYTES = 200
};

struct course_step {
    int64_t job;
    uint64_t work;      /* hash of its arguments and of what it follows */
    int started, kills; /* session; process deaths that may be counted against it */
    bool ran, over;     /* over: its end is on disk, so it never runs again */
    char name[8];
};

struct course_run {
    int64_t id;
    enum fate fate;
    enum workflow_shape shape;
    enum workflow_state seen;       /* an end that was reported */
    int session, members, gives_up; /* the member that is discarded; 0 = none */
    int cancelled_in;               /* the session that acknowledged it; 0 = none */
    bool cancel_asked, looked, settled;
    struct course_step step[COURSE_STEPS]; /* by their number, from 1 */
};

struct course_signal {
    int run, taken_by; /* taken_by: the step's number; 0 = none */
    int session;
    enum fate fate;
    bool kept; /* as last looked at */
};

static struct {
    struct course_run *runs;
    struct course_signal *signals;
    int count, signal_count, ended;
} courses;

static const char *const course_kinds[COURSE_KINDS] = {
    "p.flow:g.split", "p.flow:g.left", "p.flow:g.right", "p.flow:g.both", "p.flow:g.mend",
    "p.flow:g.ask",   "p.flow:g.turn", "p.flow:g.late",  "p.flow:g.nap",  "p.flow:g.last",
    "p.member",       "p.body",        "p.on_error"};

static char *course_join[] = {"left", "right"};
static struct workflow_step_decl course_steps[] = {
    {.name = "split"}, {.name = "left"},
    {.name = "right"}, {.name = "both", .on_error = "mend", .join = course_join, .join_count = 2},
    {.name = "mend"},  {.name = "ask"},
    {.name = "turn"},  {.name = "late"},
    {.name = "nap"},   {.name = "last"}};
static const struct workflow_decl course_decl = {.plugin = "p",
                                                 .name = "g",
                                                 .start = "split",
                                                 .version = 1,
                                                 .steps = course_steps,
                                                 .step_count = 10};

static inline void course_begin(void)
{
    if (!courses.runs) {
        courses.runs = calloc(COURSE_RUNS, sizeof *courses.runs);
        courses.signals = calloc(COURSE_SIGNALS, sizeof *courses.signals);
    }
    courses.count = courses.signal_count = courses.ended = 0;
}

/* Lock held. */
static inline void course_wrong(const struct course_run *r, int n, const char *what)
{
    const struct course_step *s = &r->step[n];
    model_problem("workflow run %lld (%d, shape %d, session %d, seen %s, fate %d), step %d %s (job "
                  "%lld, session %d): %s",
                  (long long)r->id, (int)(r - courses.runs), (int)r->shape, model.session,
                  workflow_state_name(r->seen), (int)r->fate, n, s->name, (long long)s->job,
                  s->started, what);
}

static inline int64_t course_number(struct str json, const char *key)
{
    struct str value = workflow_json_get(json, key);
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)value.n, value.p);
    return strtoll(text, NULL, 10);
}

static inline bool course_asks_in_time(const struct course_run *r)
{
    return (r - courses.runs) % 3 != 0;
}

static inline bool course_both_fails(const struct course_run *r)
{
    return (r - courses.runs) % 4 == 1;
}

/* -- what was asked for -- */

static inline int course_starting(enum workflow_shape shape, int members, int gives_up)
{
    model_lock();
    if (courses.count == COURSE_RUNS)
        abort();
    int at = courses.count++;
    courses.runs[at] =
        (struct course_run){.shape = shape, .members = members, .gives_up = gives_up};
    model.waiting++;
    model_unlock();
    return at;
}

static inline void course_started(int at, int64_t id, enum err_code code)
{
    model_lock();
    struct course_run *r = &courses.runs[at];
    r->session = model.session;
    r->fate = code == ERR_NONE ? ACKNOWLEDGED : UNKNOWN;
    if (code == ERR_NONE && r->id && r->id != id)
        course_wrong(r, 0, "has two ids");
    if (code == ERR_NONE)
        r->id = id;
    else if (r->step[1].ran)
        course_wrong(r, 1, "runs although the start failed");
    model.acknowledged += code == ERR_NONE;
    model.waiting--;
    model_unlock();
}

/* An acknowledged run that is open as far as is known; or -1. */
static inline int course_pick(bool graph)
{
    int found = -1;
    model_lock();
    for (int tries = 0; tries < 40 && found < 0 && courses.count; tries++) {
        int at = courses.count - 1 - model_chance(courses.count < 200 ? courses.count : 200);
        const struct course_run *r = &courses.runs[at];
        if (r->fate == ACKNOWLEDGED && r->id && !r->seen && (!graph || r->shape == WORKFLOW_GRAPH))
            found = at;
    }
    model_unlock();
    return found;
}

static inline int course_signalling(int run, int64_t *id)
{
    model_lock();
    if (courses.signal_count + 1 >= COURSE_SIGNALS)
        abort();
    int at = ++courses.signal_count;
    courses.signals[at] = (struct course_signal){.run = run};
    *id = courses.runs[run].id;
    model.waiting++;
    model_unlock();
    return at;
}

static inline void course_signalled(int at, enum err_code code)
{
    model_lock();
    struct course_signal *s = &courses.signals[at];
    struct course_run *r = &courses.runs[s->run];
    s->fate = code == ERR_NONE ? ACKNOWLEDGED : UNKNOWN;
    if (code == ERR_NOT_FOUND)
        course_wrong(r, 0, "is not found by a signal");
    model.acknowledged += code == ERR_NONE;
    model.waiting--;
    model_unlock();
}

static inline void course_cancelling(int at, int64_t *id)
{
    model_lock();
    courses.runs[at].cancel_asked = true;
    *id = courses.runs[at].id;
    model.waiting++;
    model_unlock();
}

static inline void course_cancelled(int at, enum err_code code)
{
    model_lock();
    struct course_run *r = &courses.runs[at];
    if (code == ERR_NONE) {
        r->seen = WORKFLOW_CANCELLED;
        r->cancelled_in = model.session;
    } else if (code == ERR_NOT_FOUND)
        course_wrong(r, 0, "is not found by a cancel");
    model.waiting--;
    model_unlock();
}

/* -- what a step's job says -- */

static inline bool course_is_kind(const char *kind)
{
    for (int i = 0; i < COURSE_KINDS; i++)
        if (strcmp(course_kinds[i], kind) == 0)
            return true;
    return false;
}

static inline bool course_is(const struct course_run *r, int n, const char *name)
{
    return n > 0 && n < COURSE_STEPS && strcmp(r->step[n].name, name) == 0;
}

/* The step that comes at this place, by the one before and by what woke it. */
static inline const char *course_expected(const struct course_run *r, int n, bool signalled)
{
    static const char *const begin[] = {"", "split", "left", "right", "both"};
    if (n <= 4)
        return begin[n];
    if (course_is(r, n - 1, "both"))
        return course_both_fails(r) ? "mend" : "ask";
    if (course_is(r, n - 1, "ask"))
        return signalled ? "turn" : course_asks_in_time(r) ? "late" : "none";
    if (course_is(r, n - 1, "mend"))
        return "ask";
    if (course_is(r, n - 1, "turn"))
        return course_is(r, n - 2, "turn") ? "nap" : "turn";
    return course_is(r, n - 1, "late") ? "nap" : course_is(r, n - 1, "nap") ? "last" : "none";
}

/* A step whose end somebody saw, or something followed from. */
static inline void course_over(struct course_run *r, int n)
{
    if (!r->step[n].ran)
        course_wrong(r, n, "has ended and never ran");
    r->step[n].over = true;
}

static inline void course_take_signal(struct course_run *r, int n, struct str data)
{
    int64_t at = course_number(data, "s");
    struct course_signal *s = at > 0 && at <= courses.signal_count ? &courses.signals[at] : NULL;
    if (!s || &courses.runs[s->run] != r)
        course_wrong(r, n, "took a signal that nobody sent to it");
    else if (s->taken_by && s->taken_by != n)
        course_wrong(r, n, "took a signal that another step has");
    else
        s->taken_by = n;
}

/* The checkpoint that it begins with holds all ends that led to it. */
static inline void course_graph_queued(struct course_run *r, int n, struct str args)
{
    struct str state = workflow_json_get(args, "state"), key, value;
    struct str signal = workflow_json_get(args, "signal");
    bool has[COURSE_STEPS] = {0}, mended = course_is(r, 5, "mend") || course_is(r, n, "mend");
    while (wf_member(&state, &key, &value)) {
        char text[8];
        snprintf(text, sizeof text, "%.*s", (int)key.n, key.p);
        int k = atoi(text + 1);
        if (k < 1 || k >= n || !str_eq_c(workflow_json_text(value), r->step[k].name))
            course_wrong(r, n, "has another state than its run");
        else
            has[k] = true;
    }
    for (int k = 1; k < (n <= 3 ? (n + 2) / 2 : n); k++) {
        if (!has[k] && !(k == 4 && mended))
            course_wrong(r, n, "lacks the checkpoint of a step before it");
        course_over(r, k);
    }
    bool killed = course_is(r, n, "mend") && r->step[n - 1].kills >= JOBS_CRASHES;
    if (!course_is(r, n, course_expected(r, n, signal.n > 0)) && !killed)
        course_wrong(r, n, "is not what follows from the ends before it");
    if (signal.n && course_is(r, n - 1, "ask"))
        course_take_signal(r, n, workflow_json_get(signal, "data"));
}

static inline void course_list_queued(struct course_run *r, int n)
{
    bool chain = r->shape == WORKFLOW_CHAIN;
    for (int k = 1; k < n && k <= r->members && n <= r->members + 1 && (chain || n > r->members);
         k++)
        course_over(r, k);
    if (r->gives_up && n > (chain ? r->gives_up : r->members) && n <= r->members + 1)
        course_wrong(r, n, "follows a member that gave up");
}

/* The job that is this step: always the same one, with the same work. */
static inline void course_queued(struct course_run *r, int n, int64_t job, const char *name,
                                 struct str args)
{
    struct course_step *s = &r->step[n];
    uint64_t work = 1469598103934665603u;
    for (size_t i = 0; i < args.n; i++)
        work = (work ^ (unsigned char)args.p[i]) * 1099511628211u;
    if (s->job && s->job != job)
        course_wrong(r, n, "was pushed twice");
    if (s->job && s->work != work)
        course_wrong(r, n, "has other work than before");
    if (s->job)
        return;
    s->job = job;
    s->work = work;
    snprintf(s->name, sizeof s->name, "%s", name);
    if (r->shape == WORKFLOW_GRAPH)
        course_graph_queued(r, n, args);
    else
        course_list_queued(r, n);
}

static inline const char *course_step_name(const char *kind)
{
    const char *dot = strrchr(kind, '.');
    return dot ? dot + 1 : kind;
}

/* Whose step it is; NULL: nobody's. */
static inline struct course_run *course_of(const char *kind, struct str args, int *n)
{
    bool graph = strncmp(kind, "p.flow:", 7) == 0;
    struct str from = graph ? workflow_json_get(args, "input") : args;
    int64_t at = from.n ? course_number(from, "r") : -1;
    *n = (int)course_number(args, "n");
    return at >= 0 && at<courses.count && * n> 0 && *n < COURSE_STEPS ? &courses.runs[at] : NULL;
}

static inline void course_result(const struct course_run *r, int n, char *out, size_t size)
{
    snprintf(out, size, "{\"r\":%d,\"n\":%d}", (int)(r - courses.runs), n);
}

static inline void course_results(const struct course_run *r, char *out, size_t size)
{
    size_t at = 0;
    for (int k = 1; k <= r->members; k++) {
        char one[40];
        course_result(r, k, one, sizeof one);
        at += (size_t)snprintf(out + at, size - at, "%c%s", k == 1 ? '[' : ',', one);
    }
    snprintf(out + at, size - at, "]");
}

static inline void course_check_previous(struct course_run *r, int n, struct str previous)
{
    char want[256] = "";
    if (n == r->members + 2) { /* of a failure */
        if (course_number(previous, "workflow") != r->id && r->id)
            course_wrong(r, n, "hears of another run's failure");
        return;
    }
    if (n == r->members + 1)
        course_results(r, want, sizeof want);
    else if (r->shape == WORKFLOW_CHAIN && n > 1)
        course_result(r, n - 1, want, sizeof want);
    if (!str_eq_c(previous, want))
        course_wrong(r, n, "gets other results than those before it gave");
}

/* A handler begins.  Lock held. */
static inline struct course_run *course_runs(const struct job_run *run, int *n)
{
    struct course_run *r = course_of(run->kind, run->args, n);
    if (!r) {
        model_problem("a step of no run runs: %.*s", (int)run->args.n, run->args.p);
        return NULL;
    }
    struct course_step *s = &r->step[*n];
    course_queued(r, *n, run->id, course_step_name(run->kind), run->args);
    if (r->shape != WORKFLOW_GRAPH)
        course_check_previous(r, *n, run->previous);
    if (r->fate == DROPPED || (r->fate == UNKNOWN && r->session == model.session))
        course_wrong(r, *n, "runs although its run was refused");
    if (s->over)
        course_wrong(r, *n, "is done again after its recorded end");
    if (r->seen == WORKFLOW_DONE || (r->cancelled_in && r->cancelled_in < model.session))
        course_wrong(r, *n, "runs after the end of its run");
    s->ran = true;
    s->started = model.session;
    return r;
}

/* How it ends: written into `result`. */
static inline enum job_end course_outcome(const struct course_run *r, int n, int attempt,
                                          char *result, size_t size)
{
    static const char *const next[][2] = {{"split", "\"left\",\"right\""},
                                          {"left", "\"both\""},
                                          {"right", "\"both\""},
                                          {"both", "\"ask\""},
                                          {"mend", "\"ask\""},
                                          {"late", "\"nap\""}};
    const char *name = r->step[n].name, *to = "";
    if (r->shape != WORKFLOW_GRAPH) {
        course_result(r, n, result, size);
        return n == r->gives_up ? JOB_END_DISCARDED : JOB_END_DONE;
    }
    if (strcmp(name, "both") == 0 && course_both_fails(r))
        return JOB_END_DISCARDED;
    if (strcmp(name, "turn") == 0 && attempt == 1)
        return JOB_END_FAILED;
    for (size_t i = 0; i < sizeof next / sizeof *next; i++)
        to = strcmp(name, next[i][0]) == 0 ? next[i][1] : to;
    if (strcmp(name, "turn") == 0)
        to = course_is(r, n - 1, "turn") ? "\"nap\"" : "\"turn\"";
    int at = snprintf(result, size, "{\"set\":{\"n%d\":\"%s\"},\"next\":[%s]", n, name, to);
    if (strcmp(name, "ask") == 0)
        snprintf(result + at, size - (size_t)at,
                 ",\"wait\":{\"signal\":\"go\",\"next\":\"turn\"%s}}",
                 course_asks_in_time(r) ? ",\"otherwise\":\"late\",\"timeout\":0.02" : "");
    else if (strcmp(name, "nap") == 0)
        snprintf(result + at, size - (size_t)at,
                 ",\"wait\":{\"next\":\"last\",\"otherwise\":\"last\",\"timeout\":0.01}}");
    else
        snprintf(result + at, size - (size_t)at, "}");
    return JOB_END_DONE;
}

/* -- looks -- */

/* What a look says of a step; still: nothing runs meanwhile.  Returns whether it is active. */
static inline bool course_saw_step(struct course_run *r, struct str json, bool still, bool failed,
                                   int64_t *queued)
{
    int n = (int)course_number(json, "n");
    struct str word = workflow_json_text(workflow_json_get(json, "state"));
    if (n < 1 || n >= COURSE_STEPS)
        return false;
    struct course_step *s = &r->step[n];
    bool ended = str_eq_c(word, "done") || str_eq_c(word, "waiting") || str_eq_c(word, "failed");
    bool cancelled = str_eq_c(word, "cancelled"), planned = str_eq_c(word, "planned");
    if (ended)
        course_over(r, n);
    if (str_eq_c(word, "failed") && n != r->gives_up &&
        !(course_is(r, n, "both") && course_both_fails(r)) && s->kills < JOBS_CRASHES)
        course_wrong(r, n, "failed without reason");
    if (cancelled && !r->cancel_asked && !failed)
        course_wrong(r, n, "is cancelled and nobody asked");
    if (planned && s->job && still)
        course_wrong(r, n, "has run and is only planned");
    if (!ended && !cancelled && !planned && still) {
        queued[n] = course_number(json, "job");
        if (s->over)
            course_wrong(r, n, "has ended and is queued again");
    }
    if (str_eq_c(word, "waiting") && still && n + 1 < COURSE_STEPS && r->step[n + 1].ran)
        course_wrong(r, n, "waits for what has come already");
    return queued[n] || str_eq_c(word, "waiting");
}

static inline void course_check_done(struct course_run *r, struct str json)
{
    char want[256];
    struct str result = workflow_json_get(json, "result"), data = workflow_json_get(json, "data");
    if (r->shape == WORKFLOW_GRAPH) {
        for (int n = 1; n < COURSE_STEPS && r->step[n].job; n++) {
            char key[8];
            snprintf(key, sizeof key, "n%d", n);
            bool there =
                str_eq_c(workflow_json_text(workflow_json_get(data, key)), r->step[n].name);
            if (!there && !(n == 4 && course_is(r, 5, "mend")))
                course_wrong(r, n, "is not in the state of its run that is done");
        }
        return;
    }
    if (r->shape == WORKFLOW_GROUP)
        course_results(r, want, sizeof want);
    else
        course_result(r, r->members + (r->shape == WORKFLOW_CHORD), want, sizeof want);
    if (!str_eq_c(result, want))
        course_wrong(r, r->members, "gave another result to its run");
}

static inline void course_check_state(struct course_run *r, struct str json,
                                      enum workflow_state state, enum workflow_state before)
{
    bool may_fail = r->gives_up > 0;
    for (int n = 1; n < COURSE_STEPS; n++) {
        may_fail = may_fail || r->step[n].kills >= JOBS_CRASHES;
        if (state == WORKFLOW_DONE && r->step[n].job && !r->step[n].over)
            course_wrong(r, n, "has not ended, and its run is done");
    }
    if (before && before != state)
        course_wrong(r, 0, "is no longer what was reported");
    if (state == WORKFLOW_FAILED && !may_fail)
        course_wrong(r, 0, "failed without reason");
    if (state == WORKFLOW_CANCELLED && !r->cancel_asked)
        course_wrong(r, 0, "is cancelled and nobody asked");
    if (state == WORKFLOW_DONE)
        course_check_done(r, json);
    if (state == WORKFLOW_DONE || state == WORKFLOW_FAILED || state == WORKFLOW_CANCELLED)
        r->seen = state;
}

static inline void course_saw_signals(struct course_run *r, struct str list)
{
    struct str one;
    while (wf_item(&list, &one)) {
        int64_t at = course_number(workflow_json_get(one, "data"), "s");
        if (at < 1 || at > courses.signal_count || &courses.runs[courses.signals[at].run] != r)
            course_wrong(r, 0, "keeps a signal that nobody sent to it");
        else if (courses.signals[at].taken_by)
            course_wrong(r, courses.signals[at].taken_by, "took a signal that is still kept");
        else
            courses.signals[at].kept = true;
    }
}

/* A run's object; still: after a cut, when nothing runs; before: the end that was reported
 * when it was asked for.  queued[n]: the job of step n that has to
 * be there. */
static inline void course_looked(int at, struct str json, enum err_code code, bool still,
                                 enum workflow_state before, int64_t *queued)
{
    struct str steps, one;
    enum workflow_state state = WORKFLOW_ANY;
    int active = 0;
    model_lock();
    struct course_run *r = &courses.runs[at];
    model.waiting--;
    r->looked = code == ERR_NONE;
    if (code == ERR_NONE && !json.n && r->fate == ACKNOWLEDGED)
        course_wrong(r, 0, "is lost");
    if (code == ERR_NONE && json.n) {
        workflow_state_parse(workflow_json_text(workflow_json_get(json, "state")), &state);
        steps = workflow_json_get(json, "steps");
        while (wf_item(&steps, &one))
            active += course_saw_step(r, one, still, state == WORKFLOW_FAILED, queued);
        course_check_state(r, json, state, before);
        bool open = state == WORKFLOW_RUNNING || state == WORKFLOW_WAITING;
        if (still && open && active != course_number(json, "active"))
            course_wrong(r, 0, "counts its steps wrongly");
        if (still && open && !active)
            course_wrong(r, 0, "stands where nothing follows");
        if (still)
            course_saw_signals(r, workflow_json_get(json, "signals"));
        courses.ended += still && !r->settled && r->seen;
        r->settled = r->settled || (still && r->seen && !active);
    }
    model_unlock();
}

/* The job of a step that has not ended. */
static inline void course_job_looked(int at, int n, int64_t job, struct str json,
                                     enum err_code code)
{
    model_lock();
    struct course_run *r = &courses.runs[at];
    model.waiting--;
    struct str state = workflow_json_text(workflow_json_get(json, "state"));
    struct str kind = workflow_json_get(json, "kind");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)workflow_json_text(kind).n,
             workflow_json_text(kind).p);
    bool waits = str_eq_c(state, "ready") || str_eq_c(state, "delayed");
    bool ending = r->step[n].kills >= JOBS_CRASHES || r->seen == WORKFLOW_CANCELLED ||
                  r->seen == WORKFLOW_FAILED;
    if (code == ERR_NONE && !waits && !ending)
        course_wrong(r, n, "is queued and has no job");
    else if (code == ERR_NONE && waits)
        course_queued(r, n, job, course_step_name(name), workflow_json_get(json, "args"));
    model_unlock();
}

/* -- after a cut -- */

static inline void course_cut(bool by_kill)
{
    model_lock();
    for (int i = 0; i < courses.count && by_kill; i++)
        for (int n = 1; n < COURSE_STEPS; n++)
            courses.runs[i].step[n].kills += courses.runs[i].step[n].started == model.session;
    for (int i = 1; i <= courses.signal_count; i++)
        courses.signals[i].kept = false;
    model_unlock();
}

/* Id 0: to be found by its key, for nobody said which it is. */
static inline bool course_wants_look(int at, bool whole, int64_t *id)
{
    bool chosen = model_chance(40) == 0;
    model_lock();
    struct course_run *r = &courses.runs[at];
    bool wants = r->fate != DROPPED && (!r->settled || chosen || whole);
    r->looked = false;
    *id = r->id;
    model_unlock();
    return wants;
}

/* What the look for its key found: 0 = it is not there. */
static inline void course_found(int at, int64_t id, enum err_code code)
{
    model_lock();
    struct course_run *r = &courses.runs[at];
    model.waiting--;
    if (code == ERR_NONE && id && r->id && r->id != id)
        course_wrong(r, 0, "has two ids");
    if (code == ERR_NONE && !id && (r->fate == ACKNOWLEDGED || r->step[1].ran))
        course_wrong(r, 0, "is lost");
    if (code == ERR_NONE) {
        r->fate = id ? ACKNOWLEDGED : DROPPED;
        r->id = id;
    }
    model_unlock();
}

static inline void course_check(void)
{
    model_lock();
    for (int i = 0; i < courses.count; i++)
        if (courses.runs[i].fate == ACKNOWLEDGED && !courses.runs[i].settled &&
            !courses.runs[i].looked)
            course_wrong(&courses.runs[i], 0, "cannot be looked at");
    for (int i = 1; i <= courses.signal_count; i++) {
        struct course_signal *s = &courses.signals[i];
        struct course_run *r = &courses.runs[s->run];
        if (s->fate == ACKNOWLEDGED && !s->taken_by && !s->kept && r->looked && !r->seen)
            course_wrong(r, 0, "has lost a signal");
    }
    model_unlock();
}

static inline bool course_is_open(int at)
{
    model_lock();
    bool is = courses.runs[at].fate == ACKNOWLEDGED && !courses.runs[at].seen;
    model_unlock();
    return is;
}

static inline int course_open(void)
{
    int open = 0;
    model_lock();
    for (int i = 0; i < courses.count; i++)
        open += courses.runs[i].fate == ACKNOWLEDGED && !courses.runs[i].seen;
    model_unlock();
    return open;
}

/* A failed chain or chord tells of it. */
static inline void course_check_drained(void)
{
    model_lock();
    for (int i = 0; i < courses.count; i++) {
        struct course_run *r = &courses.runs[i];
        if (r->fate == ACKNOWLEDGED && !r->seen)
            course_wrong(r, 0, "never came to an end");
        struct course_step *last = &r->step[r->members + 2];
        if (r->seen == WORKFLOW_FAILED && r->shape != WORKFLOW_GRAPH && !last->ran &&
            last->kills < JOBS_CRASHES)
            course_wrong(r, r->members + 2, "never heard of the failure");
    }
    model_unlock();
}

/* -- what is asked of the queue -- */

struct course_call {
    union {
        struct workflow_change change; /* first */
        struct workflow_query query;
        struct jobs_query job;
    };
    struct jobs *jobs;
    int at, n;
    bool still;
    enum workflow_state before; /* the end that was reported when it was asked */
};

static inline struct course_call *course_call(struct jobs *jobs, int at)
{
    struct course_call *c = mem_zero(1, sizeof *c);
    c->jobs = jobs;
    c->at = at;
    return c;
}

static inline void on_course_started(struct workflow_change *change)
{
    course_started(((struct course_call *)(void *)change)->at, change->id, change->err.code);
    mem_free(change);
}

static inline void course_start_list(struct jobs *jobs, enum workflow_shape shape, int members,
                                     int gives_up)
{
    struct err err = {0};
    struct workflow_member m[COURSE_MEMBERS + 2];
    char texts[COURSE_MEMBERS + 2][40], key[16];
    int at = course_starting(shape, members, gives_up);
    struct course_call *c = course_call(jobs, at);
    for (int i = 0; i < members + 2; i++) {
        course_result(&courses.runs[at], i + 1, texts[i], sizeof texts[i]);
        m[i] = (struct workflow_member){.kind = str_c(i < members    ? "p.member"
                                                      : i == members ? "p.body"
                                                                     : "p.on_error"),
                                        .args = str_c(texts[i])};
    }
    snprintf(key, sizeof key, "r%d", at);
    struct workflow_start start = {.plugin = STR("p"),
                                   .shape = shape,
                                   .key = str_c(key),
                                   .members = m,
                                   .count = members,
                                   .body = shape == WORKFLOW_CHORD ? &m[members] : NULL,
                                   .on_error = &m[members + 1]};
    c->change.done = on_course_started;
    if (!workflow_start(jobs, &c->change, &start, &err)) {
        course_started(at, 0, err.code);
        mem_free(c);
    }
}

static inline void course_start_graph(struct jobs *jobs)
{
    struct err err = {0};
    char input[24], key[16];
    int at = course_starting(WORKFLOW_GRAPH, 0, 0);
    struct course_call *c = course_call(jobs, at);
    snprintf(input, sizeof input, "{\"r\":%d}", at);
    snprintf(key, sizeof key, "r%d", at);
    struct workflow_start start = {
        .plugin = STR("p"), .name = STR("g"), .key = str_c(key), .input = str_c(input)};
    c->change.done = on_course_started;
    if (!workflow_start(jobs, &c->change, &start, &err)) {
        course_started(at, 0, err.code);
        mem_free(c);
    }
}

static inline void on_course_signalled(struct workflow_change *change)
{
    course_signalled(((struct course_call *)(void *)change)->at, change->err.code);
    mem_free(change);
}

static inline void course_send_signal(struct jobs *jobs, int run)
{
    int64_t id;
    char data[24];
    int at = course_signalling(run, &id);
    struct course_call *c = course_call(jobs, at);
    snprintf(data, sizeof data, "{\"s\":%d}", at);
    c->change.done = on_course_signalled;
    workflow_signal(jobs, &c->change, id, STR("p"), STR("go"), str_c(data), STR("me"));
}

static inline void on_course_cancelled(struct workflow_change *change)
{
    course_cancelled(((struct course_call *)(void *)change)->at, change->err.code);
    mem_free(change);
}

static inline void course_send_cancel(struct jobs *jobs, int run)
{
    int64_t id;
    course_cancelling(run, &id);
    struct course_call *c = course_call(jobs, run);
    c->change.done = on_course_cancelled;
    workflow_cancel(jobs, &c->change, id, STR("p"));
}

static inline void on_course_job(struct jobs_query *query)
{
    struct course_call *c = (struct course_call *)(void *)query;
    course_job_looked(c->at, c->n, query->id, buf_str(&query->out), query->err.code);
    buf_free(&query->out);
    mem_free(c);
}

static inline void on_course_looked(struct workflow_query *query)
{
    struct course_call *c = (struct course_call *)(void *)query;
    int64_t queued[COURSE_STEPS] = {0};
    struct lane *lane = query->lane;
    model_lock();
    model.waiting++; /* until the looks below are counted */
    model_unlock();
    course_looked(c->at, buf_str(&query->out), query->err.code, c->still, c->before, queued);
    for (int n = 1; n < COURSE_STEPS; n++) {
        if (!queued[n])
            continue;
        struct course_call *look = course_call(c->jobs, c->at);
        look->job = (struct jobs_query){.id = queued[n], .done = on_course_job, .lane = lane};
        look->n = n;
        model_lock();
        model.waiting++;
        model_unlock();
        jobs_query(c->jobs, &look->job);
    }
    model_lock();
    model.waiting--;
    model_unlock();
    buf_free(&query->out);
    mem_free(c);
}

static inline void course_look_at(struct jobs *jobs, struct lane *lane, int at, int64_t id,
                                  bool still)
{
    struct course_call *c = course_call(jobs, at);
    c->still = still;
    c->query.id = id;
    c->query.done = on_course_looked;
    c->query.lane = lane;
    model_lock();
    c->before = courses.runs[at].seen;
    model.waiting++;
    model_unlock();
    workflow_query(jobs, &c->query);
}

static inline void on_course_found(struct workflow_query *query)
{
    struct course_call *c = (struct course_call *)(void *)query;
    buf_add_c(&query->out, "");
    const char *id = query->out.p ? strstr(query->out.p, "\"id\":") : NULL;
    course_found(c->at, id ? strtoll(id + 5, NULL, 10) : 0, query->err.code);
    buf_free(&query->out);
    mem_free((char *)(uintptr_t)query->key.p);
    mem_free(c);
}

static inline void course_look_for(struct jobs *jobs, struct lane *lane, int at)
{
    struct course_call *c = course_call(jobs, at);
    c->query.key = str_c(mem_printf("r%d", at));
    c->query.done = on_course_found;
    c->query.lane = lane;
    c->query.limit = 1;
    model_lock();
    model.waiting++;
    model_unlock();
    workflow_query(jobs, &c->query);
}

/* A little of everything. */
static inline void course_step(struct jobs *jobs, struct lane *lane)
{
    int n = model_chance(20), at = course_pick(n < 15);
    if (n < 5)
        course_start_graph(jobs);
    else if (n < 10) {
        int members = 1 + model_chance(COURSE_MEMBERS);
        enum workflow_shape shape = (enum workflow_shape)(WORKFLOW_CHAIN + model_chance(3));
        course_start_list(jobs, shape, members, model_chance(5) ? 0 : 1 + model_chance(members));
    } else if (at < 0)
        return;
    else if (n < 15)
        course_send_signal(jobs, at);
    else if (n < 16)
        course_send_cancel(jobs, at);
    else
        course_look_at(jobs, lane, at, courses.runs[at].id, false);
}
