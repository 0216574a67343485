/* postgres_private.h -- what the files of the PostgreSQL store share. */
#pragma once

#include <pthread.h>
#include <strings.h>

#include "base/map.h"
#include "storage/migrate.h"
#include "storage/pg.h"
#include "storage/postgres.h"

struct postgres;

struct postgres_plugin {
    struct postgres *store;
    char name[64], schema[POSTGRES_NAME_BYTES + 1];
    struct pgsql *primary, *replica; /* replica NULL: there is none */
    pthread_mutex_t lock;            /* below */
    bool ready; /* its schema is there, and what follows is known and stays; read without lock */
    bool own_role;
    char role[POSTGRES_NAME_BYTES + 1], *password;
    /* As store.url alone lets one expect; empty, NULL when it names nobody.  Constant. */
    char likely_role[POSTGRES_NAME_BYTES + 1], *likely_password;
};

/* One of the two servers, as the probe sees it.  Control lane. */
struct postgres_probe {
    struct store_call call; /* first */
    struct postgres *store;
    struct pgsql *db;
    bool asked, up;
    int64_t asked_ns; /* steady clock */
    struct err err;
};

struct postgres {
    struct store store; /* first */
    char *url, *read_url;
    int connections;
    struct lane *control;
    struct pgsql *host; /* as store.url logs in */
    struct driver_health *health;
    struct postgres_probe probes[2]; /* store.url, store.read_url */
    struct timer probe;
    pthread_mutex_t lock;
    struct map *plugins; /* under lock; struct postgres_plugin by name */
    bool warned;         /* under lock: that plugins have no roles of their own */
    bool sessions;       /* under lock: pgsql_check_pooler() has found nothing */
};

/* The plugin's identities, made when it is first asked for.  Any thread.  NULL with *err. */
struct postgres_plugin *postgres_plugin_of(struct postgres *store, const char *name,
                                           struct err *err);
void postgres_plugin_free(struct postgres_plugin *plugin);
/* Blocks: makes schema and role where they are not there.  False with *err. */
bool postgres_plugin_ready(struct postgres_plugin *plugin, struct err *err);

/* Whether a plugin may run the statement; false with *err. */
bool postgres_check(void *plugin, struct str sql, struct err *err);
/* Whether one of the statements is END, which is COMMIT. */
bool postgres_ends_transaction(struct str sql);

/* postgres_tx.c */
void postgres_tx_begin(struct store *store, struct store_tx *tx);
void postgres_tx_run(struct store_tx *tx, struct store_call *call);
void postgres_tx_end(struct store_tx *tx, bool commit);

/* postgres_types.c: appends a migration's text with the types of both databases' parts ("integer
 * primary key", "real", "blob") as PostgreSQL spells them; lines stay where they are. */
void postgres_types(struct str text, struct buf *out);
/* postgres_migrate.c */
bool postgres_migrate(struct store *store, const char *plugin, const struct migration *migrations,
                      int count, bool dry_run, struct err *err);
bool postgres_ahead(struct store *store, const char *plugin, const struct migration *migrations,
                    int count, struct buf *names, struct err *err);

/* postgres_probe.c */
void postgres_probe_now(struct postgres *store);

/* Done on call->lane in a turn of its own, with call->err as it is. */
void postgres_answer(struct store_call *call);
