/* server_events.c -- the event stream meets the queue: what plugins hear becomes jobs, and what
 * they could not handle a dead letter. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "config/config.h"
#include "events/events.h"
#include "jobs/jobs.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "server_parts.h"

/* A job of an event that was handed over twice is the first one, in a record that is shared. */
static const int64_t handed_ns = 86400 * NS_PER_SECOND;

enum { ERROR_BYTES = 2000 };

/* -- what comes next becomes jobs ------------------------------------------------------------- */

struct handing {           /* one commit of this server's own record */
    struct jobs_push push; /* first */
    struct event_batch *batch;
};

static bool also(struct sqlite_conn *conn, struct jobs_push *push, struct err *err)
{
    struct event_batch *batch = ((struct handing *)push)->batch;
    return batch->record(conn, batch, err);
}

static void on_pushed(struct jobs_push *push)
{
    struct handing *h = (struct handing *)push;
    struct event_batch *batch = h->batch;
    batch->err = push->err;
    batch->recorded = !push->err.code && batch->record;
    mem_free(h);
    batch->over(batch);
}

static void hand_over(struct server *s, struct event_batch *batch)
{
    struct handing *h = mem_zero(1, sizeof *h);
    struct job_spec spec = {.kind = str_c(batch->kind)};
    struct err err = {0};
    h->batch = batch;
    h->push.done = on_pushed;
    h->push.lane = s->control;
    h->push.also = batch->record ? also : NULL;
    if (jobs_push(s->jobs, &h->push, &spec, batch->args, batch->count, &err))
        return;
    h->push.err = err;
    on_pushed(&h->push);
}

struct handing_shared { /* a push for each, which the record knows again */
    struct event_batch *batch;
    int left;
    struct handing_one {
        struct jobs_push push; /* first */
        struct handing_shared *all;
    } each[];
};

static void one_over(struct handing_shared *h, const struct err *err)
{
    if (err->code && err->code != ERR_EXISTS)
        h->batch->err = *err;
    if (--h->left)
        return;
    struct event_batch *batch = h->batch;
    mem_free(h);
    batch->over(batch);
}

static void on_one_pushed(struct jobs_push *push)
{
    one_over(((struct handing_one *)push)->all, &push->err);
}

static void hand_over_shared(struct server *s, struct event_batch *batch)
{
    struct handing_shared *h =
        mem_zero(1, sizeof *h + (size_t)batch->count * sizeof(struct handing_one));
    h->batch = batch;
    h->left = batch->count;
    err_clear(&batch->err);
    batch->recorded = false;
    for (int i = 0, count = batch->count; i < count; i++) {
        struct err err = {0};
        struct str at = json_pick_get(batch->args[i], "at");
        char mark[160];
        snprintf(mark, sizeof mark, "event:%s:%d:%lld:%.*s", batch->stream, batch->partitions[i],
                 (long long)batch->offsets[i], (int)(at.n < 40 ? at.n : 40), at.p);
        struct job_spec spec = {
            .kind = str_c(batch->kind), .unique = str_c(mark), .unique_period_ns = handed_ns};
        h->each[i].all = h;
        h->each[i].push.done = on_one_pushed;
        h->each[i].push.lane = s->control;
        if (!jobs_push(s->jobs, &h->each[i].push, &spec, &batch->args[i], 1, &err))
            one_over(h, &err);
    }
}

static void deliver(struct event_batch *batch, void *arg)
{
    struct server *s = arg;
    if (jobs_is_shared(s->jobs))
        hand_over_shared(s, batch);
    else
        hand_over(s, batch);
}

static int64_t unfinished(const char *kind, void *arg)
{
    return jobs_unfinished(((struct server *)arg)->jobs, str_c(kind));
}

/* -- dead letters ------------------------------------------------------------------------------ */

static void member(struct json *w, const char *key, struct str value)
{
    json_key(w, key);
    json_str(w, value);
}

/* Of an event's job, as it stands in its arguments. */
static void print_headers(struct buf *out, const struct job_death *death, struct str group)
{
    struct json w = json_to(out);
    char attempts[24];
    size_t n = strlen(death->error);
    snprintf(attempts, sizeof attempts, "%d", death->attempts);
    json_open(&w, '{');
    member(&w, "group", group);
    member(&w, "error", str_n(death->error, n < ERROR_BYTES ? n : ERROR_BYTES));
    member(&w, "attempts", str_c(attempts));
    member(&w, "partition", json_pick_get(death->args, "partition"));
    member(&w, "offset", json_pick_get(death->args, "offset"));
    member(&w, "at", json_pick_get(death->args, "at"));
    json_close(&w, '}');
}

void *server_event_died(const struct job_death *death, void *arg)
{
    struct server *s = arg;
    const char *on = strstr(death->kind, ".on:");
    struct str offset = json_pick_get(death->args, "offset");
    size_t n = on ? strlen(on + 4) : 0;
    if (!on || !offset.n || (n > 5 && strcmp(on + 4 + n - 5, ".dead") == 0))
        return NULL;
    struct buf key = {0}, from = {0}, headers = {0};
    char *topic = mem_printf("%s.dead", on + 4);
    json_pick_text(json_pick_get(death->args, "key"), &key);
    json_pick_text(json_pick_get(death->args, "from"), &from);
    print_headers(&headers, death, str_n(death->kind, (size_t)(on - death->kind)));
    struct event_what what = {.topic = str_c(topic),
                              .key = buf_str(&key),
                              .from = buf_str(&from),
                              .data = json_pick_get(death->args, "data"),
                              .headers = buf_str(&headers)};
    if (!what.data.n)
        what.data = STR("null");
    void *note = events_note(s->events, &what);
    buf_free(&key);
    buf_free(&from);
    buf_free(&headers);
    mem_free(topic);
    return note;
}

bool server_event_note(struct sqlite_conn *conn, void *note, struct err *err)
{
    return events_note_record(conn, note, err);
}

void server_event_noted(void *note, enum job_noted how)
{
    if (how == JOB_NOTE_DROPPED)
        events_note_drop(note);
    else
        events_note_over(note, how == JOB_NOTE_RECORDED);
}

/* -- the part ---------------------------------------------------------------------------------- */

bool events_part_start(struct server *s, struct err *err)
{
    const char *const *properties;
    int property_count = config_list(s->config, "events.kafka", &properties);
    struct events_options options = {
        .driver = s->guest ? "table" : config_text(s->config, "events.driver"),
        .url = config_text(s->config, "events.url"),
        .group = config_text(s->config, "events.group"),
        .prefix = config_text(s->config, "events.prefix"),
        .properties = properties,
        .property_count = property_count,
        .partitions = (int)config_integer(s->config, "events.partitions"),
        .timeout_ns = config_ns(s->config, "events.timeout"),
        .retention_ns = config_ns(s->config, "events.retention"),
        .topic_bytes = config_bytes(s->config, "events.topic_bytes"),
        .node = s->node.name,
        .consumes = s->node.jobs,
        .store = s->store,
        .carry = s->carry,
        .lane = s->control,
        .deliver = deliver,
        .unfinished = unfinished,
        .arg = s,
    };
    s->events = events_open(&options, err);
    if (s->events)
        metrics_on_scrape(events_scrape, s->events);
    return s->events != NULL;
}

void events_part_stop(struct server *s)
{
    events_close(s->events);
}

void events_follow_set(struct server *s, const struct set *set)
{
    int total = 0, n = 0;
    for (int i = 0; i < set->count; i++)
        total += set->generations[i]->decl->topic_count;
    struct event_follow *list = mem_zero((size_t)total + 1, sizeof *list);
    for (int i = 0; i < set->count; i++) {
        const struct plugin_decl *decl = set->generations[i]->decl;
        for (int k = 0; k < decl->topic_count; k++) {
            const struct topic_decl *d = &decl->topics[k];
            list[n++] = (struct event_follow){.plugin = decl->name,
                                              .topic = d->topic,
                                              .kind = d->kind,
                                              .beginning = d->beginning};
        }
    }
    events_follow(s->events, list, n);
    mem_free(list);
}
