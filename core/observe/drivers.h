/* drivers.h -- which of the servers that this process uses can be reached.
 *
 * A driver registers once and says what it finds out: that its server answers, that it serves a
 * part only (reads from a replica, a cache of this process instead of the shared one), or that
 * it does not.  Nothing is asked for here: a driver says it when it sees it.  `/readyz`,
 * `/admin/v1/drivers` and maru_driver_up{kind,driver} show it.
 *
 * Threads: everything may be called from any thread; none of it waits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct driver_health;

enum driver_level {
    DRIVER_UP,       /* it answers, or was not asked yet */
    DRIVER_DEGRADED, /* a part of it: the error says which */
    DRIVER_DOWN,
};

struct driver_state {
    const char *kind;    /* "store" */
    const char *driver;  /* "postgres" */
    const char *address; /* without password; "" when there is none */
    bool required;       /* the process is not ready while it is down */
    enum driver_level level;
    int64_t since_wall; /* of the level; ns since 1970 */
    struct err err;     /* code ERR_NONE when it is up */
    int64_t took_ns;    /* a question and its answer, smoothed; 0 = nobody says */
};

/* kind and driver are copied.  It counts as up until it says otherwise. */
struct driver_health *driver_health_register(const char *kind, const char *driver, bool required);
void driver_health_unregister(struct driver_health *health); /* NULL is fine */
/* A URL, a list of key=value words, or host:port: shown without password and options. */
void driver_health_address(struct driver_health *health, const char *url);

/* Each returns whether the level changed, so that a driver logs it once.  NULL is fine. */
bool driver_health_up(struct driver_health *health);
bool driver_health_degraded(struct driver_health *health, const struct err *err);
bool driver_health_down(struct driver_health *health, const struct err *err);

/* How long a small question took that was answered: a probe, a heartbeat.  NULL is fine. */
void driver_health_took(struct driver_health *health, int64_t ns);

/* Calls back for each in the order of registration, under a lock: nothing of this header may be
 * called in there. */
void driver_health_list(void (*each)(const struct driver_state *state, void *arg), void *arg);
const char *driver_level_name(enum driver_level level); /* "up", "degraded", "down" */
