/* fts.h -- the embedded indexes; shared by fts*.c only.
 *
 * Each index has two tables in search.db: d<number> with a row for each
 * document (its id and a column for each field), and f<number>, FTS5 over the
 * text columns of the first.  The catalogue says which index has which number,
 * of what types its columns are, and which of them are in f<number>.
 */
#pragma once

#include "search/private.h"
#include "storage/sqlite.h"

struct fts {
    struct search search; /* first */
    struct store *store;
    struct sqlite *db;
};

/* fts_words.c: the tokenizer "maru" and the function search_decay(). */
bool fts_opened(sqlite3 *db, struct err *err);

/* fts_table.c */
extern const char fts_schema[];
/* Writer thread: makes or changes the index's tables; false when refused. */
bool fts_ensure(struct sqlite_conn *conn, struct search_index *index, struct err *err);
bool fts_is_ready(const struct search_index *index);

/* fts_sql.c: a statement with its values. */
struct fts_sql {
    struct buf text;
    struct search_value *values;
    int count, cap;
};
void fts_sql_value(struct fts_sql *sql, const struct search_value *value); /* adds "?" */
void fts_sql_number(struct fts_sql *sql, double number);
void fts_sql_text(struct fts_sql *sql, struct str text);
void fts_sql_free(struct fts_sql *sql);
/* Prepared and bound; NULL with *err.  sql is empty again. */
sqlite3_stmt *fts_sql_prepare(struct sqlite_conn *conn, struct fts_sql *sql, struct err *err);
int fts_bind(sqlite3_stmt *stmt, int at, const struct search_value *value);
/* A column's value; text is borrowed until the next step. */
struct search_value fts_column(sqlite3_stmt *stmt, int at, enum search_type type);
/* " from … where …" of the request's query and filter; and whether d is in it. */
void fts_from(struct fts_sql *sql, const struct search_request *r, bool with_d);
void fts_match(struct buf *out, const struct search_index *index, const struct query_node *node);

/* fts_write.c, fts_find.c: start the call's work. */
void fts_write(struct fts *fts, struct search_call *call);
void fts_read(struct fts *fts, struct search_call *call);
