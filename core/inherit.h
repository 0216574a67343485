/* inherit.h -- what a supervisor hands to the server process it starts.
 *
 * Descriptors travel by fork and exec; their numbers travel in the environment
 * variable MARU_SERVER.  The control socket carries lines:
 *
 *   supervisor → server   "drain"    stop accepting, finish, exit 0
 *                         "reload"   plugins and certificate
 *   server → supervisor   "waiting"  a successor has prepared and wants the database
 *                         "ready"    every plugin serves
 *                         "stuck"    a handler holds a thread for good: a successor is wanted
 *
 * The end of file on it means that the other side has died.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "listen.h"

struct inherited {
    int control;    /* socket to the supervisor */
    int admin_unix; /* listening unix socket */
    int crashes;    /* of earlier servers of this supervisor */
    int supervisor; /* its pid */
    bool restart;   /* an earlier server was ready once: a broken plugin falls back to its last
                       good bundle instead of ending the process */
    bool successor; /* a predecessor still serves and holds the database */
    struct listen_group http, https, admin;
};

/* In the child, between fork and exec: sets MARU_SERVER and lets the descriptors through. */
void inherit_export(const struct inherited *in);
/* In the server: false when this process was not started by a supervisor.  Takes the variable out
 * of the environment and closes the descriptors for further programs. */
bool inherit_import(struct inherited *out);
