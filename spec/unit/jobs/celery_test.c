#include "test.h"

#include <stdint.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/sys.h"
#include "jobs/celery/message.h"
#include "jobs/celery/request.h"
#include "jobs/celery/result.h"
#include "jobs/celery/text.h"

#define EVIDENCE "../shared/evidence/celery/01-published-messages.jsonl"

static struct arena *arena;

static bool read_text(struct str text, struct celery_message *m, struct err *err)
{
    if (arena)
        arena_destroy(arena);
    arena = arena_create();
    err_clear(err);
    return celery_message_read(text, arena, m, err);
}

static bool same(struct str a, const char *b)
{
    return str_eq_c(a, b);
}

/* Calls fn for each message of the evidence that lies in a list; returns how many. */
static int each_published(void (*fn)(struct str label, struct str key, struct str raw))
{
    struct buf file = {0};
    int count = 0;
    struct err err = {0};
    if (!file_read(EVIDENCE, 1 << 20, &file, &err))
        return 0;
    struct str rest = buf_str(&file);
    while (rest.n) {
        struct str line = str_split(&rest, '\n');
        struct buf label = {0}, key = {0}, raw = {0};
        if (json_pick_text(json_pick_get(line, "raw"), &raw) &&
            json_pick_text(json_pick_get(line, "label"), &label) &&
            json_pick_text(json_pick_get(line, "key"), &key)) {
            fn(buf_str(&label), buf_str(&key), buf_str(&raw));
            count++;
        }
        buf_free(&label);
        buf_free(&key);
        buf_free(&raw);
    }
    buf_free(&file);
    return count;
}

static void check_published(struct str label, struct str key, struct str raw)
{
    struct celery_message m, again;
    struct err err;
    struct buf list = {0}, text = {0};
    if (!read_text(raw, &m, &err)) {
        TEST_FAIL("%.*s: %s", (int)label.n, label.p, err.message);
        return;
    }
    CHECK(m.id.n == 36 && m.delivery_tag.n == 36 && m.task.n > 2);
    celery_list_name(m.routing_key, m.priority, &list);
    CHECK(str_eq(buf_str(&list), key));
    celery_message_write(&m, &text);
    struct arena *first = arena;
    arena = NULL;
    if (read_text(buf_str(&text), &again, &err)) {
        CHECK(str_eq(m.id, again.id) && str_eq(m.task, again.task));
        CHECK(m.eta_wall / 1000 == again.eta_wall / 1000 &&
              m.expires_wall / 1000 == again.expires_wall / 1000);
        CHECK(str_eq(m.args, again.args) && str_eq(m.kwargs, again.kwargs));
        CHECK(str_eq(m.chain, again.chain) && str_eq(m.chord, again.chord));
        CHECK(str_eq(m.callbacks, again.callbacks) && str_eq(m.errbacks, again.errbacks));
        CHECK(m.group_index == again.group_index && str_eq(m.group, again.group));
    } else
        TEST_FAIL("%.*s: %s", (int)label.n, label.p, err.message);
    arena_destroy(first);
    buf_free(&list);
    buf_free(&text);
}

TEST(reads_what_a_python_producer_published_and_writes_it_again)
{
    CHECK_EQ(each_published(check_published), 19);
}

static void check_fields(struct str label, struct str key, struct str raw)
{
    struct celery_message m;
    struct err err;
    (void)key;
    REQUIRE(read_text(raw, &m, &err));
    if (same(label, "time limits"))
        CHECK(m.time_limit_s == 10 && m.soft_time_limit_s == 5);
    if (same(label, "eta utc"))
        CHECK_EQ(m.eta_wall, 1893553445678901000);
    if (same(label, "expires=60"))
        CHECK_EQ(m.expires_wall / NS_PER_SECOND, 1795224685);
    if (same(label, "ignore_result"))
        CHECK(m.ignore_result);
    if (same(label, "kwargs"))
        CHECK(same(m.kwargs, "{\"x\": 2, \"y\": 3}"));
    if (same(label, "chain"))
        CHECK_EQ(json_pick_count(m.chain), 2);
    if (same(label, "chord"))
        CHECK(m.chord.n > 0 && m.group_index >= 0 && m.group.n == 36);
    if (same(label, "link/link_error"))
        CHECK(json_pick_count(m.callbacks) == 1 && json_pick_count(m.errbacks) == 1);
}

TEST(knows_the_fields_that_celery_puts_into_headers_and_body)
{
    CHECK(each_published(check_fields) > 0);
}

/* body is [[2, 3], {}, {}] */
#define BODY  "W1syLCAzXSwge30sIHt9XQ=="
#define HEADS "\"task\":\"t.add\",\"id\":\"i\""
#define INFO  "\"delivery_info\":{\"exchange\":\"\",\"routing_key\":\"celery\"}"
#define MESSAGE(body, heads, props)                                                                \
    "{\"body\":\"" body "\",\"content-type\":\"application/json\",\"headers\":{" heads             \
    "},\"properties\":{\"body_encoding\":\"base64\"," props "}}"
#define TAG "\"delivery_tag\":\"d\""

static const char *why(const char *text)
{
    static char reason[ERR_MESSAGE_BYTES];
    struct celery_message m;
    struct err err;
    if (read_text(str_c(text), &m, &err))
        return NULL;
    snprintf(reason, sizeof reason, "%s", err.message);
    return reason;
}

TEST(a_message_with_what_a_worker_needs_is_enough)
{
    struct celery_message m;
    struct err err;
    REQUIRE(read_text(STR(MESSAGE(BODY, HEADS, INFO "," TAG)), &m, &err));
    CHECK(same(m.args, "[2, 3]") && same(m.kwargs, "{}") && m.group_index == -1);
    CHECK(m.eta_wall == 0 && m.retries == 0 && m.priority == 0 && m.chord.n == 0);
}

TEST(what_kills_a_python_worker_is_malformed_with_a_reason)
{
    CHECK_STR(why(MESSAGE(BODY, "\"id\":\"i\"", INFO "," TAG)), "the headers lack task");
    CHECK_STR(why(MESSAGE(BODY, "\"task\":\"t\"", INFO "," TAG)), "the headers lack id");
    CHECK_STR(why(MESSAGE(BODY, HEADS, TAG)), "the properties lack delivery_info.exchange");
    CHECK_STR(why(MESSAGE(BODY, HEADS, INFO)), "the properties lack delivery_tag");
    CHECK_STR(why(MESSAGE("W1tdLHt9XQ==", HEADS, INFO "," TAG)),
              "the body is not [args, kwargs, embed]");
    CHECK_STR(why("{\"body\":\"" BODY "\",\"headers\":{" HEADS "},\"properties\":{"
                  "\"body_encoding\":\"base64\"," INFO "," TAG "}}"),
              "the message has no content-type");
    CHECK_STR(why(MESSAGE(BODY, HEADS ",\"eta\":\"soon\"", INFO "," TAG)),
              "eta is not an ISO 8601 time: \"soon\"");
    CHECK_STR(why(MESSAGE(BODY, HEADS ",\"retries\":1e100", INFO "," TAG)),
              "retries is not between 0 and 1000000");
    CHECK_STR(why(MESSAGE(BODY, HEADS ",\"retries\":-1", INFO "," TAG)),
              "retries is not between 0 and 1000000");
    CHECK_STR(why(MESSAGE(BODY, HEADS ",\"retries\":1.5", INFO "," TAG)),
              "retries is not a whole number");
    CHECK_STR(why(MESSAGE("%%%", HEADS, INFO "," TAG)), "the body is not base64");
    CHECK_STR(why("[]"), "the message has no headers and properties");
    CHECK(strstr(why("{\"body\":\"" BODY
                     "\",\"content-type\":\"application/json\",\"headers\":{" HEADS
                     "},\"properties\":{" INFO "," TAG "}}"),
                 "the body: line 1"));
    CHECK(strstr(why("\xff"), "the message: line 1"));
    CHECK(strstr(why("{\"body\":\"gAI=\",\"content-type\":\"application/x-python-serialize\","
                     "\"headers\":{" HEADS "},\"properties\":{" INFO "," TAG "}}"),
                 "application/x-python-serialize"));
}

TEST(reads_times_as_python_writes_them)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"2026-11-21T01:30:27.062752+00:00", INT64_C(1795224627062752000)},
        {"2026-11-21T10:30:27.062752+09:00", INT64_C(1795224627062752000)},
        {"2026-11-20T21:00:27.5-0430", INT64_C(1795224627500000000)},
        {"2026-11-21T01:30:27Z", INT64_C(1795224627000000000)},
        {"2026-11-21 01:30:27", INT64_C(1795224627000000000)},
        {"2026-11-21T01:30", INT64_C(1795224600000000000)},
        {"2024-02-29", INT64_C(1709164800000000000)},
        {"1970-01-01T00:00:00+00:00", 0},
    };
    static const char *const bad[] = {"",
                                      "soon",
                                      "2026-13-01T00:00:00",
                                      "2025-02-29T00:00:00",
                                      "2026-11-21T24:00:00",
                                      "2026-11-21T01:30:27.",
                                      "2026-11-21T01:30:27+25:00",
                                      "2026-11-21T01:30:27 ",
                                      "1969-12-31T23:59:59Z",
                                      "2026-11-21T"};
    int64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ns = -1;
        CHECK(celery_time_parse(str_c(good[i].text), &ns));
        CHECK_EQ(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!celery_time_parse(str_c(bad[i]), &ns));
    char text[CELERY_TIME_BYTES];
    celery_time_format(INT64_C(1795224627062752000), true, text);
    CHECK_STR(text, "2026-11-21T01:30:27.062752+00:00");
    celery_time_format(INT64_C(1795224627000000000), false, text);
    CHECK_STR(text, "2026-11-21T01:30:27.000000");
}

static const char *repr(const char *json)
{
    static struct buf out;
    buf_clear(&out);
    celery_repr(str_c(json), &out);
    return out.p;
}

TEST(writes_arguments_as_python_would_print_them)
{
    CHECK_STR(repr("[1, 2.5, \"a\", null, true]"), "[1, 2.5, 'a', None, True]");
    CHECK_STR(repr("{\"x\": {\"y\": []}, \"z\": false}"), "{'x': {'y': []}, 'z': False}");
    CHECK_STR(repr("[\"it's\", \"a\\\"b'\", \"\\n\\u0001\\\\\"]"),
              "[\"it's\", 'a\"b\\'', '\\n\\x01\\\\']");
    char longer[3000];
    memset(longer, 'x', sizeof longer);
    longer[0] = '"';
    longer[sizeof longer - 2] = '"';
    longer[sizeof longer - 1] = '\0';
    CHECK_EQ(strlen(repr(longer)), CELERY_REPR_BYTES);
}

static const char *plain(const char *json)
{
    static struct buf out;
    buf_clear(&out);
    celery_plain(str_c(json), &out);
    return out.p;
}

TEST(typed_values_of_newer_producers_become_plain)
{
    CHECK_STR(plain("[{\"__type__\": \"datetime\", \"__value__\": \"2026-11-21T01:30:27\"}]"),
              "[\"2026-11-21T01:30:27\"]");
    CHECK_STR(plain("{\"a\": {\"__type__\": \"decimal\", \"__value__\": \"1.50\"}, \"b\": [1]}"),
              "{\"a\":\"1.50\",\"b\":[1]}");
    CHECK_STR(plain("{\"__type__\": \"uuid\", \"__value__\": "
                    "{\"hex\": \"2e759e9aa5df437dbcd79bd62bcbac40\"}}"),
              "\"2e759e9a-a5df-437d-bcd7-9bd62bcbac40\"");
    CHECK_STR(plain("{\"bytes\": \"abc\", \"__bytes__\": true}"), "\"abc\"");
    CHECK_STR(plain("{\"__type__\": \"base64\", \"__value__\": \"aGk=\"}"), "\"hi\"");
    CHECK_STR(plain("{\"__type__\": 3, \"x\": null}"), "{\"__type__\":3,\"x\":null}");
}

static void check_args(const char *args, const char *kwargs, const char *joined)
{
    struct buf out = {0}, a = {0}, k = {0};
    celery_args_join(str_c(args), str_c(kwargs), &out);
    CHECK_STR(out.p, joined);
    celery_args_split(buf_str(&out), &a, &k);
    CHECK_STR(a.p, args);
    CHECK_STR(k.p, kwargs);
    buf_free(&out);
    buf_free(&a);
    buf_free(&k);
}

TEST(arguments_of_a_task_and_of_a_job_are_the_same)
{
    check_args("[]", "{}", "{}");
    check_args("[1,2]", "{}", "[1,2]");
    check_args("[]", "{\"x\":1}", "{\"x\":1}");
    check_args("[1,[2]]", "{\"x\":{\"y\":2}}", "{\"*args\":[1,[2]],\"x\":{\"y\":2}}");
}

TEST(results_look_as_celery_writes_them)
{
    struct buf out = {0};
    struct celery_result r = {.state = CELERY_SUCCESS,
                              .task_id = STR("i"),
                              .parent_id = STR("p"),
                              .group = STR("g"),
                              .result = STR("5"),
                              .children = STR("[\"c\"]"),
                              .done_wall = INT64_C(1795224690171744000)};
    celery_result_write(&r, &out);
    CHECK_STR(out.p, "{\"status\":\"SUCCESS\",\"result\":5,\"traceback\":null,"
                     "\"children\":[[[\"c\",null],null]],"
                     "\"date_done\":\"2026-11-21T01:31:30.171744\",\"parent_id\":\"p\","
                     "\"group_id\":\"g\",\"task_id\":\"i\"}");
    struct celery_answer answer;
    REQUIRE(celery_result_read(buf_str(&out), &answer));
    CHECK(answer.state == CELERY_SUCCESS && same(answer.result, "5") && answer.error.n == 0);
    buf_clear(&out);
    r = (struct celery_result){.state = CELERY_FAILURE,
                               .task_id = STR("i"),
                               .exc_type = STR("ValueError"),
                               .exc_message = STR("boom"),
                               .exc_module = STR("builtins")};
    celery_result_write(&r, &out);
    CHECK_STR(out.p, "{\"status\":\"FAILURE\",\"result\":{\"exc_type\":\"ValueError\","
                     "\"exc_message\":[\"boom\"],\"exc_module\":\"builtins\"},\"traceback\":null,"
                     "\"children\":[],\"date_done\":null,\"task_id\":\"i\"}");
    REQUIRE(celery_result_read(buf_str(&out), &answer));
    CHECK(answer.state == CELERY_FAILURE);
    CHECK_STR(answer.error.p, "ValueError: boom");
    buf_free(&answer.error);
    buf_free(&out);
}

TEST(the_parts_of_a_chord_are_read_back)
{
    struct buf error = {0};
    struct str result;
    CHECK(celery_part_read(STR("[1, \"39c7\", \"SUCCESS\", {\"a\": 2}]"), &result, &error));
    CHECK(same(result, "{\"a\": 2}"));
    CHECK(!celery_part_read(STR("[1, \"4244\", \"FAILURE\", {\"exc_type\": \"ValueError\", "
                                "\"exc_message\": [\"x\"], \"exc_module\": \"builtins\"}]"),
                            &result, &error));
    CHECK_STR(error.p, "Dependency 4244 raised ValueError: x");
    buf_clear(&error);
    CHECK(!celery_part_read(STR("nonsense"), &result, &error));
    CHECK_STR(error.p, "a part of the chord is not readable");
    buf_free(&error);
}

TEST(ids_are_uuids_of_version_4_and_differ)
{
    char a[37], b[37];
    celery_uuid(a);
    celery_uuid(b);
    CHECK(strcmp(a, b) != 0 && strlen(a) == 36 && a[14] == '4' && strchr("89ab", a[19]));
}

/* -- remote control -- */

static bool ask(const char *body, struct celery_request *out)
{
    struct buf text = {0};
    if (arena)
        arena_destroy(arena);
    arena = arena_create();
    celery_envelope_write(str_c(body), STR("celery.pidbox"), STR(""), STR("{\"clock\": 41}"),
                          &text);
    bool ok = celery_request_read(buf_str(&text), STR("maru@here"), arena, out);
    buf_free(&text);
    return ok;
}

TEST(a_request_is_to_those_named_or_matched_or_to_all)
{
    struct celery_request r;
    REQUIRE(ask("{\"method\": \"hello\", \"arguments\": {\"from_node\": \"w1@host1\"}, "
                "\"destination\": null, \"pattern\": null, \"matcher\": null, \"ticket\": \"t\", "
                "\"reply_to\": {\"exchange\": \"reply.celery.pidbox\", \"routing_key\": \"k\"}}",
                &r));
    CHECK(same(r.method, "hello") && same(r.ticket, "\"t\"") && r.clock == 41);
    CHECK(same(r.exchange, "reply.celery.pidbox") && same(r.routing_key, "k"));
    CHECK(same(r.arguments, "{\"from_node\": \"w1@host1\"}"));
    CHECK(ask("{\"method\": \"ping\", \"destination\": [\"a@b\", \"maru@here\"]}", &r));
    CHECK(r.routing_key.n == 0);
    CHECK(ask("{\"method\": \"ping\", \"destination\": []}", &r));
    CHECK(!ask("{\"method\": \"ping\", \"destination\": [\"a@b\", 5, null]}", &r));
    CHECK(ask("{\"pattern\": \"maru@*\", \"matcher\": \"glob\"}", &r));
    CHECK(!ask("{\"pattern\": \"w*\", \"matcher\": \"glob\"}", &r));
    CHECK(!ask("{\"pattern\": \"maru.*\", \"matcher\": \"pcre\"}", &r));
    CHECK(!ask("{\"pattern\": \"*********\", \"matcher\": \"glob\"}", &r));
    CHECK(!ask("[]", &r) && !ask("nonsense", &r) && !ask("5", &r));
}

TEST(an_answer_carries_the_ticket_back)
{
    struct celery_request r;
    struct buf text = {0}, body = {0};
    REQUIRE(ask("{\"method\": \"ping\", \"ticket\": \"t\", \"reply_to\": "
                "{\"exchange\": \"e\", \"routing_key\": \"k\"}}",
                &r));
    celery_reply_write(&r, STR("maru@here"), STR("{\"ok\": \"pong\"}"), 42, &text);
    REQUIRE(celery_envelope_read(buf_str(&text), &body));
    CHECK_STR(body.p, "{\"maru@here\": {\"ok\": \"pong\"}}");
    struct str headers = json_pick_get(buf_str(&text), "headers");
    CHECK(same(json_pick_get(headers, "ticket"), "\"t\"") &&
          same(json_pick_get(headers, "clock"), "42"));
    buf_clear(&text);
    buf_clear(&body);
    celery_reply_write(&r, STR("maru@here"), STR(""), 43, &text);
    REQUIRE(celery_envelope_read(buf_str(&text), &body));
    CHECK_STR(body.p, "{\"maru@here\": null}");
    buf_free(&text);
    buf_free(&body);
}

TEST(what_python_takes_for_true_is_true)
{
    static const char *const yes[] = {"true",  "1",   "-0.5",       "\"x\"",
                                      "\"0\"", "[0]", "{\"a\": 1}", NULL};
    static const char *const no[] = {"", "false", "0", "0.0", "\"\"", "[]", "[ ]", "{}", NULL};
    for (const char *const *v = yes; *v; v++)
        if (!celery_truth(str_c(*v)))
            TEST_FAIL("%s is true", *v);
    for (const char *const *v = no; *v; v++)
        if (celery_truth(str_c(*v)))
            TEST_FAIL("%s is not true", *v);
}

static void check_rate(const char *value, int64_t count, int64_t seconds)
{
    struct job_rate rate;
    bool ok = celery_rate_read(str_c(value), &rate);
    if (!ok || rate.count != count || rate.period_ns != seconds * NS_PER_SECOND)
        TEST_FAIL("%s: %d %lld in %lld ns", value, ok, (long long)rate.count,
                  (long long)rate.period_ns);
}

TEST(rates_are_read_as_celery_writes_them)
{
    struct job_rate rate;
    check_rate("\"10/s\"", 10, 1);
    check_rate("\"100/m\"", 100, 60);
    check_rate("\"7/h\"", 7, 3600);
    check_rate("5", 5, 1);
    check_rate("\"5\"", 5, 1);
    check_rate("0.1", 1, 10);
    check_rate("\"\"", 0, 0);
    check_rate("", 0, 0);
    CHECK(celery_rate_read(STR("0"), &rate) && rate.count == 0);
    for (const char *const *bad = (const char *const[]){"\"x\"", "\"5/d\"", "\"5/\\u0000\"", "-1",
                                                        "\"-5/m\"", "[]", "true", "1e300", NULL};
         *bad; bad++)
        if (celery_rate_read(str_c(*bad), &rate))
            TEST_FAIL("%s is a rate", *bad);
}
