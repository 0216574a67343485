/* pg.c -- identities, and what each lane has of them. */
#include "base/clock.h"
#include "base/mem.h"
#include "storage/pg_private.h"

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all = {&all, &all}; /* under all_lock */

struct pgsql *pgsql_open(const struct pgsql_options *o, struct err *err)
{
    struct pgsql_address *address =
        pgsql_check_url(o->what, o->url, err) ? pg_threads_ref(o->url, err) : NULL;
    if (!address)
        return NULL;
    struct pgsql *db = mem_zero(1, sizeof *db);
    db->address = address;
    db->what = mem_strdup(o->what);
    db->url = mem_strdup(o->url);
    db->user = mem_strdup(o->user);
    db->password = mem_strdup(o->password);
    db->settings = mem_strdup(o->settings);
    db->connections = o->connections ? o->connections : PGSQL_CONNECTIONS;
    db->timeout_ns = o->timeout_ns ? o->timeout_ns : STORE_TIMEOUT_MS * NS_PER_MS;
    db->most_ns = o->most_ns > db->timeout_ns ? o->most_ns : db->timeout_ns;
    db->patience_ns = o->patience_ns ? o->patience_ns : PGSQL_PATIENCE_MS * NS_PER_MS;
    db->health = o->health;
    db->log_in = o->log_in;
    db->check = o->check;
    db->arg = o->arg;
    pthread_mutex_init(&db->lock, NULL);
    pthread_cond_init(&db->quiet, NULL);
    pthread_mutex_lock(&all_lock);
    list_push_back(&all, &db->link);
    pthread_mutex_unlock(&all_lock);
    return db;
}

void pgsql_close(struct pgsql *db)
{
    if (!db)
        return;
    pthread_mutex_lock(&all_lock);
    list_remove(&db->link);
    pthread_mutex_unlock(&all_lock);
    pthread_mutex_lock(&db->lock);
    while (db->running)
        pthread_cond_wait(&db->quiet, &db->lock);
    pthread_mutex_unlock(&db->lock);
    pg_threads_unref(db->address);
    pthread_cond_destroy(&db->quiet);
    pthread_mutex_destroy(&db->lock);
    mem_free(db->what);
    mem_free(db->url);
    mem_free(db->user);
    mem_free(db->password);
    mem_free(db->settings);
    mem_free(db);
}

struct pgsql_lane *pgpool_of(struct pgsql *db, struct lane *lane)
{
    invariant(lane && lane->index >= 0 && lane->index < PGSQL_LANES);
    struct pgsql_lane *pool = db->lanes[lane->index];
    if (pool)
        return pool;
    pool = db->lanes[lane->index] = mem_zero(1, sizeof *pool);
    pool->db = db;
    pool->lane = lane;
    list_init(&pool->conns);
    list_init(&pool->queue);
    list_init(&pool->takers);
    list_init(&pool->finished);
    list_init(&pool->granted);
    list_init(&pool->connecting);
    list_init(&pool->used);
    pool->statements = map_create();
    return pool;
}

static void finish_late(struct pgsql_connecting *connecting)
{
    PQfinish(connecting->c);
}

/* One whose message is on its way finds no pool any more; on a lane that has ended it never comes.
 */
static void drop_connecting(struct pgsql_lane *pool, bool over)
{
    list_each_safe (link, &pool->connecting) {
        struct pgsql_connecting *c = list_entry(link, struct pgsql_connecting, link);
        if (pg_connecting_drop(c))
            continue;
        c->arrived = finish_late;
        if (over) {
            finish_late(c);
            mem_free(c);
        }
    }
    pool->waking = pool->waking && !over;
}

static void end_pool(struct pgsql_lane *pool)
{
    struct err err;
    err_set(&err, ERR_CLOSED, "%s: the server is stopping", pool->db->what);
    pool->closed = true;
    timer_stop(pool->lane, &pool->sweep);
    while (!list_empty(&pool->conns))
        pgconn_lost(list_entry(pool->conns.next, struct pgsql_conn, link), &err);
    while (!list_empty(&pool->queue)) {
        struct pgsql_work *work = list_entry(pool->queue.next, struct pgsql_work, link);
        work->err = err;
        pgwork_finish(work);
    }
    while (!list_empty(&pool->takers)) {
        struct pgsql_session *s = list_entry(pool->takers.next, struct pgsql_session, link);
        s->err = err;
        pg_session_grant(s);
    }
    pgpool_deliver(pool);
    pgstatements_free(pool);
    buf_free(&pool->scratch);
    pool->db->lanes[pool->lane->index] = NULL;
    drop_connecting(pool, lane_current() != pool->lane);
    pgpool_free(pool);
}

void pgsql_close_lane(struct lane *lane)
{
    pthread_mutex_lock(&all_lock);
    list_each (link, &all) {
        struct pgsql *db = list_entry(link, struct pgsql, link);
        struct pgsql_lane *pool = db->lanes[lane->index];
        db->ended[lane->index] = true;
        if (pool)
            end_pool(pool);
    }
    pthread_mutex_unlock(&all_lock);
}

static void on_refused(struct lane_message *message)
{
    struct store_call *call = (struct store_call *)message;
    call->done(call);
}

void pgsql_run(struct pgsql *db, struct store_call *call)
{
    if (db->ended[call->lane->index]) {
        err_set(&call->err, ERR_CLOSED, "%s: the server is stopping", db->what);
        call->message.fn = on_refused;
        lane_post(call->lane, &call->message);
        return;
    }
    struct pgsql_lane *pool = pgpool_of(db, call->lane);
    struct pgsql_work *work = pgwork_new(pool, call);
    call->rows = NULL;
    work->stmt = pgstatement_get(pool, call, &work->err);
    if (work->err.code) {
        pgwork_finish(work);
        pgpool_wake(pool);
    } else {
        pgpool_submit_work(pool, work);
    }
}
