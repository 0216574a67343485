/* fts_logs.c -- how much of the log there is room for. */
#include "base/mem.h"
#include "search/fts.h"

struct cutting {
    struct search_index *index;
    int64_t bytes, cut;
};

/* From the newest line back, where the sum of bytes goes over the bound. */
static bool find_cut(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct cutting *c = arg;
    struct buf sql = {0};
    buf_printf(&sql,
               "select \"f_at\" from (select \"f_at\", sum(\"f_bytes\") over (order by rowid desc) "
               "as s from d%lld) where s > ?1 limit 1",
               (long long)c->index->number);
    sqlite3_stmt *stmt = sqlite_prepared(conn, sql.p, err);
    buf_free(&sql);
    if (!stmt)
        return false;
    sqlite3_bind_int64(stmt, 1, c->bytes);
    int rc = sqlite_step(conn, stmt, err);
    if (rc == SQLITE_ROW)
        c->cut = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

int64_t fts_log_cut(struct search *search, struct search_index *index)
{
    struct fts *fts = (struct fts *)search;
    struct cutting c = {index, search->options.logs_bytes, -1};
    struct err err;
    if (fts_is_ready(index) && !sqlite_read_wait(fts->db, find_cut, &c, &err))
        return -1;
    return c.cut;
}
