/* power_model.h -- what a queue has promised so far, and whether what it shows keeps to it.
 *
 * An entry is one job that was pushed.  Its number stands in the job's arguments, so that a
 * run and a look tell which one they are about.  One lock; the handlers' lanes, the writer
 * thread and the test itself meet here.
 */
#pragma once

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "jobs/admin.h"

enum script { DONE, PLAIN, FLAKY, DYING, ASKING, GIVING_UP, HANGS, KEYED, FIRED, FAR, SCRIPTS };
static const char *const script_names[SCRIPTS] = {"p.done",   "p.plain",     "p.flaky", "p.dying",
                                                  "p.asking", "p.giving_up", "p.hangs", "p.keyed",
                                                  "p.fired",  "p.far"};

/* FOLLOWING: may come to be by the end of others, under an id nobody knows before it runs;
 * EXPECTED: and has to, for its chord was acknowledged. */
enum fate { PUSHING, ACKNOWLEDGED, UNKNOWN, DROPPED, FOLLOWING, EXPECTED };

struct entry {
    int64_t id;
    int first, count; /* the push it came with */
    int session;      /* when its push was answered */
    int started;      /* the last session in which it ran */
    int instant;      /* of its schedule, 0 = none */
    enum fate fate;
    enum script script;
    enum job_state state; /* as last looked at; JOB_ANY = not there */
    enum job_state seen;  /* an end that was reported; JOB_ANY = none */
    int kills;            /* process deaths that may be counted against it */
    int key;
    int after, after_count;                  /* FOLLOWING: the entries that run before it */
    bool far;                                /* not due within the test */
    bool looked, settled;                    /* settled: an end that outlived a cut */
    bool ran, tame;                          /* tame: asked for again, so it ends well now */
    bool cancel_asked, retry_asked, retried; /* retried: and acknowledged */
};

enum { MODEL_ENTRIES = 400000, MODEL_INSTANTS = 10000, MODEL_KEYS = 16 };

static struct {
    pthread_mutex_t lock;
    struct entry *entries;
    int count, waiting, session, problems, acknowledged, ended, quiet;
    int checked_from; /* entries of the last check's own pushes */
    int64_t first_instant;
    int instant;                                 /* the oldest that is still pushed */
    int held[MODEL_KEYS], fired[MODEL_INSTANTS]; /* by the last check */
    unsigned seed;
    char problem[512];
} model = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void model_lock(void)
{
    pthread_mutex_lock(&model.lock);
}

static inline void model_unlock(void)
{
    pthread_mutex_unlock(&model.lock);
}

/* Of the test's own thread. */
static inline int model_chance(int n)
{
    model.seed = model.seed * 1103515245u + 12345u;
    return (int)((model.seed >> 16) % (unsigned)n);
}

/* Lock held, or nothing runs. */
__attribute__((format(printf, 1, 2))) static inline void model_problem(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (model.problems++ == 0)
        vsnprintf(model.problem, sizeof model.problem, format, args);
    va_end(args);
}

static inline void model_wrong(const struct entry *e, const char *what)
{
    model_problem("%s %lld (entry %d, session %d, state %s, reported %s, fate %d): %s",
                  script_names[e->script], (long long)e->id, (int)(e - model.entries),
                  model.session, e->state ? job_state_name(e->state) : "none",
                  e->seen ? job_state_name(e->seen) : "none", e->fate, what);
}

static inline void model_begin(unsigned seed)
{
    if (!model.entries)
        model.entries = calloc(MODEL_ENTRIES, sizeof *model.entries);
    model.count = model.waiting = model.session = model.problems = 0;
    model.acknowledged = model.ended = 0;
    model.seed = seed;
    model.first_instant = clock_wall_ns() / NS_PER_SECOND;
    model.instant = 1;
}

static inline int model_number(const int *field)
{
    model_lock();
    int n = *field;
    model_unlock();
    return n;
}
#define model_waiting()      model_number(&model.waiting)
#define model_count()        model_number(&model.count)
#define model_problems()     model_number(&model.problems)
#define model_acknowledged() model_number(&model.acknowledged)
#define model_ended()        model_number(&model.ended)
static inline const char *model_first_problem(void)
{
    return model.problem;
}

static inline int model_index(const struct entry *e)
{
    return (int)(e - model.entries);
}

static inline void model_session(void)
{
    model.session++;
    model.instant += model_chance(4);
}

static inline int64_t model_instant_wall(int instant)
{
    return (model.first_instant + instant) * NS_PER_SECOND;
}

/* -- pushes -- */

static inline int model_pushing(enum script script, int count, int key, int instant, bool far)
{
    model_lock();
    int first = model.count;
    if (first + count > MODEL_ENTRIES)
        abort();
    for (int i = 0; i < count; i++)
        model.entries[first + i] = (struct entry){.first = first,
                                                  .count = count,
                                                  .script = script,
                                                  .key = key,
                                                  .instant = instant,
                                                  .far = far};
    model.count += count;
    model.waiting++;
    model_unlock();
    return first;
}

/* Lock held. */
static inline void model_id(struct entry *e, int64_t id)
{
    if (e->id && e->id != id)
        model_problem("entry %d has two ids: %lld, %lld (push of %d from %d)",
                      (int)(e - model.entries), (long long)e->id, (long long)id, e->count,
                      e->first);
    e->id = id;
}

static inline void model_ids(int first, int count, int64_t first_id)
{
    model_lock();
    for (int i = 0; i < count; i++)
        model_id(&model.entries[first + i], first_id + i);
    model_unlock();
}

static inline void model_pushed(int first, int count, enum err_code code)
{
    model_lock();
    for (int i = first; i < first + count; i++) {
        struct entry *e = &model.entries[i];
        e->session = model.session;
        e->fate = code == ERR_NONE ? ACKNOWLEDGED : code == ERR_EXISTS ? DROPPED : UNKNOWN;
        model.acknowledged += code == ERR_NONE;
        if (e->ran && code != ERR_NONE)
            model_wrong(e, "ran although its push failed");
    }
    model.waiting--;
    model_unlock();
}

/* The last push's entries are followed by one that comes when they have ended. */
static inline int model_follower(int first, int count)
{
    int at = model_pushing(DONE, 1, 0, 0, false);
    model_lock();
    model.entries[at].fate = FOLLOWING;
    model.entries[at].after = first;
    model.entries[at].after_count = count;
    model.waiting--; /* nobody answers for it */
    model_unlock();
    return at;
}

/* A chord's: its members' ids are not told either. */
static inline void model_chord(int first, int count, enum err_code code)
{
    model_lock();
    for (int i = first; i <= first + count; i++) {
        struct entry *e = &model.entries[i];
        if (e->fate == PUSHING || e->fate == FOLLOWING)
            e->fate = e->ran ? ACKNOWLEDGED : code == ERR_NONE ? EXPECTED : FOLLOWING;
        model.acknowledged += code == ERR_NONE;
    }
    model.waiting--;
    model_unlock();
}

/* Lock held: e has come to be. */
static inline void model_followed(struct entry *e)
{
    for (int i = e->after; i < e->after + e->after_count; i++)
        if (!model.entries[i].ran && model.entries[i].kills < JOBS_CRASHES)
            model_wrong(e, "runs before what it waits for");
    e->fate = ACKNOWLEDGED;
}

/* -- runs -- */

/* Lock held. */
static inline struct entry *model_of_args(struct str args)
{
    char text[32];
    int at;
    snprintf(text, sizeof text, "%.*s", (int)args.n, args.p);
    return sscanf(text, "{\"m\":%d}", &at) == 1 && at >= 0 && at < model.count ? &model.entries[at]
                                                                               : NULL;
}

/* Lock held. */
static inline struct entry *model_started(int64_t id, struct str args)
{
    struct entry *e = model_of_args(args);
    if (!e) {
        model_problem("a job nobody pushed runs: %.*s", (int)args.n, args.p);
        return NULL;
    }
    model_id(e, id);
    if (e->fate == DROPPED || (e->fate == UNKNOWN && e->session == model.session))
        model_wrong(e, "runs although its push failed");
    if (e->seen)
        model_wrong(e, "runs after its end was reported");
    if (e->far && !e->retry_asked)
        model_wrong(e, "runs an hour too early");
    if (e->fate == FOLLOWING || e->fate == EXPECTED)
        model_followed(e);
    e->ran = true;
    e->started = model.session;
    return e;
}

/* -- changes and looks -- */

/* An entry whose push was acknowledged, not yet settled; script 0: any; or -1. */
static inline int model_pick(enum script script, int64_t *id)
{
    int found = -1;
    model_lock();
    for (int tries = 0; tries < 40 && found < 0 && model.count; tries++) {
        int back = model_chance(model.count < 4000 ? model.count : 4000);
        const struct entry *e = &model.entries[model.count - 1 - back];
        if (e->fate == ACKNOWLEDGED && e->id && !e->settled && (!script || e->script == script)) {
            found = model_index(e);
            *id = e->id;
        }
    }
    model_unlock();
    return found;
}

static inline int model_pick_dead(void)
{
    int found = -1;
    model_lock();
    for (int tries = 0; tries < 200 && found < 0 && model.count; tries++) {
        const struct entry *e = &model.entries[model_chance(model.count)];
        if (e->fate == ACKNOWLEDGED && e->seen == JOB_DEAD)
            found = model_index(e);
    }
    model_unlock();
    return found;
}

static inline int64_t model_changing(int at, bool is_cancel)
{
    model_lock();
    struct entry *e = &model.entries[at];
    if (is_cancel)
        e->cancel_asked = true;
    else {
        e->retry_asked = e->tame = true;
        if (e->seen == JOB_DEAD)
            e->seen = JOB_ANY;
        e->settled = false;
    }
    model.waiting++;
    int64_t id = e->id;
    model_unlock();
    return id;
}

static inline void model_changed(int at, bool is_cancel, enum err_code code)
{
    model_lock();
    struct entry *e = &model.entries[at];
    if (code == ERR_NONE && is_cancel && !e->retry_asked) {
        if (e->ran)
            model_wrong(e, "was far away and has run");
        e->seen = JOB_CANCELLED;
    } else if (code == ERR_NONE && !is_cancel)
        e->retried = true;
    model.waiting--;
    model_unlock();
}

/* Returns the end reported so far: the look must not say otherwise. */
static inline enum job_state model_looking(int at)
{
    model_lock();
    enum job_state seen = model.entries[at].seen;
    model.waiting++;
    model_unlock();
    return seen;
}

static inline enum job_state model_state_of(const char *json)
{
    const char *at = strstr(json, "\"state\":\"");
    enum job_state state = JOB_ANY;
    if (at) {
        at += strlen("\"state\":\"");
        if (!job_state_parse(str_n(at, strcspn(at, "\"")), &state))
            model_problem("no state: %.200s", json);
    }
    return state;
}

/* Lock held: it is the job that was pushed, with its result. */
static inline void model_is_same(const struct entry *e, const char *json)
{
    int at;
    const char *args = strstr(json, "\"args\":{\"m\":"),
               *result = strstr(json, "\"result\":{\"m\":");
    if (args && sscanf(args, "\"args\":{\"m\":%d", &at) == 1 && at != model_index(e))
        model_wrong(e, "is another job");
    if (e->state != JOB_DONE || e->script == PLAIN)
        return;
    if (!result || sscanf(result, "\"result\":{\"m\":%d", &at) != 1 || at != model_index(e))
        model_wrong(e, "is done with another result or none");
}

static inline void model_looked(int at, const char *json, enum err_code code, enum job_state seen)
{
    model_lock();
    struct entry *e = &model.entries[at];
    model.waiting--;
    e->looked = code == ERR_NONE;
    if (code == ERR_NONE) {
        e->state = model_state_of(json);
        model_is_same(e, json);
        if (e->state == JOB_ANY && e->fate == ACKNOWLEDGED && !e->retry_asked)
            model_wrong(e, "is lost");
        if (seen && e->seen == seen && e->state != seen)
            model_wrong(e, "is no longer what was reported");
        if (e->fate == ACKNOWLEDGED && (e->state == JOB_DONE || (e->state == JOB_DEAD && !e->tame)))
            e->seen = e->state;
    }
    model_unlock();
}

/* -- after a cut -- */

/* by_kill: what ran has a crash more, perhaps. */
static inline void model_cut(bool by_kill)
{
    model_lock();
    for (int i = 0; i < model.count && by_kill; i++)
        model.entries[i].kills += model.entries[i].started == model.session;
    model_unlock();
}

/* whole: everything, not only what is open and some of the rest. */
static inline bool model_wants_look(int at, bool whole, int64_t *id)
{
    bool chosen = model_chance(40) == 0;
    model_lock();
    struct entry *e = &model.entries[at];
    bool wants = e->fate != DROPPED && e->id && (!e->settled || chosen || whole);
    if (!e->id && e->fate != FOLLOWING && e->fate != EXPECTED)
        e->fate = DROPPED; /* refused before it was written */
    if (e->settled && (e->script == PLAIN || e->seen == JOB_CANCELLED))
        wants = false; /* the history may have forgotten it */
    e->looked = false;
    *id = e->id;
    model_unlock();
    return wants;
}

/* Lock held.  A push that was not answered well is there as a whole or not at all. */
static inline void model_check_unknown(struct entry *first)
{
    int there = 0;
    for (int i = 0; i < first->count; i++)
        there += first[i].state != JOB_ANY;
    if (there != 0 && there != first->count)
        model_wrong(first, "half a push is there");
    for (int i = 0; i < first->count; i++)
        first[i].fate = there ? ACKNOWLEDGED : DROPPED;
}

/* Lock held. */
static inline const char *model_fault(const struct entry *e)
{
    bool killer = e->kills >= JOBS_CRASHES;
    bool mortal = (e->script == DYING || e->script == GIVING_UP) && !e->retried;
    switch (e->state) {
    case JOB_ANY:
        return "is lost";
    case JOB_DONE:
        return e->ran ? NULL : "is done and never ran";
    case JOB_CANCELLED:
        return e->cancel_asked ? NULL : "is cancelled and nobody asked";
    case JOB_DEAD:
        return mortal || killer ? NULL : "is dead without reason";
    case JOB_READY:
        return e->far && !e->retry_asked ? "is ready an hour too early" : NULL;
    case JOB_DELAYED:
        return e->far && e->retried ? "is delayed although it was hurried" : NULL;
    default:
        return NULL;
    }
}

/* Lock held. */
static inline void model_check_entry(struct entry *e)
{
    if (!e->looked)
        model_wrong(e, "cannot be looked at");
    const char *fault = model_fault(e);
    if (fault)
        model_wrong(e, fault);
    if (e->seen && e->seen != e->state)
        model_wrong(e, "is no longer what was reported");
    if (e->state == JOB_DONE || e->state == JOB_CANCELLED || e->state == JOB_DEAD) {
        model.ended += !e->settled;
        e->seen = e->state;
        e->settled = true;
    } else if (e->key && ++model.held[e->key] > 1)
        model_wrong(e, "a unique key has two holders");
}

/* All looks are answered and nothing runs yet. */
static inline void model_check(void)
{
    memset(model.held, 0, sizeof model.held);
    model_lock();
    for (int i = 0; i < model.count; i++)
        if (model.entries[i].fate == UNKNOWN && model.entries[i].first == i)
            model_check_unknown(&model.entries[i]);
    for (int i = 0; i < model.count; i++) {
        struct entry *e = &model.entries[i];
        if (e->fate == ACKNOWLEDGED && (!e->settled || e->looked))
            model_check_entry(e);
    }
    memset(model.fired, 0, sizeof model.fired);
    for (int i = 0; i < model.count; i++) {
        const struct entry *e = &model.entries[i];
        if (e->fate == ACKNOWLEDGED && e->instant && ++model.fired[e->instant] > 1)
            model_wrong(e, "an instant has two jobs");
    }
    model.checked_from = model.count;
    model_unlock();
}

/* The same keys and instants were pushed once more. */
static inline void model_check_refusals(void)
{
    model_lock();
    for (int i = model.checked_from; i < model.count; i++) {
        const struct entry *e = &model.entries[i];
        bool taken = e->key ? model.held[e->key] : model.fired[e->instant];
        if (e->fate == UNKNOWN || taken != (e->fate == DROPPED))
            model_wrong(e, taken ? "is accepted although it is held" : "is refused by nobody");
    }
    model_unlock();
}

static inline bool model_is_drained(struct jobs_counts c)
{
    model.quiet = c.ready + c.running + c.pushing ? 0 : model.quiet + 1;
    return model.quiet > 60;
}

/* Lock held: whether it had to come to be.  A member that was set aside fails its chord. */
static inline bool model_had_to_follow(const struct entry *e)
{
    bool due = e->fate == EXPECTED && !e->ran;
    for (int i = e->after; i < e->after + e->after_count; i++) {
        const struct entry *before = &model.entries[i];
        due = due || before->fate == ACKNOWLEDGED;
        if (before->kills >= JOBS_CRASHES)
            return false;
    }
    return due;
}

static inline void model_check_drained(void)
{
    model_lock();
    for (int i = 0; i < model.count; i++) {
        const struct entry *e = &model.entries[i];
        if ((e->fate == FOLLOWING || e->fate == EXPECTED) && model_had_to_follow(e))
            model_wrong(e, "has to follow and never ran");
    }
    for (int i = 0; i < model.count; i++) {
        const struct entry *e = &model.entries[i];
        bool rests = e->far && !e->retried;
        if (e->fate == ACKNOWLEDGED && !e->ran && !rests && e->seen != JOB_CANCELLED &&
            !e->cancel_asked)
            model_wrong(e, "never ran");
    }
    model_unlock();
}
