#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "test.h"

static char path[64];

static void write_file(const char *text)
{
    struct err err = {0};
    snprintf(path, sizeof path, "/tmp/maru-config-%d.lua", (int)getpid());
    file_write(path, str_c(text), 0600, &err);
}

/* What loading the text says is wrong; "" when nothing. */
static const char *wrong(const char *text)
{
    static struct err err;
    err = (struct err){0};
    write_file(text);
    config_free(config_load(path, NULL, 0, &err));
    unlink(path);
    return err.message;
}

static const char *wrong_set(const char *set)
{
    static struct err err;
    err = (struct err){0};
    config_free(config_load(NULL, &set, 1, &err));
    return err.message;
}

TEST(nested_and_dotted_keys_say_the_same)
{
    struct err err = {0};
    const char *const *items;
    write_file("return { http = { listen = \"127.0.0.1:0\" }, [\"reload.drain\"] = \"2s\",\n"
               "plugins = { path = \"a:b\", disable = {\"x\", \"y\"},\n"
               "streampulse = { n = 1, list = {1, 2}, deep = { t = true } } } }");
    struct config *config = config_load(path, NULL, 0, &err);
    unlink(path);
    CHECK_STR(err.message, "");
    REQUIRE(config);
    CHECK_STR(config_text(config, "http.listen"), "127.0.0.1:0");
    CHECK_EQ(config_ns(config, "reload.drain"), 2000000000);
    CHECK_EQ(config_list(config, "plugins.disable", &items), 2);
    CHECK_STR(items[1], "y");
    struct buf json = {0};
    config_plugin(config, "streampulse", &json);
    CHECK(strstr(json.p, "\"list\":[1,2]"));
    CHECK(strstr(json.p, "\"deep\":{\"t\":true}"));
    buf_clear(&json);
    config_plugin(config, "other", &json);
    CHECK_STR(json.p, "{}");
    buf_free(&json);
    config_free(config);
}

TEST(a_set_wins_over_the_environment_and_that_over_the_file)
{
    struct err err = {0};
    write_file("return { log = { level = \"debug\" }, jobs = { concurrency = 3 } }");
    setenv("MARU_LOG_LEVEL", "warn", 1);
    setenv("MARU_JOBS_CONCURRENCY", "4", 1);
    const char *sets[] = {"log.level=error", "plugins.p.flag=true", "plugins.p.text=a b"};
    struct config *config = config_load(path, sets, 3, &err);
    unsetenv("MARU_LOG_LEVEL");
    unsetenv("MARU_JOBS_CONCURRENCY");
    unlink(path);
    REQUIRE(config);
    CHECK_STR(config_text(config, "log.level"), "error");
    CHECK_EQ(config_integer(config, "jobs.concurrency"), 4);
    struct buf json = {0};
    config_plugin(config, "p", &json);
    CHECK(strstr(json.p, "\"flag\":true"));
    CHECK(strstr(json.p, "\"text\":\"a b\""));
    buf_free(&json);
    config_free(config);
}

TEST(errors_name_file_line_and_key)
{
    CHECK(strstr(wrong("return {\n  while }"), ".lua:2: unexpected symbol"));
    CHECK(strstr(wrong("return 7"), "must return a table"));
    CHECK(strstr(wrong("return { http = { lisen = \"\" } }"), "did you mean http.listen?"));
    CHECK(strstr(wrong("return { [\"reload.drain\"] = \"soon\" }"), "reload.drain: \"soon\""));
    CHECK(strstr(wrong("return { http = { listen = print } }"), "no such key") ||
          strstr(wrong("return { http = { listen = function() end } }"), "http.listen: must be"));
    CHECK(
        strstr(wrong("return { plugins = { p = { f = function() end } } }"), "plugins.p.f: must"));
    CHECK(strstr(wrong("while true do end"), "runs for too long"));
    CHECK(strstr(wrong("return io.open(\"/etc/passwd\")"), "io"));
    CHECK(strstr(wrong("return os.execute(\"true\")"), "execute"));
    CHECK_STR(wrong("return {}"), "");
}

TEST(errors_about_a_key_name_its_line)
{
    CHECK(strstr(wrong("return {\n  https = { listen = \"\" },\n  -- http = { lisen\n"
                       "  http = {\n    lisen = 1 } }"),
                 ".lua:5: http.lisen: no such key"));
    CHECK(strstr(wrong("return {\n\n  [\"lanes.web\"] = 99 }"), ".lua:3: lanes.web: must be from"));
    CHECK(strstr(wrong("return { plugins = {\n p = {\n  f = function() end } } }"),
                 ".lua:3: plugins.p.f: must be"));
    CHECK(strstr(wrong("local t = { lanes = {} } t.lanes.web = 99 return t"),
                 ".lua: lanes.web: must be"));
}

TEST(a_set_that_is_wrong_says_how)
{
    CHECK(strstr(wrong_set("lanes.web"), "write key=value"));
    CHECK(strstr(wrong_set("lanes.web=99"), "must be from 0 to 32"));
    CHECK(strstr(wrong_set("lanes.web=two"), "must be a whole number"));
    CHECK(strstr(wrong_set("plugins.watch=maybe"), "must be true or false"));
    CHECK(strstr(wrong_set("plugins.x=1"), "plugins.NAME.KEY=VALUE"));
}

TEST(etc_maru_lua_is_the_reference)
{
    struct buf text = {0}, file = {0};
    struct err err = {0};
    config_print_reference(&text);
    CHECK(file_read("etc/maru.lua", 1 << 20, &file, &err));
    CHECK_STR(buf_str(&file).p, text.p);
    buf_free(&text);
    buf_free(&file);
}

TEST(the_reference_is_a_file_that_loads)
{
    struct buf text = {0};
    config_print_reference(&text);
    CHECK_STR(wrong(text.p), "");
    buf_free(&text);
}
