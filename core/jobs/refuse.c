/* refuse.c -- the end of waiting: nothing that is pending will be written any more. */
#include "jobs/private.h"

/* Lock held.  What follows from ends stays with them (I9). */
static struct push_op *take_pushes(struct batch *b)
{
    struct push_op *taken = NULL, *op = b->pushes;
    b->pushes = NULL;
    b->pushes_end = &b->pushes;
    for (struct update_op *u = b->updates; u; u = u->next) {
        if (u->push)
            u->push->next = taken;
        taken = u->push ? u->push : taken;
        u->push = NULL;
    }
    for (struct push_op *next; op; op = next) {
        next = op->next;
        op->next = NULL;
        if (op->follows) {
            batch_add_push(b, op);
            continue;
        }
        op->next = taken;
        taken = op;
    }
    return taken;
}

static struct change_op *join(struct change_op *list, struct change_op *op)
{
    for (struct change_op *next; op; op = next) {
        next = op->next;
        op->next = list;
        list = op;
    }
    return list;
}

/* Lock held: the changes that wait for the end of a job, for an update, for a dead one. */
static struct change_op *take_changes(struct jobs *jobs)
{
    struct batch *b = &jobs->pending;
    struct change_op *all = join(NULL, b->revivals);
    b->revivals = NULL;
    b->revivals_end = &b->revivals;
    for (struct update_op *op = b->updates; op; op = op->next) {
        all = join(all, op->change);
        op->change = NULL;
    }
    for (size_t i = 0; i < jobs->watched.size; i++)
        if (jobs->watched.slots[i].id)
            all = join(all, jobs->watched.slots[i].value);
    index_free(&jobs->watched);
    return all;
}

void batch_refuse(struct jobs *jobs, const struct err *err)
{
    jobs_lock(jobs);
    struct push_op *pushes = take_pushes(&jobs->pending);
    struct change_op *changes = take_changes(jobs);
    struct setting_op *settings = jobs->pending.settings;
    jobs->pending.settings = NULL;
    jobs->pending.settings_end = &jobs->pending.settings;
    jobs_unlock(jobs);
    settings_answer(settings, err);
    workflow_refuse(jobs, err);
    for (struct push_op *next; pushes; pushes = next) {
        next = pushes->next;
        push_answer(jobs, pushes, err);
    }
    for (struct change_op *next; changes; changes = next) {
        next = changes->next;
        if (changes->wait)
            wait_step(jobs, changes);
        else
            change_answer(changes, err);
    }
}
