/* model.h -- language models: who answers, what they may cost, and what they have cost.
 *
 * The configuration lists providers (OpenAI's chat completions or an imitator) in the order they
 * are asked in, and budgets of a day (UTC) for each plugin.  This part knows providers, their keys,
 * how many requests each takes at a time and whether it answered lately; it sets costs aside before
 * a request and counts them after it, on disk, so that a restart forgets nothing.  The requests
 * themselves are made by bind/model_lua.c and lua/maru/model*.lua.
 *
 * Threads: everything may be called from any thread, but for a ticket, which belongs to the lane
 * it was taken on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "loop/lane.h"

struct config;
struct json;
struct model;
struct model_ticket;
struct sqlite;

/* What a binding sends with; borrowed from the model, which outlives it. */
struct model_provider {
    char *name, *url; /* url: "https://api.openai.com/v1", without a slash at the end */
    char *key;        /* "" = none; never shown */
    char *allow;      /* "private:api.openai.com:443": the only host it is sent to */
};

/* *db may be NULL (maru check): then nothing is counted on disk.  NULL with *err naming the
 * setting: "model.providers[2].url: …". */
struct model *model_create(const struct config *config, struct sqlite *db, struct err *err);
/* After the last ticket is gone; what was counted is on disk. */
void model_destroy(struct model *model);

int model_provider_count(const struct model *model);
const struct model_provider *model_provider(const struct model *model, int index);
/* Appends what the host library has to know, as JSON: providers without their keys, prices,
 * time-outs, what is redacted. */
void model_describe(const struct model *model, struct buf *out);
/* Appends text with the providers' keys in it as "***". */
void model_hide_keys(const struct model *model, struct str text, struct buf *out);

/* Whether it is worth asking: a provider that did not answer is left alone for its `rest`. */
bool model_provider_rests(struct model *model, int index);
void model_provider_answered(struct model *model, int index);
void model_provider_failed(struct model *model, int index, const struct err *err);

/* -- one request ---------------------------------------------------------------------------- */

/* What it may take at most, set aside until the ticket ends. */
struct model_estimate {
    int64_t tokens_in, tokens_out;
    bool embeds; /* at the price of embeddings */
};

/* Called on the ticket's lane, once, when the provider has room for it. */
typedef void model_entered_fn(void *arg);

/* A place among the requests of one provider and its costs set aside; plugin is copied.  NULL with
 * *err: ERR_LIMIT, the plugin's budget of today does not cover it.  *at_once tells that it has its
 * place; otherwise entered(arg) is called, later. */
struct model_ticket *model_enter(struct model *model, int provider, const char *plugin,
                                 const struct model_estimate *estimate, struct lane *lane,
                                 model_entered_fn *entered, void *arg, bool *at_once,
                                 struct err *err);

enum model_outcome { MODEL_ANSWERED, MODEL_FAILED }; /* ORDER model_outcome: the metric's words */

struct model_usage {
    enum model_outcome outcome;
    int64_t tokens_in, tokens_cached, tokens_out; /* cached: of tokens_in, at their own price */
    bool embeds;
    double cost; /* filled in by model_leave() */
};

/* Ends the ticket: the place is free, what was set aside is replaced by what it took.  Fills in
 * usage->cost.  written(arg) is called on the lane once that is on disk; NULL: nobody waits. */
void model_leave(struct model_ticket *ticket, struct model_usage *usage, void (*written)(void *arg),
                 void *arg);
/* Ends it when its task went away: a request that was sent counts as what was set aside.  entered
 * is not called any more. */
void model_abandon(struct model_ticket *ticket, bool sent);
/* Counts an answer that cost nothing: from the cache, or by rules ("cache", "rules"). */
void model_count_free(struct model *model, const char *plugin, const char *source);

/* Members of an open object: providers, budgets and today's spend by plugin and provider. */
void model_write(struct model *model, struct json *w);
