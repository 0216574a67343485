/* batch.c -- what waits for the next commit. */
#include "jobs/private.h"

#include "base/mem.h"

void batch_init(struct batch *b)
{
    *b = (struct batch){0};
    b->pushes_end = &b->pushes;
    b->updates_end = &b->updates;
    b->effects_end = &b->effects;
    b->revivals_end = &b->revivals;
    b->settings_end = &b->settings;
    list_init(&b->ends);
}

bool batch_is_empty(const struct batch *b)
{
    return !b->pushes && !b->updates && !b->revivals && !b->effects && !b->settings &&
           list_empty(&b->ends);
}

void batch_add_push(struct batch *b, struct push_op *op)
{
    *b->pushes_end = op;
    b->pushes_end = &op->next;
}

void batch_add_update(struct batch *b, struct update_op *op)
{
    *b->updates_end = op;
    b->updates_end = &op->next;
    b->updates_n++;
}

void batch_add_revival(struct batch *b, struct change_op *op)
{
    *b->revivals_end = op;
    b->revivals_end = &op->next;
}

void batch_add_effect(struct batch *b, struct effect *effect)
{
    effect->next = NULL;
    *b->effects_end = effect;
    b->effects_end = &effect->next;
}

void effect_free(struct effect *effect)
{
    if (effect->type->free)
        effect->type->free(effect);
    else
        mem_free(effect);
}

void batch_add_setting(struct batch *b, struct setting_op *op)
{
    *b->settings_end = op;
    b->settings_end = &op->next;
}

/* Moves everything of `from` into `to`, which is empty. */
void batch_move(struct batch *to, struct batch *from)
{
    batch_init(to);
    if ((to->pushes = from->pushes))
        to->pushes_end = from->pushes_end;
    if ((to->updates = from->updates))
        to->updates_end = from->updates_end;
    if ((to->revivals = from->revivals))
        to->revivals_end = from->revivals_end;
    if ((to->effects = from->effects))
        to->effects_end = from->effects_end;
    for (struct effect *e = to->effects; e; e = e->next)
        if (e->type->sealed)
            e->type->sealed(e);
    if ((to->settings = from->settings))
        to->settings_end = from->settings_end;
    list_splice(&to->ends, &from->ends);
    batch_init(from);
}

void batch_drop(struct batch *b)
{
    for (struct push_op *op = b->pushes, *next; op; op = next) {
        next = op->next;
        push_free(op);
    }
    for (struct update_op *op = b->updates, *next; op; op = next) {
        next = op->next;
        if (op->row)
            job_unref(op->row);
        mem_free(op->extra);
        mem_free(op->error);
        mem_free(op);
    }
    for (struct effect *e = b->effects, *next; e; e = next) {
        next = e->next;
        effect_free(e);
    }
    batch_init(b);
}
