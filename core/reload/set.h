/* set.h -- everything that serves at one time: all generations, and what is found through them.
 *
 * Built aside and immutable afterwards, except for the pins.  A task reads the
 * current set once, at its start, so none ever sees half of two sets.  A lane
 * pins a set for each request it has in flight; pins[i] is touched by lane i
 * only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "http/files.h"
#include "http/router.h"
#include "vm/plugin.h"

struct generation;
struct map;

struct set_job {
    struct generation *generation;
    const struct job_decl *decl;
};

/* What the host itself serves beside the plugins; borrowed. */
struct set_fixed {
    const struct http_route *routes;
    int route_count;
    const char *public_dir; /* dashboard, mounted at "/"; NULL = none */
    const char *vendor_dir; /* third-party modules of it, at "/vendor/"; NULL = in public_dir */
    bool development;
};

struct set {
    struct http_set http; /* first: what the HTTP server sees */
    uint64_t number;
    struct generation **generations; /* by name */
    int count;
    /* private to reload/ */
    struct map *by_name, *jobs;
    struct http_route *routes;
    struct files_entry *entries;
    char **prefixes;
    int prefix_count, lane_count;
    int *pins;         /* per lane */
    int lanes_left;    /* control lane: lanes that may still hold it; 0 = free it */
    struct set *older; /* not yet freed; reachable from lanes only while that is so */
};

/* References every generation.  NULL with *err when two things clash: the
 * message names both owners. */
struct set *set_create(struct generation *const *generations, int count,
                       const struct set_fixed *fixed, int lane_count, struct err *err);
void set_free(struct set *set);

struct generation *set_plugin(const struct set *set, struct str name); /* NULL when absent */
const struct set_job *set_job(const struct set *set, struct str kind); /* NULL when absent */
/* [{"plugin","path","title":{"ko","en"},"module"}] */
void set_pages_json(const struct set *set, struct buf *out);
/* OpenAPI 3.1 of every route of every plugin. */
void set_openapi_json(const struct set *set, struct buf *out);

/* Checks "name" and "name >= 1.2" of every generation against the others.
 * False with *err naming plugin and requirement; *order receives the indices,
 * required ones first (mem_free). */
bool set_requirements(struct generation *const *generations, int count, int **order,
                      struct err *err);
/* Compares "1.10.0" with "1.9" number by number: < 0, 0, > 0. */
int version_compare(struct str a, struct str b);
