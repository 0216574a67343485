/* workflow/postgres.h -- runs of workflows in PostgreSQL; known to workflow/postgres*.c only.
 *
 * Decisions are in the transaction of the batch, on the write thread.  In one transaction a run is
 * read once, locked, and written once: rows are kept here meanwhile, and go out together before
 * anything is read that they may change, and at the end.  So 10,000 members of a group cost a few
 * statements, not as many.
 *
 * Locks are taken in this order, so that nodes wait for each other, but in no circle: ends of jobs
 * (maru.finish), then runs by their ids, then batches by theirs.  A start's key and a retry are
 * out of it; a deadlock there is found by the server, and the batch is written again.
 *
 * Times in rows are by the server's clock; f->now is this node's.
 */
#pragma once

#include "jobs/postgres/postgres.h"
#include "jobs/workflow/private.h"

struct wfp_run {
    struct wf_run row;
    bool changed;
};
struct wfp_row { /* a step's to be inserted, or made QUEUED; texts are owned, or NULL */
    int64_t run, job;
    int seq, version;
    enum wf_step_state state;
    char *name, *next, *on_error, *spec;
};
struct wfp_over {
    int64_t run, started_at;
    int seq, attempt;
    enum wf_step_state state;
    char *error, *result;
};
struct wfp_step { /* read ahead, by the id of the job that ended */
    struct wf_step row;
};

/* pg->workflows; write thread. */
struct wf_postgres {
    struct index runs;    /* struct wfp_run */
    struct index steps;   /* struct wfp_step */
    struct index touched; /* runs of which something below is */
    struct wfp_row *rows;
    size_t row_count, row_cap;
    struct wfp_over *overs;
    size_t over_count, over_cap;
    struct push_op *written; /* pushes up to this one are in the transaction */
};

static inline struct pg *wfp_pg(const struct wf *f)
{
    return f->record;
}
/* The names that this node declares, as "plugin.name", an argument more. */
void wfp_add_declared(struct pg_args *a, const struct wf_set *set);
void wfp_forget(struct pg *pg);              /* what is kept */
void wfp_forget_rows(struct wf_postgres *w); /* what is to be written */
/* What is kept of this run is written; 0: of all. */
bool wfp_settle(struct wf *f, int64_t run);
/* One statement: 1 with *r, 0 when it has no row, -1 with f->err. */
int wfp_row(struct wf *f, const char *sql, struct pg_args *a, PGresult **r);
bool wfp_exec(struct wf *f, const char *sql, struct pg_args *a);
void wfp_str(struct pg_args *a, struct str text); /* empty is null */
char *wfp_dup(const PGresult *r, int row, int column);
char *wfp_keep(struct str text); /* NULL for an empty one */

/* workflow/postgres_step.c, as in struct wf_store */
int wfp_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step);
bool wfp_put_input(struct wf *f, int64_t run, struct str input);
bool wfp_input(struct wf *f, int64_t run, struct buf *out);
bool wfp_plan(struct wf *f, int64_t run, int seq, struct str name, const char *role,
              struct str spec);
bool wfp_queue(struct wf *f, int64_t run, const struct wf_queued *step);
bool wfp_end_step(struct wf *f, int64_t run, const struct wf_over *step);
bool wfp_begin_wait(struct wf *f, int64_t run, const struct wf_wait *wait);
bool wfp_end_wait(struct wf *f, int64_t run, int seq, const char *error);
bool wfp_hurry(struct wf *f, int64_t run, int seq);
bool wfp_revive(struct wf *f, int64_t run, int seq);
bool wfp_cancel_steps(struct wf *f, int64_t run, enum wf_step_state from);
bool wfp_queued(struct wf *f, int64_t run, struct wf_ids *jobs);
int wfp_planned(struct wf *f, int64_t run, int from, const char *role, int *seq, struct buf *out);
bool wfp_members(struct wf *f, int64_t run, void (*each)(void *arg, const struct wf_member_row *m),
                 void *arg);
int wfp_waiting(struct wf *f, int64_t run, struct str signal, int *seq);
int wfp_failed(struct wf *f, int64_t job, int64_t *run, int *seq);
int wfp_keep_signal(struct wf *f, int64_t run, struct str name, struct str data, struct str who);
int wfp_take_signal(struct wf *f, int64_t run, struct str name, struct buf *data, struct buf *who,
                    int64_t *at);
bool wfp_drop_signals(struct wf *f, int64_t run);

/* workflow/postgres_time.c */
bool wfp_due(struct wf *f, struct wf_ref *list, int most, int *count, int64_t *next);
bool wfp_strays(struct wf *f, struct wf_stray *list, int most, int *count);
bool wfp_expired(struct wf *f, enum workflow_state state, int64_t before, int limit,
                 struct wf_ids *ids);
bool wfp_remove(struct wf *f, int64_t run);
int wfp_retry(struct wf *f, int64_t job);
void wfp_cancel(struct jobs *jobs, const int64_t *ids, size_t count);

extern const struct wf_store wf_postgres;

/* workflow/postgres_look.c */
void wfp_query(struct jobs *jobs, struct workflow_query *query);
