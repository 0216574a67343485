/* follow.c -- jobs that come to be in the commit of another one's end. */
#include "jobs/private.h"

#include "base/mem.h"

int64_t follow_push(struct jobs *jobs, const struct job_spec *spec, const struct str *args,
                    int count)
{
    struct err err = {0};
    invariant(spec->unique.n == 0 && spec->schedule.n == 0 && count > 0);
    struct push_op *op = mem_zero(1, sizeof *op);
    struct job **end = &op->first;
    op->jobs = jobs;
    op->count = count;
    op->follows = true;
    for (int i = 0; i < count; i++) {
        *end = job_create(args[i], STR(""));
        end = &(*end)->next;
    }
    struct job *first = op->first;
    if (!push_name(jobs, first, spec, &err)) {
        push_free(op);
        return 0;
    }
    first->id = jobs->next_id;
    jobs->next_id += count;
    jobs->pushing += count;
    push_fill(op, spec);
    batch_add_push(&jobs->pending, op);
    return first->id;
}
