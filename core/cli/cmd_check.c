/* cmd_check.c -- `maru check`: everything a start would find wrong, found without starting. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "cli/author.h"
#include "cli/check.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/flat.h"
#include "config/config.h"
#include "loop/pool.h"
#include "observe/log.h"
#include "reload/plan.h"
#include "reload/rollback.h"
#include "share.h"
#include "storage/scratch.h"
#include "vm/inspect.h"

void check_complain(struct check *c, int index, const char *code, const char *message)
{
    const char *name = index >= 0 ? c->scan.entries[index].name : "";
    findings_add_message(&c->findings, name, index >= 0 ? c->bundles[index] : NULL, code, message);
}

static bool is_disabled(const struct config *config, const char *name)
{
    const char *const *items;
    int count = config_list(config, "plugins.disable", &items);
    for (int i = 0; i < count; i++) {
        if (!strcmp(items[i], name))
            return true;
    }
    return false;
}

/* -- loading -------------------------------------------------------------------------------- */

/* One that failed keeps its bundle, whose lines are shown; the process ends soon. */
static void on_loaded(struct generation *g, const struct err *failure, void *arg)
{
    struct check *c = arg;
    for (int i = 0; failure && i < c->scan.count; i++) {
        if (c->loaded[i] != g)
            continue;
        c->loaded[i] = NULL;
        check_complain(c, i, "load", failure->message);
    }
    if (--c->left == 0)
        lane_stop(c->on.control);
}

static void take_bundle(struct check *c, int i)
{
    struct scan_entry *e = &c->scan.entries[i];
    struct buf settings = {0};
    bool wanted = !is_disabled(c->config, e->name) || (c->only && !strcmp(c->only, e->name));
    c->bundles[i] = wanted ? e->bundle : NULL;
    if (!e->bundle)
        check_complain(c, i, "read", e->err.message);
    if (!c->bundles[i])
        return;
    config_plugin(c->config, e->name, &settings);
    c->loaded[i] = generation_create(&c->on, e->bundle, buf_str(&settings));
    e->bundle = NULL;
    buf_free(&settings);
    c->left++;
}

static void load_all(struct check *c)
{
    size_t most = (size_t)c->scan.count + 1;
    c->loaded = mem_zero(most, sizeof *c->loaded);
    c->bundles = mem_zero(most, sizeof *c->bundles);
    for (int i = 0; i < c->scan.count; i++)
        take_bundle(c, i);
}

/* After the sources: what they show is more exact than the load that fails over the same line. */
static void run_loads(struct check *c)
{
    for (int i = 0; i < c->scan.count; i++) {
        if (c->loaded[i])
            generation_load(c->loaded[i], on_loaded, c);
    }
    if (c->left)
        lane_run(c->on.control);
}

/* -- the plan ------------------------------------------------------------------------------- */

/* What a running server serves, as far as it says; nothing when none runs. */
static int ask_serving(const struct check *c, struct flat *answer, struct plan_plugin *out)
{
    struct buf body = {0};
    struct err err = {0};
    int n = 0;
    const char *name;
    if (admin_request(config_text(c->config, "state.dir"), "GET", "/plugins", &body, &err) == 200)
        flat_read(buf_str(&body), answer, &err);
    buf_free(&body);
    for (int i = 0; n < 1000 && (name = flat_get(answer, "%d.name", i)); i++) {
        const char *hash = flat_get(answer, "%d.generation", i);
        if (hash && strcmp(hash, "-"))
            out[n++] = (struct plan_plugin){name, hash, "", false, NULL};
    }
    return n;
}

/* What the running server says that a plugin may reach. */
static void read_serving(const struct flat *answer, const char *plugin, struct capability_list *out)
{
    const char *name, *entry;
    int at = 0;
    while ((name = flat_get(answer, "%d.name", at)) && strcmp(name, plugin))
        at++;
    for (enum capability_kind kind = 0; name && kind < CAPABILITY_KINDS; kind++) {
        const char *key = capability_key(kind);
        for (int i = 0; (entry = flat_get(answer, "%d.allow.%s.%d", at, key, i)); i++)
            capability_add(out, kind, str_c(entry), NULL);
    }
    capability_sort(out);
}

static void add_permissions(const struct check *c, const struct flat *answer, struct plan *plan)
{
    for (int i = 0; i < plan->count; i++) {
        struct plan_step *step = &plan->steps[i];
        struct capability_list before = {0}, after = {0};
        if (step->action == PLAN_KEEP)
            continue;
        read_serving(answer, step->plugin, &before);
        for (int k = 0; k < c->scan.count; k++) {
            if (step->to && c->loaded[k] && !strcmp(c->loaded[k]->name, step->plugin))
                capability_list(c->loaded[k]->decl, &after);
        }
        plan_permissions(step, &before, &after);
        capability_list_free(&before);
        capability_list_free(&after);
    }
}

/* What a reload would serve for a folder: a kept bundle, when it was rolled back. */
static struct plan_plugin find_one(const struct check *c, const struct generation *g, char hash[13])
{
    char *kept = mem_printf("%s/generations", config_text(c->config, "state.dir"));
    struct rollback r;
    struct plan_plugin p = {g->name, hash, "", false, NULL};
    snprintf(hash, 13, "%.12s", g->bundle->hash);
    if (rollback_read(kept, g->name, &r) && rollback_hides(&r, g->bundle->hash)) {
        snprintf(hash, 13, "%s", r.to);
        p.note = rollback_text(&r);
    }
    mem_free(kept);
    return p;
}

static void print_plan(struct check *c, bool json, struct buf *out)
{
    struct flat answer = {0};
    struct plan_plugin *serving = mem_zero(1001, sizeof *serving);
    struct plan_plugin *found = mem_zero((size_t)c->scan.count + 1, sizeof *found);
    int serving_count = ask_serving(c, &answer, serving), n = 0;
    char(*hashes)[13] = mem_zero((size_t)c->scan.count + 1, sizeof *hashes);
    for (int i = 0; i < c->scan.count; i++) {
        const char *name = c->scan.entries[i].name;
        if (is_disabled(c->config, name)) {
            found[n++] =
                (struct plan_plugin){.name = name, .hash = "", .config_hash = "", .disabled = true};
        } else if (c->loaded[i]) {
            found[n] = find_one(c, c->loaded[i], hashes[n]);
            n++;
        }
    }
    struct plan plan = plan_make(serving, serving_count, found, n, NULL, false);
    add_permissions(c, &answer, &plan);
    if (json)
        plan_json(&plan, out);
    else
        plan_print(&plan, out);
    plan_free(&plan);
    flat_free(&answer);
    for (int i = 0; i < n; i++)
        mem_free((void *)(uintptr_t)found[i].note);
    mem_free(hashes);
    mem_free(serving);
    mem_free(found);
}

/* -- the answer ----------------------------------------------------------------------------- */

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

/* Of all plugins that were loaded, only what concerns the one asked about. */
static void keep_only(struct check *c)
{
    struct findings all = c->findings;
    c->findings = (struct findings){0};
    for (int i = 0; i < all.count; i++) {
        const struct finding_row *row = &all.rows[i];
        bool named = strstr(row->message, c->only) != NULL && !strcmp(row->code, "clash");
        if (!strcmp(row->plugin, c->only) || named)
            findings_add(&c->findings, row);
    }
    findings_free(&all);
}

static void answer_json(struct check *c, bool ok)
{
    struct buf out = {0}, plan = {0};
    struct json w = json_to(&out);
    json_open(&w, '{');
    json_key(&w, "ok");
    json_bool(&w, ok);
    const struct {
        const char *key;
        int n;
    } numbers[] = {{"errors", c->findings.errors},
                   {"warnings", c->findings.warnings},
                   {"plugins", c->plugins},
                   {"statements", c->statements},
                   {"unchecked", c->unchecked}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        json_key(&w, numbers[i].key);
        json_int(&w, numbers[i].n);
    }
    json_key(&w, "findings");
    findings_json(&c->findings, &w);
    print_plan(c, true, &plan);
    json_key(&w, "plan");
    json_raw(&w, buf_str(&plan));
    json_close(&w, '}');
    puts(out.p);
    buf_free(&out);
    buf_free(&plan);
}

static void answer_text(struct check *c, const struct cli_options *o, bool ok)
{
    struct buf plan = {0};
    findings_print(&c->findings, stderr);
    if (ok)
        print_plan(c, false, &plan);
    fwrite(plan.n ? plan.p : "", 1, plan.n, stdout);
    buf_free(&plan);
    if (o->plan)
        return;
    const struct findings *f = &c->findings;
    printf("%d plugin%s, %d SQL statement%s", c->plugins, plural(c->plugins), c->statements,
           plural(c->statements));
    if (c->unchecked)
        printf(" and %d made at run time", c->unchecked);
    printf(": %d error%s, %d warning%s\n", f->errors, plural(f->errors), f->warnings,
           plural(f->warnings));
}

static int answer(struct check *c, const struct cli_options *o)
{
    if (c->only)
        keep_only(c);
    findings_sort(&c->findings);
    bool ok = c->findings.errors == 0 && !(o->strict && c->findings.warnings);
    if (o->json)
        answer_json(c, ok);
    else
        answer_text(c, o, ok);
    return ok ? EXIT_OK : EXIT_PLUGIN;
}

/* -- life ----------------------------------------------------------------------------------- */

static bool is_there(const struct check *c)
{
    for (int i = 0; i < c->scan.count; i++) {
        if (!strcmp(c->scan.entries[i].name, c->only))
            return true;
    }
    return false;
}

static int check(struct check *c, const struct cli_options *o)
{
    const char *path = config_text(c->config, "plugins.path");
    char **dirs = share_plugin_dirs(path);
    c->scan = scan_read((const char *const *)dirs, NULL);
    if (c->only && !is_there(c))
        return cli_fail(EXIT_FAILED, "there is no plugin '%s' in %s", c->only, path);
    for (int i = 0; dirs[i]; i++)
        author_refresh(c->author.inspector, dirs[i]);
    load_all(c);
    if (!o->plan)
        check_sources(c);
    run_loads(c);
    check_together(c);
    return answer(c, o);
}

static bool prepare(struct check *c, struct err *err)
{
    c->host = (struct host){.config = c->config, .bind = bind_all};
    c->host.pool = pool_create("check", 1, err);
    c->lane = lane_create(0, LANE_WEB, "check", err);
    c->on = (struct generation_lanes){.lanes = &c->lane, .count = 1, .host = &c->host};
    c->on.control = lane_create(1, LANE_CONTROL, "control", err);
    if (!c->host.pool || !c->lane || !c->on.control || !lane_start(c->lane, NULL, NULL, err))
        return false;
    c->scratch = author_open(&c->author, err) ? scratch_open(err) : NULL;
    return c->scratch != NULL;
}

int cmd_check(const struct cli_options *o)
{
    struct check c = {0};
    struct err err = {0};
    if (o->word_count > 1)
        return cli_fail(EXIT_USAGE, "check takes one plugin's name, not also '%s'", o->words[1]);
    struct config *config = cli_config(o);
    if (!config)
        return EXIT_CONFIG;
    log_setup(STDERR_FILENO, LOG_WARN);
    c.config = config;
    c.only = o->word_count ? o->words[0] : NULL;
    int code = prepare(&c, &err) ? check(&c, o) : cli_fail(EXIT_FAILED, "%s", err.message);
    fflush(stdout);
    _Exit(code); /* the scratch has nothing to save */
}
