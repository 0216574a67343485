#include "storage/postgres.h"

#include "base/clock.h"
#include "base/mem.h"
#include "observe/drivers.h"
#include "storage/postgres_private.h"

/* -- a call, and the replica that may answer it -- */

/* A read that was asked of one server and goes to the other when that is out of reach. */
struct read {
    struct store_call call; /* first: a copy of the caller's */
    struct store_call *asked;
    struct postgres_plugin *plugin;
    struct pgsql *other; /* NULL: this is the other */
    struct err why;      /* of the first */
};

static void on_answered(struct lane_message *message)
{
    struct store_call *call = (struct store_call *)message;
    call->done(call);
}

void postgres_answer(struct store_call *call)
{
    call->message.fn = on_answered;
    lane_post(call->lane, &call->message);
}

static void on_read(struct store_call *call)
{
    struct read *r = (struct read *)call;
    struct pgsql *other = r->other;
    r->other = NULL;
    if (call->err.code == ERR_IO && other) {
        r->why = call->err;
        pgsql_run(other, call);
        return;
    }
    struct store_call *asked = r->asked;
    asked->rows = call->rows;
    bool none = call->err.code == ERR_IO || call->err.code == ERR_READONLY;
    asked->err = none && r->why.code ? r->why : call->err;
    mem_free(r);
    asked->done(asked);
}

static void run_read(struct postgres_plugin *p, struct store_call *call)
{
    struct read *r = mem_zero(1, sizeof *r);
    r->call = *call;
    r->call.done = on_read;
    r->asked = call;
    r->plugin = p;
    r->other = call->replica ? p->primary : p->replica;
    pgsql_run(call->replica ? p->replica : p->primary, &r->call);
}

static void run(struct store *store, struct store_call *call)
{
    if (call->host && !call->plugin && call->lane) { /* about any plugin's tables */
        pgsql_run(((struct postgres *)store)->host, call);
        return;
    }
    struct postgres_plugin *p =
        postgres_plugin_of((struct postgres *)store, call->plugin, &call->err);
    bool reads = p && (call->replica || p->replica) && pgsql_reads(call->sql);
    if (p && !call->lane)
        err_set(&call->err, ERR_INVALID, "PostgreSQL is asked from a lane");
    else if (p && call->replica && !reads)
        err_set(&call->err, ERR_READONLY, "store:read only reads");
    else if (p && reads && p->replica)
        run_read(p, call);
    else if (p)
        pgsql_run(p->primary, call);
    if (call->err.code)
        postgres_answer(call);
}

/* -- opening and closing -- */

static void close_store(struct store *store)
{
    struct postgres *pg = (struct postgres *)store;
    size_t at = 0;
    struct str name;
    void *plugin;
    while (map_next(pg->plugins, &at, &name, &plugin))
        postgres_plugin_free(plugin);
    map_destroy(pg->plugins);
    pgsql_close(pg->probes[0].db);
    pgsql_close(pg->probes[1].db);
    pgsql_close(pg->host);
    driver_health_unregister(pg->health);
    pthread_mutex_destroy(&pg->lock);
    mem_free(pg->url);
    mem_free(pg->read_url);
    mem_free(pg);
}

static const struct store_driver driver = {
    .name = "postgres",
    .run = run,
    .tx_begin = postgres_tx_begin,
    .tx_run = postgres_tx_run,
    .tx_end = postgres_tx_end,
    .migrate = postgres_migrate,
    .ahead = postgres_ahead,
    .close = close_store,
};

struct store *postgres_open(const struct postgres_options *options, struct err *err)
{
    bool replica = options->read_url && *options->read_url;
    if (!pgsql_check_url("store.url", options->url ? options->url : "", err) ||
        (replica && !pgsql_check_url("store.read_url", options->read_url, err)))
        return NULL;
    struct postgres *pg = mem_zero(1, sizeof *pg);
    pg->store.driver = &driver;
    pg->url = mem_strdup(options->url);
    pg->read_url = replica ? mem_strdup(options->read_url) : NULL;
    pg->connections = options->connections;
    pg->control = options->control;
    pg->plugins = map_create();
    pthread_mutex_init(&pg->lock, NULL);
    pg->health = driver_health_register("store", "postgres", true);
    driver_health_address(pg->health, pg->url);
    struct pgsql_options o = {.what = "store", .url = pg->url};
    pg->host = pgsql_open(&o, err);
    if (pg->host)
        return &pg->store;
    close_store(&pg->store);
    return NULL;
}
