/* test_host.h -- the process that runs one spec file: set up here, after the fork. */
#pragma once

#include <stdbool.h>

#include "cli/cli.h"

struct test_spec {
    const char *plugin; /* name */
    const char *dir;    /* its folder */
    const char *path;   /* of the spec file */
    const char *phase;  /* "before", "during", "after" of --reload, or NULL */
};

/* Runs the spec in state_dir, which is empty, and reports to report_fd; the process's exit
 * code.  dirs: folders of plugins; names: all that are in them.  Both end with NULL. */
int test_host_run(const struct cli_options *options, const struct test_spec *spec,
                  char *const *dirs, char *const *names, const char *state_dir, int report_fd);
