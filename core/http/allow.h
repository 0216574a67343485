/* allow.h -- which hosts and addresses an outgoing connection may reach.
 *
 * An entry is "host:port", "*.host:port" (any name below host) or
 * "host:*".  The name is checked before the look-up and the address after it,
 * so neither a redirect nor a DNS answer leads anywhere else: link-local
 * addresses (cloud metadata among them) are never reached; loopback and
 * private ones only when the entry itself names an address or localhost.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/str.h"

struct allow_list {
    const char *const *entries; /* borrowed */
    int count;
};

enum allow_reach {
    ALLOW_NO,      /* no entry matches */
    ALLOW_PUBLIC,  /* the name may lead to public addresses only */
    ALLOW_PRIVATE, /* the entry names an address or localhost: private ones too */
};

/* host in lower case without brackets. */
enum allow_reach allow_host(const struct allow_list *list, struct str host, int port);
/* What the resolved address may be, given the answer for its name. */
bool allow_address(enum allow_reach reach, const struct sockaddr *address);
/* True for an IPv4 or IPv6 literal or "localhost". */
bool allow_is_literal(struct str host);
