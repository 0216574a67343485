/* cmd_check.c -- `maru check`: everything a start would find wrong, found without starting. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "bind/bind.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/flat.h"
#include "config/config.h"
#include "cron/schedule.h"
#include "loop/pool.h"
#include "observe/log.h"
#include "reload/generation.h"
#include "reload/plan.h"
#include "reload/scan.h"
#include "reload/set.h"
#include "share.h"
#include "storage/migrate.h"
#include "vm/bundle.h"
#include "vm/host.h"

/* The scratch: one lane of its own, a control lane on this thread. */
struct check {
    const struct config *config;
    struct host host;
    struct generation_lanes on;
    struct lane *lane;
    struct scan scan;
    struct generation **loaded; /* by index of the scan; NULL when broken or disabled */
    int left, broken;
};

static void complain(struct check *c, const char *message)
{
    fprintf(stderr, "maru: %s\n", message);
    c->broken++;
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

static void on_loaded(struct generation *g, const struct err *failure, void *arg)
{
    struct check *c = arg;
    if (failure) {
        complain(c, failure->message);
        for (int i = 0; i < c->scan.count; i++) {
            if (c->loaded[i] == g)
                c->loaded[i] = NULL;
        }
        generation_discard(g);
    }
    if (--c->left == 0)
        lane_stop(c->on.control);
}

static void load_all(struct check *c)
{
    c->loaded = mem_zero((size_t)c->scan.count + 1, sizeof *c->loaded);
    for (int i = 0; i < c->scan.count; i++) {
        struct scan_entry *e = &c->scan.entries[i];
        struct buf settings = {0};
        if (!e->bundle)
            complain(c, e->err.message);
        if (!e->bundle || is_disabled(c->config, e->name))
            continue;
        config_plugin(c->config, e->name, &settings);
        c->loaded[i] = generation_create(&c->on, e->bundle, buf_str(&settings));
        e->bundle = NULL;
        buf_free(&settings);
        c->left++;
    }
    for (int i = 0; i < c->scan.count; i++) {
        if (c->loaded[i])
            generation_load(c->loaded[i], on_loaded, c);
    }
    if (c->left)
        lane_run(c->on.control);
}

/* -- what only shows when all are there ----------------------------------------------------- */

static void check_migrations(struct check *c, const struct generation *g)
{
    struct migration *list = mem_zero((size_t)g->bundle->count + 1, sizeof *list);
    char *path = mem_printf("%s/maru.db", config_text(c->config, "state.dir"));
    struct err err = {0};
    int n = 0;
    for (int i = 0; i < g->bundle->count; i++) {
        const struct bundle_file *f = &g->bundle->files[i];
        size_t length = strlen(f->name);
        if (!strncmp(f->name, "migrations/", 11) && !strcmp(f->name + length - 4, ".sql"))
            list[n++] = (struct migration){f->name, str_n(f->bytes, f->n)};
    }
    if (n && !migrate_check_file(path, g->name, list, n, &err)) {
        char *message = mem_printf("%s/%s", g->bundle->dir, err.message);
        complain(c, message);
        mem_free(message);
    }
    mem_free(path);
    mem_free(list);
}

static void check_schedules(struct check *c, const struct generation *g)
{
    for (int i = 0; i < g->decl->schedule_count; i++) {
        struct schedule schedule;
        struct err err = {0};
        if (schedule_parse(str_c(g->decl->schedules[i].pattern), &schedule, &err))
            continue;
        err_wrap(&err, "%s/plugin.lua: cron", g->bundle->dir);
        complain(c, err.message);
    }
}

static void check_together(struct check *c)
{
    struct generation **list = mem_zero((size_t)c->scan.count + 1, sizeof *list);
    struct set_fixed fixed = {0};
    struct err err = {0};
    int n = 0, *order = NULL;
    for (int i = 0; i < c->scan.count; i++) {
        if (c->loaded[i])
            list[n++] = c->loaded[i];
    }
    struct set *set = set_create(list, n, &fixed, 1, &err);
    if (!set || !set_requirements(list, n, &order, &err))
        complain(c, err.message);
    for (int i = 0; i < n; i++) {
        check_schedules(c, list[i]);
        check_migrations(c, list[i]);
    }
    set_free(set);
    mem_free(order);
    mem_free(list);
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
            out[n++] = (struct plan_plugin){name, hash, "", false};
    }
    return n;
}

static void print_plan(struct check *c)
{
    struct flat answer = {0};
    struct plan_plugin *serving = mem_zero(1001, sizeof *serving);
    struct plan_plugin *found = mem_zero((size_t)c->scan.count + 1, sizeof *found);
    int serving_count = ask_serving(c, &answer, serving), n = 0;
    char(*hashes)[13] = mem_zero((size_t)c->scan.count + 1, sizeof *hashes);
    for (int i = 0; i < c->scan.count; i++) {
        if (!c->loaded[i])
            continue;
        snprintf(hashes[n], sizeof hashes[n], "%.12s", c->loaded[i]->bundle->hash);
        found[n] = (struct plan_plugin){c->loaded[i]->name, hashes[n], "", false};
        n++;
    }
    struct plan plan = plan_make(serving, serving_count, found, n, NULL, false);
    struct buf out = {0};
    plan_print(&plan, &out);
    fwrite(out.n ? out.p : "", 1, out.n, stdout);
    buf_free(&out);
    plan_free(&plan);
    flat_free(&answer);
    mem_free(hashes);
    mem_free(serving);
    mem_free(found);
}

/* -- life ----------------------------------------------------------------------------------- */

static int check(struct check *c)
{
    char **dirs = share_plugin_dirs(config_text(c->config, "plugins.path"));
    c->scan = scan_read((const char *const *)dirs, NULL);
    load_all(c);
    if (!c->broken)
        check_together(c);
    if (!c->broken)
        print_plan(c);
    for (int i = 0; dirs[i]; i++)
        mem_free(dirs[i]);
    mem_free(dirs);
    return c->broken ? EXIT_PLUGIN : EXIT_OK;
}

int cmd_check(const struct cli_options *o)
{
    struct check c = {0};
    struct err err = {0};
    if (o->word_count)
        return cli_fail(EXIT_USAGE, "check takes no '%s'", o->words[0]);
    struct config *config = cli_config(o);
    if (!config)
        return EXIT_CONFIG;
    log_setup(STDERR_FILENO, LOG_WARN);
    c.config = config;
    c.host = (struct host){.config = config, .bind = bind_all};
    c.host.pool = pool_create("check", 1, &err);
    c.lane = lane_create(0, LANE_WEB, "check", &err);
    c.on = (struct generation_lanes){.lanes = &c.lane, .count = 1, .host = &c.host};
    c.on.control = lane_create(1, LANE_CONTROL, "control", &err);
    if (!c.host.pool || !c.lane || !c.on.control || !lane_start(c.lane, NULL, NULL, &err))
        return cli_fail(EXIT_FAILED, "%s", err.message);
    int code = check(&c);
    fflush(stdout);
    _Exit(code); /* the scratch has nothing to save */
}
