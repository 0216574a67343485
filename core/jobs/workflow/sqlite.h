/* workflow/sqlite.h -- the embedded store's operations; known to workflow/sqlite*.c only. */
#pragma once

#include "jobs/workflow/private.h"

/* Statements.  types: i int64_t, s struct str (p NULL: null). */
sqlite3_stmt *wfs_query(struct wf *f, const char *sql, const char *types, ...);
bool wfs_exec(struct wf *f, const char *sql, const char *types, ...);
/* Steps it: 1 a row, 0 none any more, -1 with f->err (s may be NULL); after 0 and -1 it is reset.
 */
int wfs_found(struct wf *f, sqlite3_stmt *s);
struct str wfs_column(sqlite3_stmt *s, int i);
char *wfs_column_dup(sqlite3_stmt *s, int i); /* NULL for an empty one */
struct str wfs_nullable(struct str text);     /* empty is null */

/* As in struct wf_store. */
int wfs_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step);
bool wfs_put_input(struct wf *f, int64_t run, struct str input);
bool wfs_input(struct wf *f, int64_t run, struct buf *out);
bool wfs_plan(struct wf *f, int64_t run, int seq, struct str name, const char *role,
              struct str spec);
bool wfs_queue(struct wf *f, int64_t run, const struct wf_queued *step);
bool wfs_end_step(struct wf *f, int64_t run, const struct wf_over *step);
bool wfs_begin_wait(struct wf *f, int64_t run, const struct wf_wait *wait);
bool wfs_end_wait(struct wf *f, int64_t run, int seq, const char *error);
bool wfs_revive(struct wf *f, int64_t run, int seq);
bool wfs_cancel_steps(struct wf *f, int64_t run, enum wf_step_state from);
bool wfs_queued(struct wf *f, int64_t run, struct wf_ids *jobs);
int wfs_planned(struct wf *f, int64_t run, int from, const char *role, int *seq, struct buf *out);
bool wfs_members(struct wf *f, int64_t run, void (*each)(void *arg, const struct wf_member_row *m),
                 void *arg);
int wfs_waiting(struct wf *f, int64_t run, struct str signal, int *seq);
int wfs_failed(struct wf *f, int64_t job, int64_t *run, int *seq);
int wfs_keep_signal(struct wf *f, int64_t run, struct str name, struct str data, struct str who);
int wfs_take_signal(struct wf *f, int64_t run, struct str name, struct buf *data, struct buf *who,
                    int64_t *at);
bool wfs_drop_signals(struct wf *f, int64_t run);
void wfs_query_run(struct jobs *jobs, struct workflow_query *query);
