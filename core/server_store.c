/* server_store.c -- where tables are: the host's own in the embedded SQLite, plugins' there or in
 * PostgreSQL (store.driver). */

#include "base/clock.h"
#include "base/mem.h"
#include "config/config.h"
#include "server_parts.h"
#include "storage/carry.h"
#include "storage/pg.h"
#include "storage/postgres.h"
#include "storage/sqlite.h"

bool plugin_store_start(struct server *s, struct err *err)
{
    const char *driver = config_text(s->config, "store.driver");
    s->plugin_store = s->store;
    if (s->guest || !strcmp(driver, "sqlite"))
        return true;
    if (strcmp(driver, "postgres") != 0)
        return err_set(err, ERR_INVALID, "store.driver is \"sqlite\" or \"postgres\", not \"%s\"",
                       driver);
    struct postgres_options options = {
        .url = config_text(s->config, "store.url"),
        .read_url = config_text(s->config, "store.read_url"),
        .connections = (int)config_integer(s->config, "store.pool"),
        .control = s->control,
    };
    s->plugin_store = postgres_open(&options, err);
    if (!s->plugin_store)
        return false;
    struct carry_options carry = {.store = s->plugin_store, .local = s->store, .lane = s->control};
    s->carry = carry_open(&carry, err);
    if (s->carry)
        postgres_start(s->plugin_store);
    else
        store_close(s->plugin_store);
    return s->carry != NULL;
}

static void close_lane(void *lane)
{
    pgsql_close_lane(lane);
}

static void be_there(void *arg)
{
    (void)arg;
}

/* Connections are their lanes': they end before these do.  A transaction whose task is gone may
 * still wait for its server; it hears of the end in a turn behind. */
void plugin_store_leave(struct server *s)
{
    for (int i = 0; i < s->lane_count; i++) {
        lane_call_wait(s->lanes[i], close_lane, s->lanes[i]);
        lane_call_wait(s->lanes[i], be_there, NULL);
    }
}

void plugin_store_stop(struct server *s)
{
    bool own = s->plugin_store != s->store;
    if (own) {
        carry_stop(s->carry);
        postgres_stop(s->plugin_store);
    }
    pgsql_close_lane(s->control);
    if (own) {
        store_close(s->plugin_store);
        carry_close(s->carry);
    }
}
