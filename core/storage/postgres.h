/* postgres.h -- plugins' tables in PostgreSQL.
 *
 * Each plugin has a schema of its own, maru_<plugin>, and, where the login of store.url may make
 * roles, a role of its own that owns its tables there and nothing else (the schema is the login's):
 * its statements run on connections that logged in as that role, so there is nothing to reset to.
 * Where it may not, or such a login is refused, the plugin's connections are the login's, with its
 * schema as search_path: a warning says so, and only the words of statements keep plugins apart.
 *
 * A statement is one of select, insert, update, delete, merge, values, with, table, explain; names
 * that begin with maru_ are the host's.  Transactions are serializable, as SQLite's are: one that
 * the server could not put in order ends with tx->again.
 *
 * With a replica, reads go there while the first server is away ("read-only mode"), and
 * call->replica ones at all times.  The host's own tables are never here (sqlite.h).
 */
#pragma once

#include "storage/store.h"

enum {
    POSTGRES_NAME_BYTES = 63, /* of a schema or role, as PostgreSQL has it */
    POSTGRES_TX_TRIES = 10,   /* of one function in store:tx */
    POSTGRES_PROBE_MS = 1000,
    POSTGRES_MOST_S = 65, /* time of any statement; most have STORE_TIMEOUT_MS */
};

struct postgres_options {
    const char *url;
    const char *read_url; /* of a replica; NULL or "" = none */
    int connections;      /* of one plugin on one lane; 0 = PGSQL_CONNECTIONS */
    struct lane *control; /* asks once a second whether the servers answer; NULL: nobody does */
};

/* Connects nothing.  NULL with *err. */
struct store *postgres_open(const struct postgres_options *options, struct err *err);
/* On the control lane: the probes begin, and end. */
void postgres_start(struct store *store);
void postgres_stop(struct store *store);
/* The schema of a plugin's tables. */
void postgres_schema(char out[POSTGRES_NAME_BYTES + 1], const char *plugin);
