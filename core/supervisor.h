/* supervisor.h -- the process one starts: holds the sockets, keeps a server running behind them.
 *
 * It opens the listening sockets, starts this program again as the server
 * process with them and restarts it when it dies: at once the first time, then
 * after 100 ms, 200 ms … 5 s while servers keep dying young.  Its sockets stay
 * open all the while, so connections wait in their queues and none is refused.
 *
 *   SIGTERM, SIGINT  the server drains for at most `grace_ns`, then is killed; exit 0.
 *                    A second one kills at once.
 *   SIGHUP           the server reads plugins and certificate again
 *   SIGUSR2          the program file, as it lies on disk now, is started as a successor on the
 *                    same sockets; when it has prepared, the present server drains and hands the
 *                    database over.  A successor that fails before that changes nothing.
 *
 * A server that says it is stuck is replaced in the same way, with less patience.
 *
 * It has one thread, reaps every child (it may be pid 1), and prints one line
 * of JSON to standard output when the first server is ready.
 */
#pragma once

#include <stdint.h>

/* Exit codes of the program; `maru --help` prints the same list. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,    /* the command was understood and did not succeed */
    EXIT_USAGE = 2,     /* unknown command or option */
    EXIT_CONFIG = 3,    /* configuration file or value; address in use */
    EXIT_PLUGIN = 4,    /* a plugin does not load */
    EXIT_NO_SERVER = 5, /* no server runs on this state.dir */
    EXIT_STATE = 6,     /* state.dir cannot be used: locked, not writable, corrupt */
};

struct supervisor_options {
    char **argv;              /* the server process gets the same arguments */
    const char *http, *https; /* addresses; NULL or "" = none */
    const char *admin;        /* address of the admin API besides the unix socket; or NULL */
    const char *state_dir;    /* holds maru.lock and admin.sock */
    int web_lanes;            /* sockets of each address */
    int64_t grace_ns;         /* shutdown.grace */
};

/* Runs until told to stop; returns the exit code.  A first server that ends
 * before it was ready is not restarted: its exit code is returned. */
int supervisor_run(const struct supervisor_options *options);
