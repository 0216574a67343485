/* series_private.h -- what the files of the series store share. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "series/duckdb.h"
#include "series/series.h"

enum {
    SERIES_NAME_BYTES = 63,
    SERIES_PARAMS = SERIES_COLUMNS + 8,
    SERIES_TABLE_COLUMNS = 4 * SERIES_COLUMNS, /* with the unseen ones */
    SERIES_OPEN_WAIT_MS = 2000,                /* for a predecessor's lock on the file */
};

enum series_state { SERIES_UNSEEN, SERIES_READY, SERIES_REFUSED };

/* A declaration.  Held by the store's map and by every call under way. */
struct series {
    int refs; /* atomic */
    /* immutable */
    char *plugin, *name;
    char *table; /* "plugin__name", safe between double quotes */
    char **keys, **values;
    int key_count, value_count;
    int64_t retention_ns;
    /* written by the writing connection, then state (atomic, release) */
    struct err err;   /* why REFUSED */
    int layout_count; /* columns of the table behind `at` … */
    int *layout;      /* … each: n = keys[n], key_count + n = values[n], -1 = an unseen value */
    int state;
};

struct series_conn {
    struct series_store *store;
    duck_connection con; /* NULL until first used */
};

struct series_store {
    struct series_options options; /* strings are ours */
    /* under lock */
    pthread_mutex_t lock;
    struct map *declared; /* "plugin/name" → struct series */
    /* under open_lock */
    pthread_mutex_t open_lock;
    bool loaded;
    duck_database db;
    struct duckdb api;         /* constant once db is there */
    struct series_conn *conns; /* the first one writes */
    struct gate *writer, *readers;
    struct gate_item warm;
    bool warmed; /* atomic */
};

/* series_conn.c */
bool conn_ready(struct series_conn *conn, struct err *err);
void conn_close_all(struct series_store *store);
/* Runs a statement without values or results. */
bool conn_exec(struct series_conn *conn, const char *sql, int64_t *changed, struct err *err);

struct param {
    bool is_text;
    int64_t number;
    struct str text;
};
struct query {
    struct buf sql;
    struct param params[SERIES_PARAMS];
    int count;
};
void query_text(struct query *q, struct str text);  /* adds "$n" and its value */
void query_number(struct query *q, int64_t number); /* adds "$n" and its value */
/* Runs q and frees it; each chunk goes to `take`, which may stop with false and *err. */
bool query_run(struct series_conn *conn, struct query *q,
               bool (*take)(void *arg, const struct duckdb *api, duck_chunk chunk, struct err *err),
               void *arg, struct err *err);
struct str duck_text_str(const duck_text *text);

/* series_table.c */
void series_ref(struct series *s);
void series_unref(struct series *s);
struct series *series_find(struct series_store *store, const char *plugin, struct str name,
                           struct err *err); /* a reference, or NULL */
/* Writing connection: makes or changes the table; false when refused. */
bool series_ensure(struct series_conn *conn, struct series *s, struct err *err);

/* series_append.c, series_read.c */
bool series_do_append(struct series_conn *conn, struct series_call *call);
bool series_do_read(struct series_conn *conn, struct series_call *call);
