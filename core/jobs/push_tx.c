/* push_tx.c -- pushes that are part of a transaction of the store's, and pushes that are waited
 * for. */
#include "jobs/driver.h"
#include "jobs/elsewhere.h"
#include "jobs/private.h"

/* It did not begin, so nobody waits. */
static void take_back(struct jobs *jobs, struct push_op *op)
{
    jobs_lock(jobs);
    jobs->pushing -= op->count;
    unique_undo(jobs, op->first);
    jobs_unlock(jobs);
    push_free(op);
}

static struct push_op *op_of(struct sqlite_write *w)
{
    return (struct push_op *)(void *)((char *)w - offsetof(struct push_op, write));
}

bool push_tx_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct push_op *op = op_of(w);
    uint32_t written;
    if (op->jobs->driver->push_tx)
        return op->jobs->driver->push_tx(op->jobs, conn, op, &w->err);
    return record_words(op->jobs, conn, &written, &w->err) && record_push(conn, op, &w->err);
}

static void tx_ran(struct sqlite_write *w)
{
    struct push_op *op = op_of(w);
    if (w->err.code)
        op->push->err = w->err;
    op->ran(op->push);
}

void push_tx_committed(struct sqlite_write *w)
{
    struct push_op *op = op_of(w);
    op->published = true;
    push_publish(op->jobs, op);
    if (op->jobs->driver->tx_committed)
        op->jobs->driver->tx_committed(op->jobs);
}

static void tx_done(struct sqlite_write *w)
{
    struct push_op *op = op_of(w);
    struct err err = w->err;
    if (!op->published && !err.code)
        err_set(&err, ERR_CANCELLED, "jobs: the transaction was rolled back");
    push_answer(op->jobs, op, op->published ? NULL : &err);
}

bool jobs_push_tx(struct jobs *jobs, struct jobs_push *push, struct store_tx *tx,
                  void (*ran)(struct jobs_push *push), const struct job_spec *spec,
                  const struct str *args, int count, struct err *err)
{
    if (jobs->driver->shared && !jobs->driver->push_tx)
        return err_set(err, ERR_INVALID,
                       "jobs: a push inside a transaction is not there with jobs.driver \"%s\"",
                       jobs->driver->name);
    bool local = store_sqlite(tx->store) != NULL;
    struct job_spec own = *spec;
    if (!local && !jobs->driver->shared && !(own.id = elsewhere_id(jobs, count, err)))
        return false;
    struct push_op *op = push_prepare(jobs, push, false, &own, args, count, err);
    if (!op)
        return false;
    op->ran = ran;
    if (!local && op->first->id) {
        bool begun = elsewhere_push(jobs, op, tx, &own, args, err);
        if (!begun)
            take_back(jobs, op);
        return begun;
    }
    if (op->first->id == 0) {
        err_set(err, ERR_BUSY, "jobs: no ids lie ready, the jobs' server is out of reach");
        take_back(jobs, op);
        return false;
    }
    op->write.work = push_tx_work;
    op->write.ran = tx_ran;
    op->write.committed = push_tx_committed;
    op->write.done = tx_done;
    store_tx_work(tx, &op->write);
    return true;
}

struct waiting_push {
    struct jobs_push push;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
};

static void on_waited(struct jobs_push *push)
{
    struct waiting_push *w = (struct waiting_push *)(void *)push;
    pthread_mutex_lock(&w->lock);
    w->is_over = true;
    pthread_cond_signal(&w->over);
    pthread_mutex_unlock(&w->lock);
}

int64_t jobs_push_wait(struct jobs *jobs, const struct job_spec *spec, const struct str *args,
                       int count, struct err *err)
{
    struct waiting_push w = {.push.done = on_waited};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.over, NULL);
    bool begun = jobs_push(jobs, &w.push, spec, args, count, err);
    pthread_mutex_lock(&w.lock);
    while (begun && !w.is_over)
        pthread_cond_wait(&w.over, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_cond_destroy(&w.over);
    pthread_mutex_destroy(&w.lock);
    if (begun && w.push.err.code)
        *err = w.push.err;
    return begun && !w.push.err.code ? w.push.first_id : 0;
}
