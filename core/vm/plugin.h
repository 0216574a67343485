/* plugin.h -- what a plugin declares, in C.
 *
 * Made once per generation from the table plugin.lua returned, after the host
 * library (lua/maru/contract.lua) has checked and normalised it.  Handlers are
 * numbers: every VM of the generation sorts them the same way, so number n
 * means the same function on every lane.  Numbers begin with 1; -1 is none.
 *
 * Handlers given in place under M.cron and M.on are durable jobs: `jobs` lists
 * them too, with the kinds "plugin.cron:<id>" and "plugin.on:<topic>".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "vm/counters.h"

struct route_decl {
    char *method, *pattern; /* "GET", "/api/channels/{platform}/{id}" */
    int handler;
    char *summary; /* or NULL */
    char *auth;    /* "none" "user" "admin" */
    double rate;   /* requests per second per client; 0 = none */
    int rate_burst;
    int64_t cache_ns; /* 0 = none */
    int64_t max_body; /* bytes; 0 = the host's default */
    int64_t timeout_ns;
    char *operation_json; /* an operation object of OpenAPI 3.1 (lua/maru/operation.lua); or NULL */
};
struct rate_decl {
    int64_t count, period_ns; /* count 0 = none */
};
struct job_decl {
    char *kind; /* "plugin.job" */
    int handler;
    char *celery;  /* its task name for Celery, or NULL */
    bool exported; /* other plugins may push it */
    char *queue;
    int priority; /* 0 high, 1 normal, 2 low */
    int retries;
    int64_t backoff_ns, backoff_max_ns, timeout_ns, hard_timeout_ns, result_ttl_ns;
    double backoff_factor, backoff_jitter;
    int64_t expires_ns; /* 0 = never */
    int concurrency;    /* 0 = no limit */
    struct rate_decl rate;
    int batch; /* jobs that its handler takes at once; 0 = one, not in a list */
    int64_t batch_wait_ns;
    char *key;           /* field of args that says whose job it is; or NULL */
    int key_concurrency; /* 0 = no limit */
    struct rate_decl key_rate;
};
struct queue_decl {
    char *name;
    int weight, concurrency, key_concurrency; /* 0 = no limit */
    struct rate_decl rate, key_rate;
};
struct workflow_decl; /* jobs/workflow.h */
struct schedule_decl {
    char *id, *pattern, *tz; /* tz NULL = the configuration's */
    char *kind;      /* job it pushes; handlers given in place become "plugin.cron:<id>" jobs */
    char *args_json; /* or NULL */
    bool enabled;
    int64_t jitter_ns, deadline_ns; /* whole seconds; 0 = none */
    int missed;                     /* 0 latest, 1 skip, 2 all */
    int missed_max;                 /* of all */
    int overlap;                    /* 0 skip, 1 allow, 2 queue, 3 cancel */
};
struct topic_decl {
    char *topic, *kind; /* topic of events → durable job */
    bool beginning;     /* the first time: also what is there already */
};
struct socket_decl {
    char *path;
    int open, message, close, upgrade; /* handlers; -1 = none */
};
struct series_decl {
    char *name;
    char **keys, **values;
    int key_count, value_count;
    int64_t retention_ns; /* 0 = kept */
};
struct index_decl { /* of M.search */
    char *name;
    char **fields, **types; /* a type for each field, as in M.search */
    int field_count;
};
struct page_decl {
    char *path, *title_ko, *title_en, *module;
};

/* ORDER capability_kind: the names of M.allow's lists, and the words of capability.h. */
enum capability_kind {
    CAPABILITY_NET,   /* "host:port", "*.host:port", either with "private:" in front */
    CAPABILITY_FS,    /* a file's path, or a folder's that ends in "/" */
    CAPABILITY_ENV,   /* a variable's name */
    CAPABILITY_EXEC,  /* a program's absolute path */
    CAPABILITY_CALL,  /* M.allow.exports: "plugin.fn" or "plugin.*" */
    CAPABILITY_JOB,   /* M.allow.jobs: "plugin.job" or "plugin.*" */
    CAPABILITY_EVENT, /* M.allow.events: topics it emits and reads, "topic" or "prefix.*" */
    CAPABILITY_MAIL,  /* M.allow.mail: "*", "*@domain" or an address it may write to */
    CAPABILITY_HEAR,  /* M.on: topics of others that it hears */
    CAPABILITY_MODEL, /* "*": language models */
    CAPABILITY_KINDS,
};
/* One list of M.allow, "config:KEY" entries resolved. */
struct allow_decl {
    char **entries;
    char **from; /* for each: "", "config:KEY" (the operator gave it) or "default:KEY"; NULL for
                    lists that cannot refer to the configuration */
    int count;
};

struct plugin_decl {
    char *name, *version;
    char **requires;
    int require_count;
    struct route_decl *routes;
    int route_count;
    struct job_decl *jobs;
    int job_count;
    struct workflow_decl *workflows;
    int workflow_count;
    struct queue_decl *queues;
    int queue_count;
    struct schedule_decl *schedules;
    int schedule_count;
    struct topic_decl *topics;
    int topic_count;
    struct socket_decl *sockets;
    int socket_count;
    struct series_decl *series;
    int series_count;
    struct index_decl *indexes;
    int index_count;
    struct page_decl *pages;
    int page_count;
    char **exports;
    int *export_handlers;
    int export_count;
    struct allow_decl allow[CAPABILITY_KINDS];
    char **secrets;
    int secret_count;                           /* config keys that are never shown or logged */
    int64_t caps[CAP_COUNT];                    /* at once on one lane, by enum vm_cap */
    int64_t memory_limit, task_ns, watchdog_ns; /* watchdog_ns 0 = the configuration's */
    bool jit;                                   /* its code may be compiled */
    int start, stop, health;                    /* handlers; -1 = none */
    int handler_count;
    char *handlers_hash; /* of the sorted handler names: all lanes must agree */
};

void plugin_decl_free(struct plugin_decl *decl);
