/* bus.h -- the carrier of a hub's messages to the hubs of other processes: Redis.
 *
 * One connection publishes for the whole process, so that messages of one publisher arrive
 * everywhere in their order; another is subscribed to the topics that somebody here listens to,
 * and to no others.  A message bears the name of its process, which passes over its own ones.
 *
 * Redis keeps nothing: what is published while this process is cut off reaches it no more, and
 * what it publishes meanwhile reaches nobody else.  Both are told to those who listen, as one
 * message lost at least, once the connections stand again.
 *
 * Threads: as said; the connections are the control lane's.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct channel_bus;
struct channel_hub;
struct lane;

enum { CHANNEL_BUS_BYTES = 16 << 20 }; /* on their way to Redis; then publishing answers ERR_BUSY */

struct channel_bus_options {
    const char *url, *prefix;
    int64_t timeout_ns; /* of one answer of Redis */
};

/* Carries for the hub, to which nobody listens yet.  NULL with *err (ERR_INVALID) for an address
 * that cannot be. */
struct channel_bus *channel_bus_create(struct channel_hub *hub,
                                       const struct channel_bus_options *options, struct err *err);
void channel_bus_destroy(struct channel_bus *bus); /* after the hub; NULL is fine */
/* Connects; on the control lane's thread. */
bool channel_bus_enter(struct channel_bus *bus, struct lane *control, struct err *err);
void channel_bus_leave(struct channel_bus *bus);
