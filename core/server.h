/* server.h -- the process that serves: its parts, in the order they start.
 *
 * A supervisor (supervisor.h) starts it with listening sockets and a control
 * socket.  The main thread runs the control lane: signals, schedules, reload;
 * web and job lanes have threads of their own.  It takes no connection before
 * every plugin serves, so what arrives earlier waits in the sockets' queues.
 */
#pragma once

#include "base/err.h"

struct config;
struct inherited;

/* Where the configuration came from, for reading plugins' settings again. */
struct server_config {
    struct config *(*load)(void *arg, struct err *err); /* the caller's to free */
    void *arg;
};

/* Runs until it has drained; returns an exit code (supervisor.h).  Why it could
 * not start is on standard error. */
int server_run(const struct config *config, const struct server_config *source,
               const struct inherited *in);
