#include "test.h"

#include <pthread.h>
#include <unistd.h>

#include "base/mem.h"
#include "observe/log.h"

static int pipe_ends[2];

static void into_pipe(enum log_level least)
{
    if (pipe(pipe_ends) != 0)
        abort();
    log_setup(pipe_ends[1], least);
}

/* What was written since into_pipe(). */
static char *written(void)
{
    static char text[200000];
    size_t n = 0;
    ssize_t got;
    close(pipe_ends[1]);
    while ((got = read(pipe_ends[0], text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(pipe_ends[0]);
    log_setup(-1, LOG_DEBUG);
    return text;
}

static bool is_json(const char *text, size_t n)
{
    static const struct json_events none;
    struct err err = {0};
    return json_read(str_n(text, n), 16, &none, NULL, &err);
}

TEST(a_line_is_one_json_object)
{
    into_pipe(LOG_INFO);
    log_write(LOG_WARN, "jobs", "shop@ab12", STR("a \"quoted\"\nline"), STR("\"id\":7"));
    char *text = written();
    REQUIRE(strlen(text) > 32);
    CHECK(strncmp(text, "{\"at\":\"20", 9) == 0);
    CHECK_STR(strchr(text, 'Z') + 2,
              ",\"level\":\"warn\",\"area\":\"jobs\",\"plugin\":\"shop@ab12\","
              "\"message\":\"a \\\"quoted\\\"\\nline\",\"id\":7}\n");
}

TEST(lines_under_the_level_are_not_written)
{
    into_pipe(LOG_WARN);
    CHECK(!log_enabled(LOG_INFO) && log_enabled(LOG_ERROR));
    log_info("test", "no");
    log_error("test", "%s", "yes");
    char *text = written();
    CHECK(strstr(text, "yes") && !strstr(text, "\"no\""));
}

TEST(levels_have_names)
{
    enum log_level level;
    CHECK(log_level_parse(STR("error"), &level) && level == LOG_ERROR);
    CHECK(!log_level_parse(STR("loud"), &level));
    CHECK_STR(log_level_name(LOG_DEBUG), "debug");
}

TEST(a_line_over_the_limit_is_cut_and_still_json)
{
    static char big[3 * LOG_LINE_BYTES];
    for (size_t i = 0; i + 3 < sizeof big; i += 3)
        memcpy(big + i, "마", 3);
    into_pipe(LOG_INFO);
    log_write(LOG_INFO, "test", NULL, str_c(big), STR(""));
    log_info("test", "%s", big);
    struct buf fields = {0};
    buf_add_c(&fields, "\"a\":");
    json_write_string(&fields, str_c(big));
    log_write(LOG_INFO, "test", NULL, STR("x"), buf_str(&fields));
    buf_free(&fields);
    struct str rest = str_c(written());
    for (int i = 0; i < 3; i++) {
        struct str line = str_split(&rest, '\n');
        CHECK(line.n > 0 && line.n < LOG_LINE_BYTES && is_json(line.p, line.n));
    }
    CHECK_EQ(rest.n, 0);
}

TEST(the_ring_answers_by_level_plugin_and_position)
{
    struct buf out = {0};
    log_setup(-1, LOG_DEBUG);
    uint64_t from = log_recent(&out, 0, LOG_DEBUG, STR(""), 1);
    log_write(LOG_INFO, "a", "shop@1", STR("one"), STR(""));
    log_write(LOG_ERROR, "a", "shopping@1", STR("two"), STR("\"n\":2"));
    log_write(LOG_ERROR, "a", "shop@2", STR("three"), STR(""));
    buf_clear(&out);
    uint64_t last = log_recent(&out, from, LOG_DEBUG, STR("shop"), 10);
    CHECK_EQ(last, from + 3);
    CHECK(strstr(out.p, "\"one\"") < strstr(out.p, "\"three\"") && !strstr(out.p, "\"two\""));
    CHECK(is_json(out.p, out.n));
    buf_clear(&out);
    log_recent(&out, from, LOG_WARN, STR(""), 10);
    CHECK(!strstr(out.p, "\"one\"") && strstr(out.p, "\"fields\":{\"n\":2}"));
    buf_clear(&out);
    log_recent(&out, from, LOG_DEBUG, STR(""), 1);
    CHECK(strstr(out.p, "\"three\"") && !strstr(out.p, "\"two\""));
    buf_clear(&out);
    log_recent(&out, last, LOG_DEBUG, STR(""), 10);
    CHECK_STR(out.p, "[]");
    buf_free(&out);
}

static void *chatter(void *arg)
{
    (void)arg;
    struct buf out = {0};
    for (int i = 0; i < 3000; i++) {
        log_info("test", "line %d", i);
        if (i % 500 == 0)
            log_recent(&out, 0, LOG_DEBUG, STR(""), 50);
    }
    buf_free(&out);
    return NULL;
}

TEST(threads_may_log_at_once)
{
    pthread_t threads[4];
    struct buf out = {0};
    log_setup(-1, LOG_DEBUG);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, chatter, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    log_recent(&out, 0, LOG_DEBUG, STR(""), LOG_RING_LINES + 1);
    CHECK(is_json(out.p, out.n));
    size_t lines = 0;
    for (const char *at = out.p; (at = strstr(at, "\"seq\":")); at++)
        lines++;
    CHECK_EQ(lines, LOG_RING_LINES);
    buf_free(&out);
}
