/* server_watch.c -- handlers that do not end. */

#include "observe/log.h"
#include "server_parts.h"

static void on_runaway(void *arg, const struct watch_report *report)
{
    (void)arg;
    (void)report;
}

bool watchdog_part_start(struct server *s, struct err *err)
{
    struct watchdog_options options = {
        .lanes = s->lanes,
        .count = s->lane_count,
        .runaway = on_runaway,
        .arg = s,
    };
    s->protection = watchdog_try();
    log_info("watchdog", "runaway code: %s", watch_protection_text(s->protection));
    s->watchdog = watchdog_start(&options, err);
    return s->watchdog != NULL;
}

void watchdog_part_stop(struct server *s)
{
    watchdog_stop(s->watchdog);
}
