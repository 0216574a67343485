/* workflow/sqlite.c -- runs of workflows in this process's own database: statements, runs, what
 * time brings; steps and signals are in workflow/sqlite_step.c, looks in workflow/sqlite_look.c. */
#include <stdarg.h>

#include "base/mem.h"
#include "jobs/driver.h"
#include "jobs/workflow/sqlite.h"

static const char schema[] =
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

sqlite3_stmt *wfs_query(struct wf *f, const char *sql, const char *types, ...)
{
    sqlite3_stmt *s = sqlite_prepared(f->record, sql, f->err);
    va_list values;
    va_start(values, types);
    if (s)
        bind_all(s, types, values);
    va_end(values);
    return s;
}

bool wfs_exec(struct wf *f, const char *sql, const char *types, ...)
{
    sqlite3_stmt *s = sqlite_prepared(f->record, sql, f->err);
    va_list values;
    va_start(values, types);
    if (s)
        bind_all(s, types, values);
    va_end(values);
    if (!s)
        return false;
    int rc = sqlite_step(f->record, s, f->err);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

struct str wfs_column(sqlite3_stmt *s, int i)
{
    const char *p = (const char *)sqlite3_column_text(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

char *wfs_column_dup(sqlite3_stmt *s, int i)
{
    struct str text = wfs_column(s, i);
    return text.n ? str_dup(text) : NULL;
}

int wfs_found(struct wf *f, sqlite3_stmt *s)
{
    int rc = s ? sqlite_step(f->record, s, f->err) : SQLITE_ERROR;
    if (rc == SQLITE_ROW)
        return 1;
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int load(struct wf *f, int64_t id, struct wf_run *run)
{
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT plugin, name, shape, state, created_at, version, steps,"
                                " active, waiting, arrived, data, error, finished_at FROM"
                                " maru_workflow WHERE id = ?1",
                                "i", id);
    int is = wfs_found(f, s);
    if (is < 1)
        return is;
    run->plugin = str_dup(wfs_column(s, 0));
    run->name = str_dup(wfs_column(s, 1));
    run->shape = (enum workflow_shape)sqlite3_column_int(s, 2);
    run->state = (enum workflow_state)sqlite3_column_int(s, 3);
    run->created_at = sqlite3_column_int64(s, 4);
    run->version = sqlite3_column_int(s, 5);
    run->steps = sqlite3_column_int(s, 6);
    run->active = sqlite3_column_int(s, 7);
    run->waiting = sqlite3_column_int(s, 8);
    buf_add_str(&run->arrived, wfs_column(s, 9));
    buf_add_str(&run->data, wfs_column(s, 10));
    run->error = wfs_column_dup(s, 11);
    run->finished_at = sqlite3_column_int64(s, 12);
    sqlite3_reset(s);
    return 1;
}

struct str wfs_nullable(struct str text)
{
    return text.n ? text : (struct str){0};
}

static bool save(struct wf *f, const struct wf_run *run)
{
    return wfs_exec(f,
                    "UPDATE maru_workflow SET state = ?2, finished_at = ?3, steps = ?4,"
                    " active = ?5, waiting = ?6, arrived = ?7, data = ?8, error = ?9,"
                    " result = coalesce(?10, result), version = ?11 WHERE id = ?1",
                    "iiiiiissssi", run->id, (int64_t)run->state, run->finished_at,
                    (int64_t)run->steps, (int64_t)run->active, (int64_t)run->waiting,
                    wfs_nullable(buf_str(&run->arrived)), wfs_nullable(buf_str(&run->data)),
                    wfs_nullable(str_c(run->error)), wfs_nullable(buf_str(&run->result)),
                    (int64_t)run->version);
}

/* Behind all there are, and behind all that number() gave. */
#define NEXT_RUN                                                                                   \
    "max(coalesce((SELECT max(id) FROM maru_workflow), 0) + 1,"                                    \
    " coalesce((SELECT value FROM maru_job_meta WHERE key = 'next_run'), 1))"

static bool number(struct wf *f, int64_t *id)
{
    sqlite3_stmt *s = wfs_query(f, "SELECT " NEXT_RUN, "");
    if (wfs_found(f, s) != 1)
        return false;
    *id = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return wfs_exec(f, "INSERT OR REPLACE INTO maru_job_meta(key, value) VALUES('next_run', ?1)",
                    "i", *id + 1);
}

static int insert(struct wf *f, struct wf_run *run, struct str key)
{
    struct sqlite_conn *conn = f->record;
    if (!wfs_exec(
            f,
            "INSERT INTO maru_workflow(plugin, name, shape, version, uniq, state,"
            " created_at, finished_at, steps, active, waiting, id)"
            " VALUES(?1, ?2, ?3, ?4, ?5, 1, ?6, 0, 0, 0, 0, coalesce(nullif(?7, 0), " NEXT_RUN "))"
            " ON CONFLICT(plugin, name, uniq) WHERE state = 1 AND uniq IS NOT NULL DO NOTHING",
            "ssiisii", str_c(run->plugin), str_c(run->name), (int64_t)run->shape,
            (int64_t)run->version, wfs_nullable(key), run->created_at, run->id))
        return -1;
    run->id = sqlite3_last_insert_rowid(conn->db);
    return sqlite3_changes(conn->db) == 1;
}

static int blocked(struct wf *f, int64_t run)
{
    sqlite3_stmt *s = wfs_query(
        f,
        "SELECT 1 FROM maru_workflow_step WHERE run = ?1 AND state = 5 UNION ALL"
        " SELECT 1 FROM maru_workflow a JOIN maru_workflow b ON b.plugin = a.plugin AND b.name ="
        " a.name AND b.uniq = a.uniq AND b.state = 1 WHERE a.id = ?1 AND a.uniq IS NOT NULL"
        " AND b.id <> a.id",
        "i", run);
    int is = wfs_found(f, s);
    if (is == 1)
        sqlite3_reset(s);
    return is;
}

static bool remove_run(struct wf *f, int64_t id)
{
    return wfs_exec(f, "DELETE FROM maru_workflow_step WHERE run = ?1", "i", id) &&
           wfs_exec(f, "DELETE FROM maru_workflow_signal WHERE run = ?1", "i", id) &&
           wfs_exec(f, "DELETE FROM maru_workflow WHERE id = ?1", "i", id);
}

static bool expired(struct wf *f, enum workflow_state state, int64_t before, int limit,
                    struct wf_ids *ids)
{
    int is = -1;
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT id FROM maru_workflow WHERE state = ?1 AND finished_at <"
                                " ?2 AND active = 0 ORDER BY finished_at LIMIT ?3",
                                "iii", (int64_t)state, before, (int64_t)limit);
    while ((is = wfs_found(f, s)) == 1)
        wf_ids_add(ids, sqlite3_column_int64(s, 0));
    return is == 0;
}

static bool due(struct wf *f, struct wf_ref *list, int most, int *count, int64_t *next)
{
    int is = -1;
    sqlite3_stmt *s = wfs_query(f,
                                "SELECT run, seq, due_at FROM maru_workflow_step WHERE state = 2"
                                " AND due_at > 0 ORDER BY due_at LIMIT ?1",
                                "i", (int64_t)most + 1);
    *count = 0;
    *next = 0;
    while ((is = wfs_found(f, s)) == 1) {
        int64_t at = sqlite3_column_int64(s, 2);
        if (at > f->now || *count == most) {
            *next = at;
            sqlite3_reset(s);
            return true;
        }
        list[(*count)++] =
            (struct wf_ref){.run = sqlite3_column_int64(s, 0), .seq = sqlite3_column_int(s, 1)};
    }
    return is == 0;
}

static bool push(struct wf *f, struct push_op *op)
{
    return record_push(f->record, op, f->err);
}

/* Names of kinds that the steps' jobs brought. */
static bool flush(struct wf *f)
{
    return !f->w->pushes || record_words(f->jobs, f->record, &f->jobs->words_written, f->err);
}

const struct wf_store wf_sqlite = {
    .flush = flush,
    .load = load,
    .save = save,
    .number = number,
    .insert = insert,
    .blocked = blocked,
    .remove = remove_run,
    .load_step = wfs_load_step,
    .put_input = wfs_put_input,
    .input = wfs_input,
    .plan = wfs_plan,
    .queue = wfs_queue,
    .end_step = wfs_end_step,
    .begin_wait = wfs_begin_wait,
    .end_wait = wfs_end_wait,
    .revive = wfs_revive,
    .cancel_steps = wfs_cancel_steps,
    .queued = wfs_queued,
    .planned = wfs_planned,
    .members = wfs_members,
    .waiting = wfs_waiting,
    .failed = wfs_failed,
    .keep_signal = wfs_keep_signal,
    .take_signal = wfs_take_signal,
    .drop_signals = wfs_drop_signals,
    .due = due,
    .expired = expired,
    .push = push,
    .query = wfs_query_run,
};

bool workflow_open_sqlite(struct jobs *jobs, struct sqlite_conn *conn, struct err *err)
{
    if (!jobs->driver->shared) /* that has its outbox here, and its runs elsewhere */
        workflow_open(jobs, &wf_sqlite);
    return sqlite_exec(conn, schema, err);
}
