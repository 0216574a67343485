/* series_private.h -- what the files of the series store share, and the seam to its drivers. */
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
    char *table; /* safe between double quotes: "plugin__name", or shorter if the driver needs it */
    char **keys, **values;
    int key_count, value_count;
    int64_t retention_ns;
    /* written by the writing connection, then state (atomic, release) */
    struct err err;   /* why REFUSED */
    int layout_count; /* columns of DuckDB's table behind `at` … */
    int *layout;      /* … each: n = keys[n], key_count + n = values[n], -1 = an unseen value */
    int state;
    /* the writing connection's */
    struct series_parts { /* PostgreSQL: partitions that are there as far as is known */
        int64_t width_us;
        int64_t *starts; /* ascending */
        int count;
    } parts;
};

/* One of the connections, for one thread at a time. */
struct series_conn {
    struct series_store *store;
    duck_connection con;  /* DuckDB: NULL until first used */
    struct series_pg *pg; /* PostgreSQL */
};

/* The seam.  All of it on pool threads, each connection for one call at a time; `ensure`,
 * `append` and `expire` on the writing connection only. */
struct series_driver {
    const char *name;
    enum { SERIES_NAME_MOST = 48 } names; /* bytes of the longest table name, 0 = any */
    bool (*open)(struct series_store *store, struct err *err); /* connects nothing yet */
    void (*close)(struct series_store *store);
    bool (*ready)(struct series_conn *conn, struct err *err);
    /* Makes or changes the table; ERR_CONFLICT when it never will be as declared. */
    bool (*ensure)(struct series_conn *conn, struct series *s, struct err *err);
    bool (*append)(struct series_conn *conn, struct series_call *call);
    bool (*read)(struct series_conn *conn, struct series_call *call);
    bool (*ask)(struct series_conn *conn, struct series_call *call); /* SERIES_QUERY */
    /* A connection to DuckDB for Parquet files. */
    bool (*duck)(struct series_conn *conn, struct err *err);
    /* Drops what is older, makes room for what comes; -1 with *err. */
    int64_t (*expire)(struct series_conn *conn, struct series *s, int64_t before_us,
                      struct err *err);
};
extern const struct series_driver series_duckdb, series_postgres;

struct duck {
    pthread_mutex_t lock; /* below */
    bool loaded;
    duck_database db;
    struct duckdb api; /* constant once db is there */
};

struct series_store {
    struct series_options options; /* strings are ours */
    const struct series_driver *driver;
    /* under lock */
    pthread_mutex_t lock;
    struct map *declared; /* "plugin/name" → struct series */
    struct duck duck;
    struct postgres *postgres; /* its driver's */
    struct series_conn *conns; /* the first one writes, the last one asks */
    int conn_count;
    struct pool *pool; /* our own, for a server that may not answer; else NULL */
    struct gate *writer, *readers, *asker;
    struct list lines; /* under lock: plugins whose questions wait (series_turns.c) */
    bool asking;       /* under lock: one is asked */
    struct gate_item warm;
    bool warmed; /* atomic */
};

/* A statement and its values, numbered from $1. */
struct param {
    enum param_type { PARAM_TEXT, PARAM_NUMBER, PARAM_TIME, PARAM_SPAN } type;
    int64_t number; /* TIME: microseconds since 1970; SPAN: microseconds */
    struct str text;
};
struct query {
    struct buf sql;
    struct param params[SERIES_PARAMS];
    int count;
};
void query_add(struct query *q, struct param param); /* adds "$n" and its value */
static inline void query_text(struct query *q, struct str text)
{
    query_add(q, (struct param){.type = PARAM_TEXT, .text = text});
}
static inline void query_number(struct query *q, int64_t number)
{
    query_add(q, (struct param){.type = PARAM_NUMBER, .number = number});
}

/* series_table.c */
void series_ref(struct series *s);
void series_unref(struct series *s);
struct series *series_find(struct series_store *store, const char *plugin, struct str name,
                           struct err *err); /* a reference, or NULL */
/* The plugin's series, ascending by name, with a reference each; the caller frees the list. */
struct series **series_of_plugin(struct series_store *store, const char *plugin, int *count);
int series_index_of(char *const *names, int count, struct str name); /* -1: none of them */
bool series_keys_differ(const struct series *s, struct err *err);    /* false, ERR_CONFLICT */
/* Writing connection: the table is as declared; false when refused. */
bool series_ensure(struct series_conn *conn, struct series *s, struct err *err);
void series_add_names(struct buf *sql, char *const *names, int count, const char *before);

/* series_query.c.  The question within what it may see: "with viewers as (…) select EXPRESSIONS
 * from (SQL) q(c1, …) limit n".  from: what stands before a table's name.  columns 0: all as they
 * are, and no rows.  Returns where the SQL begins. */
size_t series_wrap(struct buf *out, const struct series_call *call, const char *from, int columns,
                   void (*expression)(struct buf *out, int column, void *arg), void *arg);
/* Of the rows that were taken, limit + 1 at most. */
struct rows_builder;
bool series_take_table(struct series_call *call, struct rows_builder *b);
/* Asks, or makes the file; conn NULL: the store is closing.  The answer is in the call. */
void series_ask_now(struct series_call *call, struct series_conn *conn);
/* series_turns.c.  The question's time begins; it waits for its turn, and is asked. */
void series_turn_begin(struct series_call *call);
void series_turn_wait(struct series_call *call);
void series_turns_close(struct series_store *store); /* all who wait are refused */
int64_t series_timeout_ms(const struct series_call *call);
int64_t series_left_ms(const struct series_call *call); /* of it, at least 1 */
/* Gives the call back. */
void series_deliver(struct series_call *call);

/* series.c.  Names of rows that are too long or no text are refused. */
bool series_check_rows(const struct series_frame *f, const struct series *s, struct err *err);
/* One more than wanted, so that more can be noticed. */
int64_t series_row_limit(const struct series_call *call);
/* Whether call->frame may have that many rows. */
bool series_check_count(struct series_call *call, int64_t n);
bool series_is_cancelled(const struct series_call *call);
/* A new file of the series below export_dir; the caller frees it. */
char *series_export_path(const struct series_store *store, const struct series *s);
