/* workflow/private.h -- runs inside the queue; known to core/jobs/workflow/ only.
 *
 * Owners: `set` and the counts are under jobs->lock; `late` until the first workflow_set();
 * everything else is the writer thread's.
 *
 * Invariants, beside the queue's:
 *  W1  A step row is QUEUED if and only if its job has no recorded end; both change in one
 *      transaction.  So what a restart finds QUEUED is exactly what still has to end.
 *  W2  A run's row and its steps' rows are read and written in the transaction that they decide
 *      about, by the writer thread alone: nothing about a run is remembered outside of them but
 *      which jobs are steps (by_job), and that follows the commit.  With a record that several
 *      processes share the run is locked, or its version watched, from the first read on.
 *  W3  What a transaction decided (jobs to publish, jobs to cancel, answers) is forgotten when it
 *      is rolled back or run again, and carried out after it is on disk.
 *
 * Where the rows are: workflow/store.h.
 */
#pragma once

#include "jobs/workflow/store.h"

enum {
    WF_DUE_SLICE = 200,    /* waits that end by one commit */
    WF_EXPIRE_SLICE = 100, /* finished runs looked at by one step of the retention */
    WF_STRAYS = 500,       /* ends that the record made, in one commit */
};

/* Declarations of one moment. */
struct wf_set {
    int refs; /* under jobs->lock */
    struct workflow_decl *list;
    int count;
};

/* What a caller wants, with copies of its texts behind it. */
enum wf_change_type { WF_START, WF_SIGNAL, WF_CANCEL, WF_RETRY, WF_NUMBER };
struct wf_change {
    struct wf_change *next;
    struct workflow_change *change;
    struct jobs_change *retry; /* instead of change: a dead job's, whose id it is */
    enum wf_change_type type;
    int64_t id;
    struct str plugin, name, key, data, who;
    enum workflow_shape shape;
    struct str *specs; /* members; then the body and on_error, empty when there is none */
    int count;
    struct buf text; /* owns all of these */
    bool applied;    /* it is written, though its batch may not be: each */
    struct err err;  /* why this one alone fails */
};

struct workflows {
    const struct wf_store *store; /* immutable */
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

/* workflow/workflow.c: from the driver's open. */
void workflow_open(struct jobs *jobs, const struct wf_store *store);

/* What a decision sees. */
struct wf {
    struct jobs *jobs;
    struct workflows *w;
    const struct wf_store *store;
    void *record;             /* the store's: the connection, or what the driver gave */
    const struct wf_set *set; /* NULL before the first workflow_set() */
    int64_t now;              /* wall */
    const struct job *job;    /* what it follows from, the others are NULL */
    const struct wf_stray *stray;
    struct wf_change *change;
    struct err *err;
};

/* workflow/set.c */
const struct workflow_decl *wf_find(const struct wf_set *set, struct str plugin, struct str name);
const struct workflow_step_decl *wf_find_step(const struct workflow_decl *decl, struct str name);
struct wf_set *wf_set_ref(struct jobs *jobs);                   /* takes the lock */
void wf_set_unref(struct jobs *jobs, const struct wf_set *set); /* too */

/* workflow/row.c.  1 found, 0 there is none (of insert: the key is taken), -1 with f->err. */
int wf_load(struct wf *f, int64_t id, struct wf_run *run);
bool wf_save(struct wf *f, struct wf_run *run);
int wf_insert(struct wf *f, struct wf_run *run, struct str key);
void wf_run_free(struct wf_run *run);
int wf_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step);
void wf_step_free(struct wf_step *step);

/* workflow/move.c: JSON that is known to be well-formed, member by member. */
bool wf_member(struct str *rest, struct str *key, struct str *value);
bool wf_item(struct str *rest, struct str *value);
/* out = state with the members of `set` and without those named in `remove`. */
void wf_patch(struct buf *out, struct str state, struct str set, struct str remove);

/* workflow/push.c: jobs of this transaction, published after it */
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
/* Whose step this job is; false: nobody's. */
bool wf_ref_of(const struct workflows *w, const struct job *job, struct wf_ref *ref);
void wf_forget(struct jobs *jobs); /* W3 */
void wf_publish(struct jobs *jobs);

/* How a step's job ended. */
struct wf_end {
    bool done;
    enum wf_step_state state;
    int64_t job, started_at;
    int attempt;
    struct str result, error;
};

/* workflow/run.c: what holds for every shape */
bool wf_ended(struct wf *f, const struct wf_ref *ref, const struct wf_end *end);
struct wf_end wf_end_of(const struct job *job, enum job_end how); /* texts are the job's */
bool wf_revived(struct wf *f, int64_t job);
bool wf_finish(struct wf *f, struct wf_run *run, enum workflow_state state);
bool wf_fail(struct wf *f, struct wf_run *run, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* workflow/graph.c */
bool wf_graph_start(struct wf *f, struct wf_run *run, struct str input);
bool wf_graph_ended(struct wf *f, struct wf_run *run, const struct wf_step *step,
                    const struct wf_end *end);
bool wf_graph_woke(struct wf *f, struct wf_run *run, const struct wf_step *step, struct str signal);
/* ,"signal":{…} */
void wf_write_signal(struct buf *out, struct str name, struct str data, struct str who, int64_t at);
/* Its time is over, unless a signal was kept for it (store->hurry). */
bool wf_graph_due(struct wf *f, struct wf_run *run, const struct wf_step *step);

/* workflow/each.c: the bundles of a run, which are lines of run->arrived */
struct wf_bundle {
    struct str step;                /* borrowed */
    int first, total, left, failed; /* first: number of its first row */
};
bool wf_bundle_next(struct str *lines, struct wf_bundle *out); /* false: no more of them */
bool wf_bundle_has(const struct wf_bundle *b, struct str step, int seq);
bool wf_each_start(struct wf *f, struct wf_run *run, const struct workflow_decl *decl,
                   const struct workflow_step_decl *step, struct str from, struct str items);
bool wf_is_item(const struct wf_run *run, const struct wf_step *step);
/* One item's job ended; *b: as its bundle is then.  The run may have failed. */
bool wf_each_ended(struct wf *f, struct wf_run *run, const struct wf_step *step,
                   const struct wf_end *end, struct wf_bundle *b);
/* What a step gets that follows `from`: {"step":{"results","errors","failed"}} of it, if it had
 * items, and of those that it joins; or nothing. */
bool wf_each_results(struct wf *f, const struct wf_run *run, const struct workflow_step_decl *step,
                     struct str from, struct buf *out);

/* workflow/list.c */
bool wf_list_start(struct wf *f, struct wf_run *run, const struct wf_change *c);
bool wf_list_ended(struct wf *f, struct wf_run *run, const struct wf_step *step,
                   const struct wf_end *end);

/* workflow/change.c */
bool wf_apply(struct wf *f, struct wf_change *c);
/* An id for a run to come: change->id with `done`.  False with *err, and no `done`. */
bool wf_number(struct jobs *jobs, struct workflow_change *change, struct err *err);
/* workflow/carried.c: as workflow_start_tx(), in a transaction of another server. */
bool wf_carry_start(struct jobs *jobs, struct workflow_change *change, struct store_tx *tx,
                    void (*ran)(struct workflow_change *change), const struct workflow_start *start,
                    struct err *err);
bool wf_check_start(const struct workflow_start *start, struct err *err);
void wf_change_answer(struct wf_change *c, const struct err *err); /* frees c */
void wf_change_free(struct wf_change *c);

/* workflow/print.c */
void wf_print_run(struct json *w, const struct wf_run_row *row);
void wf_print_step(struct json *w, struct jobs *jobs, const struct wf_step_row *row, bool graph);
/* What a row counts as in its bundle: enum job_state; JOB_ANY: held. */
int wf_step_place(struct jobs *jobs, const struct wf_step_row *row);
void wf_print_tally(struct json *w, const struct wf_tally *tally);
void wf_print_graph(struct json *w, const struct workflow_decl *decl);
void wf_print_raw(struct json *w, const char *key, struct str json);
void wf_print_signal(struct json *w, struct str name, struct str data, struct str who, int64_t at);

/* workflow/begun.c: the key of a run with its id, from carry_insert() until a record has it;
 * whether it was committed */
void wf_begun_add(struct jobs *jobs, const struct workflow_start *start);
void wf_begun_keep(struct jobs *jobs, const struct workflow_start *start);
void wf_begun_remove(struct jobs *jobs, const struct workflow_start *start);
bool wf_begun_has(struct jobs *jobs, const struct workflow_start *start);

/* workflow/due.c: which waits are over; one of them; which runs are old enough to go */
bool wf_read_due(struct wf *f, struct wf_ref *list, int *count);
bool wf_end_wait(struct wf *f, const struct wf_ref *ref);
bool wf_read_expired(struct wf *f, struct wf_ids *gone);
int64_t wf_expire_pause_ns(const struct workflows *w); /* between two looks for them */
