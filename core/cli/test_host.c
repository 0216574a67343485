#include "cli/test_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/still.h"
#include "bind/bind.h"
#include "config/config.h"
#include "loop/lane.h"
#include "observe/log.h"
#include "reload/scan.h"
#include "server_test.h"
#include "vm/bundle.h"
#include "vm/host.h"
#include "vm/vm.h"

/* Every spec begins on Monday, 5 January 2026, at 9:00 UTC: so no test depends on the day it runs.
 */
static const int64_t first_instant_ns = INT64_C(1767603600) * NS_PER_SECOND;

/* The plugin and what it requires, with what these require. */
struct needs {
    char *const *dirs;
    struct lane *lane;
    struct map *names; /* name → itself */
};

static void need(struct needs *n, struct str name);

/* A plugin that does not load says so when it is loaded for real. */
static void need_requirements(struct needs *n, const struct bundle *bundle)
{
    struct host host = {.bind = bind_all};
    struct vm_options options = {
        .lane = n->lane, .host = &host, .bundle = bundle, .label = bundle->name};
    struct err ignored = {0};
    struct vm *vm = vm_create(&options, NULL, &ignored);
    for (int i = 0; vm && i < vm_decl(vm)->require_count; i++) {
        struct str rest = str_c(vm_decl(vm)->requires[i]);
        need(n, str_split(&rest, ' '));
    }
    vm_destroy(vm);
}

static void need(struct needs *n, struct str name)
{
    if (map_get(n->names, name))
        return;
    char *copy = str_dup(name);
    map_set(n->names, name, copy);
    const char *only[] = {copy, NULL};
    struct scan scan = scan_read((const char *const *)n->dirs, only);
    for (int i = 0; i < scan.count; i++) {
        if (scan.entries[i].bundle)
            need_requirements(n, scan.entries[i].bundle);
    }
    scan_free(&scan);
}

/* "plugins.disable=a,b": everything that is not needed. */
static char *disable_others(const struct test_spec *spec, char *const *dirs, char *const *names)
{
    struct err err = {0};
    struct needs n = {.dirs = dirs, .names = map_create()};
    struct buf out = {0};
    n.lane = lane_create(0, LANE_WEB, "needs", &err);
    need(&n, str_c(spec->plugin));
    buf_add_c(&out, "plugins.disable=");
    for (int i = 0, count = 0; names[i]; i++) {
        if (!map_get(n.names, str_c(names[i])))
            buf_printf(&out, "%s%s", count++ ? "," : "", names[i]);
    }
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(n.names, &at, &key, &value))
        mem_free(value);
    map_destroy(n.names);
    lane_destroy(n.lane);
    return buf_take(&out, &(size_t){0});
}

static char *join_dirs(char *const *dirs)
{
    struct buf out = {0};
    buf_add_c(&out, "plugins.path=");
    for (int i = 0; dirs[i]; i++)
        buf_printf(&out, "%s%s", i ? ":" : "", dirs[i]);
    return buf_take(&out, &(size_t){0});
}

/* No file: what an operator set for plugins is not the spec's.  --set counts. */
static struct config *make_config(const struct cli_options *o, const struct test_spec *spec,
                                  char *const *dirs, char *const *names, const char *state_dir,
                                  struct err *err)
{
    const char *sets[CLI_SETS + 8];
    int n = 0;
    char *own[] = {mem_printf("state.dir=%s", state_dir), join_dirs(dirs),
                   disable_others(spec, dirs, names)};
    for (; n < o->set_count; n++)
        sets[n] = o->sets[n];
    sets[n++] = "plugins.watch=false";
    sets[n++] = "lanes.job=1";
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sets[n++] = own[i];
    struct config *config = config_load(NULL, sets, n, err);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        mem_free(own[i]);
    return config;
}

static void describe_run(const struct cli_options *o, const struct test_spec *spec, struct buf *out)
{
    const char *texts[][2] = {
        {"spec", spec->path}, {"dir", spec->dir}, {"phase", spec->phase}, {"filter", o->filter}};
    struct json w = json_to(out);
    json_open(&w, '{');
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!texts[i][1])
            continue;
        json_key(&w, texts[i][0]);
        json_cstr(&w, texts[i][1]);
    }
    json_key(&w, "record");
    json_bool(&w, o->record);
    json_close(&w, '}');
}

int test_host_run(const struct cli_options *o, const struct test_spec *spec, char *const *dirs,
                  char *const *names, const char *state_dir, int report_fd)
{
    struct err err = {0};
    struct buf run = {0};
    int code = EXIT_FAILED;
    log_setup(-1, LOG_DEBUG);
    still_begin();
    if (!o->record) /* other hosts may look at the time */
        still_set_wall(first_instant_ns);
    struct bundle *bundle = bundle_read(spec->dir, &err);
    struct config *config = bundle ? make_config(o, spec, dirs, names, state_dir, &err) : NULL;
    if (config) {
        describe_run(o, spec, &run);
        struct server_test test = {.config = config,
                                   .bundle = bundle,
                                   .run_json = buf_str(&run),
                                   .report_fd = report_fd,
                                   .pause = spec->phase && !strcmp(spec->phase, "during"),
                                   .record = o->record};
        code = server_test_run(&test);
    } else {
        cli_fail(code, "%s", err.message);
    }
    buf_free(&run);
    config_free(config);
    bundle_free(bundle);
    return code;
}
