#include "cron/cron.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/still.h"
#include "cron/private.h"
#include "observe/log.h"
#include "storage/sqlite.h"

/* A sleep of at most so long, so that a clock set forward or a machine that
 * slept is noticed soon: the loop's timers do not count either. */
static const int64_t sleep_most_ns = 30 * NS_PER_SECOND;
static const int64_t lease_default_ns = 20 * NS_PER_SECOND;

/* A wall clock set back by more than this makes all schedules look anew. */
enum { SET_BACK_SECONDS = 5 };

static const struct zone *zone_of(struct cron *cron, const char *name, struct err *err)
{
    struct zone *zone = map_get(cron->zones, str_c(name));
    if (!zone && (zone = zone_load(cron->zone_dir, str_c(name), err)))
        map_set(cron->zones, str_c(name), zone);
    return zone;
}

/* The host's own record is read at once, another's when it is asked who leads. */
static bool open_record(struct cron *cron, const struct cron_options *options, struct err *err)
{
    struct cron_load load = {0};
    bool ok = true;
    if (options->record)
        cron->record = *options->record;
    else
        ok = record_sqlite(store_sqlite(options->store), &cron->record, &load, err);
    cron->memories = memories_create(&cron->record);
    memories_merge(cron->memories, load.rows, load.count);
    cron_rows_free(load.rows, load.count);
    return ok;
}

struct cron *cron_open(const struct cron_options *options, struct err *err)
{
    struct cron *cron = mem_zero(1, sizeof *cron);
    cron->lane = options->lane;
    cron->tz = mem_strdup(options->tz ? options->tz : "Asia/Seoul");
    cron->zone_dir = mem_strdup(options->zone_dir ? options->zone_dir : ZONE_DIR);
    cron->push = options->push;
    cron->arg = options->arg;
    cron->wall_ns = options->wall_ns ? options->wall_ns : clock_wall_ns;
    cron->mono_ns = options->mono_ns ? options->mono_ns : clock_ns;
    cron->idle = options->idle;
    cron->lead.lease_ns = options->lease_ns ? options->lease_ns : lease_default_ns;
    cron->zones = map_create();
    cron->by_key = map_create();
    if (open_record(cron, options, err))
        return cron;
    cron_close(cron);
    return NULL;
}

static void entries_free(struct entry *entries, int count)
{
    for (int i = 0; i < count; i++) {
        struct entry *e = &entries[i];
        char *texts[] = {e->plugin, e->id, e->pattern, e->tz, e->kind, e->args};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            mem_free(texts[k]);
    }
    mem_free(entries);
}

void cron_close(struct cron *cron)
{
    size_t at = 0;
    struct str key;
    void *value;
    if (!cron)
        return;
    while (map_next(cron->zones, &at, &key, &value))
        zone_free(value);
    map_destroy(cron->zones);
    map_destroy(cron->by_key);
    heap_free(&cron->due);
    memories_free(cron->memories);
    entries_free(cron->entries, cron->count);
    mem_free(cron->tz);
    mem_free(cron->zone_dir);
    mem_free(cron);
}

bool cron_check(const struct cron *cron, const char *pattern, const char *tz, struct err *err)
{
    struct schedule schedule;
    if (!schedule_parse(str_c(pattern), &schedule, err))
        return false;
    struct zone *zone = zone_load(cron->zone_dir, str_c(tz ? tz : cron->tz), err);
    zone_free(zone);
    return zone != NULL;
}

/* ---- time -------------------------------------------------------------- */

static bool is_on(const struct entry *e)
{
    return e->enabled && !e->memory->paused;
}

/* One that is known goes on from its last fire; a new one begins now, and so does one that was
 * switched off: it missed nothing. */
static void entry_begin(struct cron *cron, struct entry *e, int64_t t)
{
    struct memory *memory = e->memory;
    if (!is_on(e) || (!memory->last && !memory->since))
        memory_since(cron->memories, memory, t);
    int64_t after = memory->last > memory->since ? memory->last : memory->since;
    e->until = e->not_before = 0;
    e->next =
        is_on(e) ? schedule_next(&e->schedule, e->zone, after < t ? after : t) : SCHEDULE_NEVER;
    entry_queue(cron, e);
}

void entries_begin(struct cron *cron)
{
    int64_t t = cron_now(cron);
    for (int i = 0; i < cron->count; i++)
        entry_begin(cron, &cron->entries[i], t);
    memories_write(cron->memories);
}

/* A clock set back: waiting for the instants of the wrong time would skip those
 * of the right one.  What fired already does not fire again (primary key). */
static void look_anew(struct cron *cron, int64_t t)
{
    for (int i = 0; i < cron->count; i++) {
        struct entry *e = &cron->entries[i];
        if (!is_on(e))
            continue;
        e->until = e->not_before = 0;
        e->next = schedule_next(&e->schedule, e->zone, t);
        entry_queue(cron, e);
    }
}

static void notice_clock(struct cron *cron, int64_t t)
{
    if (t < cron->seen - SET_BACK_SECONDS) {
        log_warn("cron", "the clock was set back by %lld s", (long long)(cron->seen - t));
        look_anew(cron, t);
    }
    cron->seen = t;
}

int64_t cron_tick(struct cron *cron)
{
    int64_t t = cron_now(cron);
    int work = CRON_TICK_WORK;
    struct heap_node *first;
    cron->ticking = true;
    lead_step(cron);
    notice_clock(cron, t);
    if (cron_leads(cron)) {
        while ((first = heap_first(&cron->due)) && first->key <= t && work > 0)
            entry_run(cron, (struct entry *)(void *)heap_pop(&cron->due), t, &work);
        memories_prune(cron->memories, t);
        memories_write(cron->memories);
    }
    cron->ticking = false;
    first = cron_leads(cron) ? heap_first(&cron->due) : NULL;
    return first ? first->key : SCHEDULE_NEVER;
}

static void on_timer(struct timer *timer)
{
    struct cron *cron = (struct cron *)(void *)((char *)timer - offsetof(struct cron, timer));
    cron_tick(cron);
    cron_arm(cron);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void cron_arm(struct cron *cron)
{
    const struct heap_node *first = cron_leads(cron) ? heap_first(&cron->due) : NULL;
    int64_t wait = still_stands() ? INT64_MAX / 2 : sleep_most_ns;
    if (cron->stopped || !cron->timer.fire)
        return;
    if (first)
        wait = least(wait, first->key * NS_PER_SECOND - cron->wall_ns());
    timer_start(cron->lane, &cron->timer, least(wait, lead_wait_ns(cron)));
}

void cron_begin_anew(struct cron *cron)
{
    cron->seen = cron_now(cron);
    look_anew(cron, cron->seen);
    cron_tick(cron);
    cron_arm(cron);
}

/* ---- the set ----------------------------------------------------------- */

static bool entry_make(struct cron *cron, struct entry *e, const struct cron_schedule *s,
                       struct err *err)
{
    e->plugin = mem_strdup(s->plugin);
    e->id = mem_strdup(s->id);
    e->pattern = mem_strdup(s->pattern);
    e->tz = mem_strdup(s->tz ? s->tz : cron->tz);
    e->kind = mem_strdup(s->kind);
    e->args = mem_strdup(s->args_json);
    e->enabled = s->enabled;
    e->jitter = s->jitter;
    e->deadline = s->deadline;
    e->missed = s->missed;
    e->missed_max = s->missed_max ? s->missed_max : CRON_MISSED;
    e->overlap = s->overlap;
    e->next = SCHEDULE_NEVER;
    if (schedule_parse(str_c(s->pattern), &e->schedule, err) &&
        (e->zone = zone_of(cron, e->tz, err)))
        return true;
    return err_wrap(err, "plugin %s: schedule \"%s\"", s->plugin, s->id);
}

/* The old set is let go of. */
static void entries_replace(struct cron *cron, struct entry *entries, int count)
{
    while (heap_pop(&cron->due))
        continue;
    map_destroy(cron->by_key);
    entries_free(cron->entries, cron->count);
    cron->by_key = map_create();
    cron->entries = entries;
    cron->count = count;
    for (int i = 0; i < count; i++) {
        char *key = mem_printf("%s/%s", entries[i].plugin, entries[i].id);
        entries[i].memory = memory_of(cron->memories, str_c(key));
        map_set(cron->by_key, str_c(key), &entries[i]);
        mem_free(key);
    }
}

/* What was switched off until now missed nothing. */
static void note_off(struct cron *cron, int64_t t)
{
    for (int i = 0; i < cron->count; i++)
        if (!is_on(&cron->entries[i]))
            memory_since(cron->memories, cron->entries[i].memory, t);
}

bool cron_set(struct cron *cron, const struct cron_schedule *schedules, int count, struct err *err)
{
    struct entry *entries = mem_zero((size_t)count + 1, sizeof *entries);
    for (int i = 0; i < count; i++)
        if (!entry_make(cron, &entries[i], &schedules[i], err)) {
            entries_free(entries, count);
            return false;
        }
    if (cron_leads(cron))
        note_off(cron, cron_now(cron));
    entries_replace(cron, entries, count);
    if (cron_leads(cron))
        entries_begin(cron);
    cron->timer.fire = on_timer;
    if (!cron->stopped)
        timer_start(cron->lane, &cron->timer, 0); /* at once, from the loop */
    return true;
}

/* ---- by hand ----------------------------------------------------------- */

struct entry *cron_find(struct cron *cron, struct str plugin, struct str id, struct err *err)
{
    char *key = mem_printf("%.*s/%.*s", (int)plugin.n, plugin.p, (int)id.n, id.p);
    struct entry *e = map_get(cron->by_key, str_c(key));
    mem_free(key);
    if (!e)
        err_set(err, ERR_NOT_FOUND, "there is no schedule %.*s of plugin %.*s", (int)id.n, id.p,
                (int)plugin.n, plugin.p);
    return e;
}

void cron_run_now(struct cron *cron, struct str plugin, struct str id,
                  void (*done)(void *arg, const struct err *err, int64_t job_id), void *arg)
{
    struct err err = {0};
    struct entry *e = cron_find(cron, plugin, id, &err);
    if (e)
        entry_fire(cron, e, cron_now(cron), done, arg);
    else
        done(arg, &err, 0);
}

struct pausing {
    struct cron_keep keep; /* first */
    struct cron *cron;
    void (*done)(void *arg, const struct err *err);
    void *arg;
};

static void on_paused(struct cron_keep *keep)
{
    struct pausing *p = (struct pausing *)keep;
    struct cron *cron = p->cron;
    const struct cron_row *row = keep->rows;
    struct entry *e = map_get(cron->by_key, str_c(row->schedule));
    if (keep->err.code == ERR_NONE) {
        struct memory *memory = memory_of(cron->memories, str_c(row->schedule));
        memory->since = row->since > memory->since ? row->since : memory->since;
        memory->paused = row->paused;
        log_info("cron", "%s: %s", row->schedule, row->paused ? "paused" : "resumed");
    }
    if (e && keep->err.code == ERR_NONE && cron_leads(cron)) {
        entry_begin(cron, e, cron_now(cron));
        cron_arm(cron);
    }
    p->done(p->arg, &keep->err);
    cron_rows_free(keep->rows, keep->count);
    mem_free(p);
}

void cron_pause(struct cron *cron, struct str plugin, struct str id, bool paused,
                void (*done)(void *arg, const struct err *err), void *arg)
{
    struct err err = {0};
    struct entry *e = cron_find(cron, plugin, id, &err);
    if (!e) {
        done(arg, &err);
        return;
    }
    struct pausing *p = mem_zero(1, sizeof *p);
    p->cron = cron;
    p->done = done;
    p->arg = arg;
    p->keep.lane = cron->lane;
    p->keep.done = on_paused;
    p->keep.what = KEEP_PAUSE;
    p->keep.count = 1;
    p->keep.rows = mem_zero(1, sizeof *p->keep.rows);
    *p->keep.rows = (struct cron_row){
        .schedule = mem_strdup(e->memory->key),
        /* resumed: what was due meanwhile is not made up for */
        .since = e->memory->paused && !paused ? cron_now(cron) : e->memory->since,
        .paused = paused,
    };
    cron->record.keep(cron->record.arg, &p->keep);
}

void cron_stop(struct cron *cron)
{
    lead_resign(cron);
    cron->stopped = true;
    timer_stop(cron->lane, &cron->timer);
}
