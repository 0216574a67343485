/* cli.h -- the commands of the program.
 *
 * A command gets its options parsed and returns an exit code (supervisor.h).
 * Errors go to standard error as one line that begins with "maru: " and names
 * file and line where there is one.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "supervisor.h"

struct buf;
struct config;

enum { CLI_SETS = 200 };

struct cli_options {
    char **argv; /* as main got it */
    const char *config_path;
    const char *sets[CLI_SETS]; /* "key=value"; a --tolerate is one of them */
    int set_count;
    bool demo, json;
    bool plan, strict;                                 /* check */
    bool allow;                                        /* reload */
    bool route, job, socket, page;                     /* new: the parts of the plugin */
    bool reload, record;                               /* test */
    bool all, dry;                                     /* jobs */
    const char *state, *queue, *kind, *search, *limit; /* jobs; NULL = not given */
    const char *since, *level, *plugin;                /* logs; NULL = not given */
    bool viewer;                                       /* admin-url */
    const char *filter, *output;                       /* test; NULL = not given */
    char **words;                                      /* what is no option */
    int word_count;
};

struct cli_command {
    const char *name;
    const char *summary;
    const char *help; /* printed by `maru NAME --help` behind the usage line */
    const char *usage;
    int (*run)(const struct cli_options *options);
};

int cmd_serve(const struct cli_options *options);
int cmd_check(const struct cli_options *options);
int cmd_reload(const struct cli_options *options);
int cmd_rollback(const struct cli_options *options);
int cmd_plugins(const struct cli_options *options);
int cmd_jobs(const struct cli_options *options);
int cmd_queues(const struct cli_options *options);
int cmd_workers(const struct cli_options *options);
int cmd_schedules(const struct cli_options *options);
int cmd_logs(const struct cli_options *options);
int cmd_workflows(const struct cli_options *options);
int cmd_cache(const struct cli_options *options);
int cmd_events(const struct cli_options *options);
int cmd_drivers(const struct cli_options *options);
int cmd_nodes(const struct cli_options *options);
int cmd_test(const struct cli_options *options);
int cmd_new(const struct cli_options *options);
int cmd_model(const struct cli_options *options);
int cmd_types(const struct cli_options *options);
int cmd_admin_url(const struct cli_options *options);
int cmd_config(const struct cli_options *options);
int cmd_version(const struct cli_options *options);

int cli_main(int argc, char **argv);

/* Prints "maru: …" and returns code. */
int cli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The configuration, or NULL after printing why. */
struct config *cli_config(const struct cli_options *options);
/* -c, else MARU_CONFIG, else maru.lua here if there is one; NULL = defaults. */
const char *cli_config_path(const struct cli_options *options);
