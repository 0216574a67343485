/* redis_url.h -- the address of a Redis server, as every driver that uses one is given it.
 *
 *   redis://[[user]:password@]host[:port][/db]
 *   rediss://…                                   the same over TLS
 *   unix://[[user]:password@]/path/of/socket[?db=N]
 *
 * Percent signs as in any URL.  Options behind `?`, as redis-py and kombu write them: db=N,
 * ssl_ca_certs=FILE (instead of the system's authorities), ssl_certfile=FILE and ssl_keyfile=FILE
 * (a client's own), ssl_cert_reqs=none (the server is not checked).
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct redis_url {
    char *host;                           /* NULL with a path */
    char *path;                           /* of a unix socket, or NULL */
    char *user, *password;                /* NULL = none */
    char *ca_file, *cert_file, *key_file; /* NULL = none */
    int port, db;
    bool tls, unchecked; /* unchecked: whatever certificate the server shows */
};

/* False with *err, which never quotes the text. */
bool redis_url_parse(struct str text, struct redis_url *out, struct err *err);
void redis_url_fini(struct redis_url *url);
