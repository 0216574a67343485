/* workflow_private.h -- runs inside the queue; known to core/jobs/workflow*.c only.
 *
 * Owners: `set` and the counts are under jobs->lock; `late` until the first workflow_set();
 * everything else is the writer thread's.
 *
 * Invariants, beside the queue's:
 *  W1  A step row is QUEUED if and only if its job has no recorded end; both change in one
 *      transaction.  So what a restart finds QUEUED is exactly what still has to end.
 *  W2  A run's row and its steps' rows are read and written in the transaction that they decide
 *      about, by the writer thread alone: nothing about a run is remembered outside of them but
 *      which jobs are steps (by_job), and that follows the commit.
 *  W3  What a transaction decided (jobs to publish, jobs to cancel, answers) is forgotten when it
 *      is rolled back or run again, and carried out after it is on disk.
 */
#pragma once

#include "jobs/private.h"
#include "jobs/workflow.h"

enum {
    WF_DUE_SLICE = 200,    /* waits that end by one commit */
    WF_EXPIRE_SLICE = 100, /* finished runs looked at by one step of the retention */
    WF_CHANGES = 256,      /* of callers, in one commit */
};

enum wf_step_state {             /* on disk */
                     WF_PLANNED, /* of a chain, or a chord's body: its turn has not come */
                     WF_QUEUED,  /* it has a job */
                     WF_WAITING, /* its handler ended and waits for a signal */
                     WF_DONE,
                     WF_FAILED,
                     WF_CANCELLED,
};

/* Declarations of one moment. */
struct wf_set {
    int refs; /* under jobs->lock */
    struct workflow_decl *list;
    int count;
};

struct wf_ref { /* whose step a job is */
    struct wf_ref *next;
    int64_t job, run;
    int seq;
    bool graph;
};

struct wf_ids {
    int64_t *ids;
    size_t n, cap;
};

/* What a caller wants, with copies of its texts behind it. */
enum wf_change_type { WF_START, WF_SIGNAL, WF_CANCEL };
struct wf_change {
    struct wf_change *next;
    struct workflow_change *change;
    enum wf_change_type type;
    int64_t id;
    struct str plugin, name, key, data, who;
    enum workflow_shape shape;
    struct str *specs; /* members; then the body and on_error, empty when there is none */
    int count;
    struct buf text; /* owns all of these */
    struct err err;  /* why this one alone fails */
};

struct workflows {
    /* under jobs->lock */
    struct wf_set *set;
    struct wf_change *changes, **changes_end;
    int64_t due_wall; /* the next wait's end; 0 = none */
    bool due_now;     /* a write is due although nothing else is pending */
    int64_t running, waiting, done_total, failed_total, cancelled_total;
    int64_t shown[3]; /* of the totals, to the metrics */
    /* before the first workflow_set(): jobs that crashed too often, whose end is decided then */
    struct wf_ids late;
    struct wf_ids orphans; /* at recovery: queued jobs of runs that are over */

    /* writer thread */
    struct index by_job; /* struct wf_ref */
    int64_t ttl_ns, expire_next_ns;
    bool due_taken;
    struct wf_change *taken; /* in the commit under way */
    /* what this transaction decided (W3) */
    struct push_op *pushes, **pushes_end;
    struct wf_ref *added; /* jobs that become steps */
    struct wf_ids cancels;
    struct wf_ids ended; /* jobs that are no steps any more */
    int64_t running_by, waiting_by, done_by, failed_by, cancelled_by;
    int64_t due_new;  /* the first end of the waits that began; 0 = none */
    int64_t due_next; /* of all waits, if due_read */
    bool due_read;
};

/* One transaction's view. */
struct wf {
    struct jobs *jobs;
    struct workflows *w;
    struct sqlite_conn *conn;
    const struct wf_set *set; /* NULL before the first workflow_set() */
    int64_t now;              /* wall */
    struct err *err;
};

/* A run as loaded; texts are owned. */
struct wf_run {
    int64_t id;
    char *plugin, *name;
    enum workflow_shape shape;
    enum workflow_state state;
    int64_t created_at, finished_at;
    int version, steps; /* steps: how many were queued so far */
    int active;         /* steps that are QUEUED or WAITING */
    int waiting;
    struct buf arrived; /* at joins: lines "join step" */
    struct buf data;    /* the state of a graph */
    char *error;
    struct buf result;
    enum workflow_state was; /* as counted */
};

struct wf_step {
    int64_t run;
    int seq;
    char *name;
    enum wf_step_state state;
    char *await, *next, *otherwise, *on_error;
};

/* workflow_set.c */
const struct workflow_decl *wf_find(const struct wf_set *set, struct str plugin, struct str name);
const struct workflow_step_decl *wf_find_step(const struct workflow_decl *decl, struct str name);
struct wf_set *wf_set_ref(struct jobs *jobs);                   /* takes the lock */
void wf_set_unref(struct jobs *jobs, const struct wf_set *set); /* too */

/* workflow_table.c: statements.  types: i int64_t, s struct str (p NULL: null). */
sqlite3_stmt *wf_query(struct wf *f, const char *sql, const char *types, ...);
bool wf_exec(struct wf *f, const char *sql, const char *types, ...);
struct str wf_column(sqlite3_stmt *s, int i);
/* 1 found, 0 there is none, -1 with f->err. */
int wf_load(struct wf *f, int64_t id, struct wf_run *run);
bool wf_save(struct wf *f, struct wf_run *run);
bool wf_insert(struct wf *f, struct wf_run *run, struct str key);
void wf_run_free(struct wf_run *run);
int wf_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step);
void wf_step_free(struct wf_step *step);
extern const char wf_schema[];

/* workflow_move.c: JSON that is known to be well-formed, member by member. */
bool wf_member(struct str *rest, struct str *key, struct str *value);
bool wf_item(struct str *rest, struct str *value);
/* out = state with the members of `set` and without those named in `remove`. */
void wf_patch(struct buf *out, struct str state, struct str set, struct str remove);

/* workflow_push.c: jobs of this transaction, published after it */
struct wf_push {
    struct str kind, queue, args;
    struct str previous; /* JSON for job.previous, or empty */
    int priority, retries;
    int64_t timeout_ns, delay_ns;
};
/* *job is 0, and *why says so, when the queue refuses this one job: the run is to fail. */
bool wf_push(struct wf *f, const struct wf_run *run, int seq, const struct wf_push *push,
             int64_t *job, struct err *why);
/* role: "member", "body" or "on_error", kept in the row's column `next`. */
bool wf_push_planned(struct wf *f, struct wf_run *run, int seq, const char *role, struct str spec,
                     struct str previous);
void wf_spec_write(struct buf *out, const struct workflow_member *m);
void wf_ids_add(struct wf_ids *ids, int64_t id);
void wf_add_ref(struct workflows *w, const struct wf_run *run, int64_t job, int seq);
void wf_forget(struct jobs *jobs); /* W3 */
void wf_publish(struct jobs *jobs);

/* workflow_run.c: what holds for every shape */
bool wf_ended(struct wf *f, const struct wf_ref *ref, const struct job *job);
bool wf_revived(struct wf *f, int64_t job);
bool wf_finish(struct wf *f, struct wf_run *run, enum workflow_state state);
bool wf_fail(struct wf *f, struct wf_run *run, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* How a step's job ended. */
struct wf_end {
    bool done;
    struct str result, error;
};

/* workflow_graph.c */
bool wf_graph_start(struct wf *f, struct wf_run *run, struct str input);
bool wf_graph_ended(struct wf *f, struct wf_run *run, const struct wf_step *step,
                    const struct wf_end *end);
bool wf_graph_woke(struct wf *f, struct wf_run *run, const struct wf_step *step, struct str signal);
/* ,"signal":{…} */
void wf_write_signal(struct buf *out, struct str name, struct str data, struct str who, int64_t at);
bool wf_graph_late(struct wf *f, struct wf_run *run, const struct wf_step *step);

/* workflow_list.c */
bool wf_list_start(struct wf *f, struct wf_run *run, const struct wf_change *c);
bool wf_list_ended(struct wf *f, struct wf_run *run, const struct wf_step *step,
                   const struct wf_end *end);

/* workflow_change.c */
bool wf_apply(struct wf *f, struct wf_change *c);
void wf_change_answer(struct wf_change *c, const struct err *err); /* frees c */
void wf_change_free(struct wf_change *c);

/* workflow_print.c: a row of maru_workflow or maru_workflow_step as workflow_query.c reads it. */
struct json;
void wf_print_run(struct json *w, sqlite3_stmt *s);
void wf_print_step(struct json *w, struct jobs *jobs, sqlite3_stmt *s, bool graph);
void wf_print_graph(struct json *w, const struct workflow_decl *decl);
void wf_print_signal(struct json *w, sqlite3_stmt *s);

/* workflow_due.c */
bool wf_due(struct wf *f);
bool wf_expire(struct wf *f);
