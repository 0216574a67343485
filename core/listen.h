/* listen.h -- the listening sockets: opened once by the supervisor, inherited by every server.
 *
 * A TCP address gets one SO_REUSEPORT socket for each web lane, so that the
 * kernel spreads connections over lanes and no lane takes another's.  Because
 * SO_REUSEPORT lets a second program of the same user share a port unnoticed,
 * the port is first tried without it.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

enum { LISTEN_LANES = 64, LISTEN_BACKLOG = 4096, LISTEN_HOST_BYTES = 64 };

struct listen_group {
    int fds[LISTEN_LANES];
    int count;                    /* 0 = not configured */
    char host[LISTEN_HOST_BYTES]; /* as a URL has it: "127.0.0.1", "[::1]" */
    int port;                     /* the one chosen when 0 was asked for */
};

/* Opens `count` sockets on "127.0.0.1:8080", "[::]:443", "localhost:0" or
 * ":8080" (all IPv4 addresses).  False with *err: ERR_INVALID for a malformed
 * address; ERR_EXISTS "127.0.0.1:8080 is in use by nginx (pid 17)". */
bool listen_tcp(struct str address, int count, struct listen_group *out, struct err *err);

/* A unix socket dir/name with mode 0600, replacing a dead one.  dir may be
 * longer than a socket address can hold.  -1 with *err. */
int listen_unix(const char *dir, const char *name, struct err *err);
/* Connects to it; -1 with *err (ERR_NOT_FOUND when nobody listens). */
int listen_connect_unix(const char *dir, const char *name, struct err *err);

void listen_close(struct listen_group *group);
