/* s3_probe.c -- whether S3 answers, asked where nobody else has asked for a while, and again and
 * again while it does not: /readyz and the drivers' row heal without a call.
 */
#include "base/clock.h"
#include "base/rand.h"
#include "objects/s3_private.h"

static const int64_t every_ns = 10 * NS_PER_SECOND, soonest_ns = NS_PER_SECOND / 2;

static void start(struct s3 *s3, int64_t pause_ns)
{
    if (!s3->ended)
        timer_start(s3->objects.lane, &s3->probe_timer, pause_ns);
}

/* Servers that lost the same bucket do not come back in one moment. */
static void again(struct s3 *s3)
{
    int64_t pause = s3->probe_pause_ns ? 2 * s3->probe_pause_ns : soonest_ns;
    s3->probe_pause_ns = pause < every_ns ? pause : every_ns;
    start(s3, (int64_t)((double)s3->probe_pause_ns * (0.75 + rand_unit() / 2)));
}

static void on_answer(void *arg, const struct s3_answer *a)
{
    struct s3 *s3 = arg;
    if (a->err.code) {
        again(s3);
        return;
    }
    s3->probe_pause_ns = 0;
    driver_health_took(s3->health, clock_steady_ns() - s3->probe_sent_ns);
    start(s3, every_ns);
}

static void on_time(struct timer *timer)
{
    struct s3 *s3 = list_entry(timer, struct s3, probe_timer);
    int64_t now = clock_steady_ns();
    int64_t heard = atomic_load_explicit(&s3->heard_ns, memory_order_relaxed);
    bool fresh = heard && now - heard < every_ns && !atomic_load(&s3->down);
    if (fresh && !s3->probe_pause_ns) {
        start(s3, every_ns);
        return;
    }
    s3->probe_sent_ns = now;
    s3_send(s3, s3->objects.lane, &(struct s3_request){.method = "HEAD", .once = true}, on_answer,
            s3);
}

void s3_probe_begin(struct s3 *s3)
{
    s3->probe_timer.fire = on_time;
    s3->probe_timer.upkeep = true;
    start(s3, 0);
}

void s3_probe_end(struct s3 *s3)
{
    timer_stop(s3->objects.lane, &s3->probe_timer);
}
