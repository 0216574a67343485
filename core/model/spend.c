/* spend.c -- what was spent, in the host's own database: maru_model_spend. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "model/private.h"
#include "observe/log.h"
#include "storage/sqlite.h"

enum { DAYS_KEPT = 400 };

static const char schema[] =
    "create table if not exists maru_model_spend(day integer not null, plugin text not null, "
    "source text not null, requests integer not null, failures integer not null, "
    "tokens_in integer not null, tokens_out integer not null, cost real not null, "
    "primary key(day, plugin, source)) without rowid";

static struct str column(sqlite3_stmt *stmt, int i)
{
    return str_n((const char *)sqlite3_column_text(stmt, i), (size_t)sqlite3_column_bytes(stmt, i));
}

static bool read_today(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct model *model = arg;
    sqlite3_stmt *stmt =
        sqlite_prepared(conn,
                        "select plugin, source, requests, failures, tokens_in, tokens_out, cost "
                        "from maru_model_spend where day = ?1",
                        err);
    if (!stmt)
        return false;
    sqlite3_bind_int64(stmt, 1, model->day);
    int rc;
    while ((rc = sqlite_step(conn, stmt, err)) == SQLITE_ROW) {
        struct spent *row = budget_row(model, column(stmt, 0), column(stmt, 1));
        row->requests = sqlite3_column_int64(stmt, 2);
        row->failures = sqlite3_column_int64(stmt, 3);
        row->tokens_in = sqlite3_column_int64(stmt, 4);
        row->tokens_out = sqlite3_column_int64(stmt, 5);
        row->cost = sqlite3_column_double(stmt, 6);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE;
}

bool spend_open(struct model *model, struct err *err)
{
    char old[96];
    budget_follow_day(model);
    if (!model->db)
        return true;
    snprintf(old, sizeof old, "delete from maru_model_spend where day < %lld",
             (long long)model->day - DAYS_KEPT);
    return sqlite_exec_wait(model->db, schema, err) && sqlite_exec_wait(model->db, old, err) &&
           sqlite_read_wait(model->db, read_today, model, err);
}

struct write {
    struct sqlite_write write; /* first */
    struct spent more;
    int64_t day;
    void (*written)(void *arg);
    void *arg;
};

static bool add_row(struct sqlite_conn *conn, struct sqlite_write *write)
{
    struct write *w = (struct write *)write;
    sqlite3_stmt *stmt = sqlite_prepared(
        conn,
        "insert into maru_model_spend(day, plugin, source, requests, failures, tokens_in, "
        "tokens_out, cost) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) on conflict do update set "
        "requests = requests + excluded.requests, failures = failures + excluded.failures, "
        "tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + "
        "excluded.tokens_out, cost = cost + excluded.cost",
        &write->err);
    if (!stmt)
        return false;
    sqlite3_bind_int64(stmt, 1, w->day);
    sqlite3_bind_text(stmt, 2, w->more.plugin, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, w->more.source, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, w->more.requests);
    sqlite3_bind_int64(stmt, 5, w->more.failures);
    sqlite3_bind_int64(stmt, 6, w->more.tokens_in);
    sqlite3_bind_int64(stmt, 7, w->more.tokens_out);
    sqlite3_bind_double(stmt, 8, w->more.cost);
    int rc = sqlite_step(conn, stmt, &write->err);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE;
}

static void on_written(struct sqlite_write *write)
{
    struct write *w = (struct write *)write;
    if (write->err.code)
        log_error("model", "what was spent is not on disk: %s", write->err.message);
    if (w->written)
        w->written(w->arg);
    mem_free(w->more.plugin);
    mem_free(w->more.source);
    mem_free(w);
}

void spend_add(struct model *model, const struct spent *more, struct lane *lane,
               void (*written)(void *arg), void *arg)
{
    budget_follow_day(model);
    struct spent *row = budget_row(model, str_c(more->plugin), str_c(more->source));
    row->requests += more->requests;
    row->failures += more->failures;
    row->tokens_in += more->tokens_in;
    row->tokens_out += more->tokens_out;
    row->cost += more->cost;
    if (!model->db) {
        if (written)
            lane_call(lane, written, arg);
        return;
    }
    struct write *w = mem_zero(1, sizeof *w);
    w->more = *more;
    w->more.plugin = mem_strdup(more->plugin);
    w->more.source = mem_strdup(more->source);
    w->day = model->day;
    w->written = written;
    w->arg = arg;
    w->write.work = add_row;
    w->write.done = on_written;
    sqlite_write(model->db, &w->write, written ? lane : NULL);
}

static bool nothing(struct sqlite_conn *conn, void *arg, struct err *err)
{
    (void)conn;
    (void)arg;
    (void)err;
    return true;
}

/* The writer takes its works in order: behind this one all are written. */
void spend_close(struct model *model)
{
    struct err err = {0};
    if (model->db && !sqlite_work_wait(model->db, nothing, NULL, &err))
        log_error("model", "%s", err.message);
}
