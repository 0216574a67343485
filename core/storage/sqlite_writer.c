/* sqlite_writer.c -- the writer thread: many members, one commit.
 *
 * DESIGN.  A batch is what was waiting when the last commit ended.  Each member
 * runs under the savepoint "m"; a failure rolls back to it.  Some failures (full disk,
 * I/O, interrupt) make SQLite roll the whole transaction back: the members
 * that had run go back in front of the rest and run again without the one that
 * failed.  Nothing is answered before COMMIT has returned, so nobody saw what
 * was lost.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "storage/sqlite_private.h"

enum {
    BATCH_MS = 20, /* time after which a batch takes no more members */
    LOSSES = 8,    /* lost transactions after which the rest of a batch is refused */
};

static struct store_call *call_of(struct gate_item *item)
{
    return list_entry(item, struct store_call, item);
}

static struct sqlite_write *work_of(struct gate_item *item)
{
    return list_entry(item, struct sqlite_write, item);
}

static struct err *error_of(struct gate_item *item)
{
    return item->kind == WRITER_CALL ? &call_of(item)->err : &work_of(item)->err;
}

static bool run_member(struct sqlite_conn *conn, struct gate_item *item)
{
    if (item->kind == WRITER_CALL)
        return conn_call(conn, call_of(item), false) == CALL_DONE;
    struct sqlite_write *w = work_of(item);
    err_clear(&w->err);
    return w->work(conn, w);
}

/* Deferred constraints are looked at by COMMIT, which would fail for all its members. */
static bool breaks_reference(struct sqlite_conn *conn)
{
    int broken = 0, highest;
    sqlite3_db_status(conn->db, SQLITE_DBSTATUS_DEFERRED_FKS, &broken, &highest, 0);
    return broken != 0;
}

bool writer_member(struct sqlite *db, struct gate_item *item, bool alone)
{
    struct sqlite_conn *conn = &db->writer.conn;
    struct err *err = error_of(item);
    if (!writer_step(db, STEP_SAVE, err)) {
        writer_fail_if_io(db, err);
        return false;
    }
    bool ok = run_member(conn, item);
    if (ok && alone && breaks_reference(conn))
        ok = err_set(err, ERR_CONSTRAINT, "FOREIGN KEY constraint failed");
    conn->plugin = NULL;
    conn->migrating = false;
    conn->deadline_ns = 0;
    struct err undo;
    if (!ok && err->code == ERR_NONE)
        err_set(err, ERR_SQL, "the work failed without saying why");
    if (!ok) {
        health_note(db, err);
        writer_fail_if_io(db, err);
    }
    if (!ok && writer_in_transaction(db) && !writer_step(db, STEP_UNDO, &undo))
        writer_rollback(db);
    if (writer_in_transaction(db) && !writer_step(db, STEP_RELEASE, ok ? err : &undo)) {
        writer_rollback(db);
        return false;
    }
    if (ok && !writer_in_transaction(db))
        return err_set(err, ERR_IO, "the transaction was lost");
    return ok;
}

static void on_done(struct lane_message *message)
{
    struct sqlite_write *w = (struct sqlite_write *)message;
    if (w->item.kind == WRITER_UNDONE && w->err.code == ERR_NONE)
        err_set(&w->err, ERR_CANCELLED, "the transaction was rolled back");
    w->done(w);
}

void writer_committed(struct gate_item *item)
{
    if (item->kind == WRITER_CALL) {
        call_deliver(call_of(item));
        return;
    }
    struct sqlite_write *w = work_of(item);
    if (w->err.code == ERR_NONE && w->committed && item->kind == WRITER_WORK)
        w->committed(w);
    w->message.fn = on_done;
    if (w->done && w->lane)
        lane_post(w->lane, &w->message);
    else if (w->done)
        w->done(w);
}

void writer_refuse(struct gate_item *item, const struct err *err)
{
    if (item->kind == WRITER_TX) {
        tx_refuse(item, err);
        return;
    }
    *error_of(item) = *err;
    writer_committed(item);
}

static struct gate_item *first(struct list *list)
{
    return list_entry(list->next, struct gate_item, link);
}

static void refuse_all(struct list *items, const struct err *err)
{
    while (!list_empty(items)) {
        struct gate_item *item = first(items);
        list_remove(&item->link);
        writer_refuse(item, err);
    }
}

/* The members that ran are to run again, before the rest. */
static void put_back(struct writer *w)
{
    struct list rest;
    list_init(&rest);
    list_splice(&rest, &w->ran);
    list_splice(&rest, &w->todo);
    list_splice(&w->todo, &rest);
}

/* Runs the members of todo until time is up.  False when the transaction is gone. */
static bool run_batch(struct sqlite *db)
{
    struct writer *w = &db->writer;
    int64_t deadline = clock_steady_ns() + BATCH_MS * NS_PER_MS;
    int losses = 0;
    while (!list_empty(&w->todo) && (list_empty(&w->ran) || clock_steady_ns() < deadline)) {
        struct gate_item *item = first(&w->todo);
        if (item->kind == WRITER_TX)
            break;
        list_remove(&item->link);
        if (writer_member(db, item, true)) {
            list_push_back(&w->ran, &item->link);
            continue;
        }
        struct err err = *error_of(item);
        writer_committed(item);
        if (writer_in_transaction(db))
            continue;
        put_back(w);
        if (++losses < LOSSES && writer_begin(db, &err))
            continue;
        refuse_all(&w->todo, &err);
        return false;
    }
    return true;
}

/* err: NULL, or why nothing of it is on disk. */
static void answer_ran(struct writer *w, const struct err *err)
{
    while (!list_empty(&w->ran)) {
        struct gate_item *item = first(&w->ran);
        list_remove(&item->link);
        if (err)
            writer_refuse(item, err);
        else
            writer_committed(item);
        metric_add(w->members, 1);
    }
}

static void serve_batch(struct sqlite *db)
{
    struct writer *w = &db->writer;
    struct err err;
    if (!writer_begin(db, &err)) {
        refuse_all(&w->todo, &err);
        return;
    }
    if (run_batch(db))
        answer_ran(w, writer_commit(db, &err) ? NULL : &err);
}

/* The next in line, taken out of it, if it is the host's own; or NULL. */
static struct gate_item *next_work(struct writer *w)
{
    struct gate_item *item = NULL;
    pthread_mutex_lock(&w->lock);
    struct list *line = list_empty(&w->todo) ? &w->queue : &w->todo;
    if (!list_empty(line) && !w->failed && first(line)->kind == WRITER_WORK) {
        item = first(line);
        list_remove(&item->link);
        w->queued -= line == &w->queue;
    }
    pthread_mutex_unlock(&w->lock);
    return item;
}

bool writer_commit_shared(struct sqlite *db, struct err *err)
{
    struct writer *w = &db->writer;
    int64_t deadline = clock_steady_ns() + BATCH_MS * NS_PER_MS;
    struct gate_item *item;
    if (breaks_reference(&w->conn)) /* the commit will say so to its owner alone */
        return writer_commit(db, err);
    while (clock_steady_ns() < deadline && (item = next_work(w))) {
        if (writer_member(db, item, true)) {
            list_push_back(&w->ran, &item->link);
            continue;
        }
        struct err why = *error_of(item);
        writer_committed(item);
        if (writer_in_transaction(db))
            continue;
        put_back(w);
        *err = why;
        return err_wrap(err, "the transaction was lost");
    }
    bool ok = writer_commit(db, err);
    answer_ran(w, ok ? NULL : err);
    return ok;
}

/* Waits for work and takes all there is, at most SQLITE_BATCH.  False at the end. */
static bool take_all(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->resting = true;
    while (list_empty(&w->queue) && !w->stopping)
        pthread_cond_wait(&w->wake, &w->lock);
    w->resting = false;
    bool any = !list_empty(&w->queue);
    for (int i = 0; i < SQLITE_BATCH && !list_empty(&w->queue); i++) {
        struct list *node = w->queue.next;
        list_remove(node);
        list_push_back(&w->todo, node);
        w->queued--;
    }
    pthread_mutex_unlock(&w->lock);
    return any;
}

static bool failure(struct writer *w, struct err *err)
{
    pthread_mutex_lock(&w->lock);
    bool failed = w->failed;
    if (failed)
        *err = w->failure;
    pthread_mutex_unlock(&w->lock);
    return failed;
}

static void *writer_main(void *arg)
{
    struct sqlite *db = arg;
    struct writer *w = &db->writer;
    struct err err;
    pthread_setname_np(pthread_self(), "store-writer");
    while (take_all(w)) {
        while (!list_empty(&w->todo)) {
            struct gate_item *item = first(&w->todo);
            if (failure(w, &err)) {
                refuse_all(&w->todo, &err);
            } else if (item->kind == WRITER_TX) {
                list_remove(&item->link);
                tx_serve(db, item);
            } else {
                serve_batch(db);
            }
        }
        writer_checkpoint(db);
    }
    return NULL;
}

void writer_submit(struct sqlite *db, struct gate_item *item, int kind)
{
    struct writer *w = &db->writer;
    struct err err = {.code = ERR_NONE};
    bool wakes = false;
    item->kind = kind;
    pthread_mutex_lock(&w->lock);
    if (w->failed) {
        err = w->failure;
    } else if (w->stopping) {
        err_set(&err, ERR_CLOSED, "the store is closing");
    } else if (w->queued >= STORE_QUEUE) {
        err_set(&err, ERR_BUSY, "%d writes are waiting already", STORE_QUEUE);
    } else {
        list_push_back(&w->queue, &item->link);
        wakes = w->queued++ == 0;
    }
    pthread_mutex_unlock(&w->lock);
    if (wakes) /* not under the lock, which it would have to wait for */
        pthread_cond_signal(&w->wake);
    if (err.code != ERR_NONE)
        writer_refuse(item, &err);
}

bool sqlite_is_idle(struct sqlite *db)
{
    pthread_mutex_lock(&db->writer.lock);
    bool idle = db->writer.resting && list_empty(&db->writer.queue);
    pthread_mutex_unlock(&db->writer.lock);
    return idle;
}

bool writer_start(struct sqlite *db, struct err *err)
{
    struct writer *w = &db->writer;
    list_init(&w->queue);
    list_init(&w->todo);
    list_init(&w->ran);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    w->commits = metrics_counter("maru_store_commits_total", "Transactions committed", "");
    w->members = metrics_counter("maru_store_writes_total", "Writes answered after a commit", "");
    w->wal_size = metrics_gauge("maru_store_wal_pages", "Pages of the write-ahead log in use", "");
    w->commit_seconds = metrics_histogram("maru_store_commit_seconds", "Time of one commit", "");
    if (!writer_prepare(db, err))
        return false;
    int rc = pthread_create(&w->thread, NULL, writer_main, db);
    return rc == 0 || err_sys(err, rc, "store: writer thread");
}

void writer_stop(struct sqlite *db)
{
    struct writer *w = &db->writer;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    writer_forget(w);
    if (!w->failed)
        sqlite3_wal_checkpoint_v2(w->conn.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
}
