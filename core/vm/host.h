/* host.h -- what bindings reach: the process's parts, by name.
 *
 * Filled by server.c after every part has started, constant afterwards.  A
 * part that is absent (in `maru check`) is NULL and its binding says so.
 */
#pragma once

#include <stdbool.h>

struct cache_driver;
struct channel_hub;
struct config;
struct err;
struct events;
struct http_client;
struct jobs;
struct lane;
struct lua_State;
struct model;
struct objects;
struct pool;
struct programs;
struct search;
struct series_store;
struct store;
struct test_host;

struct host {
    const struct config *config;
    struct test_host *test; /* maru test only (bind/test.h); NULL where it serves */
    struct pool *pool;
    struct pool *loader; /* makes VMs beside the lanes; NULL = pool does */
    struct store *store;
    struct series_store *series;
    struct objects *objects;
    const struct mail_server *mail; /* NULL, or without a URL: none is configured */
    struct search *search;
    struct cache_driver *cache;
    struct events *events;
    struct jobs *jobs;
    struct channel_hub *channels;
    struct http_client **clients; /* per lane index: the curl multi handle of that lane */
    struct programs *programs;
    struct model *model;
    const char *state_dir;
    bool development;
    /* Pushes one table with the raw functions of every noun: bind_all of bind/bind.h, which lies
     * above vm/.  NULL gives plugins no app but its plain parts. */
    int (*bind)(struct lua_State *L);
    /* app.call: finds the VM of another plugin's current generation on this
     * lane and the handler of its export; NULL with *err.  Set by reload. */
    struct vm *(*find_export)(void *reload, struct lane *lane, const char *plugin,
                              const char *function, int *handler, struct err *err);
    void *reload;
};
