/* workflow/store.h -- where the rows of runs are: all that differs from record to record.
 *
 * What a run does next is decided by one code for all drivers (workflow_run, _graph, _list,
 * _change, _due).  It reaches runs, steps and signals by the operations of a struct wf_store,
 * and jobs by push(); it keeps nothing of them from one decision to the next (W2).
 *
 * A decision follows from one thing: the end of a step's job (f->job, or f->stray), a caller's
 * change (f->change), a wait that is over, a run that is old.  It is about one run.  Its first
 * operation about that run is load() or insert(), so that is where a record locks the run, or
 * notes its version; failed(), due() and expired() only say where to look.  Reads see what
 * the same decision wrote before.  An operation that fails says so in f->err, and nothing of
 * the decision may count then: it is made anew, from the rows (W3).  Where it is written:
 *
 *  together  (sqlite, postgres: each is false)  All decisions of a batch are in the one
 *            transaction that writes the batch.  The driver calls workflow_record() there, behind
 *            pushes and ends; it may do so again after a rollback.  After the commit
 *            workflow_committed(), or workflow_failed().  Of several runs in one transaction
 *            begin() says which they are, so that they are locked in the order of their ids.
 *  each      (redis)  Every decision is written by itself: after it comes commit(), which hands
 *            over all that it collected, guarded by the end's lease (if there is f->job) and by
 *            the run's version.  It answers 1: it is written (of a stale end nothing follows: then
 *            it has called wf_forget()); 0: another was faster, decide again; -1: f->err.
 *            After 1 what it pushed is published and its change is answered as done, so a batch
 *            that is written again does not repeat it.  The driver's own writing of ends leaves out
 *            those of which workflow_is_step() is true: commit() records the end, too.
 *
 * Which run and step a job belongs to is in its extra (workflow, step); with a record of this
 * process's own it is in workflows->by_job, for older ones do not say the step.
 *
 * A shared record has to be asked for waits that are over, for strays and for old runs: the driver
 * calls workflow_poll() about once a second when there may be some, and workflow_seen() with how
 * many runs there are.
 *
 * Threads: the one that writes; query() any.  Texts are borrowed until the operation is over
 * unless said otherwise.  "1, 0 or -1": found, not there, failed with f->err.
 */
#pragma once

#include "base/json.h"
#include "jobs/private.h"
#include "jobs/workflow/workflow.h"

struct wf;

enum wf_step_state {             /* on disk */
                     WF_PLANNED, /* of a chain, or a chord's body: its turn has not come */
                     WF_QUEUED,  /* it has a job */
                     WF_WAITING, /* its handler ended and waits for a signal */
                     WF_DONE,
                     WF_FAILED,
                     WF_CANCELLED,
};

struct wf_ref { /* whose step a job is, or which step a wait is of */
    struct wf_ref *next;
    int64_t job, run;
    int seq;
    bool graph;
};

struct wf_ids {
    int64_t *ids;
    size_t n, cap;
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
    struct buf result;       /* of load() empty; of save() empty: as it was */
    enum workflow_state was; /* as counted; not on disk */
};

/* What a decision reads of a step; texts are owned, NULL when there is none. */
struct wf_step {
    int64_t run;
    int seq;
    char *name;
    enum wf_step_state state;
    char *await, *next, *otherwise, *on_error;
};

/* A step that gets a job: a new row, or the planned one of this number. */
struct wf_queued {
    int seq;
    struct str name;
    int64_t job;
    struct str role; /* in a list: member, body or on_error (the column `next`); or empty */
    int version;     /* of a graph */
    struct str on_error, from; /* of a graph; or empty */
};

struct wf_over { /* a step whose job ended */
    int seq;
    enum wf_step_state state;
    int64_t started_at;
    int attempt;
    struct str error, result; /* or empty */
};

struct wf_wait { /* a step that begins to wait */
    int seq;
    struct str name, next, otherwise;
    int64_t due_at; /* wall, ns; 0 = for ever */
};

struct wf_member_row { /* of a list, as it ended */
    int seq;
    enum wf_step_state state;
    struct str name, error, result;
};

struct wf_stray { /* an end that no process here has brought about */
    struct wf_ref ref;
    int64_t id; /* the record's own, or 0 */
    enum job_end how;
    int64_t started_at;
    int attempt;
    char *error, *result; /* owned, or NULL */
};

struct wf_store {
    /* The record is shared with other processes: they finish, cancel and wake steps, too. */
    bool shared;
    bool each; /* see above; then commit is there */
    int (*commit)(struct wf *f);
    /* Before the first decision of a batch; runs: those of its ends and changes, ascending, each
     * once.  f->now may be set to the record's clock.  May be NULL. */
    bool (*begin)(struct wf *f, const int64_t *runs, size_t count);
    /* After the last one.  May be NULL. */
    bool (*flush)(struct wf *f);

    /* Runs.  save() writes all but plugin, name, shape, created_at. */
    int (*load)(struct wf *f, int64_t id, struct wf_run *run);
    bool (*save)(struct wf *f, const struct wf_run *run);
    /* An id that no run has or will be given. */
    bool (*number)(struct wf *f, int64_t *id);
    /* Gives run->id, unless it has one of number().  key: no other RUNNING run of this plugin and
     * name has it (empty: none): 0. */
    int (*insert)(struct wf *f, struct wf_run *run, struct str key);
    /* 1: a step of it is CANCELLED, or another run has its key now. */
    int (*blocked)(struct wf *f, int64_t run);
    bool (*remove)(struct wf *f, int64_t run); /* with its steps and signals */

    /* Steps.  Those of graphs and lists are numbered from 1; 0 is a graph's input. */
    int (*load_step)(struct wf *f, int64_t run, int seq, struct wf_step *step);
    bool (*put_input)(struct wf *f, int64_t run, struct str input);
    bool (*input)(struct wf *f, int64_t run, struct buf *out); /* nothing added: there is none */
    bool (*plan)(struct wf *f, int64_t run, int seq, struct str name, const char *role,
                 struct str spec);
    bool (*queue)(struct wf *f, int64_t run, const struct wf_queued *step); /* QUEUED */
    bool (*end_step)(struct wf *f, int64_t run, const struct wf_over *step);
    bool (*begin_wait)(struct wf *f, int64_t run, const struct wf_wait *wait); /* WAITING */
    bool (*end_wait)(struct wf *f, int64_t run, int seq, const char *error);   /* DONE */
    /* The wait is looked at by a process that declares its workflow, which this one does not: it
     * is due now, with a kept signal.  NULL when all processes declare the same. */
    bool (*hurry)(struct wf *f, int64_t run, int seq);
    bool (*revive)(struct wf *f, int64_t run, int seq); /* QUEUED */
    bool (*cancel_steps)(struct wf *f, int64_t run,
                         enum wf_step_state from);                  /* all of this state */
    bool (*queued)(struct wf *f, int64_t run, struct wf_ids *jobs); /* adds the QUEUED steps' */
    /* The first PLANNED one of this role from `from` on: its number, and its spec added to out. */
    int (*planned)(struct wf *f, int64_t run, int from, const char *role, int *seq,
                   struct buf *out);
    /* Those of the role "member", in order. */
    bool (*members)(struct wf *f, int64_t run,
                    void (*each)(void *arg, const struct wf_member_row *m), void *arg);
    int (*waiting)(struct wf *f, int64_t run, struct str signal, int *seq); /* the first one */
    /* Whose FAILED step this job is. */
    int (*failed)(struct wf *f, int64_t job, int64_t *run, int *seq);

    /* Signals that nobody waited for yet. */
    int (*keep_signal)(struct wf *f, int64_t run, struct str name, struct str data,
                       struct str who); /* 0: WORKFLOW_SIGNALS are kept */
    /* The oldest of this name, which is kept no longer. */
    int (*take_signal)(struct wf *f, int64_t run, struct str name, struct buf *data,
                       struct buf *who, int64_t *at);
    bool (*drop_signals)(struct wf *f, int64_t run);

    /* Waits whose due_at is not after f->now, the earliest first, at most `most`; *next: when the
     * first of the others is due, 0 = there is none.  One that another process is at may be
     * left out. */
    bool (*due)(struct wf *f, struct wf_ref *list, int most, int *count, int64_t *next);
    /* Adds runs in this state that finished before this and have no active step. */
    bool (*expired)(struct wf *f, enum workflow_state state, int64_t before, int limit,
                    struct wf_ids *ids);

    /* Jobs.  The row of one that the decision pushes; op stays the caller's. */
    bool (*push)(struct wf *f, struct push_op *op);
    /* How the record says that this job ended, which can be other than what the run handed in
     * (a cancel came before).  0: it has not ended, or the end was stale.  NULL: job->end. */
    int (*end_of)(struct wf *f, const struct job *job, enum job_end *end);
    /* A dead job becomes ready; 0: it is not there, or f->change->err says why not.  NULL: they are
     * in jobs->batch.revivals. */
    int (*retry)(struct wf *f, int64_t job);
    /* Ends of steps that nobody decided about: the record made them by itself (a queued job was
     * cancelled, one that crashed too often is dead), or a process of an older maru did.  At most
     * `most`; they are forgotten by what is written next (each: by f->stray's commit).  One that
     * another process is at is left out.  NULL: there are none. */
    bool (*strays)(struct wf *f, struct wf_stray *list, int most, int *count);
    /* No lock, after the commit: jobs of a run that is over, wherever they are; they may have
     * ended. NULL: they are this process's. */
    void (*cancel)(struct jobs *jobs, const int64_t *ids, size_t count);

    /* Answers by workflow_answer(). */
    void (*query)(struct jobs *jobs, struct workflow_query *query);
};

extern const struct wf_store wf_sqlite;

/* workflow/query.c: a look's rows, as a store reads them.  Empty texts become null. */
enum {
    WF_LIST_DEFAULT = 50,
    WF_LIST_MOST = 500,
    WF_STEPS_SHOWN = 110000, /* rows that one look reads: max_steps, and a group */
    WF_STEPS_PRINTED = 1000,
    WF_ITEMS_PRINTED = 20, /* of one bundle, and WF_ERRORS_PRINTED failed ones */
    WF_ERRORS_PRINTED = 100,
    WF_SIGNALS_SHOWN = 100,
};
struct wf_run_row {
    int64_t id, created_at, finished_at;
    struct str plugin, name, key, error, data, result;
    struct str at; /* names of steps that are QUEUED or WAITING, apart by blanks; five at most */
    int shape, state, version, steps, active, waiting;
};
struct wf_step_row {
    int64_t job, created_at, started_at, ended_at, woke_at, due_at;
    struct str name, await, next, otherwise, error, result, from; /* from: of a graph */
    int seq, state, attempt, version;
    const char *job_state; /* of a QUEUED one; NULL: what this process knows of the job */
};
int wf_list_limit(const struct workflow_query *q);
/* Whether the list wants it; filters that the record's own statement left alone. */
bool wf_list_wants(const struct workflow_query *q, const struct wf_run_row *row);
void wf_list_add(struct workflow_query *q, const struct wf_run_row *row); /* one more run */
/* One run: first begin, then its steps in order from 1, then signals, oldest first, then end.
 * input: of a graph, or empty. */
struct wf_tally { /* of a bundle: rows of one step, one after the other */
    char *step, *from;
    int first, total;
    int count[JOB_STATES + 1]; /* by enum job_state; JOB_ANY: held */
    int64_t started_at, ended_at;
};
struct wf_shown {
    struct jobs *jobs;
    struct workflow_query *query;
    struct json w;
    bool graph, signals;
    struct wf_tally *tallies;
    int tally_count, printed;
};
void wf_show_begin(struct wf_shown *s, const struct wf_run_row *row, struct str input);
void wf_show_step(struct wf_shown *s, const struct wf_step_row *row);
void wf_show_signal(struct wf_shown *s, struct str name, struct str data, struct str who,
                    int64_t at);
void wf_show_end(struct wf_shown *s);
void workflow_answer(struct workflow_query *query); /* any thread: its `done` on its lane */
