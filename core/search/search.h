/* search.h -- documents found by words: an index of a plugin, and of the log.
 *
 * A driver keeps the indexes: fts (SQLite's FTS5 in state.dir/search.db) or
 * elasticsearch.  Both read the same requests and give the same answers, which
 * are JSON text (docs/guide/search.md); the words of a query are parsed here
 * (query.h), highlights are made here (highlight.h), so they do not depend on
 * the driver.
 *
 * What SEARCH_INDEX and SEARCH_DELETE answered for is on disk: in the index,
 * or in the spool while Elasticsearch is away.  A plugin reaches only the
 * indexes it declared; the host's own are those of the plugin "".
 *
 * Failures: ERR_NOT_FOUND (no such index), ERR_INVALID (a document, query or
 * option is wrong: the message says where), ERR_LIMIT, ERR_TIMEOUT, ERR_FULL
 * (disk or spool), ERR_CONFLICT (fields of another type are in the index
 * already), ERR_IO (the server is away), ERR_CLOSED.
 *
 * Threads: any.  A call is its caller's struct, borrowed until `done`.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/pool.h"

struct search;

enum {
    SEARCH_NAME_BYTES = 40, /* of an index, of a field */
    SEARCH_FIELDS = 64,
    SEARCH_ID_BYTES = 512,
    SEARCH_TEXT_BYTES = 256 << 10, /* one text field of a document */
    SEARCH_KEYWORD_BYTES = 1024,
    SEARCH_DOCS = 10000,             /* documents of one call */
    SEARCH_REQUEST_BYTES = 16 << 20, /* their JSON */
    SEARCH_HITS = 20,                /* of a find that gives no limit */
    SEARCH_HITS_MAX = 1000,
    SEARCH_VALUES = 256, /* of an any-of filter */
    SEARCH_SORTS = 3,
    SEARCH_FACET_VALUES = 20,
    SEARCH_STEPS = 200, /* of a histogram */
};

/* ORDER search_type: search_type_name() */
enum search_type { SEARCH_TEXT, SEARCH_KEYWORD, SEARCH_NUMBER, SEARCH_TIME, SEARCH_BOOLEAN };
const char *search_type_name(enum search_type type);

struct search_field {
    const char *name;
    enum search_type type;
    const char *remote; /* what Elasticsearch calls it; NULL = name */
};

struct search_schema {
    const char *name;
    const struct search_field *fields;
    int field_count;
};

struct search_options {
    const char *driver;                               /* "fts" or "elasticsearch" */
    const char *state_dir;                            /* below it: search.db, spool/ */
    struct pool *pool;                                /* outlives the search */
    int64_t timeout_ns;                               /* of one call */
    int64_t lock_wait_ns;                             /* as in sqlite.h */
    void (*failed)(void *arg, const struct err *err); /* as in sqlite.h */
    /* elasticsearch */
    const char *url, *user, *password, *api_key, *ca_file; /* "" = none */
    const char *prefix;                                    /* of aliases and data streams */
    int64_t spool_bytes;
    /* the log */
    bool logs;
    int64_t logs_ttl_ns, logs_bytes;
    const char *node; /* its name in log documents */
};

/* Strings are copied.  NULL with *err. */
struct search *search_create(const struct search_options *options, struct err *err);
/* Plugins are declared: what waits in the spool may go out, the log may come in. */
void search_begin(struct search *search);
/* Lets running calls finish and closes; no call may come after. */
void search_destroy(struct search *search);
/* Whether the log is searched: the host's index SEARCH_LOG, with the text fields message and
 * fields, the keywords level, area, plugin, generation and node, and the time at. */
bool search_has_log(const struct search *search);
#define SEARCH_LOG STR("log")
const char *search_driver(const struct search *search);
bool search_is_idle(struct search *search); /* nothing waits for its threads */

/* Declares the indexes of a plugin, in place of what it declared before.
 * check_only changes nothing. */
bool search_declare(struct search *search, const char *plugin, const struct search_schema *schemas,
                    int count, bool check_only, struct err *err);

enum search_op { SEARCH_INDEX, SEARCH_FIND, SEARCH_DELETE, SEARCH_COUNT };

struct search_call {
    struct lane_message message; /* private, first */
    /* set by the caller */
    const char *plugin; /* "" = the host */
    struct str index;
    enum search_op op;
    /* JSON.  INDEX: {"docs":[…],"visible":bool}.  FIND: {"query","filter","sort":[…],"limit",
     * "after","highlight":[…],"fields":[…],"facets":[…],"recency":{field: seconds},
     * "histogram":{"field","from","to","steps"}}; the last counts all that is found by a time
     * field, and the answer has {"from","step","counts":[…]}, in seconds.  DELETE:
     * {"ids":[…]} or
     * {"filter":{…}}.  COUNT: {"query","filter"}. */
    struct str request;
    void (*done)(struct search_call *call); /* lane */
    /* result */
    struct err err;
    struct buf answer; /* JSON; the owner frees it */
    /* private */
    struct lane *lane;
    struct search *search;
    struct search_request *parsed;
};
/* lane NULL: done runs on a thread of the driver's or the pool's. */
void search_run(struct search *search, struct search_call *call, struct lane *lane);
