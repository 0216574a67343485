/* redis/limits.c -- what bounds kinds and queues, as plugins here declare it, for all nodes.
 *
 * Redis keeps a declaration for a minute, so it is repeated: what no node declares any more bounds
 * nothing.  What this process alone took back goes at once.
 */
#include "jobs/redis/record.h"

#include "base/clock.h"
#include "base/mem.h"

enum { DECLARE_MS = 10000, BOUNDS_BYTES = 160 };

/* "" when there is none. */
static void print_bounds(char out[BOUNDS_BYTES], int most, struct job_rate rate, int key_most,
                         struct job_rate key_rate)
{
    double second = (double)NS_PER_SECOND;
    *out = '\0';
    if (most || rate.count || key_most || key_rate.count)
        snprintf(out, BOUNDS_BYTES, "%d %lld %.9f %d %lld %.9f", most, (long long)rate.count,
                 (double)rate.period_ns / second, key_most, (long long)key_rate.count,
                 (double)key_rate.period_ns / second);
}

struct declaring {
    struct arena *arena;
    struct redis_args tasks, bounds;
    struct map *whos; /* of those that have bounds */
};

static void add_bounds(struct declaring *d, char sort, const char *name, const char *bounds)
{
    char who[CELERY_NAME_BYTES + 8];
    snprintf(who, sizeof who, "%c:%s", sort, name);
    if (!*bounds || redis_args_full(&d->bounds, 2) || map_get(d->whos, str_c(who)))
        return;
    map_set(d->whos, str_c(who), d);
    redis_arg_c(&d->bounds, arena_strdup(d->arena, str_c(who)));
    redis_arg_c(&d->bounds, arena_strdup(d->arena, str_c(bounds)));
}

/* Lock held. */
static void add_kind(struct declaring *d, const struct kind *k)
{
    char bounds[BOUNDS_BYTES];
    const char *task = k->task ? k->task : k->name;
    if (!k->target || d->tasks.count == REDIS_KINDS)
        return;
    redis_arg_c(&d->tasks, arena_strdup(d->arena, str_c(task)));
    print_bounds(bounds, k->limit.most, k->limit.rate, k->key_concurrency, k->key_rate);
    add_bounds(d, 'k', task, bounds);
}

static void collect(struct jobs *jobs, struct declaring *d)
{
    char bounds[BOUNDS_BYTES];
    jobs_lock(jobs);
    for (uint32_t w = 1; w <= jobs->words; w++) {
        if (jobs->kind_words[w])
            add_kind(d, jobs->kind_words[w]);
        if (!jobs->queue_words[w])
            continue;
        const struct job_queue_limits *l = &jobs->queue_words[w]->declared;
        print_bounds(bounds, l->concurrency, l->rate, l->key_concurrency, l->key_rate);
        add_bounds(d, 'q', jobs->queue_words[w]->name, bounds);
    }
    jobs_unlock(jobs);
}

/* Those that were declared here and are not any more. */
static void take_back(struct redis_record *rec, struct declaring *d)
{
    size_t at = 0;
    struct str who;
    void *value;
    while (rec->declared_whos && map_next(rec->declared_whos, &at, &who, &value))
        if (!map_get(d->whos, who) && !redis_args_full(&d->bounds, 2)) {
            redis_arg_c(&d->bounds, arena_strdup(d->arena, who));
            redis_arg_c(&d->bounds, "");
        }
}

static uint64_t mixed(uint64_t hash, const struct redis_args *a)
{
    for (int i = 0; i < a->count; i++)
        hash = (hash ^ hash_bytes(a->p[i], a->n[i])) * UINT64_C(0x100000001b3);
    return hash;
}

static bool tell(struct redis_record *rec, const struct declaring *d, struct err *err)
{
    struct redis_args *a = mem_zero(1, sizeof *a);
    redis_arg_c(a, rec->prefix);
    redis_arg_int(a, d->tasks.count);
    for (int i = 0; i < d->tasks.count; i++)
        redis_arg(a, str_n(d->tasks.p[i], d->tasks.n[i]));
    for (int i = 0; i < d->bounds.count && a->count < REDIS_ARGS - 3; i++)
        redis_arg(a, str_n(d->bounds.p[i], d->bounds.n[i]));
    redisReply *reply = redis_eval(rec->keep, &redis_declare_script, a, err);
    mem_free(a);
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

bool redis_declare(struct redis_record *rec, struct err *err)
{
    struct declaring *d = mem_zero(1, sizeof *d);
    int64_t now = clock_steady_ns();
    d->arena = arena_create();
    d->whos = map_create();
    collect(rec->jobs, d);
    uint64_t hash = mixed(mixed(1, &d->tasks), &d->bounds);
    bool due = hash != rec->declared || now >= rec->declare_at, ok = true;
    if (due) {
        take_back(rec, d);
        ok = tell(rec, d, err);
    }
    if (due && ok) {
        redis_undeclare(rec);
        rec->declared_whos = d->whos;
        rec->declared = hash;
        rec->declare_at = now + DECLARE_MS * NS_PER_MS;
    } else
        map_destroy(d->whos);
    arena_destroy(d->arena);
    mem_free(d);
    return ok;
}

void redis_undeclare(struct redis_record *rec)
{
    if (rec->declared_whos)
        map_destroy(rec->declared_whos);
    rec->declared_whos = NULL;
}
