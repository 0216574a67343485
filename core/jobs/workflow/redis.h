/* workflow/redis.h -- runs of workflows in Redis; known to workflow/redis*.c and redis/ only.
 *
 * A run is
 *   P wf:<id>      hash: its fields, v (its version: how many decisions were written), by (the
 *                  last one's token), sig (the number of the last signal that was kept)
 *   P wf:<id>:s    hash: a step's number → its row
 *   P wf:<id>:g    hash: a signal's number → its row, while nobody waited for it
 *   P wf:<id>:w    hash: a waiting step's number → the signal
 * and is found by
 *   P wf:next, P wf:all, P wf:live     the last id; zsets of ids by themselves: all, unfinished
 *   P wf:name:<name>                   zset, likewise
 *   P wf:waiting                       set of runs that only wait
 *   P wf:over:<state>                  zset: id → when it finished (s)
 *   P wf:due                           zset: "run:step" → when its wait is over (s)
 *   P wf:key:<plugin>\n<name>\n<key>   the unfinished run that has the key
 *   P wf:stray                         zset: jobs of steps whose end no decision has seen
 *
 * A decision reads rows as it needs them, and changes them here; commit() brings all of it to
 * redis/decide.lua, which writes it if nobody has written to the run since.  So what lies in
 * Redis is always what one decision left, and what the next begins with.
 */
#pragma once

#include "jobs/redis/record.h"
#include "jobs/workflow/private.h"

enum {
    WFR_NAME,
    WFR_AWAIT,
    WFR_NEXT,
    WFR_OTHERWISE,
    WFR_ON_ERROR,
    WFR_SPEC, /* of a planned one; of a graph's: the step before; of number 0: the input */
    WFR_ERROR,
    WFR_RESULT,
    WFR_TEXTS
};

enum { WFR_PATIENCE_MS = 5000 }; /* with a Redis that is away */

struct wfr_row {
    int seq, state, attempt, version;
    int64_t job, at, started, ended, woke, due; /* wall, ns */
    struct buf text[WFR_TEXTS];
    bool dirty;
};

/* A command's words; texts live as long as the decision. */
struct wfr_words {
    const char **p;
    size_t *n;
    int count, cap;
};

/* The writer's view: of the batch, then of one decision. */
struct wfr {
    struct redis_record *rec;
    struct redis **conn;
    /* the decision's */
    struct arena *arena; /* NULL until something is kept */
    int64_t run;         /* 0: it is about none */
    char version[24];    /* of the run as it was read; empty: it is new */
    struct str key;      /* where its key is; empty: it has none */
    bool claims_key;     /* the key is to be its own */
    enum workflow_state was;
    bool was_waiting, gone;
    int64_t signals; /* the last number */
    struct wfr_row **rows;
    size_t row_count, row_cap;
    struct index by_seq;    /* rows, by their number plus one */
    bool whole;             /* all rows are here */
    struct wfr_words words; /* the commands, each with its count before it */
    int commands;
    struct str retry[6]; /* arguments of redis/retry.lua; p NULL: none */
    struct claim *claim; /* of the job whose end it is */
};

static inline struct wfr *wfr_of(const struct wf *f)
{
    return f->record;
}

extern const struct wf_store wf_redis;

/* workflow/redis.c */
struct str wfr_keep(struct wfr *w, struct str text);                 /* a copy for this decision */
void wfr_word(struct wfr *w, struct wfr_words *to, struct str text); /* copied */
void wfr_int(struct wfr *w, struct wfr_words *to, int64_t value);
/* One command.  types: k struct str, a key or word; i int64_t; t wall time in ns as a score. */
void wfr_do(struct wfr *w, const char *command, const char *types, ...);
struct str wfr_key(struct wfr *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* After a call that failed: whether it is worth another try, by a steady time in ns; then it has
 * waited a moment, and a broken connection is given up. */
bool wfr_again(struct wfr *w, struct err *err, int64_t until);
/* A read, or what may happen twice.  NULL with f->err. */
redisReply *wfr_ask(struct wf *f, const char *format, ...);

/* workflow/redis_step.c: operations of struct wf_store */
struct wfr_row *wfr_row(struct wf *f, int seq, bool make); /* NULL: there is none, or f->err */
bool wfr_rows(struct wf *f);                               /* all of them, in order */
void wfr_row_write(const struct wfr_row *row, struct buf *out);
bool wfr_row_read(struct wfr_row *row, struct str text);
void wfr_row_free(struct wfr_row *row);
int wfr_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step);
bool wfr_put_input(struct wf *f, int64_t run, struct str input);
bool wfr_input(struct wf *f, int64_t run, struct buf *out);
bool wfr_plan(struct wf *f, int64_t run, int seq, struct str name, const char *role,
              struct str spec);
bool wfr_queue(struct wf *f, int64_t run, const struct wf_queued *step);
bool wfr_end_step(struct wf *f, int64_t run, const struct wf_over *step);
bool wfr_begin_wait(struct wf *f, int64_t run, const struct wf_wait *wait);
bool wfr_end_wait(struct wf *f, int64_t run, int seq, const char *error);
bool wfr_hurry(struct wf *f, int64_t run, int seq);
bool wfr_revive(struct wf *f, int64_t run, int seq);
bool wfr_cancel_steps(struct wf *f, int64_t run, enum wf_step_state from);
bool wfr_queued(struct wf *f, int64_t run, struct wf_ids *jobs);
int wfr_planned(struct wf *f, int64_t run, int from, const char *role, int *seq, struct buf *out);
bool wfr_members(struct wf *f, int64_t run, void (*each)(void *arg, const struct wf_member_row *m),
                 void *arg);
int wfr_waiting(struct wf *f, int64_t run, struct str signal, int *seq);
int wfr_failed(struct wf *f, int64_t job, int64_t *run, int *seq);
int wfr_keep_signal(struct wf *f, int64_t run, struct str name, struct str data, struct str who);
int wfr_take_signal(struct wf *f, int64_t run, struct str name, struct buf *data, struct buf *who,
                    int64_t *at);
bool wfr_drop_signals(struct wf *f, int64_t run);

/* workflow/redis_time.c: what time and the record bring */
bool wfr_due(struct wf *f, struct wf_ref *list, int most, int *count, int64_t *next);
bool wfr_expired(struct wf *f, enum workflow_state state, int64_t before, int limit,
                 struct wf_ids *ids);
bool wfr_strays(struct wf *f, struct wf_stray *list, int most, int *count);

/* workflow/redis_commit.c */
int wfr_commit(struct wf *f);
void wfr_reset(struct wfr *w); /* the next decision begins; a claim is let go of */

/* A signal's row: its fields borrowed from text. */
struct wfr_signal {
    struct str name, data, who;
    int64_t at;
};
void wfr_signal_write(const struct wfr_signal *s, struct buf *out);
bool wfr_signal_read(struct wfr_signal *s, struct str text);

/* The next piece "bytes:text" of a row; false: there is none. */
bool wfr_piece(struct str *rest, struct str *piece);
void wfr_add_piece(struct buf *out, struct str piece);
