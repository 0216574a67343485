#include "reload/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

enum { PLAN_HASH_SHOWN = 12 };

static const struct plan_plugin *find(const struct plan_plugin *list, int count, const char *name,
                                      int *index)
{
    for (int i = 0; i < count; i++) {
        if (!strcmp(list[i].name, name)) {
            *index = i;
            return &list[i];
        }
    }
    *index = -1;
    return NULL;
}

static bool is_asked(const char *const *only, const char *name)
{
    for (int i = 0; only && only[i]; i++) {
        if (!strcmp(only[i], name))
            return true;
    }
    return !only;
}

static void decide(struct plan_step *step, const struct plan_plugin *was,
                   const struct plan_plugin *now, bool asked, bool forced)
{
    step->from = was ? was->hash : NULL;
    step->to = now && !now->disabled ? now->hash : NULL;
    if (!asked) {
        step->action = PLAN_KEEP;
        step->reason = "not asked for";
        step->to = step->from;
    } else if (!step->to) {
        step->action = PLAN_STOP;
        step->reason = now ? "disabled in the configuration" : "its folder is gone";
    } else if (!was) {
        step->action = PLAN_START;
        step->reason = "new";
    } else if (strcmp(was->hash, now->hash)) {
        step->action = PLAN_REPLACE;
        step->reason = "files changed";
    } else if (strcmp(was->config_hash, now->config_hash)) {
        step->action = PLAN_REPLACE;
        step->reason = "configuration changed";
    } else {
        step->action = forced ? PLAN_REPLACE : PLAN_KEEP;
        step->reason = forced ? "asked for" : "unchanged";
    }
    if (now && now->note && asked && step->to)
        step->reason = now->note;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct plan_step *)a)->plugin, ((const struct plan_step *)b)->plugin);
}

struct plan plan_make(const struct plan_plugin *serving, int serving_count,
                      const struct plan_plugin *found, int found_count, const char *const *only,
                      bool forced)
{
    struct plan plan = {0};
    plan.steps = mem_zero((size_t)(serving_count + found_count) + 1, sizeof *plan.steps);
    for (int i = 0; i < found_count; i++) {
        struct plan_step step = {.plugin = found[i].name, .found = i};
        const struct plan_plugin *was = find(serving, serving_count, found[i].name, &step.serving);
        bool asked = is_asked(only, found[i].name);
        if (!was && (found[i].disabled || !asked))
            continue;
        decide(&step, was, &found[i], asked, forced && only);
        plan.steps[plan.count++] = step;
    }
    for (int i = 0; i < serving_count; i++) {
        struct plan_step step = {.plugin = serving[i].name, .serving = i};
        if (find(found, found_count, serving[i].name, &step.found))
            continue;
        decide(&step, &serving[i], NULL, is_asked(only, serving[i].name), false);
        plan.steps[plan.count++] = step;
    }
    qsort(plan.steps, (size_t)plan.count, sizeof *plan.steps, by_name);
    for (int i = 0; i < plan.count; i++)
        plan.changes += plan.steps[i].action != PLAN_KEEP;
    return plan;
}

void plan_permissions(struct plan_step *step, const struct capability_list *before,
                      const struct capability_list *after)
{
    capability_diff_free(&step->permissions);
    capability_compare(before, after, &step->permissions);
}

void plan_free(struct plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        capability_diff_free(&plan->steps[i].permissions);
    mem_free(plan->steps);
    *plan = (struct plan){0};
}

const char *plan_action_name(enum plan_action action)
{
    static const char *const names[] = {"keep", "start", "replace", "stop"};
    return names[action];
}

void plan_print(const struct plan *plan, struct buf *out)
{
    for (int i = 0; i < plan->count; i++) {
        const struct plan_step *s = &plan->steps[i];
        buf_printf(out, "%-8s %-20s %-12.*s -> %-12.*s  %s", plan_action_name(s->action), s->plugin,
                   PLAN_HASH_SHOWN, s->from ? s->from : "-", PLAN_HASH_SHOWN, s->to ? s->to : "-",
                   s->reason);
        for (int k = 0; k < s->permissions.added_count; k++)
            buf_printf(out, "  + %s", s->permissions.added[k]);
        for (int k = 0; k < s->permissions.removed_count; k++)
            buf_printf(out, "  - %s", s->permissions.removed[k]);
        buf_add_char(out, '\n');
    }
}

static void json_hash(struct json *w, const char *key, const char *hash)
{
    json_key(w, key);
    if (hash)
        json_str(w, str_n(hash, strnlen(hash, PLAN_HASH_SHOWN)));
    else
        json_null(w);
}

static void json_texts(struct json *w, const char *key, char *const *texts, int count)
{
    json_key(w, key);
    json_open(w, '[');
    for (int i = 0; i < count; i++)
        json_cstr(w, texts[i]);
    json_close(w, ']');
}

void plan_json(const struct plan *plan, struct buf *out)
{
    struct json w = json_to(out);
    json_open(&w, '[');
    for (int i = 0; i < plan->count; i++) {
        const struct plan_step *s = &plan->steps[i];
        json_open(&w, '{');
        json_key(&w, "plugin");
        json_cstr(&w, s->plugin);
        json_key(&w, "action");
        json_cstr(&w, plan_action_name(s->action));
        json_key(&w, "reason");
        json_cstr(&w, s->reason);
        json_hash(&w, "from", s->from);
        json_hash(&w, "to", s->to);
        json_key(&w, "permissions");
        json_open(&w, '{');
        json_texts(&w, "added", s->permissions.added, s->permissions.added_count);
        json_texts(&w, "removed", s->permissions.removed, s->permissions.removed_count);
        json_close(&w, '}');
        json_close(&w, '}');
    }
    json_close(&w, ']');
}
