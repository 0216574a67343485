#include <stdarg.h>

#include "base/mem.h"
#include "jobs/workflow_private.h"

const char wf_schema[] =
    "CREATE TABLE IF NOT EXISTS maru_workflow(id INTEGER PRIMARY KEY, plugin TEXT, name TEXT,"
    " shape INT, version INT, uniq TEXT, state INT, created_at INT, finished_at INT, steps INT,"
    " active INT, waiting INT, arrived TEXT, data TEXT, error TEXT, result TEXT);"
    "CREATE UNIQUE INDEX IF NOT EXISTS maru_workflow_uniq ON maru_workflow(plugin, name, uniq)"
    " WHERE state = 1 AND uniq IS NOT NULL;"
    "CREATE INDEX IF NOT EXISTS maru_workflow_state ON maru_workflow(state, finished_at);"
    "CREATE TABLE IF NOT EXISTS maru_workflow_step(run INT, seq INT, name TEXT, state INT,"
    " job INT, at INT, started_at INT, ended_at INT, woke_at INT, due_at INT, attempt INT,"
    " version INT, await TEXT, next TEXT, otherwise TEXT, on_error TEXT, error TEXT, result TEXT,"
    " spec TEXT, PRIMARY KEY(run, seq)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS maru_workflow_step_live ON maru_workflow_step(state, due_at)"
    " WHERE state IN (1, 2);"
    "CREATE INDEX IF NOT EXISTS maru_workflow_step_failed ON maru_workflow_step(job)"
    " WHERE state = 4;"
    "CREATE TABLE IF NOT EXISTS maru_workflow_signal(run INT, seq INT, name TEXT, data TEXT,"
    " at INT, who TEXT, PRIMARY KEY(run, seq)) WITHOUT ROWID;";

static void bind_all(sqlite3_stmt *s, const char *types, va_list values)
{
    for (int i = 1; *types; types++, i++) {
        if (*types == 'i') {
            sqlite3_bind_int64(s, i, va_arg(values, int64_t));
            continue;
        }
        struct str text = va_arg(values, struct str);
        if (text.p)
            sqlite3_bind_text64(s, i, text.p, text.n, SQLITE_STATIC, SQLITE_UTF8);
        else
            sqlite3_bind_null(s, i);
    }
}

sqlite3_stmt *wf_query(struct wf *f, const char *sql, const char *types, ...)
{
    sqlite3_stmt *s = sqlite_prepared(f->conn, sql, f->err);
    va_list values;
    va_start(values, types);
    if (s)
        bind_all(s, types, values);
    va_end(values);
    return s;
}

bool wf_exec(struct wf *f, const char *sql, const char *types, ...)
{
    sqlite3_stmt *s = sqlite_prepared(f->conn, sql, f->err);
    va_list values;
    va_start(values, types);
    if (s)
        bind_all(s, types, values);
    va_end(values);
    if (!s)
        return false;
    int rc = sqlite_step(f->conn, s, f->err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

struct str wf_column(sqlite3_stmt *s, int i)
{
    const char *p = (const char *)sqlite3_column_text(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

static char *column_dup(sqlite3_stmt *s, int i)
{
    struct str text = wf_column(s, i);
    return text.n ? str_dup(text) : NULL;
}

/* What a query that was stepped once found: 1, 0 or -1; resets it in the latter two cases. */
static int found(sqlite3_stmt *s, int rc)
{
    if (rc == SQLITE_ROW)
        return 1;
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE ? 0 : -1;
}

int wf_load(struct wf *f, int64_t id, struct wf_run *run)
{
    sqlite3_stmt *s = wf_query(f,
                               "SELECT plugin, name, shape, state, created_at, version, steps,"
                               " active, waiting, arrived, data, error, finished_at FROM"
                               " maru_workflow WHERE id = ?1",
                               "i", id);
    int is = found(s, s ? sqlite_step(f->conn, s, f->err) : SQLITE_ERROR);
    *run = (struct wf_run){.id = id};
    if (is < 1)
        return is;
    run->plugin = str_dup(wf_column(s, 0));
    run->name = str_dup(wf_column(s, 1));
    run->shape = (enum workflow_shape)sqlite3_column_int(s, 2);
    run->state = (enum workflow_state)sqlite3_column_int(s, 3);
    run->created_at = sqlite3_column_int64(s, 4);
    run->version = sqlite3_column_int(s, 5);
    run->steps = sqlite3_column_int(s, 6);
    run->active = sqlite3_column_int(s, 7);
    run->waiting = sqlite3_column_int(s, 8);
    buf_add_str(&run->arrived, wf_column(s, 9));
    buf_add_str(&run->data, wf_column(s, 10));
    run->error = column_dup(s, 11);
    run->finished_at = sqlite3_column_int64(s, 12);
    run->was = run->state == WORKFLOW_RUNNING && run->active && run->waiting == run->active
                   ? WORKFLOW_WAITING
                   : run->state;
    sqlite3_reset(s);
    return 1;
}

static struct str nullable(struct str text)
{
    return text.n ? text : (struct str){0};
}

/* The counts follow what a run is now. */
static void count(struct workflows *w, enum workflow_state state, int by)
{
    if (state == WORKFLOW_RUNNING || state == WORKFLOW_WAITING)
        w->running_by += by;
    if (state == WORKFLOW_WAITING)
        w->waiting_by += by;
    if (by < 0)
        return;
    w->done_by += state == WORKFLOW_DONE;
    w->failed_by += state == WORKFLOW_FAILED;
    w->cancelled_by += state == WORKFLOW_CANCELLED;
}

static void recount(struct wf *f, struct wf_run *run)
{
    enum workflow_state is = run->state;
    if (is == WORKFLOW_RUNNING && run->active && run->waiting == run->active)
        is = WORKFLOW_WAITING;
    if (is == run->was)
        return;
    count(f->w, run->was, -1);
    count(f->w, is, 1);
    run->was = is;
}

bool wf_save(struct wf *f, struct wf_run *run)
{
    recount(f, run);
    return wf_exec(f,
                   "UPDATE maru_workflow SET state = ?2, finished_at = ?3, steps = ?4,"
                   " active = ?5, waiting = ?6, arrived = ?7, data = ?8, error = ?9,"
                   " result = coalesce(?10, result), version = ?11 WHERE id = ?1",
                   "iiiiiissssi", run->id, (int64_t)run->state, run->finished_at,
                   (int64_t)run->steps, (int64_t)run->active, (int64_t)run->waiting,
                   nullable(buf_str(&run->arrived)), nullable(buf_str(&run->data)),
                   nullable(str_c(run->error)), nullable(buf_str(&run->result)),
                   (int64_t)run->version);
}

bool wf_insert(struct wf *f, struct wf_run *run, struct str key)
{
    if (!wf_exec(f,
                 "INSERT INTO maru_workflow(plugin, name, shape, version, uniq, state,"
                 " created_at, finished_at, steps, active, waiting)"
                 " VALUES(?1, ?2, ?3, ?4, ?5, 1, ?6, 0, 0, 0, 0)",
                 "ssiisi", str_c(run->plugin), str_c(run->name), (int64_t)run->shape,
                 (int64_t)run->version, nullable(key), run->created_at))
        return false;
    run->id = sqlite3_last_insert_rowid(f->conn->db);
    run->state = WORKFLOW_RUNNING;
    run->was = WORKFLOW_ANY;
    return true;
}

void wf_run_free(struct wf_run *run)
{
    mem_free(run->plugin);
    mem_free(run->name);
    mem_free(run->error);
    buf_free(&run->arrived);
    buf_free(&run->data);
    buf_free(&run->result);
    *run = (struct wf_run){0};
}

int wf_load_step(struct wf *f, int64_t run, int seq, struct wf_step *step)
{
    sqlite3_stmt *s = wf_query(f,
                               "SELECT name, state, await, next, otherwise, on_error"
                               " FROM maru_workflow_step WHERE run = ?1 AND seq = ?2",
                               "ii", run, (int64_t)seq);
    int is = found(s, s ? sqlite_step(f->conn, s, f->err) : SQLITE_ERROR);
    *step = (struct wf_step){.run = run, .seq = seq};
    if (is < 1)
        return is;
    step->name = str_dup(wf_column(s, 0));
    step->state = (enum wf_step_state)sqlite3_column_int(s, 1);
    step->await = column_dup(s, 2);
    step->next = column_dup(s, 3);
    step->otherwise = column_dup(s, 4);
    step->on_error = column_dup(s, 5);
    sqlite3_reset(s);
    return 1;
}

void wf_step_free(struct wf_step *step)
{
    mem_free(step->name);
    mem_free(step->await);
    mem_free(step->next);
    mem_free(step->otherwise);
    mem_free(step->on_error);
    *step = (struct wf_step){0};
}
