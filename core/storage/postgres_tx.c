/* postgres_tx.c -- store:tx on PostgreSQL.
 *
 * DESIGN.  The state is made and freed on the transaction's lane, where everything happens. `begin`
 * goes out with the first step.  A transaction that is run again waits a moment first; from the
 * third time on such ones of a plugin hold one advisory lock, so that they come one after the other
 * and one of them gets through.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "storage/postgres_private.h"

enum { PAUSE_MS = 4, PAUSE_MOST_MS = 200, LOCK_FROM = 2 };

struct postgres_tx {
    struct pgsql_session session; /* first */
    struct store_tx *tx;
    struct postgres_plugin *plugin;
    struct store_call end;   /* commit or rollback */
    struct store_call *step; /* under way; its done is kept here */
    void (*step_done)(struct store_call *call);
    struct timer timer; /* a pause before it begins, then time without a step */
    struct lane_message told;
    struct err err; /* why it is over, or ERR_NONE */
    bool taken;     /* asked for a connection, and not given it back */
    bool open;      /* begun was called */
    bool commit;
    bool over;    /* rolled back for being idle */
    bool telling; /* `told` is on its way: nothing else happens */
};

static void finish(struct postgres_tx *s);

static void give_back(struct postgres_tx *s)
{
    if (s->taken)
        pgsql_give(&s->session);
    s->taken = false;
}

/* The last that happens to it. */
static void on_told(struct lane_message *message)
{
    struct postgres_tx *s = list_entry(message, struct postgres_tx, told);
    struct store_tx *tx = s->tx;
    if (tx->ending && !s->commit)
        err_clear(&tx->err);
    else
        tx->err = s->err;
    tx->again = s->session.again;
    store_tx_tell(tx, tx->ending && s->commit && !s->err.code);
    tx->driver_state = NULL;
    mem_free(s);
    if (tx->ending)
        tx->ended(tx);
    else
        tx->begun(tx);
}

static void tell_last(struct postgres_tx *s)
{
    if (s->telling)
        return;
    s->telling = true;
    timer_stop(s->tx->lane, &s->timer);
    give_back(s);
    s->told.fn = on_told;
    lane_post(s->tx->lane, &s->told);
}

static void on_idle(struct timer *timer)
{
    struct postgres_tx *s = list_entry(timer, struct postgres_tx, timer);
    s->over = true;
    err_set(&s->err, ERR_TIMEOUT, "the transaction was idle for %.1f s and was rolled back",
            (double)STORE_TX_IDLE_MS / 1000);
    finish(s);
}

static void watch_idle(struct postgres_tx *s)
{
    s->timer.fire = on_idle;
    timer_start(s->tx->lane, &s->timer, STORE_TX_IDLE_MS * NS_PER_MS);
}

static void on_ready(struct pgsql_session *session)
{
    struct postgres_tx *s = (struct postgres_tx *)session;
    if (session->err.code)
        s->err = session->err;
    if (s->tx->ending || s->err.code) {
        tell_last(s);
        return;
    }
    s->open = true;
    watch_idle(s);
    s->tx->begun(s->tx);
}

static void take(struct timer *timer)
{
    struct postgres_tx *s = list_entry(timer, struct postgres_tx, timer);
    s->taken = true;
    pgsql_take(s->plugin->primary, &s->session, s->tx->lane);
}

/* The same on every node. */
static int64_t lock_of(const char *plugin)
{
    static const uint64_t key[2] = {0x6d617275, 0x7478};
    return (int64_t)(hash_keyed(key, plugin, strlen(plugin)) >> 1) | 1;
}

static int64_t pause_ns(int attempt)
{
    int64_t ms = attempt > 5 ? PAUSE_MOST_MS : (int64_t)PAUSE_MS << attempt;
    return (int64_t)(rand_unit() * (double)ms * (double)NS_PER_MS);
}

void postgres_tx_begin(struct store *store, struct store_tx *tx)
{
    struct postgres_tx *s = mem_zero(1, sizeof *s);
    tx->driver_state = s;
    s->tx = tx;
    s->plugin = postgres_plugin_of((struct postgres *)store, tx->plugin, &s->err);
    s->session.ready = on_ready;
    list_init(&s->session.link);
    if (!s->plugin) {
        tell_last(s);
        return;
    }
    if (tx->attempt >= LOCK_FROM)
        s->session.lock = lock_of(tx->plugin);
    s->timer.fire = take;
    if (tx->attempt)
        timer_start(tx->lane, &s->timer, pause_ns(tx->attempt));
    else
        take(&s->timer);
}

static void on_step(struct store_call *call)
{
    struct postgres_tx *s = call->owner;
    s->step = NULL;
    s->tx->again = s->session.again;
    call->done = s->step_done;
    if (s->tx->ending)
        finish(s);
    else
        watch_idle(s);
    call->done(call);
}

void postgres_tx_run(struct store_tx *tx, struct store_call *call)
{
    struct postgres_tx *s = tx->driver_state;
    call->plugin = tx->plugin;
    if (s->over)
        call->err = s->err;
    else if (s->step || s->tx->ending)
        err_set(&call->err, ERR_BUSY, "the transaction is ending or busy with another step");
    if (call->err.code) {
        postgres_answer(call);
        return;
    }
    timer_stop(tx->lane, &s->timer);
    s->step = call;
    s->step_done = call->done;
    call->done = on_step;
    call->owner = s;
    pgsql_step(&s->session, "begin isolation level serializable", call);
}

static void on_finished(struct store_call *call)
{
    struct postgres_tx *s = list_entry(call, struct postgres_tx, end);
    if (!s->err.code)
        s->err = call->err;
    if (s->tx->ending)
        tell_last(s);
    else
        give_back(s); /* it was idle; whoever it is asks again */
}

static void finish(struct postgres_tx *s)
{
    s->end = (struct store_call){.lane = s->tx->lane, .done = on_finished};
    pgsql_finish(&s->session, s->commit && !s->over ? "commit" : "rollback", &s->end);
}

void postgres_tx_end(struct store_tx *tx, bool commit)
{
    struct postgres_tx *s = tx->driver_state;
    s->commit = commit;
    if (s->over && !s->taken)
        tell_last(s);
    else if (s->over)
        return; /* on_finished */
    else if (s->step)
        pgsql_cancel(&s->session);
    else if (s->open) {
        timer_stop(tx->lane, &s->timer);
        finish(s);
    } else if (!s->session.conn) { /* it waits, or pauses */
        tell_last(s);
    }
}
