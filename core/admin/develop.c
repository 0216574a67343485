#include "admin/develop.h"

#include <pthread.h>

#include "admin/internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "channels/channel.h"
#include "loop/lane.h"
#include "reload/reload.h"
#include "vm/frame.h"

/* No plugin can name it: a topic of theirs is text without control characters by convention, and
 * what is sent here is only shown. */
#define DEVELOP_TOPIC STR("\1maru.development")

static const int64_t heartbeat_ns = 15 * NS_PER_SECOND;

struct failure {
    char *plugin, *json;
};

struct develop {
    struct channel_hub *hub;
    /* control lane */
    struct failure *failures;
    int count;
    uint64_t set;
    /* under lock */
    pthread_mutex_t lock;
    struct buf state; /* what a page that comes now is told */
};

/* ---- the state ---- */

/* Makes the state anew and tells every page that is open. */
static void publish(struct develop *d)
{
    struct buf out = {0};
    struct err ignored;
    struct json w = json_to(&out);
    json_open(&w, '{');
    json_key(&w, "set");
    json_int(&w, (long long)d->set);
    json_key(&w, "failures");
    json_open(&w, '[');
    for (int i = 0; i < d->count; i++)
        json_raw(&w, str_c(d->failures[i].json));
    json_close(&w, ']');
    json_close(&w, '}');
    pthread_mutex_lock(&d->lock);
    struct buf old = d->state;
    d->state = out;
    channel_publish_here(d->hub, DEVELOP_TOPIC, buf_str(&d->state), &ignored);
    pthread_mutex_unlock(&d->lock);
    buf_free(&old);
}

struct develop *develop_create(struct channel_hub *hub)
{
    struct develop *d = mem_zero(1, sizeof *d);
    d->hub = hub;
    pthread_mutex_init(&d->lock, NULL);
    publish(d);
    return d;
}

void develop_destroy(struct develop *d)
{
    if (!d)
        return;
    for (int i = 0; i < d->count; i++) {
        mem_free(d->failures[i].plugin);
        mem_free(d->failures[i].json);
    }
    mem_free(d->failures);
    buf_free(&d->state);
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}

static char *describe(const struct reload_error *error, const struct bundle *bundle)
{
    struct buf out = {0};
    struct frame frame = {.message = str_c(error->message)};
    bool found = bundle && frame_find(bundle, error->message, &frame);
    struct json w = json_to(&out);
    json_open(&w, '{');
    json_key(&w, "plugin");
    json_cstr(&w, error->plugin);
    json_key(&w, "message");
    json_str(&w, frame.message);
    json_key(&w, "at");
    json_cstr(&w, found ? frame.at : NULL);
    json_key(&w, "file");
    json_cstr(&w, found ? frame.file->name : NULL);
    json_key(&w, "line");
    json_int(&w, frame.line);
    json_key(&w, "lines");
    if (found)
        frame_json(&w, frame.file, frame.line);
    else
        json_raw(&w, STR("[]"));
    json_key(&w, "kept");
    json_cstr(&w, error->kept[0] ? error->kept : NULL);
    json_time(&w, "time", error->at_wall);
    json_close(&w, '}');
    return buf_take(&out, &(size_t){0});
}

static void forget(struct develop *d, const char *plugin)
{
    int kept = 0;
    for (int i = 0; i < d->count; i++) {
        if (strcmp(d->failures[i].plugin, plugin)) {
            d->failures[kept++] = d->failures[i];
            continue;
        }
        mem_free(d->failures[i].plugin);
        mem_free(d->failures[i].json);
    }
    d->count = kept;
}

void develop_failed(struct develop *d, const struct reload_error *error,
                    const struct bundle *bundle)
{
    forget(d, error->plugin);
    d->failures = mem_realloc(d->failures, (size_t)(d->count + 1) * sizeof *d->failures);
    d->failures[d->count++] = (struct failure){mem_strdup(error->plugin), describe(error, bundle)};
    publish(d);
}

void develop_recovered(struct develop *d, const char *plugin)
{
    forget(d, plugin);
    publish(d);
}

void develop_swapped(struct develop *d, uint64_t set)
{
    d->set = set;
    publish(d);
}

/* ---- who listens ---- */

/* One open page; web lane. */
struct watcher {
    struct http_request *request; /* NULL: the client left */
    struct channel_sub *sub;
};

static void send_state(struct watcher *w, struct str json)
{
    struct buf out = {0};
    buf_add_c(&out, "event: state\ndata: ");
    buf_add_str(&out, json);
    buf_add_c(&out, "\n\n");
    if (w->request)
        stream_write(w->request, buf_str(&out));
    buf_free(&out);
}

static void on_message(struct channel_sub *sub, void *arg)
{
    const struct channel_message *message;
    int64_t lost;
    while ((message = channel_receive(sub, &lost))) {
        send_state(arg, message->json);
        channel_release(message);
    }
}

static void free_watcher(void *arg)
{
    struct watcher *w = arg;
    channel_unsubscribe(w->sub);
    mem_free(w);
}

/* Inside the library's reading: only what is planned for later may touch the subscription. */
static void on_gone(void *arg)
{
    struct watcher *w = arg;
    struct lane *lane = request_lane(w->request);
    w->request = NULL;
    lane_call(lane, free_watcher, w);
}

void develop_events(struct http_request *r, void *arg)
{
    static const struct stream_events events = {NULL, on_gone};
    struct admin *a = arg;
    struct develop *d = a->parts->develop;
    struct watcher *w = mem_zero(1, sizeof *w);
    struct err err = {0};
    struct buf state = {0};
    w->sub = channel_subscribe(d->hub, request_lane(r), DEVELOP_TOPIC, 0, on_message, w, &err);
    if (!w->sub) {
        mem_free(w);
        respond_problemf(r, 503, "busy", "%s", err.message);
        return;
    }
    pthread_mutex_lock(&d->lock);
    buf_add_str(&state, buf_str(&d->state));
    pthread_mutex_unlock(&d->lock);
    w->request = r;
    stream_start(r, 200, STR("text/event-stream"), &events, w);
    stream_heartbeat(r, STR(":\n\n"), heartbeat_ns);
    send_state(w, buf_str(&state));
    buf_free(&state);
}
