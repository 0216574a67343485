/* channel.h -- named fan-out: one publisher's message reaches every listener of this process, and
 * by a carrier (bus.h) those of others.
 *
 * A channel keeps no history: a message is delivered to those who listen when
 * it is published and is then released.  Each subscription has its own bounded
 * queue; a slow listener loses its oldest messages and is told how many.
 *
 * Threads: a subscription belongs to the lane it was made on and is only
 * touched there.  channel_publish may be called from any thread and sends one
 * lane message per lane that has listeners, however many they are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct channel_hub;
struct channel_sub;
struct lane;

/* Upper bounds, checked before anything is allocated. */
enum {
    CHANNEL_TOPIC_BYTES = 200,
    CHANNEL_MESSAGE_BYTES = 1 << 20,
    CHANNEL_QUEUE_DEFAULT = 256,   /* messages a listener may be behind */
    CHANNEL_LANES = 64,            /* lanes that may listen */
    CHANNEL_SENT_BYTES = 64 << 20, /* on their way to lanes; then publishing answers ERR_BUSY */
};

/* A published message, shared by all who receive it. */
struct channel_message {
    struct str topic;
    struct str json;
};

/* Called on the subscription's lane when its queue goes from empty to not
 * empty.  It may close the subscription. */
typedef void channel_wake_fn(struct channel_sub *sub, void *arg);

/* What brings messages to other processes.  Both are called under the hub's lock, on any thread,
 * and may not call it. */
struct channel_carrier {
    /* False with *err (ERR_BUSY): too much waits already, and nobody gets the message. */
    bool (*publish)(void *arg, struct str topic, struct str json, struct err *err);
    /* Somebody here listens to the topic, or nobody any more. */
    void (*wanted)(void *arg, struct str topic, bool on);
    void *arg;
};

struct channel_hub *channel_hub_create(void);
void channel_hub_carry(struct channel_hub *hub, const struct channel_carrier *carrier); /* first */
/* After all lanes have closed their subscriptions. */
void channel_hub_destroy(struct channel_hub *hub);

/* A subscription owned by the caller; `queue` messages at most wait in it (0 =
 * CHANNEL_QUEUE_DEFAULT).  NULL with *err for a topic that is empty or too
 * long.  On the lane's thread. */
struct channel_sub *channel_subscribe(struct channel_hub *hub, struct lane *lane, struct str topic,
                                      int queue, channel_wake_fn *wake, void *arg, struct err *err);
/* What may wait in several subscriptions of one lane together, in bytes of messages.  Over it
 * those of them that get a message lose their oldest ones, or that one.  Outlives them. */
struct channel_budget {
    int64_t bytes, most;
};
void channel_set_budget(struct channel_sub *sub, struct channel_budget *budget);
/* Takes the oldest waiting message, to be given back by channel_release, or
 * NULL.  *lost says how many were dropped before it. */
const struct channel_message *channel_receive(struct channel_sub *sub, int64_t *lost);
void channel_release(const struct channel_message *message); /* any thread */
void channel_unsubscribe(struct channel_sub *sub);

/* Delivers to every listener; returns how many there were in this process, or -1 with *err
 * when topic or message are over their bounds, or too much is on its way.  Any thread. */
int channel_publish(struct channel_hub *hub, struct str topic, struct str json, struct err *err);
/* The same without the carrier: what concerns this process only, or came by the carrier. */
int channel_publish_here(struct channel_hub *hub, struct str topic, struct str json,
                         struct err *err);
/* Tells those who listen to the topic (p NULL: to any) that at least one message was lost before
 * the next one.  Any thread. */
void channel_lose(struct channel_hub *hub, struct str topic);
int channel_listeners(struct channel_hub *hub, struct str topic); /* any thread */

/* For tests of plugins: everything published from now on is shown to `heard`, on the
 * publisher's thread; it must not publish.  NULL: nobody any more. */
void channel_hub_tap(struct channel_hub *hub,
                     void (*heard)(void *arg, struct str topic, struct str json), void *arg);
