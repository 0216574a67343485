/* task_span.c -- a task's trace: its own span, the parts that a plugin names, and one for each
 * wait. */
#include "base/mem.h"
#include "observe/trace.h"
#include "vm/task_internal.h"

enum { PARTS_MOST = 32 }; /* inside each other; deeper ones are not traced */

struct span *task_span(const struct task *task)
{
    return task->part;
}

/* Some say the whole usage: "app.cache:get(key)". */
static struct str call_name(const char *who)
{
    struct str text = str_c(who);
    return str_n(text.p, str_find(text, '('));
}

struct span *task_wait_span(struct task *task)
{
    if (!task->part)
        return NULL;
    if (!task->wait_span)
        task->wait_span = span_child(task->part, SPAN_CLIENT, call_name(task->who));
    return task->wait_span;
}

void task_span_failed(struct task *task, const char *why)
{
    if (task->wait_span)
        span_fail(task->wait_span, str_c(why));
}

void task_wait_span_end(struct task *task)
{
    span_end(task->wait_span);
    task->wait_span = NULL;
}

void task_part_begin(struct task *task, struct str name)
{
    if (!task->part)
        return;
    if (!task->parts)
        task->parts = mem_zero(PARTS_MOST, sizeof(struct span *));
    if (task->part_count < PARTS_MOST) {
        struct span *inner = span_child(task->part, SPAN_INTERNAL, name);
        task->parts[task->part_count] = inner ? task->part : NULL;
        if (inner)
            task->part = inner;
    }
    task->part_count++;
}

void task_part_end(struct task *task, const char *failure)
{
    if (!task->part || task->part_count == 0)
        return;
    if (--task->part_count >= PARTS_MOST || !task->parts[task->part_count])
        return; /* it has no span */
    if (failure)
        span_fail(task->part, str_c(failure));
    span_end(task->part);
    task->part = task->parts[task->part_count];
}

static const char *words(const struct task *task, enum task_outcome outcome)
{
    switch (outcome) {
    case TASK_DONE:
        return NULL;
    case TASK_FAILED:
    case TASK_KILLED:
        return task->failure.status && task->failure.status < 500 ? NULL : task->failure.message;
    case TASK_CANCELLED:
        return "cancelled";
    case TASK_TIMEOUT:
        return "over its time limit";
    case TASK_MEMORY:
        return "not enough memory";
    }
    return NULL;
}

void task_spans_end(struct task *task, enum task_outcome outcome)
{
    const char *why = words(task, outcome);
    task_wait_span_end(task);
    while (task->part_count > 0)
        task_part_end(task, why ? why : "it was not ended");
    if (why)
        span_fail(task->part, str_c(why));
    span_end(task->part);
    task->part = NULL;
    mem_free(task->parts);
    task->parts = NULL;
}
