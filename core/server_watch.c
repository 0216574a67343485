/* server_watch.c -- handlers that do not end, and the process that goes for them.
 *
 *   watchdog's thread: the kill is put on disk → the supervisor is asked for a successor
 *   control lane:      the plugin is held back here → its lane's jobs are taken away
 *   supervisor:        starts the successor; when it waits for the database, this
 *                      process drains what still turns, and leaves the rest behind
 */

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/config.h"
#include "jobs/jobs.h"
#include "observe/log.h"
#include "reload/quarantine.h"
#include "server_parts.h"

static const int64_t ask_again_ns = 1 * NS_PER_SECOND, give_up_ns = 3 * NS_PER_SECOND;

struct loss {
    struct server *server;
    struct lane *lane;
    int64_t job;
    char plugin[WATCH_TEXT_BYTES], reason[2 * WATCH_TEXT_BYTES];
};

bool server_has_lost_lane(const struct server *s)
{
    for (int i = 0; i < s->lane_count; i++) {
        if (atomic_load(&s->lanes[i]->lost))
            return true;
    }
    return false;
}

/* A successor that failed may have been unlucky. */
static void on_ask_again(struct timer *timer)
{
    struct server *s = list_entry(timer, struct server, ask_again);
    if (s->draining) {
        server_leave(s);
        return;
    }
    supervisor_tell(s, "stuck\n");
    timer_start(s->control, timer, ask_again_ns);
}

static void on_loss(void *arg)
{
    struct loss *l = arg;
    struct server *s = l->server;
    if (s->reload)
        reload_suspend(s->reload, l->plugin, l->reason);
    if (s->jobs)
        jobs_lane_lost(s->jobs, l->lane, l->job, l->reason);
    if (s->draining)
        server_hurry(s);
    s->ask_again.fire = on_ask_again;
    timer_start(s->control, &s->ask_again, s->draining ? give_up_ns : ask_again_ns);
    mem_free(l);
}

static void remember(struct server *s, const struct loss *l)
{
    struct err err = {0};
    char plugin[QUARANTINE_NAME_BYTES];
    const char *at = strchr(l->plugin, '@');
    snprintf(plugin, sizeof plugin, "%.*s", at ? (int)(at - l->plugin) : 0, l->plugin);
    if (at && quarantine_count(s->quarantine, plugin, at + 1, l->reason, true, clock_wall_ns()))
        log_error("reload", "%s is quarantined: %s", l->plugin, l->reason);
    if (!quarantine_save(s->quarantine, &err))
        log_error("reload", "%s", err.message);
}

static void on_runaway(void *arg, const struct watch_report *report)
{
    struct loss *l = mem_zero(1, sizeof *l);
    l->server = arg;
    l->lane = report->lane;
    l->job = report->job;
    snprintf(l->plugin, sizeof l->plugin, "%s", report->plugin);
    snprintf(l->reason, sizeof l->reason, "%s held %s for %.2f s in code that cannot be stopped",
             report->handler, report->lane->name, (double)report->held_ns / 1e9);
    if (l->server->guest)
        l->server->guest->runaway(l->server, l->reason);
    remember(l->server, l);
    supervisor_tell(l->server, "stuck\n");
    lane_call(l->server->control, on_loss, l);
}

bool watchdog_part_start(struct server *s, struct err *err)
{
    char *path = mem_printf("%s/kills", s->state_dir);
    struct watchdog_options options = {
        .lanes = s->lanes,
        .count = s->lane_count,
        .runaway = on_runaway,
        .arg = s,
    };
    s->quarantine = quarantine_open(&(struct quarantine_options){
        .path = path,
        .limit = (int)config_integer(s->config, "plugins.quarantine_kills"),
        .window_ns = config_ns(s->config, "plugins.quarantine_time"),
    });
    mem_free(path);
    s->protection = watchdog_try();
    log_info("watchdog", "runaway code: %s", watch_protection_text(s->protection));
    s->watchdog = watchdog_start(&options, err);
    if (!s->watchdog)
        quarantine_close(s->quarantine);
    return s->watchdog != NULL;
}

void watchdog_part_stop(struct server *s)
{
    watchdog_stop(s->watchdog);
    quarantine_close(s->quarantine);
}
