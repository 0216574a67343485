/* look.h -- a look at jobs under way.  Known to query*.c only, but for the last; pool thread. */
#pragma once

#include "jobs/picks.h"
#include "jobs/private.h"
#include "jobs/search.h"

struct look {
    struct sqlite_read read; /* first */
    struct jobs *jobs;
    struct jobs_query *query;
    struct search search;
    struct picks picks;
    int64_t after_key, after_id;
    int64_t floor; /* keys over it were not all looked at */
};

/* Whether the look is to list jobs in this state. */
bool look_wants(const struct jobs_query *query, enum job_state state);
/* Counts a match, and picks it if it is asked for. */
void look_offer(struct look *look, enum job_state state, int64_t key, int64_t id,
                enum pick_source source);
/* Whether a job of the history matches by its names; lock held. */
bool look_matches(const struct look *look, const struct fin_record *record);
void look_separate(struct buf *out);

/* query_rows.c.  Offers the rows of JOB_DEAD or JOB_DONE, for so long; false with read.err. */
bool look_table(struct sqlite_conn *conn, struct look *look, enum job_state state);
/* Offers ended jobs whose arguments match and whose names and result do not. */
bool look_kept(struct sqlite_conn *conn, struct look *look);
/* One of these, if it is still there. */
bool look_print_row(struct sqlite_conn *conn, struct look *look, int64_t id, enum job_state state);
/* One that the history knows, with its arguments if its row is still there. */
bool look_print_ended(struct sqlite_conn *conn, struct look *look, const struct fin_record *record);
/* Ids that a search found (jobs_query.ids_of): rising, each once.  Any thread. */
void look_sort_ids(struct buf *ids);
