#include "test.h"

#include "base/arena.h"
#include "base/json_pick.h"
#include "jobs/celery/follow.h"

static struct arena *arena;
static struct celery_follow f;

static void route(void *arg, struct str task, struct buf *out)
{
    (void)arg;
    buf_add_str(out, str_eq_c(task, "t.other") ? STR("other") : STR("celery"));
}

static void begin(void)
{
    if (arena)
        arena_destroy(arena);
    arena = arena_create();
    celery_follow_fini(&f);
    f.route = route;
    f.now_wall = INT64_C(1795224690171744000);
}

__attribute__((destructor)) static void stop(void)
{
    celery_follow_fini(&f);
    if (arena)
        arena_destroy(arena);
}

static struct celery_message message(void)
{
    return (struct celery_message){
        .task = STR("t.add"), .id = STR("me"), .root_id = STR("root"), .group_index = -1};
}

static struct celery_message sent(int i)
{
    struct celery_message m = {0};
    struct err err = {0};
    if (i >= f.push_count || !celery_message_read(str_c(f.pushes[i].value), arena, &m, &err))
        TEST_FAIL("message %d of %d: %s", i, f.push_count, err.message);
    return m;
}

#define SIG(task, args, options)                                                                   \
    "{\"task\":\"" task "\",\"args\":" args ",\"kwargs\":{\"k\":1},\"options\":" options           \
    ",\"subtask_type\":null,\"immutable\":false}"

#define PART(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static bool is(struct str a, const char *b)
{
    return str_eq_c(a, b);
}

TEST(the_next_of_a_chain_gets_the_result_in_front_and_the_rest_of_the_chain)
{
    begin();
    struct celery_message m = message();
    m.priority = 3;
    m.chain = STR("[" SIG("t.last", "[4]", "{\"task_id\":\"c\"}") ", " SIG(
        "t.next", "[3]", "{\"task_id\":\"b\",\"queue\":\"hi\"}") "]");
    celery_succeeded(&f, &m, STR("{\"x\":[1]}"));
    CHECK_EQ(f.push_count, 1);
    struct celery_message next = sent(0);
    CHECK(is(next.task, "t.next") && is(next.id, "b") && is(next.args, "[{\"x\":[1]},3]"));
    CHECK(is(next.kwargs, "{\"k\":1}") && is(next.parent_id, "me") && is(next.root_id, "root"));
    CHECK_EQ(json_pick_count(next.chain), 1);
    CHECK_STR(f.pushes[0].key, "hi\x06\x16"
                               "3");
    CHECK_STR(f.children.p, "[\"b\"]");
}

TEST(callbacks_go_out_beside_the_chain_and_immutable_ones_get_no_result)
{
    begin();
    struct celery_message m = message();
    m.callbacks = STR("[{\"task\":\"t.other\",\"args\":[1],\"kwargs\":{},\"options\":{},"
                      "\"subtask_type\":null,\"immutable\":true}]");
    celery_succeeded(&f, &m, STR("5"));
    struct celery_message one = sent(0);
    CHECK(is(one.args, "[1]") && one.id.n == 36 && one.chain.n == 0);
    CHECK_STR(f.pushes[0].key, "other");
}

TEST(a_failure_reaches_the_rest_of_the_chain_and_the_errbacks)
{
    begin();
    struct celery_message m = message();
    m.chain = STR("[" SIG("t.next", "[3]", "{\"task_id\":\"b\"}") "]");
    m.errbacks = STR("[" SIG("t.err", "[]", "{}") "]");
    struct celery_result failure = {.state = CELERY_FAILURE,
                                    .task_id = STR("me"),
                                    .exc_type = STR("RuntimeError"),
                                    .exc_message = STR("boom"),
                                    .exc_module = STR("builtins")};
    celery_failed(&f, &m, &failure);
    CHECK_EQ(f.result_count, 1);
    CHECK_STR(f.results[0].key, "b");
    CHECK(strstr(f.results[0].value, "\"boom\"") &&
          strstr(f.results[0].value, "\"task_id\":\"b\""));
    struct celery_message err = sent(0);
    CHECK(is(err.task, "t.err") && is(err.args, "[\"me\"]"));
}

TEST(a_group_behind_a_chain_goes_out_whole_and_a_chord_counts_its_parts)
{
    begin();
    struct celery_message m = message();
    m.chain =
        STR("[{\"task\":\"celery.chord\",\"args\":[],\"kwargs\":{\"header\":{\"task\":"
            "\"celery.group\",\"args\":[],\"kwargs\":{\"tasks\":[" SIG("t.a", "[]", "{}") "," SIG(
                "t.b", "[9]", "{}") "]},\"options\":{},\"subtask_type\":\"group\"},"
                                    "\"body\":" SIG("t.sum", "[]",
                                                    "{\"task_id\":\"old\"}") "},\"options\":{"
                                                                             "\"task_id\":"
                                                                             "\"body\"},"
                                                                             "\"subtask_type\":"
                                                                             "\"chord\","
                                                                             "\"immutable\":"
                                                                             "false}]");
    celery_succeeded(&f, &m, STR("7"));
    REQUIRE(f.push_count == 3);
    CHECK(strncmp(f.pushes[0].key, "celery-taskset-meta-", 20) == 0);
    CHECK_STR(f.pushes[0].value, "2");
    struct celery_message a = sent(1), b = sent(2);
    CHECK(is(a.args, "[7]") && is(b.args, "[7,9]") && a.group_index == 0 && b.group_index == 1);
    CHECK(str_eq(a.group, b.group) && is(a.group, "body"));
    CHECK(is(json_pick_get(json_pick_get(a.chord, "options"), "task_id"), "\"old\""));
}

TEST(a_chain_inside_a_group_runs_before_what_follows_outside)
{
    begin();
    struct celery_message m = message();
    m.callbacks = STR("[{\"task\":\"celery.chain\",\"args\":[],\"kwargs\":{\"tasks\":[" SIG(
        "t.one", "[]", "{}") "," SIG("t.two", "[]",
                                     "{}") "," SIG("t.three", "[]",
                                                   "{}") "]},"
                                                         "\"options\":{},\"subtask_type\":"
                                                         "\"chain\",\"immutable\":false}]");
    celery_succeeded(&f, &m, STR("1"));
    struct celery_message one = sent(0);
    struct json_pick p;
    struct str last;
    CHECK(is(one.task, "t.one") && json_pick_count(one.chain) == 2);
    REQUIRE(json_pick_open(&p, one.chain, '[') && json_pick_item(&p, &last));
    CHECK(is(json_pick_get(last, "task"), "\"t.three\""));
}

TEST(the_body_of_a_chord_gets_the_results_in_order)
{
    static const struct str parts[] = {PART("[1,\"a\",\"SUCCESS\",3]"),
                                       PART("[1,\"b\",\"SUCCESS\",[4]]")};
    begin();
    struct celery_message m = message();
    m.chord = STR(SIG("t.sum", "[10]", "{\"task_id\":\"body\"}"));
    celery_chord(&f, &m, parts, 2);
    struct celery_message body = sent(0);
    CHECK(is(body.id, "body") && is(body.args, "[[3,[4]],10]") && body.chord.n == 0);
}

TEST(a_failed_part_fails_the_body_and_calls_its_errbacks)
{
    static const struct str parts[] = {
        PART("[1,\"a\",\"SUCCESS\",3]"),
        PART("[1,\"b\",\"FAILURE\",{\"exc_type\":\"E\",\"exc_message\":[\"x\"]}]")};
    begin();
    struct celery_message m = message();
    m.chord = STR(
        SIG("t.sum", "[]", "{\"task_id\":\"body\",\"link_error\":[" SIG("t.err", "[]", "{}") "]}"));
    celery_chord(&f, &m, parts, 2);
    REQUIRE(f.result_count == 1);
    CHECK(strstr(f.results[0].value, "Dependency b raised E: x") &&
          strstr(f.results[0].value, "ChordError"));
    CHECK(is(sent(0).args, "[\"body\"]"));
}

TEST(what_is_no_signature_is_said_and_nothing_sent)
{
    begin();
    struct celery_message m = message();
    m.callbacks = STR("[3, {}, {\"task\":5}]");
    celery_succeeded(&f, &m, STR("1"));
    CHECK_EQ(f.push_count, 0);
    CHECK_STR(f.err.message, "a signature names no task");
}
