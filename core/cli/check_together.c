/* check_together.c -- clashes of routes and pages, requirements, schedules. */

#include <stdio.h>
#include <string.h>

#include "admin/admin.h"
#include "base/mem.h"
#include "cli/check.h"
#include "cron/schedule.h"
#include "cron/zone.h"
#include "reload/set.h"
#include "vm/frame.h"

/* A route in the eyes of the router: names of parameters make no difference. */
struct claim {
    int plugin;         /* index of the scan; -1 = the host's own */
    const char *method; /* "GET", also for a socket */
    const char *pattern;
    char *shape;
};

static char *shape_of(const char *method, const char *pattern)
{
    struct buf out = {0};
    buf_printf(&out, "%s ", method);
    for (const char *p = pattern; *p; p++) {
        buf_add_char(&out, *p);
        if (*p != '{')
            continue;
        const char *end = p + strcspn(p, "}");
        if (end - p > 3 && !strncmp(end - 3, "...", 3))
            buf_add_c(&out, "...");
        p = end - 1;
    }
    return buf_take(&out, &(size_t){0});
}

static int add_claim(struct claim *list, int n, int plugin, const char *method, const char *pattern)
{
    list[n] = (struct claim){plugin, method, pattern, shape_of(method, pattern)};
    return n + 1;
}

static int list_claims(const struct check *c, struct claim *list)
{
    const char *const *host = admin_public_patterns();
    int n = 0;
    for (int i = 0; host[i]; i++)
        n = add_claim(list, n, -1, "GET", host[i]);
    for (int i = 0; i < c->scan.count; i++) {
        const struct plugin_decl *d = c->loaded[i] ? c->loaded[i]->decl : NULL;
        for (int k = 0; d && k < d->route_count; k++)
            n = add_claim(list, n, i, d->routes[k].method, d->routes[k].pattern);
        for (int k = 0; d && k < d->socket_count; k++)
            n = add_claim(list, n, i, "GET", d->sockets[k].path);
    }
    return n;
}

static int count_claims(const struct check *c)
{
    int n = 0;
    while (admin_public_patterns()[n])
        n++;
    for (int i = 0; i < c->scan.count; i++) {
        const struct plugin_decl *d = c->loaded[i] ? c->loaded[i]->decl : NULL;
        n += d ? d->route_count + d->socket_count : 0;
    }
    return n;
}

/* The line of plugin.lua where the pattern stands, or 0. */
static int line_of(const struct bundle_file *file, const char *pattern)
{
    size_t n = strlen(pattern);
    for (int line = 1;; line++) {
        struct str text = frame_line(file, line);
        if (!text.p)
            return 0;
        for (size_t i = 0; i + n < text.n; i++) {
            char behind = text.p[i + n];
            if (!memcmp(text.p + i, pattern, n) &&
                (behind == '"' || behind == '\'' || behind == ']'))
                return line;
        }
    }
}

/* At the plugin that came second by name; both are named. */
static void add_clash(struct check *c, const struct claim *mine, const struct claim *other,
                      const char *what)
{
    const struct bundle *bundle = c->bundles[mine->plugin];
    const struct bundle_file *file = bundle_find(bundle, STR("plugin.lua"));
    const char *owner = other->plugin < 0 ? "the host" : c->scan.entries[other->plugin].name;
    char *path = mem_printf("%s/plugin.lua", bundle->dir);
    char *message = mem_printf("%s %s%s%s of plugin %s clashes with %s%s%s of %s%s", what,
                               mine->method, *mine->method ? " " : "", mine->pattern, bundle->name,
                               other->method, *other->method ? " " : "", other->pattern,
                               other->plugin < 0 ? "" : "plugin ", owner);
    findings_add(&c->findings, &(struct finding_row){.plugin = (char *)(uintptr_t)bundle->name,
                                                     .path = path,
                                                     .source = file,
                                                     .line = line_of(file, mine->pattern),
                                                     .code = (char *)(uintptr_t) "clash",
                                                     .message = message});
    mem_free(path);
    mem_free(message);
}

static void check_routes(struct check *c)
{
    struct claim *list = mem_zero((size_t)count_claims(c) + 1, sizeof *list);
    int n = list_claims(c, list);
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++) {
            if (!strcmp(list[i].shape, list[k].shape))
                add_clash(c, &list[i], &list[k], "route");
        }
    }
    for (int i = 0; i < n; i++)
        mem_free(list[i].shape);
    mem_free(list);
}

static void check_pages(struct check *c)
{
    for (int i = 0; i < c->scan.count; i++) {
        for (int k = 0; c->loaded[i] && k < c->loaded[i]->decl->page_count; k++) {
            const char *path = c->loaded[i]->decl->pages[k].path;
            for (int other = 0; other < i; other++) {
                const struct plugin_decl *d = c->loaded[other] ? c->loaded[other]->decl : NULL;
                for (int m = 0; d && m < d->page_count; m++) {
                    if (!strcmp(d->pages[m].path, path))
                        add_clash(c, &(struct claim){i, "", path, NULL},
                                  &(struct claim){other, "", path, NULL}, "page");
                }
            }
        }
    }
}

static void check_schedules(struct check *c, int index)
{
    const struct generation *g = c->loaded[index];
    for (int i = 0; i < g->decl->schedule_count; i++) {
        struct schedule schedule;
        struct err err = {0};
        const char *tz = g->decl->schedules[i].tz;
        struct zone *zone = NULL;
        bool good = schedule_parse(str_c(g->decl->schedules[i].pattern), &schedule, &err) &&
                    (!tz || (zone = zone_load(NULL, str_c(tz), &err)));
        zone_free(zone);
        if (good)
            continue;
        char *message = mem_printf("cron[\"%s\"]: %s", g->decl->schedules[i].pattern, err.message);
        const struct bundle_file *file = bundle_find(g->bundle, STR("plugin.lua"));
        char *path = mem_printf("%s/plugin.lua", g->bundle->dir);
        findings_add(&c->findings, &(struct finding_row){
                                       .plugin = (char *)(uintptr_t)g->name,
                                       .path = path,
                                       .source = file,
                                       .line = line_of(file, g->decl->schedules[i].pattern),
                                       .code = (char *)(uintptr_t) "schedule",
                                       .message = message,
                                   });
        mem_free(message);
        mem_free(path);
    }
}

/* Whose folder the message names; the first plugin when it names none. */
static int blamed(const struct check *c, const char *message)
{
    int first = -1;
    for (int i = 0; i < c->scan.count; i++) {
        if (!c->bundles[i])
            continue;
        first = first < 0 ? i : first;
        if (strstr(message, c->bundles[i]->dir))
            return i;
    }
    return first;
}

/* Then making the set would only say the first of them again. */
static bool has_clash(const struct check *c)
{
    for (int i = 0; i < c->findings.count; i++) {
        if (!strcmp(c->findings.rows[i].code, "clash"))
            return true;
    }
    return false;
}

/* Without what broke, a requirement may be missed that is there: only said when all loaded. */
static void check_set(struct check *c)
{
    struct generation **list = mem_zero((size_t)c->scan.count + 1, sizeof *list);
    struct set_fixed fixed = {0};
    struct err err = {0};
    int n = 0, *order = NULL;
    bool whole = true;
    for (int i = 0; i < c->scan.count; i++) {
        whole = whole && (c->loaded[i] || !c->bundles[i]);
        if (c->loaded[i])
            list[n++] = c->loaded[i];
    }
    bool clashes = has_clash(c);
    struct set *set = clashes ? NULL : set_create(list, n, &fixed, 1, &err);
    bool ok = (set || clashes) && (!whole || set_requirements(list, n, &order, &err));
    if (!ok)
        check_complain(c, blamed(c, err.message), "set", err.message);
    set_free(set);
    mem_free(order);
    mem_free(list);
}

void check_together(struct check *c)
{
    check_routes(c);
    check_pages(c);
    for (int i = 0; i < c->scan.count; i++) {
        if (c->loaded[i])
            check_schedules(c, i);
    }
    check_set(c);
}
