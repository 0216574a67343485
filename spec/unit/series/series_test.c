/* Series over the real DuckDB; without build/lib/libduckdb.so only what it
 * needs none for.  (TSan cannot follow DuckDB's threads.) */
#include "series/series.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "loop/lane.h"
#include "observe/log.h"
#include "storage/rows.h"
#include "test.h"

static const char library[] = "build/lib/libduckdb.so";

static bool have_duckdb(void)
{
#ifdef __SANITIZE_THREAD__
    return false;
#else
    bool have = access(library, R_OK) == 0;
    if (!have)
        printf("# skipped: no %s\n", library);
    return have;
#endif
}

struct fixture {
    char dir[64], path[96], exports[96];
    struct pool *pool;
    struct series_store *store;
    struct err err;
};

static char *keys[] = {"platform", "channel_id"};
static char *values[] = {"viewers", "likes"};
static const struct series_schema schema = {
    .name = "viewers", .keys = keys, .values = values, .key_count = 2, .value_count = 1};

static void open_store(struct fixture *f)
{
    struct series_options options = {
        .library = library, .path = f->path, .export_dir = f->exports, .pool = f->pool};
    f->store = series_create(&options, &f->err);
}

static void fixture_init(struct fixture *f)
{
    log_setup(-1, LOG_DEBUG);
    snprintf(f->dir, sizeof f->dir, "/tmp/maru-series-XXXXXX");
    if (!mkdtemp(f->dir))
        abort();
    snprintf(f->path, sizeof f->path, "%s/series.duckdb", f->dir);
    snprintf(f->exports, sizeof f->exports, "%s/it's/exports", f->dir);
    f->pool = pool_create("test", 3, &f->err);
    open_store(f);
    CHECK(series_declare(f->store, "p", &schema, 1, false, &f->err));
}

static void fixture_fini(struct fixture *f)
{
    char command[96];
    series_destroy(f->store);
    pool_destroy(f->pool);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    CHECK_EQ(system(command), 0);
}

struct waiter {
    struct series_call call; /* first */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

static void on_done(struct series_call *call)
{
    struct waiter *w = (struct waiter *)call;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static struct series_call run(struct fixture *f, struct series_call call)
{
    struct waiter w = {.call = call};
    w.call.done = on_done;
    w.call.plugin = w.call.plugin ? w.call.plugin : "p";
    w.call.name = w.call.name.n ? w.call.name : STR("viewers");
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.cond, NULL);
    series_run(f->store, &w.call, NULL);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_cond_destroy(&w.cond);
    pthread_mutex_destroy(&w.lock);
    return w.call;
}

#define QUESTION(...)                                                                              \
    ((struct series_call){.from_us = SERIES_NO_TIME, .to_us = SERIES_NO_TIME, __VA_ARGS__})

enum { LONG = 20 };
static const char long_name[] = "a channel name of more than twelve bytes";

/* Points i = 0 … n-1 at from + i seconds, alternating between two channels. */
static struct series_call append(struct fixture *f, int64_t from_s, int64_t n)
{
    char *text;
    struct series_frame *rows =
        series_rows(f->store, "p", STR("viewers"), n, sizeof long_name + 16, &text, &f->err);
    memcpy(text, "soopC1", 6);
    memcpy(text + 6, long_name, sizeof long_name);
    for (int64_t i = 0; i < n; i++) {
        rows->at_us[i] = (from_s + i) * 1000000 + 123456;
        rows->keys[0][i] = (struct str){text, 4};
        rows->keys[1][i] =
            i % 2 ? (struct str){text + 6, sizeof long_name - 1} : (struct str){text + 4, 2};
        rows->values[0][i] = i % 10 == 9 ? (double)NAN : (double)i;
    }
    struct series_call call = run(f, QUESTION(.op = SERIES_APPEND, .rows = rows));
    series_frame_free(rows);
    return call;
}

TEST(a_missing_library_is_named_with_its_cure)
{
    struct fixture f = {0};
    fixture_init(&f);
    series_destroy(f.store);
    struct series_options options = {
        .library = "/nonexistent/libduckdb.so", .path = f.path, .pool = f.pool};
    f.store = series_create(&options, &f.err);
    series_declare(f.store, "p", &schema, 1, false, &f.err);
    for (int i = 0; i < 2; i++) {
        struct series_call call = run(&f, QUESTION(.op = SERIES_STATS));
        CHECK_EQ(call.err.code, ERR_NOT_FOUND);
        CHECK(strstr(call.err.message, "scripts/setup"));
    }
    fixture_fini(&f);
}

TEST(declarations_are_checked)
{
    struct fixture f = {0};
    fixture_init(&f);
    char *at[] = {"at"}, *bad[] = {"a\"b"}, *twice[] = {"x", "x"};
    struct series_schema s = {.name = "s", .values = at, .value_count = 1};
    CHECK(!series_declare(f.store, "q", &s, 1, true, &f.err));
    CHECK(strstr(f.err.message, "series \"s\": column \"at\""));
    s.values = bad;
    CHECK(!series_declare(f.store, "q", &s, 1, true, &f.err));
    s = (struct series_schema){.name = "s", .values = twice, .value_count = 2};
    CHECK(!series_declare(f.store, "q", &s, 1, true, &f.err));
    s = (struct series_schema){.name = "a__b", .values = values, .value_count = 1};
    CHECK(!series_declare(f.store, "q", &s, 1, true, &f.err));
    s.name = "ok";
    CHECK(series_declare(f.store, "q", &s, 1, true, &f.err));
    struct series_call call =
        run(&f, QUESTION(.op = SERIES_STATS, .plugin = "q", .name = STR("ok")));
    CHECK_EQ(call.err.code, ERR_NOT_FOUND);
    struct series_where where = {STR("colour"), STR("red")};
    call = run(&f, QUESTION(.op = SERIES_STATS, .where = &where, .where_count = 1));
    CHECK_EQ(call.err.code, ERR_INVALID);
    CHECK(strstr(call.err.message, "has no key \"colour\""));
    fixture_fini(&f);
}

TEST(what_is_appended_comes_back_in_order)
{
    if (!have_duckdb())
        return;
    struct fixture f = {0};
    fixture_init(&f);
    struct series_call call = append(&f, 1000, 5000);
    CHECK_STR(call.err.message, "");
    CHECK_EQ(call.count, 5000);
    call = run(&f, QUESTION(.op = SERIES_WINDOW));
    CHECK_STR(call.err.message, "");
    REQUIRE(call.frame);
    struct series_frame *w = call.frame;
    CHECK_EQ(w->n, 5000);
    CHECK_STR(w->key_names[1], "channel_id");
    CHECK_STR(w->value_names[0], "viewers");
    int64_t wrong = 0;
    for (int64_t i = 0; i < w->n; i++) {
        wrong += w->at_us[i] != (1000 + i) * 1000000 + 123456;
        wrong += !str_eq_c(w->keys[0][i], "soop");
        wrong += !str_eq_c(w->keys[1][i], i % 2 ? long_name : "C1");
        wrong += i % 10 == 9 ? !isnan(w->values[0][i]) : w->values[0][i] != (double)i;
    }
    CHECK_EQ(wrong, 0);
    series_frame_free(w);
    fixture_fini(&f);
}

TEST(windows_by_line_time_and_number)
{
    if (!have_duckdb())
        return;
    struct fixture f = {0};
    fixture_init(&f);
    CHECK_EQ(append(&f, 1000, 100).count, 100);
    struct series_where where = {STR("channel_id"), STR("C1")};
    struct series_call call = run(&f, (struct series_call){.op = SERIES_WINDOW,
                                                           .from_us = 1010000000,
                                                           .to_us = 1020000000,
                                                           .where = &where,
                                                           .where_count = 1});
    REQUIRE(call.frame);
    CHECK_EQ(call.frame->n, 5);
    CHECK_EQ(call.frame->at_us[0], 1010123456);
    series_frame_free(call.frame);
    call = run(&f, QUESTION(.op = SERIES_WINDOW, .last = 3));
    REQUIRE(call.frame);
    CHECK_EQ(call.frame->n, 6);
    CHECK_EQ(call.frame->values[0][0], 94);
    series_frame_free(call.frame);
    call = run(&f, QUESTION(.op = SERIES_WINDOW, .limit = 7));
    REQUIRE(call.frame);
    CHECK_EQ(call.frame->n, 7);
    series_frame_free(call.frame);
    call = run(&f, QUESTION(.op = SERIES_LATEST));
    REQUIRE(call.frame);
    CHECK_EQ(call.frame->n, 2);
    CHECK_EQ(call.frame->values[0][0], 98);
    CHECK(isnan(call.frame->values[0][1]));
    series_frame_free(call.frame);
    where.value = STR("nobody' or 1=1 --");
    call = run(&f, QUESTION(.op = SERIES_LATEST, .where = &where, .where_count = 1));
    REQUIRE(call.frame);
    CHECK_EQ(call.frame->n, 0);
    series_frame_free(call.frame);
    call = run(&f, QUESTION(.op = SERIES_WINDOW, .limit = SERIES_POINTS_MAX + 1));
    CHECK_EQ(call.err.code, ERR_LIMIT);
    fixture_fini(&f);
}

TEST(repeated_points_stay_and_the_last_one_is_the_latest)
{
    if (!have_duckdb())
        return;
    struct fixture f = {0};
    fixture_init(&f);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(append(&f, 1000, 1).count, 1);
    struct series_call call = run(&f, QUESTION(.op = SERIES_WINDOW));
    REQUIRE(call.frame);
    CHECK_EQ(call.frame->n, 3);
    series_frame_free(call.frame);
    call = run(&f, QUESTION(.op = SERIES_LATEST));
    REQUIRE(call.frame);
    CHECK_EQ(call.frame->n, 1);
    series_frame_free(call.frame);
    fixture_fini(&f);
}

TEST(steps_are_aggregated)
{
    static const double wanted[] = {4, 0, 8, 8, 20};
    if (!have_duckdb())
        return;
    struct fixture f = {0};
    fixture_init(&f);
    CHECK_EQ(append(&f, 1000, 100).count, 100);
    struct series_where where = {STR("channel_id"), STR("C1")};
    for (int agg = SERIES_MEAN; agg <= SERIES_SUM; agg++) {
        struct series_call call =
            run(&f, QUESTION(.op = SERIES_DOWNSAMPLE, .agg = agg, .step_us = 10000000,
                             .where = &where, .where_count = 1));
        CHECK_STR(call.err.message, "");
        REQUIRE(call.frame);
        CHECK_EQ(call.frame->n, 10);
        CHECK_EQ(call.frame->at_us[0], 1000000000);
        CHECK_EQ(call.frame->at_us[9], 1090000000);
        CHECK_EQ(call.frame->counts[0], 5);
        CHECK(call.frame->values[0][0] == wanted[agg]);
        series_frame_free(call.frame);
    }
    fixture_fini(&f);
}

static void on_expired(void *arg, int64_t dropped)
{
    *(int64_t *)arg = dropped;
}

TEST(stats_retention_and_export)
{
    if (!have_duckdb())
        return;
    struct fixture f = {0};
    fixture_init(&f);
    struct series_call call = run(&f, QUESTION(.op = SERIES_STATS));
    CHECK_EQ(call.count, 0);
    CHECK_EQ(call.lines, 0);
    CHECK(call.first_us == SERIES_NO_TIME);
    CHECK_EQ(append(&f, 1000, 100).count, 100);
    call = run(&f, QUESTION(.op = SERIES_STATS));
    CHECK_EQ(call.count, 100);
    CHECK_EQ(call.lines, 2);
    CHECK_EQ(call.first_us, 1000123456);
    CHECK_EQ(call.last_us, 1099123456);
    struct series_where where = {STR("channel_id"), STR("C1")};
    call = run(&f, QUESTION(.op = SERIES_EXPORT, .where = &where, .where_count = 1));
    CHECK_STR(call.err.message, "");
    CHECK(call.path && access(call.path, R_OK) == 0);
    mem_free(call.path);
    struct series_schema expiring = schema;
    expiring.retention_ns = INT64_C(86400000000000);
    CHECK(series_declare(f.store, "p", &expiring, 1, false, &f.err));
    int64_t dropped = -1;
    series_expire(f.store, NULL, on_expired, &dropped);
    CHECK_EQ(append(&f, 2000000000, 3).count, 3);
    CHECK_EQ(dropped, 100);
    call = run(&f, QUESTION(.op = SERIES_STATS));
    CHECK_EQ(call.count, 3);
    fixture_fini(&f);
}

TEST(a_new_value_is_added_and_other_keys_are_refused)
{
    if (!have_duckdb())
        return;
    struct fixture f = {0};
    fixture_init(&f);
    CHECK_EQ(append(&f, 1000, 2).count, 2);
    struct series_schema wider = schema;
    wider.value_count = 2;
    CHECK(series_declare(f.store, "p", &wider, 1, false, &f.err));
    struct series_call call = run(&f, QUESTION(.op = SERIES_WINDOW));
    CHECK_STR(call.err.message, "");
    REQUIRE(call.frame);
    CHECK_EQ(call.frame->value_count, 2);
    CHECK(isnan(call.frame->values[1][0]));
    series_frame_free(call.frame);
    CHECK(series_declare(f.store, "p", &schema, 1, false, &f.err)); /* rolled back */
    CHECK_EQ(append(&f, 2000, 2).count, 2);
    struct series_schema fewer = schema;
    fewer.key_count = 1;
    CHECK(!series_declare(f.store, "p", &fewer, 1, true, &f.err));
    CHECK(strstr(f.err.message, "series \"viewers\": its keys differ"));
    series_destroy(f.store);
    open_store(&f);
    CHECK(series_declare(f.store, "p", &fewer, 1, false, &f.err));
    call = run(&f, QUESTION(.op = SERIES_STATS));
    CHECK_EQ(call.err.code, ERR_CONFLICT);
    CHECK(strstr(call.err.message, "its keys differ"));
    fixture_fini(&f);
}

TEST(bad_text_and_other_declarations_append_nothing)
{
    if (!have_duckdb())
        return;
    struct fixture f = {0};
    char *text;
    fixture_init(&f);
    struct series_frame *rows = series_rows(f.store, "p", STR("viewers"), 2, 8, &text, &f.err);
    memcpy(text, "ok\xff", 3);
    for (int i = 0; i < 2; i++) {
        rows->at_us[i] = i;
        rows->keys[0][i] = (struct str){text, 2};
        rows->keys[1][i] = (struct str){text, i ? 3 : 2};
        rows->values[0][i] = 1;
    }
    struct series_call call = run(&f, QUESTION(.op = SERIES_APPEND, .rows = rows));
    CHECK_EQ(call.err.code, ERR_INVALID);
    CHECK(strstr(call.err.message, "row 2: channel_id must be UTF-8"));
    rows->value_count = 2;
    call = run(&f, QUESTION(.op = SERIES_APPEND, .rows = rows));
    CHECK_EQ(call.err.code, ERR_INVALID);
    CHECK_EQ(run(&f, QUESTION(.op = SERIES_STATS)).count, 0);
    series_frame_free(rows);
    fixture_fini(&f);
}

/* Reports each batch that append answered for, until it is killed. */
static void append_forever(const char *dir, int fd, int64_t from)
{
    struct fixture f = {0};
    snprintf(f.path, sizeof f.path, "%s/series.duckdb", dir);
    f.pool = pool_create("test", 2, &f.err);
    open_store(&f);
    series_declare(f.store, "p", &schema, 1, false, &f.err);
    for (int64_t at = from;; at += 100) {
        if (append(&f, at, 100).count != 100 || write(fd, &at, 8) != 8)
            _exit(2);
    }
}

/* DuckDB keeps the plan of the last question that was interrupted when it is closed: once, after
 * one such question as after forty. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libduckdb.so";
}

enum { ASKED = 5 };

struct asking {
    struct waiter w; /* first */
    struct fixture *f;
    struct lane *lane;
};

static void ask_on_lane(void *arg)
{
    struct asking *a = arg;
    series_ask(a->f->store, &a->w.call, a->lane);
}

static void ask(struct asking *a)
{
    a->w.call.op = SERIES_QUERY;
    a->w.call.done = on_done;
    pthread_mutex_init(&a->w.lock, NULL);
    pthread_cond_init(&a->w.cond, NULL);
    lane_call_wait(a->lane, ask_on_lane, a);
}

static bool is_done(struct asking *a)
{
    pthread_mutex_lock(&a->w.lock);
    bool done = a->w.done;
    pthread_mutex_unlock(&a->w.lock);
    return done;
}

static void await(struct asking *a)
{
    pthread_mutex_lock(&a->w.lock);
    while (!a->w.done)
        pthread_cond_wait(&a->w.cond, &a->w.lock);
    pthread_mutex_unlock(&a->w.lock);
    rows_free(a->w.call.table);
}

TEST(plugins_take_turns_in_asking_and_waiting_counts)
{
    static const char endless[] = "select count(*) from generate_series(1, 200000000000) a";
    struct fixture f = {.err = {0}};
    if (!have_duckdb())
        return;
    fixture_init(&f);
    struct lane *lane = lane_create(0, LANE_WEB, "test", &f.err);
    REQUIRE(lane && lane_start(lane, NULL, NULL, &f.err));
    struct asking p[ASKED], q;
    for (int i = 0; i < ASKED; i++) {
        p[i] = (struct asking){.f = &f, .lane = lane};
        p[i].w.call = (struct series_call){.plugin = "p", .sql = str_c(endless)};
        p[i].w.call.timeout_ms = i == ASKED - 1 ? 100 : 600000;
        ask(&p[i]);
    }
    q = (struct asking){.f = &f, .lane = lane};
    q.w.call = (struct series_call){.plugin = "q", .sql = STR("select 1"), .timeout_ms = 600000};
    ask(&q);
    await(&p[ASKED - 1]); /* while the first one is asked */
    CHECK_EQ(p[ASKED - 1].w.call.err.code, ERR_TIMEOUT);
    CHECK(strstr(p[ASKED - 1].w.call.err.message, "waited 0.1 s for others"));
    series_cancel(&p[0].w.call);
    await(&p[0]);
    await(&q);
    CHECK_EQ(q.w.call.err.code, ERR_NONE);
    for (int i = 1; i < ASKED - 1; i++) {
        CHECK(!is_done(&p[i]));
        series_cancel(&p[i].w.call);
        await(&p[i]);
        CHECK_EQ(p[i].w.call.err.code, ERR_CANCELLED);
    }
    lane_stop(lane);
    lane_join(lane);
    lane_destroy(lane);
    fixture_fini(&f);
}

TEST(what_append_answered_for_survives_kill_9)
{
    if (!have_duckdb())
        return;
    struct fixture f = {0};
    fixture_init(&f);
    series_destroy(f.store);
    int64_t batches = 0, next = 0;
    for (int life = 0; life < 4; life++) {
        int fds[2];
        REQUIRE(pipe(fds) == 0);
        pid_t pid = fork();
        if (pid == 0)
            append_forever(f.dir, fds[1], next);
        close(fds[1]);
        /* In the middle of one after the first, however slow the machine is; a child of a process
         * with threads may also never begin. */
        struct pollfd first = {.fd = fds[0], .events = POLLIN};
        poll(&first, 1, 10000);
        usleep((useconds_t)(rand() % 100000));
        kill(pid, SIGKILL);
        int64_t at;
        for (; read(fds[0], &at, 8) == 8; batches++)
            next = at + 200;
        close(fds[0]);
        waitpid(pid, NULL, 0);
    }
    open_store(&f);
    series_declare(f.store, "p", &schema, 1, false, &f.err);
    struct series_call call = run(&f, QUESTION(.op = SERIES_STATS));
    printf("# %lld batches answered, %lld points found\n", (long long)batches,
           (long long)call.count);
    CHECK(batches > 0);
    CHECK(call.count >= batches * 100);
    CHECK_EQ(call.count % 100, 0);
    fixture_fini(&f);
}
