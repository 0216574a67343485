/* server_work.c -- jobs and schedules of the set that serves. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bind/cron_push.h"
#include "bind/cron_record.h"
#include "bind/jobs_run.h"
#include "config/config.h"
#include "cron/cron.h"
#include "jobs/admin.h"
#include "jobs/schedules.h"
#include "jobs/workflow/workflow.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "server_parts.h"
#include "storage/carry.h"
#include "supervisor.h"

/* Its store failed; the supervisor tells in words. */
static bool died_of_disk(const char *how)
{
    char state[16];
    snprintf(state, sizeof state, "code %d", EXIT_STATE);
    return how && strcmp(how, state) == 0;
}

bool jobs_part_start(struct server *s, struct err *err)
{
    char *flight = mem_printf("%s/jobs.flight", s->state_dir);
    struct jobs_options options = {
        .driver = s->guest ? NULL : config_text(s->config, "jobs.driver"),
        .url = config_text(s->config, "jobs.url"),
        .lease_ns = config_ns(s->config, "jobs.lease"),
        .celery =
            {
                .prefix = config_text(s->config, "celery.prefix"),
                .queues = config_text(s->config, "celery.queues"),
                .default_queue = config_text(s->config, "celery.default_queue"),
                .node = config_text(s->config, "celery.node"),
                .visibility_ns = config_ns(s->config, "celery.visibility_timeout"),
            },
        .store = s->store,
        .carry = s->carry,
        .lane = s->control,
        .flight_path = flight,
        .run = s->guest ? s->guest->run_job : jobs_run_task,
        .run_batch = s->guest ? s->guest->run_batch : jobs_run_batch_task,
        .cancel = jobs_cancel_task,
        .kill = jobs_kill_task,
        .died = server_event_died,
        .note = server_event_note,
        .noted = server_event_noted,
        .arg = s,
        .node = s->node.name,
        .last_death = getenv("MARU_LAST_DEATH"),
        .blameless = died_of_disk(getenv("MARU_LAST_DEATH")),
        .result_ttl_ns = config_ns(s->config, "jobs.result_ttl"),
        .workflow_ttl_ns = config_ns(s->config, "workflows.ttl"),
        .dead_ttl_ns = config_ns(s->config, "jobs.dead_ttl"),
        .held_ttl_ns = config_ns(s->config, "jobs.held_ttl"),
    };
    int capacity = (int)config_integer(s->config, "jobs.concurrency");
    s->jobs = jobs_open(&options, err);
    mem_free(flight);
    for (int i = s->web_count; s->jobs && i < s->web_count + s->job_count; i++) {
        if (!jobs_add_worker(s->jobs, s->lanes[i], capacity, err))
            return false;
    }
    if (s->jobs)
        metrics_on_scrape(jobs_scrape, s->jobs);
    return s->jobs != NULL;
}

void jobs_part_stop(struct server *s)
{
    jobs_close(s->jobs);
}

bool cron_part_start(struct server *s, struct err *err)
{
    bool shared = jobs_shares_schedules(s->jobs);
    struct cron_record record = cron_record_jobs(s->jobs);
    struct cron_options options = {
        .store = s->store,
        .lane = s->control,
        .tz = config_text(s->config, "cron.tz"),
        .record = shared ? &record : NULL,
        .lease_ns = config_ns(s->config, "jobs.lease"),
        .idle = !s->node.cron,
        .push = cron_push_job,
        .arg = s->jobs,
    };
    s->cron = cron_open(&options, err);
    return s->cron != NULL;
}

void cron_part_stop(struct server *s)
{
    cron_close(s->cron);
}

static struct vm *target_vm(void *owner, struct lane *lane)
{
    return generation_vm(owner, lane);
}

/* One target for each job of the generation, in the declaration's order. */
static struct job_target *targets_of(struct generation *g)
{
    if (!g->attached) {
        struct job_target *list = mem_zero((size_t)g->decl->job_count + 1, sizeof *list);
        for (int i = 0; i < g->decl->job_count; i++)
            list[i] = (struct job_target){target_vm, g, g->decl->jobs[i].handler};
        g->attached = list;
    }
    return g->attached;
}

static struct job_rate job_rate(struct rate_decl rate)
{
    return (struct job_rate){rate.count, rate.period_ns};
}

static void set_queues(struct server *s, const struct set *set)
{
    int total = 0, n = 0;
    for (int i = 0; i < set->count; i++)
        total += set->generations[i]->decl->queue_count;
    struct job_queue_options *queues = mem_zero((size_t)total + 1, sizeof *queues);
    for (int i = 0; i < set->count; i++) {
        const struct plugin_decl *decl = set->generations[i]->decl;
        for (int k = 0; k < decl->queue_count; k++) {
            const struct queue_decl *d = &decl->queues[k];
            queues[n++] = (struct job_queue_options){d->name,
                                                     {.concurrency = d->concurrency,
                                                      .weight = d->weight,
                                                      .rate = job_rate(d->rate),
                                                      .key_concurrency = d->key_concurrency,
                                                      .key_rate = job_rate(d->key_rate)}};
        }
    }
    jobs_set_queues(s->jobs, queues, n);
    mem_free(queues);
}

static struct job_kind_options kind_options(const struct job_decl *d)
{
    return (struct job_kind_options){
        .kind = d->kind,
        .celery = d->celery,
        .exported = d->exported,
        .queue = d->queue,
        .priority = d->priority,
        .retries = d->retries,
        .backoff_ns = d->backoff_ns,
        .backoff_max_ns = d->backoff_max_ns,
        .backoff_factor = d->backoff_factor,
        .backoff_jitter = 1 + d->backoff_jitter,
        .timeout_ns = d->timeout_ns,
        .result_ttl_ns = d->result_ttl_ns,
        .hard_timeout_ns = d->hard_timeout_ns,
        .expires_ns = d->expires_ns,
        .concurrency = d->concurrency,
        .rate = job_rate(d->rate),
        .key_field = d->key,
        .key_concurrency = d->key_concurrency,
        .key_rate = job_rate(d->key_rate),
        .batch = d->batch,
        .batch_wait_ns = d->batch_wait_ns,
    };
}

static void set_kinds(struct server *s, const struct set *set)
{
    int total = 0, n = 0;
    for (int i = 0; i < set->count; i++)
        total += set->generations[i]->decl->job_count;
    struct job_kind_options *kinds = mem_zero((size_t)total + 1, sizeof *kinds);
    for (int i = 0; i < set->count; i++) {
        struct generation *g = set->generations[i];
        struct job_target *targets = targets_of(g);
        for (int k = 0; k < g->decl->job_count; k++) {
            kinds[n] = kind_options(&g->decl->jobs[k]);
            kinds[n++].target = generation_held(g) ? NULL : &targets[k];
        }
    }
    jobs_set_kinds(s->jobs, kinds, n);
    mem_free(kinds);
}

static void set_workflows(struct server *s, const struct set *set)
{
    int total = 0, n = 0;
    for (int i = 0; i < set->count; i++)
        total += set->generations[i]->decl->workflow_count;
    const struct workflow_decl **list = mem_zero((size_t)total + 1, sizeof *list);
    for (int i = 0; i < set->count; i++) {
        const struct plugin_decl *decl = set->generations[i]->decl;
        for (int k = 0; k < decl->workflow_count; k++)
            list[n++] = &decl->workflows[k];
    }
    workflow_set(s->jobs, list, n);
    mem_free(list);
}

void work_held(void *server, struct generation *g)
{
    struct server *s = server;
    set_kinds(s, reload_current(s->reload));
    web_close_sockets(s, g->name);
}

static void on_target_idle(void *arg)
{
    generation_unref(arg);
}

/* The queue may still hold a pointer to a target for a moment. */
static void keep_until_idle(struct server *s, struct generation *g)
{
    struct job_target *targets = targets_of(g);
    for (int k = 0; k < g->decl->job_count; k++) {
        generation_ref(g);
        jobs_when_idle(s->jobs, &targets[k], s->control, on_target_idle, g);
    }
}

static struct cron_schedule *list_schedules(const struct set *set, int *count)
{
    int total = 0;
    for (int i = 0; i < set->count; i++)
        total += set->generations[i]->decl->schedule_count;
    struct cron_schedule *list = mem_zero((size_t)total + 1, sizeof *list);
    *count = 0;
    for (int i = 0; i < set->count; i++) {
        const struct generation *g = set->generations[i];
        for (int k = 0; k < g->decl->schedule_count; k++) {
            const struct schedule_decl *d = &g->decl->schedules[k];
            list[(*count)++] = (struct cron_schedule){
                .plugin = g->name,
                .id = d->id,
                .pattern = d->pattern,
                .tz = d->tz,
                .kind = d->kind,
                .args_json = d->args_json,
                .enabled = d->enabled,
                .jitter = d->jitter_ns / NS_PER_SECOND,
                .deadline = d->deadline_ns / NS_PER_SECOND,
                .missed = (enum cron_missed)d->missed,
                .missed_max = d->missed_max,
                .overlap = (enum cron_overlap)d->overlap,
            };
        }
    }
    return list;
}

bool work_check(void *server, const struct set *set, struct err *err)
{
    struct server *s = server;
    int count;
    bool ok = true;
    struct cron_schedule *list = list_schedules(set, &count);
    for (int i = 0; ok && i < count; i++) {
        ok = cron_check(s->cron, list[i].pattern, list[i].tz, err) ||
             err_wrap(err, "plugin %s: cron[\"%s\"]", list[i].plugin, list[i].pattern);
    }
    mem_free(list);
    return ok && series_check(s, set, err) && search_check(s, set, err);
}

void work_swapped(void *server, const struct set *set, struct generation *const *gone, int count)
{
    struct server *s = server;
    struct err err = {0};
    int schedules;
    struct cron_schedule *list = list_schedules(set, &schedules);
    set_queues(s, set);
    set_kinds(s, set);
    set_workflows(s, set);
    for (int i = 0; i < count; i++)
        keep_until_idle(s, gone[i]);
    if (!cron_set(s->cron, list, schedules, &err))
        log_error("cron", "%s", err.message);
    series_follow(s, set);
    search_follow(s, set);
    events_follow_set(s, set);
    mem_free(list);
    if (!s->working)
        jobs_start(s->jobs);
    for (int i = 0; s->carry && i < set->count; i++)
        carry_follow(s->carry, set->generations[i]->name);
    s->working = true;
}
