/* allow.h -- which hosts and addresses an outgoing connection may reach.
 *
 * An entry is "host:port", "*.host:port" (any name below host) or an address
 * such as "192.0.2.1:80" or "[::1]:80".  The name is checked before the look-up
 * and the address after it, so neither a redirect nor a DNS answer leads
 * anywhere else.  Loopback and private addresses are reached only when the
 * entry is that address or localhost, or says "private:" in front of a name.
 * Link-local addresses, those of cloud metadata services, multicast and
 * reserved blocks never are, whatever the entry says.
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
    ALLOW_PRIVATE, /* to loopback and private ones too */
};

/* Whether a host has the form that is compared: lower case, ASCII, without brackets,
 * without an empty part; a trailing dot is cut off in place.  What is a number in any
 * way but an address' usual one ("0x7f.1") has not. */
bool allow_normalize(struct str *host);
/* host as allow_normalize leaves it. */
enum allow_reach allow_host(const struct allow_list *list, struct str host, int port);
/* What the resolved address may be, given the answer for its name. */
bool allow_address(enum allow_reach reach, const struct sockaddr *address);
/* The same for an address as text; false for what is none. */
bool allow_address_text(enum allow_reach reach, const char *address);
