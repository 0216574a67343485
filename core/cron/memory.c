#include "cron/memory.h"

#include "base/map.h"
#include "base/mem.h"
#include "observe/log.h"
#include "observe/metrics.h"

/* No clock is set back by more than KEEP_SECONDS. */
enum { KEEP_SECONDS = 3 * 86400, PRUNE_SECONDS = 3600, PRUNE_STEP = 100 };

struct memories {
    const struct cron_record *record;
    struct map *map;     /* "plugin/id" -> struct memory */
    struct memory **all; /* the same in a row */
    int count, cap;
    struct memory *dirty;
    int pruned;        /* how many of this round */
    int64_t pruned_at; /* when the round began */
};

static const char *const reasons[] = {"missed", "overlap", "deadline", "failed"};
_Static_assert(sizeof reasons / sizeof *reasons == DROP_REASONS, "ORDER drop_reason");

const char *drop_reason_name(enum drop_reason reason)
{
    return reasons[reason];
}

struct memories *memories_create(const struct cron_record *record)
{
    struct memories *m = mem_zero(1, sizeof *m);
    m->record = record;
    m->map = map_create();
    return m;
}

void memories_free(struct memories *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->count; i++) {
        mem_free(m->all[i]->key);
        mem_free(m->all[i]);
    }
    mem_free(m->all);
    map_destroy(m->map);
    mem_free(m);
}

struct memory *memory_of(struct memories *m, struct str key)
{
    struct memory *memory = map_get(m->map, key);
    if (memory)
        return memory;
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 16;
        m->all = mem_realloc(m->all, (size_t)m->cap * sizeof(struct memory *));
    }
    memory = mem_zero(1, sizeof *memory);
    memory->key = str_dup(key);
    map_set(m->map, key, memory);
    m->all[m->count++] = memory;
    return memory;
}

void memories_merge(struct memories *m, const struct cron_row *rows, int count)
{
    for (int i = 0; i < count; i++) {
        struct memory *memory = memory_of(m, str_c(rows[i].schedule));
        if (rows[i].last > memory->last) {
            memory->last = rows[i].last;
            memory->job = rows[i].job;
            memory->status = "fired";
        }
        if (rows[i].since > memory->since)
            memory->since = rows[i].since;
        memory->paused = rows[i].paused;
    }
}

void memory_since(struct memories *m, struct memory *memory, int64_t t)
{
    if (t <= memory->since)
        return;
    memory->since = t;
    if (memory->dirty)
        return;
    memory->dirty = true;
    memory->next_dirty = m->dirty;
    m->dirty = memory;
}

void memory_dropped(struct memory *memory, enum drop_reason reason, int64_t count)
{
    struct metric **metric = &memory->metrics[reason];
    if (count <= 0)
        return;
    memory->dropped[reason] += count;
    if (!*metric) {
        struct buf labels = {0};
        metrics_label(&labels, "schedule", str_c(memory->key));
        metrics_label(&labels, "reason", str_c(reasons[reason]));
        *metric = metrics_counter("maru_cron_dropped_total",
                                  "Instants of a schedule that were not fired.", labels.p);
        buf_free(&labels);
    }
    metric_add(*metric, (double)count);
}

/* The memories may be gone by then. */
static void kept(struct cron_keep *keep)
{
    if (keep->err.code != ERR_NONE)
        log_warn("cron", "could not keep what schedules did: %s", keep->err.message);
    cron_rows_free(keep->rows, keep->count);
    mem_free(keep);
}

static struct cron_keep *keep_create(enum cron_keep_what what, int room)
{
    struct cron_keep *keep = mem_zero(1, sizeof *keep);
    keep->what = what;
    keep->done = kept;
    keep->rows = mem_zero((size_t)room + 1, sizeof *keep->rows);
    return keep;
}

static void keep_add(struct cron_keep *keep, const struct memory *memory, int64_t since)
{
    keep->rows[keep->count++] =
        (struct cron_row){.schedule = mem_strdup(memory->key), .since = since};
}

void memories_write(struct memories *m)
{
    if (!m->dirty)
        return;
    struct cron_keep *keep = keep_create(KEEP_SINCE, m->count);
    for (struct memory *memory = m->dirty; memory; memory = memory->next_dirty) {
        keep_add(keep, memory, memory->since);
        memory->dirty = false;
    }
    m->dirty = NULL;
    m->record->keep(m->record->arg, keep);
}

void memories_prune(struct memories *m, int64_t t)
{
    if (m->pruned >= m->count) {
        if (m->count == 0 || t < m->pruned_at + PRUNE_SECONDS)
            return;
        m->pruned = 0;
        m->pruned_at = t;
    }
    struct cron_keep *keep = keep_create(KEEP_PRUNE, PRUNE_STEP);
    while (m->pruned < m->count && keep->count < PRUNE_STEP)
        keep_add(keep, m->all[m->pruned++], t - KEEP_SECONDS);
    m->record->keep(m->record->arg, keep);
}
