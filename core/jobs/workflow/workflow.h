/* workflow/workflow.h -- runs of several jobs whose state is on disk after every step.
 *
 * A run is rows in two tables beside the queue's; each of its steps is an
 * ordinary job.  What the end of such a job means for its run is decided on the
 * writer thread, inside the transaction that records the end: the checkpoint of
 * the state, the step's row and the next steps' jobs are in one commit with it.
 * So a crash resumes at the step that had not ended, and nothing follows twice.
 *
 * Shapes: a graph of named steps that a plugin declares (M.workflows), a chain, a
 * group, and a chord (a group and a job that gets its results).  A run that waits for a signal
 * holds no job and no task, only a row.
 *
 *   running ─▶ done | failed | cancelled        waiting: a running one whose steps all wait
 *
 * Threads: any.  No callback comes from inside the call that asked.
 */
#pragma once

#include "jobs/jobs.h"

enum {
    WORKFLOW_STATE_BYTES = 256 * 1024, /* the checkpointed state, and the input, as JSON */
    WORKFLOW_SIGNAL_BYTES = 64 * 1024, /* data of one signal, as JSON */
    WORKFLOW_SIGNALS = 1000,           /* kept for one run until it waits for them */
    WORKFLOW_MEMBERS = 10000,          /* of a chain, group or chord */
    WORKFLOW_STEPS = 1000,             /* a graph's steps in one run, unless it says otherwise */
    WORKFLOW_EACH_BYTES = 16 << 20,    /* arguments of all jobs of one bundle */
    WORKFLOW_NAME_BYTES = 64,          /* of workflows, steps and signals */
};

enum workflow_shape { WORKFLOW_GRAPH, WORKFLOW_CHAIN, WORKFLOW_GROUP, WORKFLOW_CHORD };

/* One step of a declared graph.  Its jobs are of the kind "plugin.flow:workflow.step". */
struct workflow_step_decl {
    char *name;
    char *on_error; /* the step that follows when its job is dead, or NULL: the run fails */
    char **next;    /* where it says that it may lead; for drawing */
    int next_count;
    bool each;   /* it has a job for each item of a list; what they return are results */
    char **join; /* it starts when one of each line ("a b": either) has led here */
    int join_count;
};
struct workflow_decl {
    char *plugin, *name, *start;
    int version, max_steps; /* max_steps 0 = WORKFLOW_STEPS */
    struct workflow_step_decl *steps;
    int step_count;
};

/* Replaces what is declared, in one step; everything is copied.  Runs go on by what is
 * declared when their step ends.  Before the first call no graph goes on. */
void workflow_set(struct jobs *jobs, const struct workflow_decl *const *list, int count);

/* A job of a chain, group or chord.  Zero and empty as in struct job_spec. */
struct workflow_member {
    struct str kind, args; /* args: JSON */
    struct str queue;
    int priority, retries; /* as in struct job_spec, one more */
    int64_t timeout_ns, delay_ns;
};
struct workflow_start {
    int64_t id;        /* of a graph: the run's, which was given it before; 0 = a new one */
    struct str plugin; /* whose it is */
    struct str name;   /* a graph's; of other shapes a word for lists, may be empty */
    enum workflow_shape shape;
    struct str key;   /* at most one unfinished run of this name has it; empty = none */
    struct str input; /* of a graph: JSON */
    const struct workflow_member *members;
    int count;
    const struct workflow_member *body;     /* of a chord */
    const struct workflow_member *on_error; /* a job to push when the run fails, or NULL */
};

/* A change of a run.  Memory is the caller's until done. */
struct workflow_change {
    struct lane_message message;                  /* private, first */
    void (*done)(struct workflow_change *change); /* lane; on disk, or change->err */
    struct lane *lane;                            /* NULL = the writer thread */
    struct err err;
    int64_t id; /* of a start: the run */
    bool woke;  /* of a signal: a step waited for it; else it is kept */
};

/* Starts a run; everything is copied.  False with *err and no `done`: ERR_INVALID, ERR_LIMIT,
 * ERR_NOT_FOUND (no such workflow), ERR_CLOSED.  ERR_EXISTS, the key, comes with `done`.  One
 * whose id there is a run of has been started. */
bool workflow_start(struct jobs *jobs, struct workflow_change *change,
                    const struct workflow_start *start, struct err *err);
/* A graph's run inside an open transaction: `ran` once its rows are in it (change->err: ERR_EXISTS,
 * ERR_NOT_FOUND; change->id), then, when the transaction has ended, `done`, with err set if it was
 * rolled back.  The first step follows the commit, also after a crash.  Where the transaction is
 * another server's (storage/carry.h), whether the key is free is seen when it is asked and once
 * more behind the commit.  False with *err and neither: ERR_INVALID (the transaction is SQLite's,
 * the record is shared), ERR_LIMIT, ERR_NOT_FOUND.  Lane of the transaction. */
bool workflow_start_tx(struct jobs *jobs, struct workflow_change *change, struct store_tx *tx,
                       void (*ran)(struct workflow_change *change),
                       const struct workflow_start *start, struct err *err);
/* plugin: whose run it must be; empty = anybody's.  data: JSON; who: shown to the step, may be
 * empty.  ERR_NOT_FOUND, ERR_CONFLICT (the run is over), ERR_FULL. */
void workflow_signal(struct jobs *jobs, struct workflow_change *change, int64_t id,
                     struct str plugin, struct str name, struct str data, struct str who);
/* The run is over at once; its queued jobs are cancelled, its running ones asked to end.
 * ERR_NOT_FOUND, ERR_CONFLICT. */
void workflow_cancel(struct jobs *jobs, struct workflow_change *change, int64_t id,
                     struct str plugin);

enum workflow_state {
    WORKFLOW_ANY, /* of a query */
    WORKFLOW_RUNNING,
    WORKFLOW_WAITING, /* of a query and in answers; its row says running */
    WORKFLOW_DONE,
    WORKFLOW_FAILED,
    WORKFLOW_CANCELLED,
}; /* ORDER workflow_state */
bool workflow_state_parse(struct str text, enum workflow_state *out);
const char *workflow_state_name(enum workflow_state state);

/* A look at runs as JSON.  Memory is the caller's until done. */
struct workflow_query {
    struct lane_message message; /* private, first */
    int64_t id;                  /* one run, or 0 */
    struct str plugin, name;     /* empty = any */
    struct str key;              /* empty = any */
    enum workflow_state state;
    int64_t before; /* a list: ids below this one; 0 = from the newest */
    int limit;      /* 1 … 500; 0 = 50 */
    void (*done)(struct workflow_query *query); /* lane */
    struct lane *lane;
    /* A list: the inside of {"workflows":[…]}, newest first.  One run: its object with input,
     * state, steps, edges and signals, or empty when there is none such. */
    struct buf out;
    struct err err;
};
void workflow_query(struct jobs *jobs, struct workflow_query *query);

/* The raw value of an object's member, from JSON that is known to be well-formed; or empty. */
struct str workflow_json_get(struct str object, const char *key);
/* The inside of a JSON string that has no escapes; or empty. */
struct str workflow_json_text(struct str json);
