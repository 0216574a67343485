/* flow_host.h -- workflows on a queue of their own: steps are C functions, waits are for answers.
 */
#pragma once

#include "jobs/host.h"
#include "jobs/workflow/workflow.h"
#include "storage/sqlite.h"

static inline void flow_set_decl(struct host *h, const struct workflow_decl *decl,
                                 const char *const *kinds)
{
    struct job_kind_options list[32];
    int n = 0;
    for (; kinds[n]; n++)
        list[n] = (struct job_kind_options){.kind = kinds[n],
                                            .queue = "default",
                                            .priority = JOB_NORMAL,
                                            .backoff_ns = NS_PER_MS,
                                            .target = h};
    jobs_set_kinds(h->jobs, list, n);
    workflow_set(h->jobs, &decl, decl ? 1 : 0);
}

struct flow_waiting {
    struct workflow_change change;
    _Atomic int over;
};

static inline void flow_changed(struct workflow_change *change)
{
    atomic_store(&((struct flow_waiting *)(void *)change)->over, 1);
}

static inline void flow_wait(struct flow_waiting *w)
{
    while (!atomic_load(&w->over))
        host_sleep(1);
}

/* The run's id, or the negative error code. */
static inline int64_t flow_start(struct host *h, const struct workflow_start *start)
{
    struct err err = {0};
    struct flow_waiting w = {.change = {.done = flow_changed, .lane = h->control}};
    if (!workflow_start(h->jobs, &w.change, start, &err))
        return -(int64_t)err.code;
    flow_wait(&w);
    return w.change.err.code ? -(int64_t)w.change.err.code : w.change.id;
}

static inline int64_t flow_graph(struct host *h, const char *name, const char *key)
{
    return flow_start(h, &(struct workflow_start){.plugin = STR("p"),
                                                  .name = str_c(name),
                                                  .key = str_c(key),
                                                  .input = STR("{\"n\":1}")});
}

static inline enum err_code flow_signal(struct host *h, int64_t id, const char *name,
                                        const char *data, bool *woke)
{
    struct flow_waiting w = {.change = {.done = flow_changed, .lane = h->control}};
    workflow_signal(h->jobs, &w.change, id, STR(""), str_c(name), str_c(data), STR("me"));
    flow_wait(&w);
    *woke = w.change.woke;
    return w.change.err.code;
}

static inline enum err_code flow_cancel(struct host *h, int64_t id)
{
    struct flow_waiting w = {.change = {.done = flow_changed, .lane = h->control}};
    workflow_cancel(h->jobs, &w.change, id, STR(""));
    flow_wait(&w);
    return w.change.err.code;
}

struct flow_look {
    struct workflow_query query;
    _Atomic int over;
};

static inline void flow_looked(struct workflow_query *query)
{
    atomic_store(&((struct flow_look *)(void *)query)->over, 1);
}

/* One run's JSON; to be freed with mem_free. */
static inline char *flow_show(struct host *h, int64_t id)
{
    struct flow_look look = {.query = {.id = id, .done = flow_looked, .lane = h->control}};
    size_t n;
    workflow_query(h->jobs, &look.query);
    while (!atomic_load(&look.over))
        host_sleep(1);
    buf_add_c(&look.query.out, "");
    return buf_take(&look.query.out, &n);
}

static inline bool flow_has(struct host *h, int64_t id, const char *text)
{
    char *json = flow_show(h, id);
    bool has = json && strstr(json, text);
    mem_free(json);
    return has;
}

/* Waits until the run's JSON has this; prints it when it never does. */
static inline bool flow_becomes(struct host *h, int64_t id, const char *text)
{
    for (int i = 0; i < 10000; i++, host_sleep(1))
        if (flow_has(h, id, text))
            return true;
    char *json = flow_show(h, id);
    printf("# run %lld never has %s: %s\n", (long long)id, text, json);
    mem_free(json);
    return false;
}

static inline bool flow_is(struct host *h, int64_t id, const char *state)
{
    char text[128];
    snprintf(text, sizeof text, "\"key\":");
    snprintf(text, sizeof text, "\"state\":\"%s\",\"created_at\"", state);
    return flow_becomes(h, id, text);
}
