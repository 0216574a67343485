/* server_test.h -- a server for one spec file of a plugin, in a process of its own.
 *
 * It is the server of server.h with its start list and stop list; instead of
 * taking connections of the world it runs the spec, on a lane of its own, and
 * drains when the spec is through.  Time stands still in it (base/still.h).
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum { SERVER_TEST_TOLD = 98 }; /* exit code: the reason was reported */

struct bundle;
struct config;

struct server_test {
    const struct config *config; /* state.dir is fresh; plugins.disable leaves what is needed */
    const struct bundle *bundle; /* the plugin the spec is for */
    struct str run_json;         /* handed to maru/test/run.lua */
    int report_fd;               /* where that reports */
    bool pause;                  /* handlers can be made to stand at their first wait */
    bool record;                 /* other hosts are reached for real, and noted */
};

/* still_begin() was called.  Returns an exit code; why it could not run is on standard error. */
int server_test_run(const struct server_test *test);
