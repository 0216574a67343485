/* series.h -- time series: points (at, keys…, values…) in DuckDB or PostgreSQL.
 *
 * DuckDB is loaded at run time and opened at the first use, on a pool thread,
 * so that neither a missing library nor its opening time concerns start-up; a
 * missing library answers every call with an error that says what to install.
 * PostgreSQL is connected to in the same way, on threads of our own; one that
 * is away answers every call with an error, at once, until it is back.
 * One connection appends, a few read.  What append answered for is on disk.
 *
 * A series is the table "<plugin>__<name>": at TIMESTAMP (UTC, microseconds),
 * the keys as text, the values as doubles (NaN in a frame = NULL).  The same
 * keys and time may occur again; order is by time, then by arrival.
 *
 * Threads: any.  A call is its caller's struct, borrowed until `done`.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/pool.h"
#include "storage/gate.h"

struct series;
struct series_store;

struct rows;
struct value;

enum {
    SERIES_QUERY_ROWS = 1000, /* rows a question in SQL is answered with unless it says otherwise */
    SERIES_QUERY_ROWS_MAX = 100000,  /* …and at most */
    SERIES_QUERY_BYTES = 16 << 20,   /* text in them */
    SERIES_PARQUET_BYTES = 32 << 20, /* of a file that is handed over in memory */
    SERIES_QUERY_PARAMS = 32,
    SERIES_QUERY_MS = 10000,
    SERIES_QUERY_MS_MAX = 60000,
    SERIES_POINTS = 100000,      /* points a call returns unless it says otherwise */
    SERIES_POINTS_MAX = 2000000, /* …and at most */
    SERIES_COLUMNS = 32,         /* keys and values together */
    SERIES_APPEND_ROWS = 1000000,
    SERIES_TEXT_BYTES = 4096, /* longest key text */
};

struct series_options {
    const char *library;    /* path of libduckdb.so; NULL = beside the binary, then the system's */
    const char *path;       /* database file */
    const char *export_dir; /* made when needed */
    int64_t memory_bytes;   /* DuckDB's memory_limit; 0 = 256 MiB */
    int threads;            /* DuckDB's threads; 0 = 2 */
    int readers;            /* reading connections; 0 = 2 */
    const char *url;        /* of PostgreSQL; NULL = DuckDB, which then only writes Parquet */
    struct pool *pool;      /* outlives the store */
};

/* What a plugin declares; strings are copied. */
struct series_schema {
    const char *name;
    char *const *keys;
    char *const *values;
    int key_count, value_count;
    int64_t retention_ns; /* 0 = kept */
};

/* Opens nothing yet.  NULL with *err when the URL is none. */
struct series_store *series_create(const struct series_options *options, struct err *err);
/* Lets running calls finish, answers waiting ones ERR_CLOSED, closes what is open. */
void series_destroy(struct series_store *store);

/* Declares the series of a plugin.  Names are [a-z][a-z0-9_]*, series without
 * "__"; columns may not be called "at", "n" or "counts".  New value columns are added to
 * the table, ones that went away stay in it unseen (a rolled back generation
 * finds them again); other keys are refused: with *err when the table is known
 * already, else every call of that series answers so once it has been seen.
 * check_only changes nothing. */
bool series_declare(struct series_store *store, const char *plugin,
                    const struct series_schema *schemas, int count, bool check_only,
                    struct err *err);
/* Starts opening DuckDB, or connecting, on the pool, so that the first call need not wait. */
void series_warm(struct series_store *store);
/* Drops points older than their series' retention, and makes partitions for what comes;
 * failures are logged.  done(arg, points) comes on the lane.  For a daily timer. */
void series_expire(struct series_store *store, struct lane *lane,
                   void (*done)(void *arg, int64_t dropped), void *arg);

/* Columns of points, one block of memory. */
struct series_frame {
    int64_t n;
    int key_count, value_count;
    const char **key_names, **value_names;
    int64_t *at_us;
    struct str **keys; /* keys[column][row] */
    double **values;   /* values[column][row], NaN = missing */
    int64_t *counts;   /* downsample: points in each step, else NULL */
};
void series_frame_free(struct series_frame *frame);

enum series_op {
    SERIES_APPEND,
    SERIES_LATEST,
    SERIES_WINDOW,
    SERIES_DOWNSAMPLE,
    SERIES_STATS,
    SERIES_EXPORT,
    SERIES_QUERY,
    SERIES_PARQUET
};
enum series_agg { SERIES_MEAN, SERIES_MIN, SERIES_MAX, SERIES_LAST, SERIES_SUM };

/* Of a column of rows.  A TIME is a double, seconds since 1970. */
enum series_type {
    SERIES_TEXT = 't',
    SERIES_INTEGER = 'i',
    SERIES_NUMBER = 'n',
    SERIES_BOOLEAN = 'b',
    SERIES_TIME = '@'
};
enum { SERIES_QUERY_COLUMNS = 256 };

struct series_where {
    struct str key, value; /* key = one of the series' keys */
};

#define SERIES_NO_TIME INT64_MIN

struct series_call {
    struct lane_message message; /* private, first */
    /* set by the caller */
    const char *plugin;
    struct str name;
    enum series_op op;
    struct series_frame *rows; /* APPEND: columns in the declaration's order */
    const struct series_where *where;
    int where_count;
    int64_t from_us, to_us; /* from <= at < to, or SERIES_NO_TIME; LATEST: from = since */
    int64_t last;           /* WINDOW: newest points of each line; 0 = all */
    int64_t limit;          /* the first so many points; 0: SERIES_POINTS, and more are ERR_LIMIT */
    int64_t step_us;        /* DOWNSAMPLE */
    enum series_agg agg;
    struct str sql; /* QUERY: one SELECT over this plugin's series, each a table of its name */
    const struct value *params; /* QUERY: of $1 … */
    int param_count;
    int64_t timeout_ms; /* QUERY: 0 = SERIES_QUERY_MS; from series_ask(), waiting included */
    void (*done)(struct series_call *call); /* lane */
    /* result */
    struct err err;
    struct series_frame *frame; /* LATEST, WINDOW, DOWNSAMPLE: the owner's */
    int64_t count;              /* APPEND: rows; STATS: points */
    int64_t lines;              /* STATS */
    int64_t first_us, last_us;  /* STATS, SERIES_NO_TIME when empty */
    char *path;                 /* EXPORT: the owner's (mem_free) */
    struct rows *table;         /* QUERY: the owner's (rows_free); PARQUET: what is to be written */
    char types[SERIES_QUERY_COLUMNS + 1]; /* of the table: enum series_type for each column */
    bool more;                            /* QUERY: there were more than limit rows */
    char *bytes;                          /* PARQUET: a file's, the owner's (mem_free) */
    size_t byte_count;
    /* private */
    struct lane *lane;
    struct series_store *store;
    struct series *series;
    struct gate_item item;
    struct series **tables; /* QUERY: the plugin's */
    int table_count;
    int cancelled;         /* atomic */
    struct timer patience; /* of a question */
    int64_t deadline_ns;   /* steady */
    bool waits, late;      /* for its turn; its time is over: under the store's lock */
    bool timed;            /* patience was started */
};
void series_run(struct series_store *store, struct series_call *call, struct lane *lane);
/* SERIES_QUERY and SERIES_PARQUET, which are of no one series; one is asked at a time, plugins take
 * turns.  One that waits too long for its turn is answered in time when the lane is the calling
 * one. A question is read only and sees nothing but the declared columns of the plugin's own
 * series; errors say where in the SQL. */
void series_ask(struct series_store *store, struct series_call *call, struct lane *lane);
/* Nobody waits for its answer any more: a question may end early, `done` comes all the same. */
void series_cancel(struct series_call *call);
/* An empty frame for SERIES_APPEND with the declared columns, room for n rows
 * and for text_bytes of key text at *text; NULL with *err (ERR_NOT_FOUND) when
 * the series is not declared. */
struct series_frame *series_rows(struct series_store *store, const char *plugin, struct str name,
                                 int64_t n, size_t text_bytes, char **text, struct err *err);
