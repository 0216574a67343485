#include "jobs/elsewhere.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "jobs/driver.h"
#include "observe/log.h"

enum { COLUMNS = 17 };

/* The comment makes the text nobody's but ours: store_call.host. */
static const char insert_sql[] =
    "/* maru */ insert into maru_job_outbox(home, id, kind, args, queue, priority, retries,"
    " timeout_ns, run_at, uniq, uniq_queued, uniq_replace, uniq_period, key, expires_ns,"
    " result_ttl_ns, trace) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
    " $15, $16, $17)";
static const char delete_sql[] =
    "/* maru */ delete from maru_job_outbox where home = $1 and id = $2";

/* A push on its way: a step there, a commit here, and the row's end there. */
struct elsewhere {
    struct list link; /* jobs->elsewhere, under its lock, until its row is gone */
    struct store_call call;
    struct store_follower follower;
    struct sqlite_write forget;
    struct jobs *jobs;
    struct push_op *op; /* NULL once it was answered */
    struct store *store;
    char *plugin;
    char *text; /* of the values */
    int64_t first_id;
    int count;
    struct value values[];
};

static struct value int_value(int64_t n)
{
    return (struct value){.type = VALUE_INT, .i = n};
}

static struct value text_value(struct str s)
{
    return (struct value){.type = VALUE_TEXT, .s = s.p ? s : STR("")};
}

static void fill_row(struct value *v, const struct jobs *jobs, int64_t id,
                     const struct job_spec *spec, struct str args)
{
    const struct value row[COLUMNS] = {text_value(str_c(jobs->home)),
                                       int_value(id),
                                       text_value(spec->kind),
                                       text_value(args),
                                       text_value(spec->queue),
                                       int_value(spec->priority),
                                       int_value(spec->retries),
                                       int_value(spec->timeout_ns),
                                       int_value(spec->run_at_wall),
                                       text_value(spec->unique),
                                       int_value(spec->unique_queued),
                                       int_value(spec->unique_replace),
                                       int_value(spec->unique_period_ns),
                                       text_value(spec->key),
                                       int_value(spec->expires_ns),
                                       int_value(spec->result_ttl_ns),
                                       text_value(spec->trace)};
    memcpy(v, row, sizeof row);
}

static bool make_tables(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct jobs *jobs = arg;
    static const char tables[] =
        "CREATE TABLE IF NOT EXISTS maru_job_home(home TEXT PRIMARY KEY);"
        "CREATE TABLE IF NOT EXISTS maru_job_taken(id INTEGER PRIMARY KEY)";
    if (!sqlite_exec(conn, tables, err))
        return false;
    sqlite3_stmt *s = sqlite_prepared(conn, "SELECT home FROM maru_job_home", err);
    bool there = s && sqlite_step(conn, s, err) == SQLITE_ROW;
    if (there)
        snprintf(jobs->home, sizeof jobs->home, "%s", (const char *)sqlite3_column_text(s, 0));
    sqlite3_reset(s);
    if (there || !s)
        return there;
    rand_uuid7(jobs->home);
    if (!(s = sqlite_prepared(conn, "INSERT INTO maru_job_home VALUES(?1)", err)))
        return false;
    sqlite3_bind_text(s, 1, jobs->home, -1, SQLITE_STATIC);
    int rc = sqlite_step(conn, s, err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

bool elsewhere_open(struct jobs *jobs, struct err *err)
{
    return sqlite_work_wait(jobs->db, make_tables, jobs, err);
}

/* What was not ended is taken by the next process. */
void elsewhere_close(struct jobs *jobs)
{
    list_each_safe (link, &jobs->elsewhere) {
        struct elsewhere *e = list_entry(link, struct elsewhere, link);
        list_remove(link);
        mem_free(e->plugin);
        mem_free(e->text);
        mem_free(e);
    }
}

static void forget_all(struct elsewhere *e)
{
    jobs_lock(e->jobs);
    list_remove(&e->link);
    jobs_unlock(e->jobs);
    mem_free(e->plugin);
    mem_free(e->text);
    mem_free(e);
}

static bool change_taken(struct sqlite_conn *conn, const char *sql, int64_t first, int count,
                         struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn, sql, err);
    int rc = s ? SQLITE_DONE : SQLITE_ERROR;
    for (int i = 0; s && i < count && rc == SQLITE_DONE; i++) {
        sqlite3_bind_int64(s, 1, first + i);
        rc = sqlite_step(conn, s, err);
        sqlite3_reset(s);
    }
    return rc == SQLITE_DONE;
}

static bool forget_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct elsewhere *e = list_entry(w, struct elsewhere, forget);
    return change_taken(conn, "DELETE FROM maru_job_taken WHERE id = ?1", e->first_id, e->count,
                        &w->err);
}

static void on_forgotten(struct sqlite_write *w)
{
    forget_all(list_entry(w, struct elsewhere, forget));
}

/* The rows are gone there; or they are not, and the ids here say that they were taken. */
static void on_deleted(struct store_call *call)
{
    struct elsewhere *e = list_entry(call, struct elsewhere, call);
    if (call->err.code) {
        forget_all(e);
        return;
    }
    e->forget = (struct sqlite_write){.work = forget_work, .done = on_forgotten};
    sqlite_write(e->jobs->db, &e->forget, call->lane);
}

static void delete_rows(struct elsewhere *e)
{
    struct lane *lane = e->call.lane;
    for (int i = 0; i < e->count; i++) {
        e->values[2 * i] = text_value(str_c(e->jobs->home));
        e->values[2 * i + 1] = int_value(e->first_id + i);
    }
    e->call = (struct store_call){.plugin = e->plugin,
                                  .sql = str_c(delete_sql),
                                  .mode = STORE_MANY,
                                  .host = true,
                                  .params = e->values,
                                  .param_count = 2,
                                  .param_rows = e->count,
                                  .done = on_deleted};
    store_run(e->store, &e->call, lane);
}

static struct push_op *op_of(struct sqlite_write *w)
{
    return (struct push_op *)(void *)((char *)w - offsetof(struct push_op, write));
}

static bool take_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct push_op *op = op_of(w);
    return change_taken(conn, "INSERT INTO maru_job_taken VALUES(?1)", op->elsewhere->first_id,
                        op->count, &w->err) &&
           push_tx_work(conn, w);
}

static void on_taken(struct sqlite_write *w)
{
    struct push_op *op = op_of(w);
    struct elsewhere *e = op->elsewhere;
    struct err err = w->err;
    bool taken = op->published;
    e->op = NULL;
    push_answer(op->jobs, op, taken ? NULL : &err);
    if (taken)
        delete_rows(e);
    else
        forget_all(e);
}

static void on_tx_end(struct store_follower *follower, bool committed)
{
    struct elsewhere *e = list_entry(follower, struct elsewhere, follower);
    struct push_op *op = e->op;
    struct err err = op->push->err;
    if (committed && !err.code) {
        op->write = (struct sqlite_write){
            .work = take_work, .committed = push_tx_committed, .done = on_taken};
        sqlite_write(e->jobs->db, &op->write, e->call.lane);
        return;
    }
    if (!err.code)
        err_set(&err, ERR_CANCELLED, "jobs: the transaction was rolled back");
    push_answer(e->jobs, op, &err);
    forget_all(e);
}

static void on_inserted(struct store_call *call)
{
    struct elsewhere *e = list_entry(call, struct elsewhere, call);
    struct push_op *op = e->op;
    if (!op)
        return;
    if (call->err.code)
        op->push->err = call->err;
    op->ran(op->push);
}

/* Whoever pushes may be gone before the statement is sent. */
static void keep_text(struct elsewhere *e)
{
    size_t count = (size_t)e->count * COLUMNS, bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += e->values[i].type == VALUE_TEXT ? e->values[i].s.n : 0;
    char *at = e->text = mem_alloc(bytes + 1);
    for (size_t i = 0; i < count; i++) {
        if (e->values[i].type != VALUE_TEXT)
            continue;
        e->values[i].s.p = memcpy(at, e->values[i].s.p, e->values[i].s.n);
        at += e->values[i].s.n;
    }
}

bool elsewhere_push(struct jobs *jobs, struct push_op *op, struct store_tx *tx,
                    const struct job_spec *spec, const struct str *args, struct err *err)
{
    if (op->replaces || op->first->id == 0)
        return err_set(err, ERR_BUSY,
                       op->replaces ? "jobs: unique replace is not for store:tx in PostgreSQL"
                                    : "jobs: no ids lie ready, the jobs' server is out of reach");
    size_t values = (size_t)op->count * COLUMNS;
    struct elsewhere *e = mem_zero(1, sizeof *e + values * sizeof *e->values);
    e->jobs = jobs;
    e->op = op;
    e->store = tx->store;
    e->plugin = mem_strdup(tx->plugin);
    e->first_id = op->first->id;
    e->count = op->count;
    op->elsewhere = e;
    for (int i = 0; i < op->count; i++)
        fill_row(e->values + (size_t)i * COLUMNS, jobs, e->first_id + i, spec, args[i]);
    keep_text(e);
    jobs_lock(jobs);
    list_push_back(&jobs->elsewhere, &e->link);
    jobs_unlock(jobs);
    e->follower.ended = on_tx_end;
    store_tx_follow(tx, &e->follower);
    e->call = (struct store_call){.sql = str_c(insert_sql),
                                  .mode = STORE_MANY,
                                  .host = true,
                                  .params = e->values,
                                  .param_count = COLUMNS,
                                  .param_rows = op->count,
                                  .done = on_inserted};
    store_tx_run(tx, &e->call);
    return true;
}
