/* print.c -- schedules as an operator sees them. */

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "cron/private.h"

enum { SHOWN_RUNS = 5, SHOWN_CHANGES = 4 };

static const char *const missed_names[] = {"latest", "skip", "all"};
static const char *const overlap_names[] = {"skip", "allow", "queue", "cancel"};

static void print_instant(struct json *w, const struct zone *zone, int64_t at)
{
    char text[40];
    if (at == 0 || at == SCHEDULE_NEVER) {
        json_null(w);
        return;
    }
    zone_format(zone, at, text);
    json_cstr(w, text);
}

static void print_key_instant(struct json *w, const char *key, const struct zone *zone, int64_t at)
{
    json_key(w, key);
    print_instant(w, zone, at);
}

static void print_key_text(struct json *w, const char *key, const char *text)
{
    json_key(w, key);
    json_cstr(w, text);
}

static void print_offset(struct json *w, const char *key, int32_t offset)
{
    char text[16];
    int minutes = (offset < 0 ? -offset : offset) / 60;
    snprintf(text, sizeof text, "%c%02d:%02d", offset < 0 ? '-' : '+', minutes / 60 % 100,
             minutes % 60);
    print_key_text(w, key, text);
}

/* Changes of the clock from `at` up to the last of these runs. */
static void print_changes(struct json *w, const struct zone *zone, int64_t at, const int64_t *next,
                          int count)
{
    int64_t change, until = count ? next[count - 1] : at;
    int run = 0;
    json_key(w, "changes");
    json_open(w, '[');
    for (int i = 0; i < SHOWN_CHANGES; i++, at = change) {
        int32_t before = zone_offset(zone, at, NULL, &change);
        if (change > until)
            break;
        json_open(w, '{');
        print_key_instant(w, "at", zone, change);
        print_offset(w, "before", before);
        print_offset(w, "after", zone_offset(zone, change, NULL, NULL));
        while (next[run] < change)
            run++;
        json_key(w, "run");
        json_int(w, run);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void print_next(struct json *w, const struct entry *e, int64_t t)
{
    int64_t next[SHOWN_RUNS];
    bool on = e->enabled && !e->memory->paused;
    int count = on ? schedule_next_n(&e->schedule, e->zone, t, next, SHOWN_RUNS) : 0;
    print_key_instant(w, "next_at", e->zone, count ? next[0] : 0);
    json_key(w, "next");
    json_open(w, '[');
    for (int i = 0; i < count; i++)
        print_instant(w, e->zone, next[i]);
    json_close(w, ']');
    print_changes(w, e->zone, t, next, count);
}

static void print_policy(struct json *w, const struct entry *e)
{
    print_key_text(w, "missed", missed_names[e->missed]);
    json_key(w, "missed_max");
    json_int(w, e->missed == MISSED_ALL ? e->missed_max : 1);
    print_key_text(w, "overlap", overlap_names[e->overlap]);
    json_key(w, "jitter");
    json_int(w, e->jitter);
    json_key(w, "deadline");
    json_int(w, e->deadline);
    json_key(w, "dropped");
    json_open(w, '{');
    for (int i = 0; i < DROP_REASONS; i++) {
        json_key(w, drop_reason_name((enum drop_reason)i));
        json_int(w, e->memory->dropped[i]);
    }
    json_close(w, '}');
}

static void print_entry(struct json *w, const struct entry *e, int64_t t)
{
    const struct memory *memory = e->memory;
    json_open(w, '{');
    print_key_text(w, "id", e->id);
    print_key_text(w, "plugin", e->plugin);
    print_key_text(w, "pattern", e->pattern);
    print_key_text(w, "tz", e->tz);
    print_key_text(w, "job", e->kind);
    print_next(w, e, t);
    print_key_instant(w, "last_at", e->zone,
                      memory->by_hand > memory->last ? memory->by_hand : memory->last);
    print_key_text(w, "last_status", memory->status);
    json_key(w, "enabled");
    json_bool(w, e->enabled);
    json_key(w, "paused");
    json_bool(w, memory->paused);
    print_policy(w, e);
    json_close(w, '}');
}

void cron_print(struct cron *cron, struct buf *out)
{
    struct json w = json_to(out);
    int64_t t = cron_now(cron);
    json_open(&w, '[');
    for (int i = 0; i < cron->count; i++)
        print_entry(&w, &cron->entries[i], t);
    json_close(&w, ']');
}

bool cron_print_one(struct cron *cron, struct str plugin, struct str id, struct buf *out,
                    struct err *err)
{
    const struct entry *e = cron_find(cron, plugin, id, err);
    struct json w = json_to(out);
    if (e)
        print_entry(&w, e, cron_now(cron));
    return e;
}
