/* private.h -- what model/ shares within itself. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "model/model.h"

struct driver_health;
struct metric;

/* A value somewhere in a setting that is a list of tables. */
struct table_field {
    int item;    /* which table, from 0 */
    char *path;  /* "price.input" */
    char *text;  /* a string decoded, a number or boolean as written, NULL for null */
    bool quoted; /* it was a string */
    bool seen;   /* by somebody who knows the path */
};
struct table_list {
    struct table_field *fields;
    int count, items;
};

/* table.c: the JSON text of a setting; "" is an empty list.  False with *err. */
bool tables_read(struct str json, struct table_list *out, struct err *err);
void tables_free(struct table_list *list);
const char *tables_text(struct table_list *list, int item, const char *path, const char *otherwise);
/* False with *err ("[2].timeout: …"), these three, for a value that is wrong. */
bool tables_number(struct table_list *list, int item, const char *path, double least, double most,
                   double *out, struct err *err);
bool tables_duration(struct table_list *list, int item, const char *path, int64_t *out,
                     struct err *err);
bool tables_all_seen(const struct table_list *list, struct err *err);

struct provider {
    struct model_provider shown; /* first */
    char *model, *embed_model, *tokens_field, *output;
    double price_in, price_cached, price_out, price_embed; /* of a million tokens */
    int64_t timeout_ns, silence_ns, rest_ns;
    int retries, concurrency;
    struct driver_health *health;
    struct metric *seconds;
    /* under the model's lock */
    int inside;
    struct list waiting; /* tickets, first come first */
    int64_t rests_until; /* clock_ns */
};

struct budget {
    char *plugin; /* NULL: of those that have none of their own */
    double cost;  /* 0 = none */
    int64_t tokens;
};

/* Of one plugin and one source (a provider, "cache", "rules") on one day. */
struct spent {
    char *plugin, *source;
    int64_t requests, failures, tokens_in, tokens_out;
    double cost;
};

struct model {
    struct sqlite *db;
    struct provider *providers;
    int count;
    struct budget *budgets;
    int budget_count;
    char *currency;
    char **redact;
    int redact_count;
    int64_t timeout_ns, cache_ns;
    pthread_mutex_t lock;
    int64_t day; /* of `spent`: days since 1970 */
    struct map *spent;
    struct map *aside; /* plugin -> struct aside: of requests under way */
};

struct aside {
    int64_t tokens;
    double cost;
};

struct model_ticket {
    struct lane_message message; /* first; tells the lane that it has entered */
    struct list link;            /* in waiting */
    struct model *model;
    int provider;
    char *plugin;
    struct lane *lane;
    int64_t tokens, started;
    double cost;
    bool inside, posted, gone;
    model_entered_fn *entered;
    void *arg;
};

/* provider.c */
bool providers_read(struct model *model, const struct config *config, struct err *err);
void providers_free(struct model *model);

/* budget.c.  Under the model's lock. */
bool budgets_read(struct model *model, const struct config *config, struct err *err);
void budgets_free(struct model *model);
const struct budget *budget_of(const struct model *model, const char *plugin);
bool budget_set_aside(struct model *model, const char *plugin, int64_t tokens, double cost,
                      struct err *err);
void budget_give_back(struct model *model, const char *plugin, int64_t tokens, double cost);
void budget_follow_day(struct model *model);
/* The row of today, made when it is not there. */
struct spent *budget_row(struct model *model, struct str plugin, struct str source);

/* spend.c */
bool spend_open(struct model *model, struct err *err); /* reads today's rows */
/* Adds to today's row in memory and on disk; under the lock.  written as in model_leave(). */
void spend_add(struct model *model, const struct spent *more, struct lane *lane,
               void (*written)(void *arg), void *arg);
void spend_close(struct model *model); /* waits for what is being written */
