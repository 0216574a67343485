#include "cron/cron.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/still.h"
#include "cron/memory.h"
#include "cron/schedule.h"
#include "cron/zone.h"
#include "observe/log.h"
#include "storage/sqlite.h"

/* A sleep of at most so long, so that a clock set forward or a machine that
 * slept is noticed soon: the loop's timers do not count either. */
static const int64_t sleep_most_ns = 30 * NS_PER_SECOND;

/* A wall clock set back by more than this makes all schedules look anew. */
enum { SET_BACK_SECONDS = 5 };

struct entry {
    char *key; /* "plugin/id" */
    char *plugin, *id, *pattern, *tz, *kind, *args;
    bool enabled;
    struct schedule schedule;
    const struct zone *zone;
    int64_t next; /* SCHEDULE_NEVER when disabled */
};

struct cron {
    struct lane *lane;
    char *tz, *zone_dir;
    void (*push)(struct cron_push *push, void *arg);
    void *arg;
    int64_t (*wall_ns)(void);
    struct map *zones; /* name -> struct zone, never dropped */
    struct memories *memories;
    struct entry *entries;
    int count;
    struct timer timer;
    bool stopped;
    int64_t seen; /* the wall clock at the last tick */
};

/* A fire and, for run-now, who wants to know. */
struct fire {
    struct cron_push push; /* first */
    struct cron *cron;
    char *schedule, *kind, *args;
    void (*done)(void *arg, const struct err *err, int64_t job_id);
    void *arg;
};

static int64_t now(const struct cron *cron)
{
    return cron->wall_ns() / NS_PER_SECOND;
}

static const struct zone *zone_of(struct cron *cron, const char *name, struct err *err)
{
    struct zone *zone = map_get(cron->zones, str_c(name));
    if (!zone && (zone = zone_load(cron->zone_dir, str_c(name), err)))
        map_set(cron->zones, str_c(name), zone);
    return zone;
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
    cron->zones = map_create();
    cron->memories = memories_open(store_sqlite(options->store), cron->lane, err);
    if (cron->memories)
        return cron;
    cron_close(cron);
    return NULL;
}

static void entries_free(struct entry *entries, int count)
{
    for (int i = 0; i < count; i++) {
        struct entry *e = &entries[i];
        char *texts[] = {e->key, e->plugin, e->id, e->pattern, e->tz, e->kind, e->args};
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

/* ---- firing ------------------------------------------------------------ */

static void fire_free(struct fire *fire)
{
    mem_free(fire->schedule);
    mem_free(fire->kind);
    mem_free(fire->args);
    mem_free(fire);
}

static void on_pushed(struct cron_push *push)
{
    struct fire *fire = (struct fire *)push;
    struct cron *cron = fire->cron;
    struct memory *memory = memory_of(cron->memories, push->schedule);
    bool fired_before = push->err.code == ERR_EXISTS && !push->skipped;
    if (push->err.code == ERR_NONE || push->skipped || fired_before) {
        if (push->at > memory->last)
            memory->last = push->at;
        memory->status = push->skipped ? "skipped" : "fired";
    } else {
        memory->status = "failed";
    }
    if (push->skipped)
        log_warn("cron", "%s: skipped, the job of an earlier fire is unfinished", fire->schedule);
    else if (push->err.code != ERR_NONE && !fired_before)
        log_error("cron", "%s: could not push its job: %s", fire->schedule, push->err.message);
    if (fire->done)
        fire->done(fire->arg, &push->err, push->job_id);
    fire_free(fire);
}

static void fire_entry(struct cron *cron, const struct entry *e, int64_t at,
                       void (*done)(void *arg, const struct err *err, int64_t job_id), void *arg)
{
    struct fire *fire = mem_zero(1, sizeof *fire);
    fire->cron = cron;
    fire->schedule = mem_strdup(e->key);
    fire->kind = mem_strdup(e->kind);
    fire->args = mem_strdup(e->args ? e->args : "{}");
    fire->done = done;
    fire->arg = arg;
    fire->push.schedule = str_c(fire->schedule);
    fire->push.kind = str_c(fire->kind);
    fire->push.args = str_c(fire->args);
    fire->push.lane = cron->lane;
    fire->push.at = at;
    fire->push.by_hand = done != NULL;
    if (!done)
        memory_of(cron->memories, fire->push.schedule)->since =
            at; /* a reload meanwhile goes on from here */
    fire->push.done = on_pushed;
    cron->push(&fire->push, cron->arg);
}

/* The latest instant that has passed; only this one is made up for, however many
 * were missed. */
static int64_t due(const struct entry *e, int64_t t)
{
    return e->next > t ? SCHEDULE_NEVER : schedule_latest(&e->schedule, e->zone, e->next - 1, t);
}

/* One that is known goes on from its last fire; a new one begins now. */
static void entry_begin(struct cron *cron, struct entry *e, int64_t t)
{
    const struct memory *memory = memory_of(cron->memories, str_c(e->key));
    int64_t after = memory->last > memory->since ? memory->last : memory->since;
    e->next = schedule_next(&e->schedule, e->zone, after > 0 && after < t ? after : t);
}

/* A clock set back: waiting for the instants of the wrong time would skip those
 * of the right one.  What fired already does not fire again (primary key). */
static void look_anew(struct cron *cron, int64_t t)
{
    for (int i = 0; i < cron->count; i++)
        if (cron->entries[i].enabled)
            cron->entries[i].next =
                schedule_next(&cron->entries[i].schedule, cron->entries[i].zone, t);
}

int64_t cron_tick(struct cron *cron)
{
    int64_t t = now(cron), next = SCHEDULE_NEVER;
    memories_prune(cron->memories, t);
    if (t < cron->seen - SET_BACK_SECONDS) {
        log_warn("cron", "the clock was set back by %lld s", (long long)(cron->seen - t));
        look_anew(cron, t);
    }
    cron->seen = t;
    for (int i = 0; i < cron->count && !cron->stopped; i++) {
        struct entry *e = &cron->entries[i];
        if (!e->enabled)
            continue;
        int64_t at = due(e, t);
        if (at != SCHEDULE_NEVER)
            fire_entry(cron, e, at, NULL, NULL);
        if (e->next <= t)
            e->next = schedule_next(&e->schedule, e->zone, t);
        if (e->next < next)
            next = e->next;
    }
    return next;
}

static void arm(struct cron *cron, int64_t next)
{
    int64_t wait = still_stands() ? INT64_MAX / 2 : sleep_most_ns;
    if (cron->stopped)
        return;
    if (next != SCHEDULE_NEVER) {
        int64_t until = next * NS_PER_SECOND - cron->wall_ns();
        if (until < wait)
            wait = until;
    }
    timer_start(cron->lane, &cron->timer, wait);
}

static void on_timer(struct timer *timer)
{
    struct cron *cron = (struct cron *)(void *)((char *)timer - offsetof(struct cron, timer));
    arm(cron, cron_tick(cron));
}

void cron_begin_anew(struct cron *cron)
{
    cron->seen = now(cron);
    look_anew(cron, cron->seen);
    arm(cron, cron_tick(cron));
}

/* ---- the set ----------------------------------------------------------- */

static bool entry_make(struct cron *cron, struct entry *e, const struct cron_schedule *s,
                       struct err *err)
{
    e->key = mem_printf("%s/%s", s->plugin, s->id);
    e->plugin = mem_strdup(s->plugin);
    e->id = mem_strdup(s->id);
    e->pattern = mem_strdup(s->pattern);
    e->tz = mem_strdup(s->tz ? s->tz : cron->tz);
    e->kind = mem_strdup(s->kind);
    e->args = mem_strdup(s->args_json);
    e->enabled = s->enabled;
    e->next = SCHEDULE_NEVER;
    if (schedule_parse(str_c(s->pattern), &e->schedule, err) &&
        (e->zone = zone_of(cron, e->tz, err)))
        return true;
    return err_wrap(err, "plugin %s: schedule \"%s\"", s->plugin, s->id);
}

/* What was switched off missed nothing; what nobody knew begins now. */
static void note_changes(struct cron *cron, int64_t t)
{
    for (int i = 0; i < cron->count; i++)
        if (!cron->entries[i].enabled)
            memory_of(cron->memories, str_c(cron->entries[i].key))->since = t;
}

static void note_new(struct cron *cron, int64_t t)
{
    for (int i = 0; i < cron->count; i++)
        memory_begin(cron->memories, str_c(cron->entries[i].key), t);
    memories_write(cron->memories);
}

bool cron_set(struct cron *cron, const struct cron_schedule *schedules, int count, struct err *err)
{
    struct entry *entries = mem_zero((size_t)count + 1, sizeof *entries);
    for (int i = 0; i < count; i++)
        if (!entry_make(cron, &entries[i], &schedules[i], err)) {
            entries_free(entries, count);
            return false;
        }
    int64_t t = now(cron);
    note_changes(cron, t);
    for (int i = 0; i < count; i++)
        if (entries[i].enabled)
            entry_begin(cron, &entries[i], t);
    entries_free(cron->entries, cron->count);
    cron->entries = entries;
    cron->count = count;
    note_new(cron, t);
    cron->timer.fire = on_timer;
    arm(cron, t); /* at once, from the loop */
    return true;
}

void cron_run_now(struct cron *cron, struct str plugin, struct str id,
                  void (*done)(void *arg, const struct err *err, int64_t job_id), void *arg)
{
    struct err err = {0};
    for (int i = 0; i < cron->count; i++) {
        const struct entry *e = &cron->entries[i];
        if (str_eq_c(plugin, e->plugin) && str_eq_c(id, e->id)) {
            fire_entry(cron, e, now(cron), done, arg);
            return;
        }
    }
    err_set(&err, ERR_NOT_FOUND, "there is no schedule %.*s of plugin %.*s", (int)id.n, id.p,
            (int)plugin.n, plugin.p);
    done(arg, &err, 0);
}

static void print_instant(struct json *w, const char *key, const struct zone *zone, int64_t at)
{
    char text[40];
    json_key(w, key);
    if (at == 0 || at == SCHEDULE_NEVER) {
        json_null(w);
        return;
    }
    zone_format(zone, at, text);
    json_cstr(w, text);
}

void cron_print(struct cron *cron, struct buf *out)
{
    struct json w = json_to(out);
    json_open(&w, '[');
    for (int i = 0; i < cron->count; i++) {
        const struct entry *e = &cron->entries[i];
        const struct memory *memory = memory_of(cron->memories, str_c(e->key));
        json_open(&w, '{');
        json_key(&w, "id");
        json_cstr(&w, e->id);
        json_key(&w, "plugin");
        json_cstr(&w, e->plugin);
        json_key(&w, "pattern");
        json_cstr(&w, e->pattern);
        json_key(&w, "tz");
        json_cstr(&w, e->tz);
        json_key(&w, "job");
        json_cstr(&w, e->kind);
        print_instant(&w, "next_at", e->zone, e->next);
        print_instant(&w, "last_at", e->zone, memory->last);
        json_key(&w, "last_status");
        json_cstr(&w, memory->status);
        json_key(&w, "enabled");
        json_bool(&w, e->enabled);
        json_close(&w, '}');
    }
    json_close(&w, ']');
}

void cron_stop(struct cron *cron)
{
    cron->stopped = true;
    timer_stop(cron->lane, &cron->timer);
}
