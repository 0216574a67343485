#include "base/mem.h"
#include "jobs/driver.h"
#include "jobs/workflow/private.h"
#include "observe/log.h"

static char **copy_texts(char *const *list, int count)
{
    char **copy = mem_zero((size_t)count + 1, sizeof *copy);
    for (int i = 0; i < count; i++)
        copy[i] = mem_strdup(list[i]);
    return copy;
}

static struct workflow_decl copy_decl(const struct workflow_decl *from)
{
    struct workflow_decl to = *from;
    to.plugin = mem_strdup(from->plugin);
    to.name = mem_strdup(from->name);
    to.start = mem_strdup(from->start);
    to.steps = mem_zero((size_t)from->step_count + 1, sizeof *to.steps);
    for (int i = 0; i < from->step_count; i++) {
        const struct workflow_step_decl *s = &from->steps[i];
        to.steps[i] = (struct workflow_step_decl){
            .name = mem_strdup(s->name),
            .on_error = mem_strdup(s->on_error),
            .next = copy_texts(s->next, s->next_count),
            .next_count = s->next_count,
            .join = copy_texts(s->join, s->join_count),
            .join_count = s->join_count,
            .each = s->each,
        };
    }
    return to;
}

static void free_texts(char **list, int count)
{
    for (int i = 0; i < count; i++)
        mem_free(list[i]);
    mem_free(list);
}

static void free_decl(struct workflow_decl *d)
{
    for (int i = 0; i < d->step_count; i++) {
        mem_free(d->steps[i].name);
        mem_free(d->steps[i].on_error);
        free_texts(d->steps[i].next, d->steps[i].next_count);
        free_texts(d->steps[i].join, d->steps[i].join_count);
    }
    mem_free(d->steps);
    mem_free(d->plugin);
    mem_free(d->name);
    mem_free(d->start);
}

const struct workflow_decl *wf_find(const struct wf_set *set, struct str plugin, struct str name)
{
    for (int i = 0; set && i < set->count; i++)
        if (str_eq_c(plugin, set->list[i].plugin) && str_eq_c(name, set->list[i].name))
            return &set->list[i];
    return NULL;
}

const struct workflow_step_decl *wf_find_step(const struct workflow_decl *decl, struct str name)
{
    for (int i = 0; decl && i < decl->step_count; i++)
        if (str_eq_c(name, decl->steps[i].name))
            return &decl->steps[i];
    return NULL;
}

struct wf_set *wf_set_ref(struct jobs *jobs)
{
    jobs_lock(jobs);
    struct wf_set *set = jobs->workflows->set;
    if (set)
        set->refs++;
    jobs_unlock(jobs);
    return set;
}

void wf_set_unref(struct jobs *jobs, const struct wf_set *set)
{
    struct wf_set *own = (struct wf_set *)(uintptr_t)set;
    if (!own)
        return;
    jobs_lock(jobs);
    bool last = --own->refs == 0;
    jobs_unlock(jobs);
    for (int i = 0; last && i < own->count; i++)
        free_decl(&own->list[i]);
    if (last) {
        mem_free(own->list);
        mem_free(own);
    }
}

/* Lock held: what recovery could not decide yet. */
static void end_late(struct jobs *jobs)
{
    struct wf_ids *late = &jobs->workflows->late;
    for (size_t i = 0; i < late->n; i++) {
        struct job *job = index_get(&jobs->index, late->ids[i]);
        if (job && job->place == PLACE_NONE)
            job_over(jobs, job, JOB_END_DISCARDED);
    }
    late->n = 0;
}

void workflow_set(struct jobs *jobs, const struct workflow_decl *const *list, int count)
{
    if (!jobs->workflows) { /* this driver has none */
        if (count)
            log_warn("jobs", "jobs.driver = \"%s\" has no workflows; those of plugins do not run",
                     jobs->driver->name);
        return;
    }
    struct wf_set *set = mem_zero(1, sizeof *set);
    set->refs = 1;
    set->list = mem_zero((size_t)count + 1, sizeof *set->list);
    set->count = count;
    for (int i = 0; i < count; i++)
        set->list[i] = copy_decl(list[i]);
    jobs_lock(jobs);
    struct wf_set *before = jobs->workflows->set;
    jobs->workflows->set = set;
    end_late(jobs);
    jobs_unlock(jobs);
    wf_set_unref(jobs, before);
}
