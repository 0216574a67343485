/* death.c -- what the layer above keeps beside the death of a job. */
#include "base/mem.h"
#include "jobs/driver.h"
#include "jobs/private.h"

struct death {
    struct effect effect; /* first */
    struct jobs *jobs;
    void *note; /* NULL: it is told */
};

static void *note_of(struct jobs *jobs, const struct job *job)
{
    const char *error = job_extra(job)->error;
    struct job_death death = {.kind = job->kind->name,
                              .error = error ? error : "",
                              .id = job->id,
                              .args = job_args(job),
                              .attempts = job->attempt};
    return jobs->options.died ? jobs->options.died(&death, jobs->options.arg) : NULL;
}

static bool record(struct sqlite_conn *conn, const struct effect *effect, struct err *err)
{
    const struct death *d = (const struct death *)(const void *)effect;
    return d->jobs->options.note(conn, d->note, err);
}

static void committed(struct jobs *jobs, struct effect *effect)
{
    struct death *d = (struct death *)(void *)effect;
    jobs->options.noted(d->note, JOB_NOTE_RECORDED);
    d->note = NULL;
}

static void drop(struct effect *effect)
{
    struct death *d = (struct death *)(void *)effect;
    if (d->note)
        d->jobs->options.noted(d->note, JOB_NOTE_DROPPED);
    mem_free(d);
}

void death_note(struct jobs *jobs, struct job *job)
{
    static const struct effect_type type = {record, NULL, committed, drop};
    void *note = note_of(jobs, job);
    if (!note)
        return;
    struct death *d = mem_zero(1, sizeof *d);
    d->effect.type = &type;
    d->jobs = jobs;
    d->note = note;
    batch_add_effect(&jobs->pending, &d->effect);
}

void death_told(struct jobs *jobs, const struct job *job)
{
    void *note = note_of(jobs, job);
    if (note)
        jobs->options.noted(note, JOB_NOTE_ALONE);
}

int64_t jobs_unfinished(struct jobs *jobs, struct str name)
{
    jobs_lock(jobs);
    const struct kind *k = kind_get(jobs, name);
    int64_t n = k ? k->unfinished : 0;
    if (k && jobs->driver->shared) {
        const int64_t *seen = queue_counts(jobs, k->queue);
        n = seen[PLACE_READY] + seen[PLACE_DELAYED] + seen[PLACE_RUNNING] + jobs->pushing;
    }
    jobs_unlock(jobs);
    return n;
}

bool jobs_is_shared(const struct jobs *jobs)
{
    return jobs->driver->shared;
}
