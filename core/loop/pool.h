/* pool.h -- threads for what blocks: files, SQLite reads, DuckDB, DNS, big kernels.
 *
 * work runs on a pool thread and touches neither Lua nor anything a lane owns;
 * done runs on the lane that asked, with job->cancelled set if the pool
 * stopped before the work began.
 */
#pragma once

#include "loop/lane.h"

struct pool;

struct pool_job {
    struct lane_message message;        /* private, first */
    void (*work)(struct pool_job *job); /* pool thread */
    void (*done)(struct pool_job *job); /* lane; NULL when nobody waits */
    bool cancelled;                     /* set by the pool */
    /* private */
    struct lane *lane;
    struct pool_job *next;
};

struct pool *pool_create(const char *name, int threads, struct err *err);
/* Its threads give way to all others: for work that nobody's answer waits for.  nice: 1 … 19. */
struct pool *pool_create_nice(const char *name, int threads, int nice, struct err *err);
/* Any thread.  lane is where done runs (NULL: done runs on the pool thread). */
void pool_submit(struct pool *pool, struct pool_job *job, struct lane *lane);
int pool_depth(const struct pool *pool); /* waiting jobs */
bool pool_is_idle(struct pool *pool);    /* nothing waits or runs; any thread */
void pool_destroy(struct pool *pool);    /* finishes what runs, cancels what waits */
