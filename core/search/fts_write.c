/* fts_write.c -- documents in and out, on the writer's thread.
 *
 * FTS5 keeps no text of its own, so that whoever changes a row tells it what
 * stood there before. */
#include "base/mem.h"
#include "search/fts.h"

enum { DELETE_SLICE = 2000 }; /* documents of one write: nobody else's waits for more */

struct fts_task {
    struct sqlite_write write; /* first */
    struct fts *fts;
    struct search_call *call;
    int64_t changed, slice;
};

/* The text columns of row d, as "old" of an FTS5 delete. */
static void add_words(struct buf *sql, const struct search_index *index, const char *before)
{
    for (int i = 0; i < index->field_count; i++)
        if (index->fields[i].type == SEARCH_TEXT)
            buf_printf(sql, ", %s\"f_%s\"", before, index->fields[i].name);
}

static sqlite3_stmt *prepare(struct sqlite_conn *conn, struct buf *sql, struct err *err)
{
    sqlite3_stmt *stmt = sqlite_prepared(conn, sql->p, err);
    buf_free(sql);
    return stmt;
}

/* Runs a statement with one number. */
static bool run_for(struct sqlite_conn *conn, struct buf *sql, int64_t rowid, struct err *err)
{
    sqlite3_stmt *stmt = prepare(conn, sql, err);
    if (!stmt)
        return false;
    sqlite3_bind_int64(stmt, 1, rowid);
    int rc = sqlite_step(conn, stmt, err);
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE;
}

/* The row's words leave f. */
static bool forget_words(struct sqlite_conn *conn, const struct search_index *index, int64_t rowid,
                         struct err *err)
{
    struct buf sql = {0};
    long long n = (long long)index->number;
    buf_printf(&sql, "insert into f%lld(f%lld, rowid", n, n);
    add_words(&sql, index, "");
    buf_add_c(&sql, ") select 'delete', rowid");
    add_words(&sql, index, "");
    buf_printf(&sql, " from d%lld where rowid = ?1", n);
    return run_for(conn, &sql, rowid, err);
}

static bool learn_words(struct sqlite_conn *conn, const struct search_index *index, int64_t rowid,
                        struct err *err)
{
    struct buf sql = {0};
    long long n = (long long)index->number;
    buf_printf(&sql, "insert into f%lld(rowid", n);
    add_words(&sql, index, "");
    buf_add_c(&sql, ") select rowid");
    add_words(&sql, index, "");
    buf_printf(&sql, " from d%lld where rowid = ?1", n);
    return run_for(conn, &sql, rowid, err);
}

/* The document's row, 0 when there is none, -1 with *err. */
static int64_t row_of(struct sqlite_conn *conn, const struct search_index *index, struct str id,
                      struct err *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "select rowid from d%lld where id = ?1", (long long)index->number);
    sqlite3_stmt *stmt = prepare(conn, &sql, err);
    if (!stmt)
        return -1;
    sqlite3_bind_text(stmt, 1, id.p, (int)id.n, SQLITE_STATIC);
    int rc = sqlite_step(conn, stmt, err);
    int64_t rowid = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : rc == SQLITE_DONE ? 0 : -1;
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rowid;
}

static void write_row(struct buf *sql, const struct search_index *index, bool update)
{
    long long n = (long long)index->number;
    buf_printf(sql, update ? "update d%lld set id = ?1" : "insert into d%lld(id", n);
    for (int i = 0; i < index->field_count; i++) {
        buf_printf(sql, ", \"f_%s\"", index->fields[i].name);
        if (update)
            buf_printf(sql, " = ?%d", i + 2);
    }
    if (update) {
        buf_printf(sql, " where rowid = ?%d", index->field_count + 2);
        return;
    }
    buf_add_c(sql, ") values (?1");
    for (int i = 0; i < index->field_count; i++)
        buf_printf(sql, ", ?%d", i + 2);
    buf_add_char(sql, ')');
}

static bool put(struct sqlite_conn *conn, const struct search_index *index,
                const struct search_doc *doc, struct err *err)
{
    struct buf sql = {0};
    int64_t rowid = row_of(conn, index, doc->id, err);
    bool update = rowid > 0;
    if (rowid < 0 || (update && !forget_words(conn, index, rowid, err)))
        return false;
    write_row(&sql, index, update);
    sqlite3_stmt *stmt = prepare(conn, &sql, err);
    if (!stmt)
        return false;
    sqlite3_bind_text(stmt, 1, doc->id.p, (int)doc->id.n, SQLITE_STATIC);
    for (int i = 0; i < index->field_count; i++)
        fts_bind(stmt, i + 2, &doc->values[i]);
    if (update)
        sqlite3_bind_int64(stmt, index->field_count + 2, rowid);
    int rc = sqlite_step(conn, stmt, err);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    if (!update)
        rowid = sqlite3_last_insert_rowid(conn->db);
    return rc == SQLITE_DONE && learn_words(conn, index, rowid, err);
}

static bool remove_row(struct sqlite_conn *conn, const struct search_index *index, int64_t rowid,
                       struct err *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "delete from d%lld where rowid = ?1", (long long)index->number);
    if (forget_words(conn, index, rowid, err))
        return run_for(conn, &sql, rowid, err);
    buf_free(&sql);
    return false;
}

/* Removes the first of what the filter finds; how many in task->slice. */
static bool remove_slice(struct sqlite_conn *conn, struct fts_task *task, struct err *err)
{
    const struct search_request *r = task->call->parsed;
    struct fts_sql sql = {0};
    int64_t rows[DELETE_SLICE];
    int rc, count = 0;
    buf_add_c(&sql.text, "select d.rowid");
    fts_from(&sql, r, true);
    buf_printf(&sql.text, " limit %d", DELETE_SLICE);
    sqlite3_stmt *stmt = fts_sql_prepare(conn, &sql, err);
    if (!stmt)
        return false;
    while ((rc = sqlite_step(conn, stmt, err)) == SQLITE_ROW)
        rows[count++] = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    bool ok = rc == SQLITE_DONE;
    for (int i = 0; ok && i < count; i++)
        ok = remove_row(conn, r->index, rows[i], err);
    task->slice = count;
    return ok;
}

static bool work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct fts_task *task = (struct fts_task *)w;
    struct search_request *r = task->call->parsed;
    task->slice = 0;
    if (!fts_ensure(conn, r->index, &w->err))
        return false;
    if (r->op == SEARCH_DELETE)
        return remove_slice(conn, task, &w->err);
    for (int i = 0; i < r->doc_count; i++)
        if (!put(conn, r->index, &r->docs[i], &w->err))
            return err_wrap(&w->err, "document \"%.*s\"",
                            (int)(r->docs[i].id.n < 80 ? r->docs[i].id.n : 80), r->docs[i].id.p);
    task->slice = r->doc_count;
    return true;
}

static void committed(struct sqlite_write *w)
{
    struct fts_task *task = (struct fts_task *)w;
    if (w->err.code == ERR_NONE)
        __atomic_store_n(&task->call->parsed->index->state, INDEX_READY, __ATOMIC_RELEASE);
}

static void done(struct sqlite_write *w)
{
    struct fts_task *task = (struct fts_task *)w;
    struct search_call *call = task->call;
    struct fts *fts = task->fts;
    bool ok = w->err.code == ERR_NONE;
    task->changed += task->slice;
    if (ok && call->op == SEARCH_DELETE && task->slice == DELETE_SLICE) {
        sqlite_write(fts->db, w, NULL);
        return;
    }
    call->err = w->err;
    answer_number(&call->answer, task->changed);
    mem_free(task);
    if (ok && (call->op == SEARCH_FIND || call->op == SEARCH_COUNT))
        fts_read(fts, call); /* it had only to see to the tables */
    else
        search_answer(call);
}

void fts_write(struct fts *fts, struct search_call *call)
{
    struct fts_task *task = mem_zero(1, sizeof *task);
    task->write = (struct sqlite_write){.work = work, .committed = committed, .done = done};
    task->fts = fts;
    task->call = call;
    sqlite_write(fts->db, &task->write, NULL);
}
