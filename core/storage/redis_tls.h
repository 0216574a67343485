/* redis_tls.h -- TLS to a Redis server, as its address asks for it (redis_url.h): 1.2 or newer, and
 * the server's certificate is checked against the authorities and the host's name or number.
 */
#pragma once

#include <openssl/ssl.h>

#include "storage/redis_url.h"

/* Reads the certificates; NULL with *err (ERR_INVALID).  Of all connections to that address; the
 * caller's, for SSL_CTX_free(). */
SSL_CTX *redis_tls_context(const struct redis_url *url, struct err *err);

/* A connection about to be made over fd, which stays the caller's; for SSL_free(). */
SSL *redis_tls_begin(SSL_CTX *context, const char *host, int fd);

/* ERR_IO: why ssl's last call failed with `reason` (SSL_get_error's).  Always false. */
bool redis_tls_failed(const SSL *ssl, int reason, struct err *err);
