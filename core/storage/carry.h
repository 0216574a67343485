/* carry.h -- what a transaction brings along where plugins' tables are in another server
 * (store.driver postgres): jobs, events, runs of workflows.
 *
 * Inside the transaction it is a row of maru_outbox in the plugin's schema.  After the commit one
 * process claims the row: that of the transaction at once, any other when nobody has done so for
 * CARRY_ALONE_S (its process died, and does not come back).  What is claimed is a state.dir's alone
 * for as long as it claims it again, which it does in every round.  Its noun brings it over in a
 * transaction of the embedded SQLite, in which the row's id goes into maru_outbox_taken; then the
 * row goes, then the id.  A row that comes again finds its id: so every row is brought over once,
 * whichever of the two dies in between.  One whose state.dir is away for CARRY_LOST_S goes to
 * another: it may have been brought over there, and comes twice when that state.dir is back after
 * all.
 *
 * A noun that is `apart` knows by itself whether a row was brought before, and needs no SQLite.
 *
 * It is tried at the commit, every CARRY_POLL_MS, and after a failure with growing pauses.
 *
 * Threads: carry_insert() the lane of the transaction, all others the control lane.
 */
#pragma once

#include "storage/store.h"

enum {
    CARRY_ALONE_S = 30,
    CARRY_LOST_S = 3600,
    CARRY_POLL_MS = 5000,
    CARRY_ROWS = 50,        /* brought over at once */
    CARRY_BYTES = 16 << 20, /* of one row */
    CARRY_ID_BYTES = 37,    /* a UUID and its end */
    CARRY_PAUSE_MS = 200,   /* after the first failure, doubled by each */
    CARRY_PAUSE_MOST_MS = 30000,
};

struct carry;

struct carry_row {
    const char *plugin;
    struct str id, body;
    bool own;            /* of a transaction of this state.dir's */
    struct store_tx *tx; /* of the embedded SQLite; NULL for a noun that is apart */
    void *state;         /* the noun's */
    /* private */
    struct carried *carried;
};
struct carry_noun {
    const char *name;
    bool apart;
    /* Brings a row over: carry_ran() once, when it is in the transaction (apart: on disk), then
     * carry_done() once, when nothing of the noun's is under way any more.  A transaction may still
     * be rolled back behind carry_ran(): then the row comes again. */
    void (*bring)(struct carry_row *row, void *arg);
    void *arg;
};

struct carry_options {
    struct store *store; /* where plugins' tables are */
    struct store *local; /* the embedded SQLite */
    struct lane *lane;   /* control lane */
};
/* Blocks.  NULL with *err. */
struct carry *carry_open(const struct carry_options *options, struct err *err);
void carry_add(struct carry *carry,
               const struct carry_noun *noun); /* copied; before the first set */
/* This process serves the plugin: what waits there is brought over from now on. */
void carry_follow(struct carry *carry, const char *plugin);
void carry_stop(struct carry *carry); /* nothing new is begun */
bool carry_is_quiet(const struct carry *carry);
/* Once the lanes are gone. */
void carry_close(struct carry *carry);

/* err NULL, or why not: ERR_EXISTS, ERR_INVALID and ERR_LIMIT are the last word about the row,
 * which goes; with any other it is tried again. */
void carry_ran(struct carry_row *row, const struct err *err);
void carry_done(struct carry_row *row);

/* A row on its way into a transaction.  Its memory is the caller's until `ended`. */
struct carry_put {
    void (*ran)(
        struct carry_put *put); /* it is in the transaction, or put->call.err tells why not */
    void (*ended)(struct carry_put *put, bool committed); /* last; also after `ran` with an error */
    char id[CARRY_ID_BYTES];
    /* private */
    struct carry *carry;
    struct store_call call;
    struct store_follower follower;
    struct value values[4];
    char *plugin;
    struct buf body;
};
/* Takes the body, which is text; put->ran and put->ended are set, the id is given.  False with
 * *err: ERR_LIMIT; nothing was begun and the body is freed. */
bool carry_insert(struct carry *carry, struct carry_put *put, struct store_tx *tx, const char *noun,
                  struct buf *body, struct err *err);

/* Fields of a body, one behind the other. */
void carry_text(struct buf *body, struct str text);
void carry_int(struct buf *body, int64_t n);
struct str carry_next(struct str *body); /* empty when there is none */
int64_t carry_next_int(struct str *body);
