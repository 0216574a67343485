/* carry_private.h -- what carry.c and carry_take.c share. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "storage/carry.h"
#include "storage/sqlite.h"

enum { CARRY_NOUNS = 4 };

/* A plugin whose rows are brought over; control lane, but `wanted`. */
struct carried {
    struct carry *carry;
    char *plugin, *claim_sql, *delete_sql;
    bool wanted; /* under carry->lock: a transaction has committed */
    bool busy;
    bool made;           /* the table is there, or is said to be */
    int fails;           /* in a row */
    int64_t again_ns;    /* steady clock: a pause after a failure ends */
    int64_t after, last; /* seq: this round begins behind it; the last one claimed */
    bool full;           /* of this round: there may be more behind it */
    struct timer timer;
    struct store_call call;
    struct value values[CARRY_ROWS];
    struct rows *rows;
    struct carry_row items[CARRY_ROWS];
    bool over[CARRY_ROWS];      /* it may go */
    int count, at, from, until; /* from … until: in this transaction */
    bool alone;                 /* each in a transaction of its own: one of them failed together */
    int under_way;              /* begun, and not carry_done() */
    struct store_tx tx;
    bool open, ended;
    struct sqlite_write mark;
    struct err err;    /* of this transaction */
    struct err failed; /* the last since a round began with the first row */
};

struct carry {
    struct carry_options options;
    struct sqlite *db;
    char home[CARRY_ID_BYTES]; /* a UUID that this state.dir got once */
    struct carry_noun nouns[CARRY_NOUNS];
    int noun_count;
    bool stopped;
    pthread_mutex_t lock;
    struct map *plugins; /* struct carried by name; under lock */
    bool posted;         /* under lock */
    struct lane_message message;
};

/* carry_take.c */
void carried_begin(struct carried *c);
