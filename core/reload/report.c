/* report.c -- what the operator is told: why a change failed, what happened to a plugin. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "reload/events.h"
#include "reload/internal.h"

static int find_error(const struct reload *r, const char *plugin)
{
    int i = 0;
    while (i < r->error_count && strcmp(r->errors[i].plugin, plugin))
        i++;
    return i;
}

void reload_note(struct reload *r, const struct reload_error *error)
{
    int i = find_error(r, error->plugin);
    if (i == r->error_count)
        r->errors = mem_realloc(r->errors, (size_t)++r->error_count * sizeof *r->errors);
    r->errors[i] = *error;
}

void reload_forget(struct reload *r, const char *plugin)
{
    int i = find_error(r, plugin);
    if (i == r->error_count)
        return;
    r->errors[i] = r->errors[--r->error_count];
    if (r->options.recovered)
        r->options.recovered(r->options.arg, plugin);
}

const struct reload_error *reload_errors(const struct reload *r, int *count)
{
    *count = r->error_count;
    return r->errors;
}

void reload_event(struct reload *r, const char *plugin, const char *kind, const char *generation,
                  const char *format, ...)
{
    struct plugin_event event = {.at_wall = clock_wall_ns()};
    va_list args;
    snprintf(event.kind, sizeof event.kind, "%s", kind);
    snprintf(event.generation, sizeof event.generation, "%s", generation);
    va_start(args, format);
    vsnprintf(event.text, sizeof event.text, format, args);
    va_end(args);
    events_add(r->events, plugin, &event);
}

const struct events *reload_events(const struct reload *r)
{
    return r->events;
}

const char *reload_keep_dir(const struct reload *r)
{
    return r->options.keep_dir;
}
