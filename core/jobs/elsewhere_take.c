/* elsewhere_take.c -- what a process before this one pushed in a transaction of PostgreSQL and did
 * not take into the queue: one row after the other, each with its id in one commit of SQLite. */
#include "base/mem.h"
#include "jobs/elsewhere.h"
#include "observe/log.h"

struct taking {
    struct store_call call; /* select, then delete */
    struct store_tx tx;
    struct sqlite_write mark;
    struct jobs_push push;
    struct jobs *jobs;
    struct store *store, *local;
    struct lane *lane;
    char *plugin;
    struct rows *rows;
    int64_t at;
    struct value gone[2];
    bool was_taken, pushing, ended;
    struct err err;
    struct value home;
};

static void next_row(struct taking *t);

static void free_taking(struct taking *t)
{
    if (t->err.code)
        log_error("jobs", "%s: what its transactions pushed waits in PostgreSQL: %s", t->plugin,
                  t->err.message);
    rows_free(t->rows);
    mem_free(t->plugin);
    mem_free(t);
}

static const struct value *column(const struct taking *t, int i)
{
    return &t->rows->values[t->at * t->rows->column_count + i];
}

static struct str text_at(const struct taking *t, int i)
{
    return column(t, i)->type == VALUE_TEXT ? column(t, i)->s : STR("");
}

static int64_t int_at(const struct taking *t, int i)
{
    return column(t, i)->type == VALUE_INT ? column(t, i)->i : 0;
}

static void on_gone(struct store_call *call)
{
    struct taking *t = list_entry(call, struct taking, call);
    t->err = call->err;
    t->at++;
    next_row(t);
}

static void row_over(struct taking *t)
{
    t->gone[0] = t->home;
    t->gone[1] = (struct value){.type = VALUE_INT, .i = int_at(t, 0)};
    t->call = (struct store_call){
        .plugin = t->plugin,
        .sql = STR("/* maru */ delete from maru_job_outbox where home = $1 and id = $2"),
        .mode = STORE_EXEC,
        .host = true,
        .params = t->gone,
        .param_count = 2,
        .done = on_gone};
    store_run(t->store, &t->call, t->lane);
}

/* Both the transaction and the push in it tell that they are over, in either order. */
static void maybe_over(struct taking *t)
{
    if (t->pushing || !t->ended)
        return;
    if (t->err.code)
        next_row(t);
    else
        row_over(t);
}

static void on_ended(struct store_tx *tx)
{
    struct taking *t = list_entry(tx, struct taking, tx);
    t->ended = true;
    if (tx->err.code && !t->err.code)
        t->err = tx->err;
    maybe_over(t);
}

static void on_pushed(struct jobs_push *push)
{
    struct taking *t = list_entry(push, struct taking, push);
    t->pushing = false;
    maybe_over(t);
}

static void on_push_ran(struct jobs_push *push)
{
    struct taking *t = list_entry(push, struct taking, push);
    if (push->err.code)
        t->err = push->err;
    store_tx_end(&t->tx, !t->err.code);
}

static void push_row(struct taking *t)
{
    struct job_spec spec = {.kind = text_at(t, 1),
                            .queue = text_at(t, 3),
                            .priority = (int)int_at(t, 4),
                            .retries = (int)int_at(t, 5),
                            .timeout_ns = int_at(t, 6),
                            .run_at_wall = int_at(t, 7),
                            .unique = text_at(t, 8),
                            .unique_queued = int_at(t, 9) != 0,
                            .unique_period_ns = int_at(t, 11),
                            .key = text_at(t, 12),
                            .expires_ns = int_at(t, 13),
                            .result_ttl_ns = int_at(t, 14),
                            .trace = text_at(t, 15)};
    struct str args = text_at(t, 2);
    struct err err = {0};
    t->push = (struct jobs_push){.done = on_pushed, .lane = t->lane};
    t->pushing = true;
    if (jobs_push_tx(t->jobs, &t->push, &t->tx, on_push_ran, &spec, &args, 1, &err))
        return;
    t->pushing = false;
    if (err.code != ERR_EXISTS && err.code != ERR_INVALID)
        t->err = err;
    else
        log_warn("jobs", "%.*s, pushed in a transaction, was not: %s", (int)spec.kind.n,
                 spec.kind.p, err.message);
    store_tx_end(&t->tx, !t->err.code);
}

static bool mark_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct taking *t = list_entry(w, struct taking, mark);
    sqlite3_stmt *s =
        sqlite_prepared(conn, "INSERT OR IGNORE INTO maru_job_taken VALUES(?1)", &w->err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, int_at(t, 0));
    int rc = sqlite_step(conn, s, &w->err);
    sqlite3_reset(s);
    t->was_taken = sqlite3_changes(conn->db) == 0;
    return rc == SQLITE_DONE;
}

static void on_marked(struct sqlite_write *w)
{
    struct taking *t = list_entry(w, struct taking, mark);
    if (w->err.code)
        t->err = w->err;
    if (t->was_taken || t->err.code)
        store_tx_end(&t->tx, !t->err.code);
    else
        push_row(t);
}

static void on_begun(struct store_tx *tx)
{
    struct taking *t = list_entry(tx, struct taking, tx);
    if (tx->err.code) {
        t->err = tx->err;
        next_row(t);
        return;
    }
    t->mark = (struct sqlite_write){.work = mark_work, .ran = on_marked};
    store_tx_work(&t->tx, &t->mark);
}

static void next_row(struct taking *t)
{
    if (t->err.code || t->at >= t->rows->row_count) {
        free_taking(t);
        return;
    }
    t->pushing = t->ended = t->was_taken = false;
    t->tx = (struct store_tx){.begun = on_begun, .ended = on_ended};
    store_tx_begin(t->local, &t->tx, t->lane);
}

static void on_found(struct store_call *call)
{
    struct taking *t = list_entry(call, struct taking, call);
    t->rows = call->rows;
    t->err = call->err;
    if (t->rows && t->rows->row_count)
        log_info("jobs", "%s: %lld jobs that transactions of the process before pushed", t->plugin,
                 (long long)t->rows->row_count);
    next_row(t);
}

void jobs_take_elsewhere(struct jobs *jobs, const char *plugin)
{
    if (!jobs->options.elsewhere)
        return;
    struct taking *t = mem_zero(1, sizeof *t);
    t->jobs = jobs;
    t->store = jobs->options.elsewhere;
    t->local = jobs->options.store;
    t->lane = jobs->options.lane;
    t->plugin = mem_strdup(plugin);
    t->home = (struct value){.type = VALUE_TEXT, .s = str_c(jobs->home)};
    t->call = (struct store_call){
        .plugin = t->plugin,
        .sql = STR("/* maru */ select id, kind, args, queue, priority, retries, timeout_ns, run_at,"
                   " uniq, uniq_queued, uniq_replace, uniq_period, key, expires_ns, result_ttl_ns,"
                   " trace from maru_job_outbox where home = $1 order by id"),
        .mode = STORE_ALL,
        .host = true,
        .params = &t->home,
        .param_count = 1,
        .done = on_found};
    store_run(t->store, &t->call, t->lane);
}
