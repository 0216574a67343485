#include "observe/trace.h"

#include <stdio.h>

#include "base/json.h"
#include "observe/metrics.h"
#include "observe/trace_internal.h"
#include "test.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"

static bool parses(const char *text)
{
    struct trace_context context;
    return trace_parse(str_c(text), &context);
}

TEST(a_traceparent_is_read_as_its_standard_says)
{
    struct trace_context c;
    char text[TRACE_PARENT_BYTES];
    REQUIRE(trace_parse(STR("00-" TRACE "-" SPAN "-01"), &c));
    CHECK_STR(c.trace_id, TRACE);
    CHECK_STR(c.span_id, SPAN);
    CHECK(c.sampled);
    trace_print(&c, text);
    CHECK_STR(text, "00-" TRACE "-" SPAN "-01");
    REQUIRE(trace_parse(STR("00-" TRACE "-" SPAN "-02"), &c));
    CHECK(!c.sampled);
    CHECK(parses("cc-" TRACE "-" SPAN "-01-what-comes-later"));
    CHECK(!parses("cc-" TRACE "-" SPAN "-01.what-comes-later"));
    CHECK(!parses("00-" TRACE "-" SPAN "-01-more"));
    CHECK(!parses("ff-" TRACE "-" SPAN "-01"));
    CHECK(!parses("00-00000000000000000000000000000000-" SPAN "-01"));
    CHECK(!parses("00-" TRACE "-0000000000000000-01"));
    CHECK(!parses("00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01"));
    CHECK(!parses("00-" TRACE "-" SPAN "-0"));
    CHECK(!parses("00-" TRACE "-" SPAN "-0g"));
    CHECK(!parses(""));
}

TEST(a_tracestate_is_passed_on_when_it_is_short_and_printable)
{
    char longest[TRACE_STATE_BYTES + 1];
    memset(longest, 'a', sizeof longest);
    CHECK(trace_state_valid(STR("vendor=x,other=y")));
    CHECK(trace_state_valid(str_n(longest, TRACE_STATE_BYTES)));
    CHECK(!trace_state_valid(str_n(longest, TRACE_STATE_BYTES + 1)));
    CHECK(!trace_state_valid(STR("a=\x01")));
    CHECK(!trace_state_valid(STR("")));
}

TEST(without_tracing_there_are_no_spans_and_every_call_takes_none)
{
    struct trace_context c;
    trace_begin(NULL, &c);
    CHECK(!c.sampled);
    CHECK_EQ(strlen(c.trace_id), 32);
    c.sampled = true;
    struct span *span = span_begin(SPAN_SERVER, &c, STR("x"));
    CHECK(!span);
    CHECK(!span_child(span, SPAN_CLIENT, STR("y")));
    span_text(span, "a", STR("b"));
    span_int(span, "a", 1);
    span_fail(span, STR("no"));
    span_end(span);
    CHECK(!span_trace_id(span));
    span_context(span, &c);
    CHECK_STR(c.trace_id, "");
}

/* Nobody listens there: spans only wait. */
static const struct trace_options nowhere = {.url = "http://127.0.0.1:1",
                                             .headers = "",
                                             .service = "s",
                                             .node = "n",
                                             .version = "v",
                                             .ratio = 1,
                                             .parent = true,
                                             .spans = 4};

static struct span *one(const char *name)
{
    struct trace_context c;
    trace_begin(TRACE, &c);
    return span_begin(SPAN_SERVER, &c, str_c(name));
}

TEST(spans_are_bounded_in_number_and_counted)
{
    struct err err = {0};
    struct span *spans[6];
    REQUIRE(trace_start(&nowhere, &err));
    for (int i = 0; i < 6; i++)
        spans[i] = one("x");
    CHECK(spans[3]);
    CHECK(!spans[4] && !spans[5]);
    CHECK_EQ(metric_value(tracing.dropped), 2);
    CHECK_EQ(atomic_load(&tracing.live), 4);
    for (int i = 0; i < 6; i++)
        span_end(spans[i]);
    trace_stop();
    CHECK_EQ(atomic_load(&tracing.live), 0);
    CHECK_EQ(metric_value(tracing.dropped), 6);
}

static bool is_json(const struct buf *text)
{
    static const struct json_events none = {0};
    struct err err = {0};
    return json_read(buf_str(text), JSON_DEPTH_DEFAULT, &none, NULL, &err);
}

static void fill(struct span *span)
{
    char key[16], text[2 * TRACE_TEXT_BYTES];
    memset(text, 'x', sizeof text);
    memcpy(text + TRACE_TEXT_BYTES - 1, "\xea\xb0\x80", 3); /* cut before it, not in it */
    span_text(span, "long", str_n(text, sizeof text));
    span_text(span, "odd", STR("a\"b\n\xff"));
    span_int(span, "whole", INT64_MIN);
    span_number(span, "part", 0.5);
    span_bool(span, "flag", true);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "key%d", i);
        span_int(span, key, i);
    }
}

TEST(a_span_is_printed_as_json_with_what_had_room)
{
    struct err err = {0};
    struct buf out = {0};
    struct list batch;
    list_init(&batch);
    REQUIRE(trace_start(&nowhere, &err));
    struct span *span = one("GET /\"x\"");
    fill(span);
    span_fail(span, STR("first"));
    span_fail(span, STR("second"));
    list_push_back(&batch, &span->link);
    trace_write_batch(&batch, &out);
    CHECK(is_json(&out));
    CHECK(strstr(out.p, "\"traceId\":\"" TRACE "\""));
    CHECK(strstr(out.p, "\"name\":\"GET /\\\"x\\\"\""));
    CHECK(strstr(out.p, "xxx\"}},{\"key\":\"odd\""));
    CHECK(strstr(out.p, "{\"intValue\":\"-9223372036854775808\"}"));
    CHECK(strstr(out.p, "{\"doubleValue\":0.5}"));
    CHECK(strstr(out.p, "{\"boolValue\":true}"));
    CHECK(strstr(out.p, "\"status\":{\"code\":2,\"message\":\"first\"}"));
    CHECK(span->left_out > 20);
    CHECK(span->attributes_n <= TRACE_ATTRIBUTES_BYTES);
    list_remove(&span->link);
    span_end(span);
    trace_stop();
    buf_free(&out);
}

TEST(the_share_that_is_kept_is_the_one_asked_for)
{
    struct err err = {0};
    struct trace_options options = nowhere;
    struct trace_context c;
    int kept = 0;
    options.ratio = 0.25;
    REQUIRE(trace_start(&options, &err));
    for (int i = 0; i < 10000; i++) {
        trace_begin(NULL, &c);
        kept += c.sampled;
    }
    CHECK(kept > 2200 && kept < 2800);
    CHECK(trace_parse(STR("00-" TRACE "-" SPAN "-01"), &c));
    trace_follow(&c);
    CHECK(c.sampled);
    trace_stop();
    options.parent = false;
    options.ratio = 0;
    REQUIRE(trace_start(&options, &err));
    trace_follow(&c);
    CHECK(!c.sampled);
    trace_stop();
}

TEST(wrong_settings_say_how_to_write_them)
{
    struct err err = {0};
    struct trace_options options = nowhere;
    options.url = "collector:4318";
    CHECK(!trace_start(&options, &err));
    CHECK_STR(err.message, "trace: url: write http://host:4318 or https://host");
    options = nowhere;
    options.headers = "=x";
    CHECK(!trace_start(&options, &err));
    CHECK_STR(err.message, "trace: headers: write name=value, with commas between");
    CHECK(!trace_is_on());
}
