/* postgres_probe.c -- whether the servers answer, asked once a second: a process that has nothing
 * to ask would not know, and one that says that it is not ready is asked nothing. */
#include "base/clock.h"
#include "observe/drivers.h"
#include "observe/log.h"
#include "storage/postgres_private.h"

enum { PATIENCE_MS = 500, TIMEOUT_MS = 2000 };

static void tell(struct postgres *pg)
{
    const struct postgres_probe *first = &pg->probes[0], *second = &pg->probes[1];
    struct err err = first->err;
    if (first->up && (!second->db || second->up)) {
        if (driver_health_up(pg->health))
            log_info("store", "PostgreSQL answers again");
    } else if (first->up) {
        err = second->err;
        err_wrap(&err, "the replica does not answer");
        if (driver_health_degraded(pg->health, &err))
            log_warn("store", "%s", err.message);
    } else if (second->db && second->up) {
        err_wrap(&err, "read-only mode, reads go to the replica");
        if (driver_health_degraded(pg->health, &err))
            log_error("store", "%s", err.message);
    } else if (driver_health_down(pg->health, &err)) {
        log_error("store", "PostgreSQL is out of reach: %s", err.message);
    }
}

static void on_probed(struct store_call *call)
{
    struct postgres_probe *probe = (struct postgres_probe *)call;
    struct postgres *pg = probe->store;
    probe->asked = false;
    if (probe == &pg->probes[0] && call->err.code == ERR_NONE)
        driver_health_took(pg->health, clock_steady_ns() - probe->asked_ns);
    if (call->err.code == ERR_CLOSED)
        return;
    probe->up = call->err.code == ERR_NONE || call->err.code == ERR_BUSY;
    probe->err = call->err;
    tell(pg);
}

void postgres_probe_now(struct postgres *pg)
{
    for (int i = 0; i < 2; i++) {
        struct postgres_probe *probe = &pg->probes[i];
        if (!probe->db || probe->asked)
            continue;
        probe->asked = true;
        probe->asked_ns = clock_steady_ns();
        probe->call = (struct store_call){.sql = STR("select 1"),
                                          .mode = STORE_EXEC,
                                          .timeout_ns = TIMEOUT_MS * NS_PER_MS,
                                          .lane = pg->control,
                                          .done = on_probed};
        pgsql_run(probe->db, &probe->call);
    }
}

static void on_time(struct timer *timer)
{
    struct postgres *pg = list_entry(timer, struct postgres, probe);
    postgres_probe_now(pg);
    timer_start(pg->control, timer, POSTGRES_PROBE_MS * NS_PER_MS);
}

static struct pgsql *identity(const char *url)
{
    struct err err;
    struct pgsql_options o = {.what = "probe",
                              .url = url,
                              .connections = 1,
                              .timeout_ns = TIMEOUT_MS * NS_PER_MS,
                              .patience_ns = PATIENCE_MS * NS_PER_MS};
    struct pgsql *db = pgsql_open(&o, &err);
    if (!db)
        log_error("store", "%s", err.message);
    return db;
}

void postgres_start(struct store *store)
{
    struct postgres *pg = (struct postgres *)store;
    pg->probes[0] = (struct postgres_probe){.store = pg, .db = identity(pg->url), .up = true};
    if (pg->read_url)
        pg->probes[1] =
            (struct postgres_probe){.store = pg, .db = identity(pg->read_url), .up = true};
    pg->probe.fire = on_time;
    pg->probe.upkeep = true;
    timer_start(pg->control, &pg->probe, 0);
}

void postgres_stop(struct store *store)
{
    struct postgres *pg = (struct postgres *)store;
    timer_stop(pg->control, &pg->probe);
}
