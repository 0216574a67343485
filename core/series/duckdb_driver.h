/* duckdb_driver.h -- what the files of the DuckDB driver share; Parquet files of other drivers too.
 */
#pragma once

#include "series/series_private.h"

/* Opens path (NULL: a database in memory) once, and connects.  False with *err. */
bool duck_connect(struct series_store *store, const char *path, duck_connection *out,
                  struct err *err);
void duck_close(struct series_store *store);
/* Runs a statement without values or results. */
bool conn_exec(struct series_conn *conn, const char *sql, int64_t *changed, struct err *err);

/* Runs q and frees it; each chunk goes to `take`, which may stop with false and *err. */
bool query_run(struct series_conn *conn, struct query *q,
               bool (*take)(void *arg, const struct duckdb *api, duck_chunk chunk, struct err *err),
               void *arg, struct err *err);
bool duck_fail(struct err *err, const char *message); /* its first line; false */
struct str duck_text_str(const duck_text *text);
bool duck_is_valid(const uint64_t *validity, duck_idx row);

bool duck_ensure(struct series_conn *conn, struct series *s, struct err *err);
int64_t duck_expire(struct series_conn *conn, struct series *s, int64_t before_us, struct err *err);
/* create: the statement before the name; the columns are those of s. */
bool duck_create_table(struct series_conn *conn, const char *create, const char *name,
                       const struct series *s, struct err *err);
bool duck_append(struct series_conn *conn, struct series_call *call);
/* Rows into a table with the layout of s. */
bool duck_append_rows(struct series_conn *conn, const struct series *s, const char *table,
                      const struct series_frame *rows, struct err *err);
bool duck_read(struct series_conn *conn, struct series_call *call);
/* A Parquet file of the statement's rows (taken and freed), whole or not there at all: call->path.
 */
bool duck_write_parquet(struct series_conn *conn, struct query *select, struct series_call *call);
bool duck_ask(struct series_conn *conn, struct series_call *call); /* SERIES_QUERY */
/* The rows of call->table into the temporary table "answer". */
bool duck_append_table(struct series_conn *conn, struct series_call *call);
/* Whether a SELECT, as json_serialize_sql() shows it, sees only the tables of the call. */
bool duck_check_tree(struct str tree, const struct series_call *call, struct err *err);
