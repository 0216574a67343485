/* What a transaction of PostgreSQL brings along, when the transaction ends meanwhile. */
#include <semaphore.h>

#include "../storage/pg_server.h"
#include "jobs/flow_host.h"
#include "storage/pg.h"
#include "storage/postgres.h"
#include "test.h"

/* A run that is asked for in a transaction which is given up in the same turn: its number comes
 * when the end of the transaction is known and not yet told. */
struct late {
    struct host host;
    struct store_tx tx;
    struct workflow_change change;
    struct err begun, asked;
    int ran;
    sem_t over; /* the change's, and the transaction's */
};

static void on_ran(struct workflow_change *change)
{
    list_entry(change, struct late, change)->ran++;
}

static void on_done(struct workflow_change *change)
{
    sem_post(&list_entry(change, struct late, change)->over);
}

static void on_ended(struct store_tx *tx)
{
    sem_post(&list_entry(tx, struct late, tx)->over);
}

static void on_begun(struct store_tx *tx)
{
    struct late *l = list_entry(tx, struct late, tx);
    struct workflow_start start = {.plugin = STR("p"), .name = STR("g"), .input = STR("{}")};
    struct err err;
    l->begun = tx->err;
    if (tx->err.code || !workflow_start_tx(l->host.jobs, &l->change, tx, on_ran, &start, &l->asked))
        sem_post(&l->over);
    if (tx->err.code)
        sem_post(&l->over);
    else
        store_tx_end(tx, false);
    sqlite_exec_wait(store_sqlite(l->host.store), "select 1", &err); /* behind the number */
}

static void begin(void *arg)
{
    struct late *l = arg;
    l->tx = (struct store_tx){.plugin = "p", .begun = on_begun, .ended = on_ended};
    l->change = (struct workflow_change){.done = on_done, .lane = l->host.lanes[0]};
    store_tx_begin(l->host.elsewhere, &l->tx, l->host.lanes[0]);
}

static void close_lane(void *lane)
{
    pgsql_close_lane(lane);
}

TEST(a_run_whose_number_comes_as_its_transaction_ends_is_not_started)
{
    struct pg_server server = {0};
    struct late l = {0};
    struct err err;
    struct workflow_decl decl = {.plugin = "p", .name = "g", .start = (char[]){"s"}};
    pg_server_start(&server);
    l.host.elsewhere = postgres_open(&(struct postgres_options){.url = server.url}, &err);
    REQUIRE(l.host.elsewhere);
    host_open(&l.host);
    flow_set_decl(&l.host, &decl, (const char *const[]){NULL});
    host_start(&l.host, 1, 1);
    sem_init(&l.over, 0, 0);
    lane_call(l.host.lanes[0], begin, &l);
    sem_wait(&l.over);
    sem_wait(&l.over);
    lane_call_wait(l.host.lanes[0], close_lane, l.host.lanes[0]);
    CHECK_EQ(l.begun.code, ERR_NONE);
    CHECK_EQ(l.asked.code, ERR_NONE);
    CHECK_EQ(l.ran, 1);
    CHECK_EQ(l.change.err.code, ERR_CANCELLED);
    host_stop(&l.host, NS_PER_SECOND);
    store_close(l.host.elsewhere);
    host_close(&l.host);
    host_remove(&l.host);
    pg_server_stop(&server);
}
