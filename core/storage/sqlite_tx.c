/* sqlite_tx.c -- interactive transactions: the writer serves one lane's steps.
 *
 * DESIGN.  The state is made and freed on the transaction's lane; the writer
 * thread takes its steps and posts the answers.  Once `phase` is TX_OVER the
 * writer has let go and the lane answers by itself.  Whatever must arrive in
 * order is posted under the writer's lock together with the change of phase.
 * Begun and ended are messages of their own, because a lane may end a
 * transaction whose begun is still in its mailbox.
 */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "storage/sqlite_private.h"

enum tx_phase { TX_WAITING, TX_OPEN, TX_OVER };

struct sqlite_tx {
    /* immutable */
    struct sqlite *db;
    struct store_tx *tx;
    struct gate_item item; /* its place in the writer's queue */
    struct lane_message begun, ended;
    /* under the writer's lock */
    pthread_cond_t wake;
    enum tx_phase phase;
    bool refused;           /* over before it began; begun tells */
    struct gate_item *step; /* waits or is run; no other may come meanwhile */
    bool end, commit;
    /* writer thread, constant once phase is TX_OVER */
    struct list works; /* that ran in it */
    struct err err;    /* why it is over, or ERR_NONE */
};

static void state_free(struct sqlite_tx *s)
{
    s->tx->driver_state = NULL;
    pthread_cond_destroy(&s->wake);
    mem_free(s);
}

static void end_on_lane(struct sqlite_tx *s)
{
    struct store_tx *tx = s->tx;
    err_clear(&tx->err);
    if (s->commit)
        tx->err = s->err;
    state_free(s);
    tx->ended(tx);
}

static void on_ended(struct lane_message *message)
{
    end_on_lane(list_entry(message, struct sqlite_tx, ended));
}

static void on_begun(struct lane_message *message)
{
    struct sqlite_tx *s = list_entry(message, struct sqlite_tx, begun);
    struct store_tx *tx = s->tx;
    if (tx->ending && s->refused) {
        end_on_lane(s);
    } else if (!tx->ending) {
        if (s->refused) {
            tx->err = s->err;
            state_free(s);
        }
        tx->begun(tx);
    }
}

static void on_ran(struct lane_message *message)
{
    struct sqlite_write *w = list_entry(message, struct sqlite_write, ran_message);
    w->ran(w);
}

static void post(struct sqlite_tx *s, struct lane_message *message,
                 void (*fn)(struct lane_message *message))
{
    message->fn = fn;
    lane_post(s->tx->lane, message);
}

/* Tells the works how the transaction ended. */
static void settle(struct sqlite_tx *s, bool committed)
{
    while (!list_empty(&s->works)) {
        struct gate_item *item = list_entry(s->works.next, struct gate_item, link);
        list_remove(&item->link);
        if (!committed)
            item->kind = WRITER_UNDONE;
        writer_committed(item);
    }
}

/* Tells that a step has run: a call all of it, a work the rest at the end. */
static void answer(struct sqlite_tx *s, struct gate_item *step)
{
    struct sqlite_write *w = list_entry(step, struct sqlite_write, item);
    if (step->kind == WRITER_CALL) {
        writer_committed(step);
        return;
    }
    list_push_back(&s->works, &step->link);
    if (w->ran)
        post(s, &w->ran_message, on_ran);
}

/* Under the lock: the writer lets go. */
static void let_go(struct sqlite_tx *s)
{
    s->phase = TX_OVER;
    settle(s, false);
    if (s->end)
        post(s, &s->ended, on_ended);
}

void tx_refuse(struct gate_item *item, const struct err *err)
{
    struct sqlite_tx *s = list_entry(item, struct sqlite_tx, item);
    struct writer *w = &s->db->writer;
    pthread_mutex_lock(&w->lock);
    s->err = *err;
    s->refused = true;
    s->phase = TX_OVER;
    post(s, &s->begun, on_begun);
    pthread_mutex_unlock(&w->lock);
}

/* Waits for a step or the end, which is NULL; false when nothing came in time, and
 * the transaction is over. */
static bool wait_for_step(struct sqlite_tx *s, struct gate_item **step)
{
    struct sqlite *db = s->db;
    int64_t idle_ns =
        db->options.tx_idle_ns ? db->options.tx_idle_ns : STORE_TX_IDLE_MS * NS_PER_MS;
    int64_t until = clock_steady_ns() + idle_ns;
    struct timespec at = {until / NS_PER_SECOND, until % NS_PER_SECOND};
    int rc = 0;
    pthread_mutex_lock(&db->writer.lock);
    while (!s->step && !s->end && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->wake, &db->writer.lock, &at);
    bool any = s->step || s->end;
    *step = s->step;
    if (!any) {
        err_set(&s->err, ERR_TIMEOUT, "the transaction was idle for %.1f s and was rolled back",
                (double)idle_ns / (double)NS_PER_SECOND);
        let_go(s);
    }
    pthread_mutex_unlock(&db->writer.lock);
    return any;
}

/* Runs one step; false when it took the transaction with it: then no other comes between its answer
 * and the end. */
static bool run_step(struct sqlite_tx *s, struct gate_item *step)
{
    struct sqlite *db = s->db;
    writer_member(db, step, false);
    bool alive = writer_in_transaction(db);
    if (!alive) {
        s->err = step->kind == WRITER_CALL ? list_entry(step, struct store_call, item)->err
                                           : list_entry(step, struct sqlite_write, item)->err;
        err_wrap(&s->err, "the transaction was lost");
    }
    pthread_mutex_lock(&db->writer.lock);
    s->step = NULL;
    if (!alive) {
        answer(s, step);
        let_go(s);
    }
    pthread_mutex_unlock(&db->writer.lock);
    if (alive)
        answer(s, step);
    return alive;
}

static void finish(struct sqlite_tx *s)
{
    bool ok = s->commit && writer_commit_shared(s->db, &s->err);
    if (!s->commit)
        writer_rollback(s->db);
    settle(s, ok);
    post(s, &s->ended, on_ended);
}

static bool open_phase(struct sqlite_tx *s)
{
    struct writer *w = &s->db->writer;
    pthread_mutex_lock(&w->lock);
    bool wanted = !s->end;
    s->phase = wanted ? TX_OPEN : TX_OVER;
    pthread_mutex_unlock(&w->lock);
    return wanted;
}

void tx_serve(struct sqlite *db, struct gate_item *item)
{
    struct sqlite_tx *s = list_entry(item, struct sqlite_tx, item);
    struct gate_item *step;
    struct err err;
    if (!open_phase(s)) {
        post(s, &s->ended, on_ended);
        return;
    }
    if (!writer_begin(db, &err)) {
        tx_refuse(item, &err);
        return;
    }
    post(s, &s->begun, on_begun);
    while (wait_for_step(s, &step)) {
        if (!step) {
            finish(s);
            return;
        }
        if (!run_step(s, step))
            return;
    }
    writer_rollback(db);
}

void sqlite_tx_begin(struct store *store, struct store_tx *tx)
{
    struct sqlite_tx *s = mem_zero(1, sizeof *s);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    list_init(&s->works);
    s->db = (struct sqlite *)store;
    s->tx = tx;
    tx->driver_state = s;
    writer_submit(s->db, &s->item, WRITER_TX);
}

static void answer_on_lane(struct sqlite_tx *s, struct gate_item *step, const struct err *err)
{
    struct sqlite_write *work = list_entry(step, struct sqlite_write, item);
    if (step->kind == WRITER_WORK) {
        work->err = *err;
        if (work->ran)
            post(s, &work->ran_message, on_ran);
    }
    writer_refuse(step, err);
}

/* A cancelled task may leave a step under way and still try another: that one
 * is refused. */
static void add_step(struct sqlite_tx *s, struct gate_item *step, int kind)
{
    struct writer *w = &s->db->writer;
    struct err err = {.code = ERR_NONE};
    step->kind = kind;
    pthread_mutex_lock(&w->lock);
    if (s->phase == TX_OVER)
        err = s->err;
    else if (s->step || s->tx->ending)
        err_set(&err, ERR_BUSY, "the transaction is ending or busy with another step");
    else
        s->step = step;
    pthread_mutex_unlock(&w->lock);
    if (err.code != ERR_NONE)
        answer_on_lane(s, step, &err);
    else
        pthread_cond_signal(&s->wake);
}

void sqlite_tx_run(struct store_tx *tx, struct store_call *call)
{
    call->plugin = tx->plugin;
    add_step(tx->driver_state, &call->item, WRITER_CALL);
}

bool store_tx_is_local(const struct store_tx *tx, const char *what, struct err *err)
{
    return store_sqlite(tx->store) ||
           err_set(err, ERR_INVALID,
                   "%s: not in a transaction of store.driver \"%s\": do it behind the transaction",
                   what, tx->store->driver->name);
}

void store_tx_work(struct store_tx *tx, struct sqlite_write *w)
{
    w->lane = tx->lane;
    err_clear(&w->err);
    add_step(tx->driver_state, &w->item, WRITER_WORK);
}

void sqlite_tx_end(struct store_tx *tx, bool commit)
{
    struct sqlite_tx *s = tx->driver_state;
    struct writer *w = &s->db->writer;
    pthread_mutex_lock(&w->lock);
    s->end = true;
    s->commit = commit;
    bool over = s->phase == TX_OVER && !s->refused, waits = s->phase != TX_OVER;
    pthread_mutex_unlock(&w->lock);
    if (over)
        post(s, &s->ended, on_ended);
    else if (waits) /* this lane alone frees it, later */
        pthread_cond_signal(&s->wake);
}
