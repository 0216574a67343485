/* The event stream in the table: what is kept, who is handed what, what goes. */
#include "events/events.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "../storage/storage_test.h"
#include "base/clock.h"
#include "base/json_pick.h"
#include "loop/lane.h"

enum { EMITTERS = 4, EACH = 500 };

struct stream {
    struct fixture f;
    struct lane *lane;
    struct events *events;
    struct events_options options;
    /* of what is delivered, on the lane */
    atomic_int delivered, batches, refuse, unfinished;
    atomic_llong last;
    atomic_bool in_order, recorded;
};

/* As server_events.c does it: the jobs' commit moves the group. */
struct commit {
    struct sqlite_write write; /* first */
    struct event_batch *batch;
    struct stream *s;
};

static bool commit_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct event_batch *batch = ((struct commit *)(void *)w)->batch;
    return batch->record(conn, batch, &w->err);
}

static void commit_done(struct sqlite_write *w)
{
    struct commit *c = (struct commit *)(void *)w;
    struct event_batch *batch = c->batch;
    struct stream *s = c->s;
    batch->err = w->err;
    batch->recorded = !w->err.code;
    for (int i = 0; i < batch->count; i++) {
        if (batch->offsets[i] != atomic_load(&s->last) + 1)
            atomic_store(&s->in_order, false);
        atomic_store(&s->last, batch->offsets[i]);
    }
    atomic_fetch_add(&s->delivered, batch->count);
    atomic_fetch_add(&s->batches, 1);
    mem_free(c);
    batch->over(batch);
}

static void deliver(struct event_batch *batch, void *arg)
{
    struct stream *s = arg;
    if (atomic_fetch_sub(&s->refuse, 1) > 0) {
        err_set(&batch->err, ERR_FULL, "the queue is full");
        batch->over(batch);
        return;
    }
    if (!atomic_load(&s->recorded)) { /* jobs are kept elsewhere: the group moves behind them */
        atomic_store(&s->last, batch->offsets[batch->count - 1]);
        atomic_fetch_add(&s->delivered, batch->count);
        err_clear(&batch->err);
        batch->recorded = false;
        batch->over(batch);
        return;
    }
    struct commit *c = mem_zero(1, sizeof *c);
    c->write.work = commit_work;
    c->write.done = commit_done;
    c->batch = batch;
    c->s = s;
    sqlite_write(s->f.db, &c->write, s->lane);
}

static int64_t unfinished(const char *kind, void *arg)
{
    (void)kind;
    return atomic_load(&((struct stream *)arg)->unfinished);
}

static bool stream_open(struct stream *s)
{
    s->options = (struct events_options){.driver = "table",
                                         .consumes = true,
                                         .node = "n",
                                         .retention_ns = s->options.retention_ns,
                                         .topic_bytes = s->options.topic_bytes,
                                         .store = s->f.store,
                                         .lane = s->lane,
                                         .deliver = deliver,
                                         .unfinished = unfinished,
                                         .arg = s};
    s->events = events_open(&s->options, &s->f.err);
    return s->events != NULL;
}

static bool stream_init(struct stream *s)
{
    atomic_store(&s->last, -1);
    atomic_store(&s->in_order, true);
    atomic_store(&s->recorded, true);
    if (!fixture_init(&s->f) || !(s->lane = lane_create(0, LANE_CONTROL, "control", &s->f.err)))
        return false;
    return stream_open(s) && lane_start(s->lane, NULL, NULL, &s->f.err);
}

static void stop_events(void *arg)
{
    events_stop(((struct stream *)arg)->events);
}

static void ask_quiet(void *arg)
{
    struct stream *s = arg;
    atomic_store(&s->refuse, events_is_quiet(s->events) ? -1000 : 0);
}

static void stream_close(struct stream *s)
{
    lane_call_wait(s->lane, stop_events, s);
    do
        lane_call_wait(s->lane, ask_quiet, s);
    while (atomic_load(&s->refuse) != -1000);
    events_close(s->events);
    atomic_store(&s->refuse, 0);
}

static void stream_fini(struct stream *s)
{
    stream_close(s);
    lane_stop(s->lane);
    lane_join(s->lane);
    lane_destroy(s->lane);
    fixture_fini(&s->f);
}

struct waiting {
    struct event_emit emit; /* first */
    atomic_bool done;
};

static void on_done(struct event_emit *emit)
{
    atomic_store(&((struct waiting *)(void *)emit)->done, true);
}

static int64_t emit(struct stream *s, const char *topic, const char *data, struct err *err)
{
    struct waiting w = {.emit = {.done = on_done, .lane = s->lane}};
    struct event_what what = {
        .topic = str_c(topic), .key = STR("k"), .from = STR("p"), .data = str_c(data)};
    if (!events_emit(s->events, &w.emit, &what, err))
        return -1;
    while (!atomic_load(&w.done))
        usleep(100);
    *err = w.emit.err;
    return w.emit.offset;
}

static bool wait_delivered(struct stream *s, int count)
{
    for (int i = 0; i < 20000 && atomic_load(&s->delivered) < count; i++)
        usleep(1000);
    return atomic_load(&s->delivered) == count;
}

struct following {
    struct stream *s;
    const char *topic;
    bool beginning;
};

static void follow_one(void *arg)
{
    struct following *f = arg;
    struct event_follow list = {
        .plugin = "ear", .topic = f->topic, .kind = "ear.on:t", .beginning = f->beginning};
    events_follow(f->s->events, &list, f->topic ? 1 : 0);
}

static void follow(struct stream *s, const char *topic, bool beginning)
{
    lane_call_wait(s->lane, follow_one, &(struct following){s, topic, beginning});
}

TEST(names_of_topics_and_bounds_are_checked)
{
    struct err err = {0};
    char key[EVENT_KEY_BYTES + 2], long_topic[EVENT_TOPIC_BYTES + 2];
    memset(key, 'k', sizeof key);
    memset(long_topic, 't', sizeof long_topic);
    static const char *const bad[] = {"", ".a", "a b", "a/b", "\xc3\xa9", "a*"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!event_topic_ok(str_c(bad[i])));
    CHECK(event_topic_ok(STR("shop.order-placed_2")));
    CHECK(event_topic_ok(str_n(long_topic, EVENT_TOPIC_BYTES)));
    CHECK(!event_topic_ok(str_n(long_topic, EVENT_TOPIC_BYTES + 1)));
    struct event_what what = {
        .topic = STR("a"), .data = STR("1"), .key = str_n(key, EVENT_KEY_BYTES)};
    CHECK(event_check(&what, &err));
    what.key.n++;
    CHECK(!event_check(&what, &err) && err.code == ERR_LIMIT);
    what.key = str_n("a\0b", 3);
    CHECK(!event_check(&what, &err) && err.code == ERR_INVALID);
    what.key = STR("\xff");
    CHECK(!event_check(&what, &err) && err.code == ERR_INVALID);
    what.key = STR("");
    what.data.n = EVENT_DATA_BYTES + 1;
    CHECK(!event_check(&what, &err) && err.code == ERR_LIMIT);
}

TEST(topics_that_begin_alike_leave_room_for_others)
{
    static struct waiting list[EVENT_TOPICS_EACH + 1];
    struct stream s = {.last = 0};
    struct err err = {0};
    int refused = 0;
    REQUIRE(stream_init(&s));
    for (int i = 0; i <= EVENT_TOPICS_EACH; i++) {
        char topic[40];
        snprintf(topic, sizeof topic, "shop.%d", i);
        struct event_what what = {.topic = str_c(topic), .data = STR("1")};
        list[i] = (struct waiting){.emit = {.done = on_done, .lane = s.lane}};
        CHECK(events_emit(s.events, &list[i].emit, &what, &err));
    }
    for (int i = 0; i <= EVENT_TOPICS_EACH; i++) {
        while (!atomic_load(&list[i].done))
            usleep(1000);
        refused += list[i].emit.err.code == ERR_LIMIT;
    }
    CHECK_EQ(refused, 1);
    CHECK(emit(&s, "shop.0", "2", &err) == 1);
    CHECK(emit(&s, "shopping.list", "1", &err) == 0);
    CHECK(emit(&s, "shop.more", "1", &err) < 0 && err.code == ERR_LIMIT);
    stream_fini(&s);
}

static void *emitter(void *arg)
{
    struct stream *s = arg;
    static atomic_int next;
    struct err err;
    for (int i = 0; i < EACH; i++)
        if (emit(s, atomic_fetch_add(&next, 1) % 2 ? "t" : "other", "{\"n\":1}", &err) < 0)
            printf("# %s\n", err.message);
    return NULL;
}

TEST(threads_emit_and_a_group_is_handed_all_of_its_topic_in_order)
{
    struct stream s = {0};
    pthread_t threads[EMITTERS];
    REQUIRE(stream_init(&s));
    follow(&s, "t", false);
    for (int i = 0; i < EMITTERS; i++)
        pthread_create(&threads[i], NULL, emitter, &s);
    for (int i = 0; i < EMITTERS; i++)
        pthread_join(threads[i], NULL);
    int total = (int)number(s.f.store, "SELECT next FROM maru_event_topic WHERE name = 't'");
    CHECK_EQ(total, EMITTERS * EACH / 2);
    CHECK(wait_delivered(&s, total));
    CHECK(atomic_load(&s.in_order));
    CHECK_EQ(number(s.f.store, "SELECT offset FROM maru_event_group WHERE plugin = 'ear'"), total);
    CHECK_EQ(number(s.f.store, "SELECT count(*) FROM maru_event"), EMITTERS * EACH);
    stream_fini(&s);
}

TEST(a_group_goes_on_where_it_was_and_a_new_one_begins_at_the_end_or_the_beginning)
{
    struct stream s = {0};
    struct err err = {0};
    REQUIRE(stream_init(&s));
    CHECK_EQ(emit(&s, "t", "1", &err), 0);
    follow(&s, "t", false);
    CHECK_EQ(emit(&s, "t", "2", &err), 1);
    CHECK(wait_delivered(&s, 1));
    CHECK_EQ(atomic_load(&s.last), 1);
    follow(&s, NULL, false);
    CHECK_EQ(emit(&s, "t", "3", &err), 2);
    stream_close(&s);
    CHECK_EQ(atomic_load(&s.delivered), 1);
    REQUIRE(stream_open(&s));
    follow(&s, "t", false);
    CHECK(wait_delivered(&s, 2));
    CHECK_EQ(atomic_load(&s.last), 2);
    CHECK_EQ(emit(&s, "u", "1", &err), 0);
    CHECK_EQ(emit(&s, "u", "2", &err), 1);
    follow(&s, "u", true);
    CHECK(wait_delivered(&s, 4));
    stream_fini(&s);
}

TEST(what_the_queue_refuses_is_handed_over_again_and_a_full_window_waits)
{
    struct stream s = {0};
    struct err err = {0};
    REQUIRE(stream_init(&s));
    atomic_store(&s.refuse, 1);
    follow(&s, "t", false);
    CHECK_EQ(emit(&s, "t", "1", &err), 0);
    CHECK(wait_delivered(&s, 1));
    atomic_store(&s.unfinished, EVENT_WINDOW);
    for (int i = 0; i < 5; i++)
        emit(&s, "t", "2", &err);
    usleep(120000);
    CHECK_EQ(atomic_load(&s.delivered), 1);
    atomic_store(&s.unfinished, EVENT_WINDOW - 2);
    CHECK(wait_delivered(&s, 6));
    CHECK(atomic_load(&s.in_order));
    stream_fini(&s);
}

TEST(where_jobs_are_kept_elsewhere_the_group_moves_behind_them)
{
    struct stream s = {0};
    struct err err = {0};
    REQUIRE(stream_init(&s));
    atomic_store(&s.recorded, false);
    follow(&s, "t", false);
    for (int i = 0; i < 10; i++)
        emit(&s, "t", "1", &err);
    CHECK(wait_delivered(&s, 10));
    stream_close(&s);
    CHECK_EQ(number(s.f.store, "SELECT offset FROM maru_event_group"), 10);
    REQUIRE(stream_open(&s));
    stream_fini(&s);
}

struct reading {
    struct event_query query; /* first */
    atomic_bool done;
};

static void on_read(struct event_query *query)
{
    atomic_store(&((struct reading *)(void *)query)->done, true);
}

/* How many there are; the cursor and the error are kept. */
static int read_some(struct stream *s, struct reading *r, int64_t after, const char *cursor,
                     int limit)
{
    char place[64];
    snprintf(place, sizeof place, "%s", cursor);
    r->query = (struct event_query){.topic = STR("t"),
                                    .after = after,
                                    .partition = -1,
                                    .cursor = str_c(place),
                                    .limit = limit,
                                    .done = on_read,
                                    .lane = s->lane};
    atomic_store(&r->done, false);
    events_read(s->events, &r->query);
    while (!atomic_load(&r->done))
        usleep(100);
    struct buf list = {0};
    buf_printf(&list, "[%s]", r->query.out.p ? r->query.out.p : "");
    int count = (int)json_pick_count(buf_str(&list));
    buf_free(&list);
    buf_free(&r->query.out);
    return count;
}

TEST(reads_go_on_from_cursors)
{
    struct stream s = {0};
    struct reading r;
    struct err err = {0};
    REQUIRE(stream_init(&s));
    CHECK_EQ(read_some(&s, &r, -1, "", 10), 0);
    CHECK_EQ(r.query.err.code, ERR_NOT_FOUND);
    for (int i = 0; i < 7; i++)
        emit(&s, "t", "{}", &err);
    CHECK_EQ(read_some(&s, &r, -1, "", 3), 3);
    CHECK_STR(r.query.next, "0:3");
    CHECK_EQ(read_some(&s, &r, -1, "0:3", 10), 4);
    CHECK_EQ(read_some(&s, &r, -1, r.query.next, 10), 0);
    CHECK_STR(r.query.next, "0:7");
    CHECK_EQ(read_some(&s, &r, 5, "", 10), 1);
    static const char *const bad[] = {"x", "0:", "0:-1", "1:5", "0:1,1:2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        read_some(&s, &r, -1, bad[i], 10);
        CHECK_EQ(r.query.err.code, ERR_INVALID);
    }
    stream_fini(&s);
}

TEST(what_is_over_its_retention_or_the_topics_bytes_goes_oldest_first)
{
    struct stream s = {.options = {.topic_bytes = 1000}};
    struct err err = {0};
    REQUIRE(stream_init(&s));
    for (int i = 0; i < 100; i++) /* 2 + 17 + 2 bytes each */
        emit(&s, "t", "{\"text\":\"123456\"}", &err);
    CHECK_EQ(number(s.f.store, "SELECT bytes FROM maru_event_topic"), 1900);
    for (int i = 0; i < 20000; i++) {
        if (number(s.f.store, "SELECT bytes FROM maru_event_topic") <= 1000)
            break;
        usleep(1000);
    }
    int64_t first = number(s.f.store, "SELECT first FROM maru_event_topic");
    CHECK_EQ(first, 48);
    CHECK_EQ(number(s.f.store, "SELECT count(*) FROM maru_event"), 100 - first);
    CHECK_EQ(number(s.f.store, "SELECT min(id & 0xffffffff) FROM maru_event"), first);
    follow(&s, "t", true);
    atomic_store(&s.last, first - 1);
    CHECK(wait_delivered(&s, 52));
    CHECK(atomic_load(&s.in_order));
    stream_fini(&s);
}

TEST(a_group_that_comes_when_all_is_over_its_retention_stands_behind_it)
{
    struct stream s = {.options = {.retention_ns = 1}};
    struct err err = {0};
    REQUIRE(stream_init(&s));
    for (int i = 0; i < 5; i++)
        emit(&s, "t", "1", &err);
    for (int i = 0; i < 20000 && number(s.f.store, "SELECT count(*) FROM maru_event"); i++)
        usleep(1000);
    follow(&s, "t", true);
    int64_t offset = 0;
    for (int i = 0; i < 2000 && offset != 5; i++) {
        offset = number(s.f.store, "SELECT max(offset) FROM maru_event_group");
        usleep(1000);
    }
    CHECK_EQ(offset, 5);
    CHECK_EQ(atomic_load(&s.delivered), 0);
    stream_fini(&s);
}
