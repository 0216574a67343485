/* server_node.c -- this process among others: what it says of itself to those that share its queue.
 */
#include "admin/admin.h"
#include "base/clock.h"
#include "cron/cron.h"
#include "jobs/jobs.h"
#include "loop/lane.h"
#include "observe/metrics.h"
#include "server_parts.h"

static const int64_t every_ns = 2 * NS_PER_SECOND;

static void say(struct server *s)
{
    struct buf card = {0};
    metric_set(metrics_gauge("maru_cron_leads", "1: the schedules fire here.", ""),
               cron_leads(s->cron));
    admin_card(s->admin, &card);
    jobs_set_card(s->jobs, buf_str(&card));
    buf_free(&card);
}

static void on_time(struct timer *timer)
{
    struct server *s = list_entry(timer, struct server, tell_others);
    say(s);
    timer_start(s->control, timer, every_ns);
}

void node_begin(struct server *s)
{
    s->tell_others.fire = on_time;
    say(s);
    timer_start(s->control, &s->tell_others, every_ns);
}
