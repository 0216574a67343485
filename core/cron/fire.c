/* fire.c -- from an instant that has come to a job, and why some do not get there. */

#include "base/clock.h"
#include "base/mem.h"
#include "cron/private.h"
#include "observe/log.h"

/* COUNT_MOST: more instants than this are dropped without being counted one by one. */
enum { AGAIN_SECONDS = 1, FAILED_AGAIN_SECONDS = 5, COUNT_MOST = 10000 };

/* A fire on its way, and for cron_run_now() who wants to know. */
struct fire {
    struct cron_push push; /* first */
    struct cron *cron;
    char *schedule, *kind, *args;
    void (*by_hand)(void *arg, const struct err *err, int64_t job_id);
    void *arg;
};

/* The same on every node and in every process: one instant has one splay. */
static uint64_t stable_hash(const char *key, int64_t at)
{
    static const uint64_t hash_key[2] = {UINT64_C(0x6d617275), UINT64_C(0x63726f6e)};
    struct buf bytes = {0};
    buf_printf(&bytes, "%s %lld", key, (long long)at);
    uint64_t hash = hash_keyed(hash_key, bytes.p, bytes.n);
    buf_free(&bytes);
    return hash;
}

/* Less than the jitter, and less than the time to the next instant: their order stays. */
static int64_t splay(const struct entry *e, int64_t at)
{
    if (e->jitter <= 0)
        return 0;
    int64_t following = schedule_next(&e->schedule, e->zone, at), room = e->jitter;
    if (following != SCHEDULE_NEVER && following - at < room)
        room = following - at;
    return (int64_t)(stable_hash(e->memory->key, at) % (uint64_t)room);
}

int64_t entry_due(const struct entry *e)
{
    return e->next == SCHEDULE_NEVER ? e->next : e->next + splay(e, e->next);
}

void entry_queue(struct cron *cron, struct entry *e)
{
    heap_remove(&cron->due, &e->due);
    if (e->next == SCHEDULE_NEVER || e->memory->pushing)
        return;
    int64_t due = entry_due(e);
    heap_push(&cron->due, &e->due, due > e->not_before ? due : e->not_before);
}

static int64_t following(const struct entry *e, int64_t at)
{
    return schedule_next(&e->schedule, e->zone, at);
}

/* The latest instant from next on whose time has come; next itself has. */
static int64_t latest_due(const struct entry *e, int64_t t)
{
    int64_t at = schedule_latest(&e->schedule, e->zone, e->next - 1, t);
    if (at > e->next && at + splay(e, at) > t)
        at = schedule_latest(&e->schedule, e->zone, e->next - 1, at - 1);
    return at;
}

/* The first of the last n instants from next up to `latest`. */
static int64_t back(const struct entry *e, int64_t latest, int n)
{
    int64_t at = latest, before;
    while (--n > 0 &&
           (before = schedule_latest(&e->schedule, e->zone, e->next - 1, at - 1)) != SCHEDULE_NEVER)
        at = before;
    return at;
}

/* Drops the instants from next up to, not with, `first`. */
static void drop_until(struct cron *cron, struct entry *e, int64_t first, enum drop_reason reason,
                       int *work)
{
    if (e->next >= first)
        return;
    int count = schedule_count(&e->schedule, e->zone, e->next - 1, first - 1, COUNT_MOST);
    *work -= count;
    memory_dropped(e->memory, reason, count);
    memory_since(cron->memories, e->memory, first - 1);
    if (reason != DROP_OVERLAP)
        log_warn("cron", "%s: %d instants were not fired (%s)", e->memory->key, count,
                 drop_reason_name(reason));
    e->next = first;
}

/* Which of the instants that have come are to be fired. */
static void choose(struct cron *cron, struct entry *e, int64_t t, int *work)
{
    bool waited = e->not_before != 0;
    int64_t latest = latest_due(e, t), first = latest;
    enum drop_reason reason = !waited              ? DROP_MISSED
                              : e->memory->failing ? DROP_FAILED
                                                   : DROP_OVERLAP;
    if (e->missed == MISSED_ALL) {
        first = back(e, latest, e->missed_max);
        *work -= e->missed_max;
    } else if (e->missed == MISSED_SKIP && !waited &&
               t - latest - splay(e, latest) > LATE_SECONDS) {
        first = following(e, latest);
    }
    drop_until(cron, e, first, reason, work);
    if (e->deadline > 0 && e->next <= latest && t - e->next > e->deadline) {
        int64_t early = following(e, t - e->deadline - 1);
        drop_until(cron, e, early <= latest ? early : following(e, latest), DROP_DEADLINE, work);
    }
    e->until = latest;
    if (e->next > latest)
        e->not_before = 0;
}

void entry_run(struct cron *cron, struct entry *e, int64_t t, int *work)
{
    *work -= 1;
    if (e->not_before || e->next > e->until)
        choose(cron, e, t, work);
    if (e->next <= e->until)
        entry_fire(cron, e, e->next, NULL, NULL);
    else
        entry_queue(cron, e);
}

static void fire_free(struct fire *fire)
{
    mem_free(fire->schedule);
    mem_free(fire->kind);
    mem_free(fire->args);
    mem_free(fire);
}

/* What became of it: true when the instant is done with. */
static bool note(struct cron *cron, struct memory *memory, const struct cron_push *push)
{
    bool before = push->err.code == ERR_EXISTS && !push->skipped;
    bool failing = memory->failing;
    memory->failing = false;
    if (push->err.code == ERR_NONE || before) {
        if (push->at > memory->last)
            memory->last = push->at;
        memory->job = before ? memory->job : push->job_id;
        memory->status = "fired";
        return true;
    }
    if (push->skipped && push->overlap == OVERLAP_SKIP) {
        log_warn("cron", "%s: skipped, the job of an earlier fire is unfinished", memory->key);
        memory->status = "skipped";
        memory_dropped(memory, DROP_OVERLAP, 1);
        memory_since(cron->memories, memory, push->at);
        return true;
    }
    memory->status = push->skipped ? "waiting" : "failed";
    memory->failing = !push->skipped;
    if (memory->failing && !failing)
        log_error("cron", "%s: could not push its job, trying again: %s", memory->key,
                  push->err.message);
    return false;
}

/* The set may be another by now, and the schedule not in it any more or asked for other times. */
static void go_on(struct cron *cron, struct memory *memory, int64_t at, bool over)
{
    struct entry *e = map_get(cron->by_key, str_c(memory->key));
    if (!e)
        return;
    if (e->next == at) {
        e->not_before =
            over ? 0 : cron_now(cron) + (memory->failing ? FAILED_AGAIN_SECONDS : AGAIN_SECONDS);
        if (over)
            e->next = following(e, at);
    }
    entry_queue(cron, e);
    if (!cron->ticking)
        cron_arm(cron);
}

static void on_pushed(struct cron_push *push)
{
    struct fire *fire = (struct fire *)push;
    struct cron *cron = fire->cron;
    struct memory *memory = memory_of(cron->memories, push->schedule);
    if (!push->by_hand) {
        memory->pushing = false;
        go_on(cron, memory, push->at, note(cron, memory, push));
    } else if (push->err.code == ERR_NONE) {
        memory->by_hand = push->at;
        memory->job = push->job_id;
        memory->status = "fired";
    }
    if (fire->by_hand)
        fire->by_hand(fire->arg, &push->err, push->job_id);
    fire_free(fire);
}

void entry_fire(struct cron *cron, struct entry *e, int64_t at,
                void (*by_hand)(void *arg, const struct err *err, int64_t job_id), void *arg)
{
    struct fire *fire = mem_zero(1, sizeof *fire);
    fire->cron = cron;
    fire->schedule = mem_strdup(e->memory->key);
    fire->kind = mem_strdup(e->kind);
    fire->args = mem_strdup(e->args ? e->args : "{}");
    fire->by_hand = by_hand;
    fire->arg = arg;
    fire->push = (struct cron_push){
        .schedule = str_c(fire->schedule),
        .kind = str_c(fire->kind),
        .args = str_c(fire->args),
        .lane = cron->lane,
        .at = at,
        .by_hand = by_hand != NULL,
        .overlap = e->overlap,
        .expires = e->deadline > 0 && !by_hand ? at + e->deadline : 0,
        .earlier = e->memory->job,
        .done = on_pushed,
    };
    if (!by_hand)
        e->memory->pushing = true;
    cron->push(&fire->push, cron->arg);
}
