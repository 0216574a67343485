/* server_drain.c -- the control socket, and the orderly end:
 *
 *   no new connections and fires → requests and with them connections end →
 *   jobs end → plugins stop → the control lane ends
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"
#include "cron/cron.h"
#include "events/events.h"
#include "jobs/jobs.h"
#include "observe/log.h"
#include "reload/watch.h"
#include "server_parts.h"
#include "storage/carry.h"
#include "supervisor.h"

enum { DRAIN_CHECK_MS = 10 };

/* With a lost lane the process is left behind as a crash would leave it, but for what has
 * been finished and put on disk before. */
static const int64_t hurry_ns = 1 * NS_PER_SECOND, settle_ns = 2 * NS_PER_SECOND,
                     record_ns = 1 * NS_PER_SECOND;

static void on_settle_check(struct timer *timer)
{
    struct server *s = list_entry(timer, struct server, drain_check);
    if (!jobs_is_settled(s->jobs) && clock_ns() < s->drain_until) {
        timer_start(s->control, timer, DRAIN_CHECK_MS * NS_PER_MS / 2);
        return;
    }
    for (int i = 0; i < s->lane_count; i++) {
        if (atomic_load(&s->lanes[i]->lost))
            log_warn("server", "%s is left behind", s->lanes[i]->name);
    }
    _Exit(EXIT_OK);
}

void server_leave(struct server *s)
{
    timer_stop(s->control, &s->ask_again);
    s->drain_until = clock_ns() + settle_ns;
    s->drain_check.fire = on_settle_check;
    timer_start(s->control, &s->drain_check, 0);
}

static void on_web_closed(struct server *s)
{
    lane_stop(s->control);
}

static void on_plugins_stopped(void *arg)
{
    if (server_has_lost_lane(arg))
        server_leave(arg);
    else
        web_close(arg, on_web_closed);
}

static int64_t time_left(const struct server *s)
{
    int64_t left = s->drain_until - clock_ns();
    return left > 0 ? left : 0;
}

static void on_jobs_stopped(void *arg)
{
    struct server *s = arg;
    reload_stop(s->reload, time_left(s), on_plugins_stopped, s);
}

static void stop_jobs(struct server *s)
{
    if (s->carry)
        carry_stop(s->carry);
    jobs_stop(s->jobs, time_left(s), s->control, on_jobs_stopped, s);
}

static void on_drain_check(struct timer *timer)
{
    struct server *s = list_entry(timer, struct server, drain_check);
    bool asks = (!cron_is_quiet(s->cron) || !events_is_quiet(s->events) ||
                 (s->carry && !carry_is_quiet(s->carry))) &&
                clock_ns() < s->record_until;
    if ((web_connections(s) || asks) && time_left(s))
        timer_start(s->control, timer, DRAIN_CHECK_MS * NS_PER_MS);
    else if (s->working)
        stop_jobs(s);
    else
        on_jobs_stopped(s);
}

void server_hurry(struct server *s)
{
    int64_t soon = clock_ns() + hurry_ns;
    if (server_has_lost_lane(s) && soon < s->drain_until)
        s->drain_until = soon;
}

/* The last fifth of the grace is left for stopping plugins and closing. */
void server_drain(struct server *s)
{
    if (s->draining)
        return;
    s->draining = true;
    atomic_store(&s->shown.ready, false);
    s->drain_until = clock_ns() + config_ns(s->config, "shutdown.grace") / 5 * 4;
    server_hurry(s);
    log_info("server", "draining");
    watch_stop(s->watch);
    s->watch = NULL;
    timer_stop(s->control, &s->expire);
    timer_stop(s->control, &s->tell_others);
    cron_stop(s->cron);
    events_stop(s->events);
    s->record_until = clock_ns() + record_ns;
    web_drain(s);
    s->drain_check.fire = on_drain_check;
    timer_start(s->control, &s->drain_check, 0);
}

/* -- the supervisor's line ------------------------------------------------------------------ */

void supervisor_tell(const struct server *s, const char *line)
{
    if (s->in.control >= 0 &&
        send(s->in.control, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("server", "the supervisor does not listen: %s", strerror(errno));
}

static void reload_everything(struct server *s)
{
    struct err err = {0};
    if (!http_server_reload_tls(s->http, &err))
        log_error("http", "certificate: %s -- the old one stays", err.message);
    plugins_reload(s, "SIGHUP");
}

static void on_line(struct server *s, struct str line)
{
    if (str_eq_c(line, "drain"))
        server_drain(s);
    else if (str_eq_c(line, "reload") && atomic_load(&s->shown.ready))
        reload_everything(s);
}

static void close_supervisor(struct server *s)
{
    if (!s->supervisor_open)
        return;
    s->supervisor_open = false;
    uv_poll_stop(&s->supervisor);
    uv_close((uv_handle_t *)&s->supervisor, NULL);
}

static void on_supervisor(uv_poll_t *poll, int status, int events)
{
    struct server *s = poll->data;
    char bytes[256];
    ssize_t n = status < 0 ? -1 : recv(s->in.control, bytes, sizeof bytes, MSG_DONTWAIT);
    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && status >= 0)
        return;
    if (n <= 0) {
        log_error("server", "the supervisor is gone");
        close_supervisor(s);
        server_drain(s);
        return;
    }
    buf_add(&s->line, bytes, (size_t)n);
    for (size_t end; s->line.n && (end = str_find(buf_str(&s->line), '\n')) < s->line.n;) {
        on_line(s, str_n(s->line.p, end));
        memmove(s->line.p, s->line.p + end + 1, s->line.n - end - 1);
        s->line.n -= end + 1;
    }
}

bool supervisor_start(struct server *s, struct err *err)
{
    (void)err;
    uv_poll_init(&s->control->loop, &s->supervisor, s->in.control);
    s->supervisor.data = s;
    s->supervisor_open = true;
    uv_poll_start(&s->supervisor, UV_READABLE, on_supervisor);
    return true;
}

void supervisor_stop(struct server *s)
{
    close_supervisor(s);
    buf_free(&s->line);
}
