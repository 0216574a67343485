#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
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

TEST(an_item_of_a_list_may_have_commas_in_the_file)
{
    struct err err = {0};
    struct buf out = {0};
    const char *const *items;
    write_file("return { model = { redact = { \"[%d,]+\" } }, events = { kafka = {\n"
               "\"debug=broker,topic\", \"sasl.password=file:/x\", \"a=b\" } } }");
    struct config *config = config_load(path, NULL, 0, &err);
    unlink(path);
    CHECK_STR(err.message, "");
    REQUIRE(config);
    CHECK_EQ(config_list(config, "model.redact", &items), 1);
    CHECK_STR(items[0], "[%d,]+");
    CHECK_EQ(config_list(config, "events.kafka", &items), 3);
    CHECK_STR(items[0], "debug=broker,topic");
    CHECK_STR(items[2], "a=b");
    config_print(config, &out);
    CHECK(strstr(out.p, "[\"model.redact\"] = { \"[%d,]+\" }, --"));
    CHECK(strstr(out.p, "{ \"debug=broker,topic\", \"sasl.password=***\", \"a=b\" }, --"));
    buf_free(&out);
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

static char secret_path[64];

static const char *secret_file(const char *bytes, size_t n, int mode)
{
    struct err err = {0};
    snprintf(secret_path, sizeof secret_path, "/tmp/maru-secret-%d", (int)getpid());
    file_write(secret_path, str_n(bytes, n), mode, &err);
    return secret_path;
}

/* jobs.url, read from the file of `bytes`; or what is wrong. */
static const char *from_secret(const char *bytes, size_t n)
{
    static char text[ERR_MESSAGE_BYTES];
    struct err err = {0};
    char *set = mem_printf("jobs.url_file=%s", secret_file(bytes, n, 0600));
    struct config *config = config_load(NULL, (const char *const *)&set, 1, &err);
    snprintf(text, sizeof text, "%s", config ? config_text(config, "jobs.url") : err.message);
    CHECK(!config || !config_warning(config, 0));
    config_free(config);
    unlink(secret_path);
    mem_free(set);
    return text;
}

TEST(a_secret_stands_in_a_file_of_its_own)
{
    CHECK_STR(from_secret("redis://h", 9), "redis://h");
    CHECK_STR(from_secret("redis://h\n", 10), "redis://h");
    CHECK_STR(from_secret("redis://h\r\n", 11), "redis://h");
    CHECK_STR(from_secret("redis://h\n\n", 11), "redis://h\n");
    CHECK(strstr(from_secret("\n", 1), "is empty"));
    CHECK(strstr(from_secret("a\0b", 3), "has a NUL"));
    char *big = mem_zero(1, 70000);
    memset(big, 'x', 70000);
    CHECK(strstr(from_secret(big, 70000), secret_path));
    mem_free(big);
    CHECK(strstr(wrong_set("jobs.url_file=/nowhere/x"), "jobs.url_file: /nowhere/x: No such file"));
    CHECK(strstr(wrong_set("jobs.url_file=/tmp"), "is not a file"));
    CHECK(strstr(wrong_set("log.level_file=/tmp"), "no such key"));
}

TEST(the_file_of_a_secret_is_given_where_the_secret_could_be)
{
    struct err err = {0};
    secret_file("redis://h\n", 10, 0644);
    char *text = mem_printf("return { jobs = { url_file = \"%s\" },\n"
                            "plugins = { p = { key = secret(\"%s\") } } }",
                            secret_path, secret_path);
    write_file(text);
    mem_free(text);
    struct config *config = config_load(path, NULL, 0, &err);
    CHECK_STR(err.message, "");
    REQUIRE(config);
    CHECK_STR(config_text(config, "jobs.url"), "redis://h");
    struct buf json = {0};
    config_plugin(config, "p", &json);
    CHECK_STR(json.p, "{\"key\":\"redis://h\"}");
    buf_free(&json);
    CHECK(strstr(config_warning(config, 0), "everybody may read it (mode 644)"));
    config_free(config);
    setenv("MARU_JOBS_URL", "redis://other", 1);
    config = config_load(path, NULL, 0, &err);
    REQUIRE(config);
    CHECK_STR(config_text(config, "jobs.url"), "redis://other");
    config_free(config);
    setenv("MARU_JOBS_URL_FILE", secret_path, 1);
    CHECK(!config_load(path, NULL, 0, &err));
    CHECK(strstr(err.message, "environment MARU_JOBS_URL_FILE: jobs.url: given as it is and by"));
    unsetenv("MARU_JOBS_URL");
    unsetenv("MARU_JOBS_URL_FILE");
    unlink(path);
    unlink(secret_path);
    CHECK(strstr(wrong("return {\n jobs = { url = secret(\"/nowhere/x\") } }"),
                 ".lua:2: /nowhere/x: No such file"));
}

TEST(plugins_take_settings_from_the_environment)
{
    struct err err = {0};
    setenv("MARU_PLUGINS_GREETER__MAX_BYTES", "7", 1);
    setenv("MARU_PLUGINS_GREETER__API_KEY__FILE", secret_file("12345\n", 6, 0600), 1);
    struct config *config = config_load(NULL, NULL, 0, &err);
    CHECK_STR(err.message, "");
    REQUIRE(config);
    struct buf json = {0};
    config_plugin(config, "greeter", &json);
    CHECK(strstr(json.p, "\"max_bytes\":7"));
    CHECK(strstr(json.p, "\"api_key\":\"12345\""));
    buf_free(&json);
    config_free(config);
    unlink(secret_path);
    CHECK(!config_load(NULL, NULL, 0, &err));
    CHECK(strstr(err.message, "environment MARU_PLUGINS_GREETER__API_KEY__FILE: /tmp/"));
    unsetenv("MARU_PLUGINS_GREETER__API_KEY__FILE");
    unsetenv("MARU_PLUGINS_GREETER__MAX_BYTES");
}

/* The only warning with the variable in the environment, "" without one, "?" otherwise. */
static const char *warned(const char *name)
{
    static char text[200];
    struct err err = {0};
    setenv(name, "1", 1);
    struct config *config = config_load(NULL, NULL, 0, &err);
    unsetenv(name);
    const char *first = config ? config_warning(config, 0) : "?";
    snprintf(text, sizeof text, "%s", !first ? "" : config_warning(config, 1) ? "?" : first);
    config_free(config);
    return text;
}

TEST(a_variable_that_is_no_key_is_warned_of)
{
    CHECK_STR(warned("MARU_JOBS_CONCURENCY"),
              "environment MARU_JOBS_CONCURENCY: no such key; did you mean MARU_JOBS_CONCURRENCY?");
    CHECK_STR(warned("MARU_JOBS_URLFILE"),
              "environment MARU_JOBS_URLFILE: no such key; did you mean MARU_JOBS_URL_FILE?");
    CHECK_STR(warned("MARU_PLUGINS_GREETER_API_KEY"),
              "environment MARU_PLUGINS_GREETER_API_KEY: no such key; a plugin's are"
              " MARU_PLUGINS_<NAME>__<KEY>");
    CHECK_STR(warned("MARU_WORKERS_NUMBER"),
              "environment MARU_WORKERS_NUMBER: no such key; `maru config` lists them all");
    static const char *const fine[] = {"MARU_CONFIG",
                                       "MARU_JOBS_CONCURRENCY",
                                       "MARU_SERVER",
                                       "MARU_SERVICE_HOST",
                                       "MARU_SERVICE_PORT_HTTP",
                                       "MARU_PORT",
                                       "MARU_PORT_8080_TCP_ADDR",
                                       "MARU_PLUGINS_A__B",
                                       "MARUS"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        CHECK_STR(warned(fine[i]), "");
}

TEST(what_holds_is_printed_with_who_said_so_and_without_secrets)
{
    struct err err = {0};
    struct buf out = {0};
    write_file("return {\n jobs = { concurrency = 3 },\n plugins = { p = { key = \"hush\" } } }");
    setenv("MARU_JOBS_URL", "postgres://user:hush@host/db", 1);
    const char *sets[] = {"plugins.disable=a,b", "node.name=a\"b\nc"};
    struct config *config = config_load(path, sets, 2, &err);
    unsetenv("MARU_JOBS_URL");
    unlink(path);
    REQUIRE(config);
    config_print(config, &out);
    CHECK(!strstr(out.p, "hush"));
    CHECK(strstr(out.p, "  [\"jobs.url\"] = \"postgres://user:***@host/db\", -- environment "
                        "MARU_JOBS_URL\n"));
    CHECK(strstr(out.p, "  [\"jobs.concurrency\"] = 3, -- /tmp/maru-config-"));
    CHECK(strstr(out.p, ".lua:2\n"));
    CHECK(strstr(out.p, "  [\"plugins.disable\"] = { \"a\", \"b\" }, -- --set\n"));
    CHECK(strstr(out.p, "  -- [\"log.level\"] = \"info\",\n"));
    CHECK(strstr(out.p, "[\"plugins.p\"]:\n  --   key: /tmp/maru-config-"));
    CHECK_STR(wrong(out.p), "");
    buf_free(&out);
    config_free(config);
}

TEST(tables_are_printed_as_tables_without_their_secrets)
{
    struct err err = {0};
    struct buf out = {0};
    write_file("return { model = { providers = { { name = \"a\", url = \"https://u:hush@x/v1\",\n"
               "key = \"hush\", key_env = \"NAME\", price = { input = 0.5 } } } } }");
    struct config *config = config_load(path, NULL, 0, &err);
    unlink(path);
    CHECK_STR(err.message, "");
    REQUIRE(config);
    config_print(config, &out);
    CHECK(!strstr(out.p, "hush"));
    CHECK(strstr(out.p, "[\"url\"] = \"https://u:***@x/v1\""));
    CHECK(strstr(out.p, "[\"key\"] = \"***\""));
    CHECK(strstr(out.p, "[\"key_env\"] = \"NAME\""));
    CHECK(strstr(out.p, "[\"price\"] = { [\"input\"] = 0.5 }"));
    CHECK_STR(wrong(out.p), "");
    buf_free(&out);
    config_free(config);
}

/* What a key is called says whether it may be shown. */
TEST(addresses_and_secrets_are_declared_as_such)
{
    static const char *const secret[] = {"secret", "password", "token"};
    for (const struct config_key *key = config_keys; key->name; key++) {
        const char *end = strrchr(key->name, '.') ? strrchr(key->name, '.') + 1 : key->name;
        if (strstr(end, "url"))
            CHECK_EQ(key->type, CONFIG_ADDRESS);
        for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
            if (strstr(end, secret[i]))
                CHECK_EQ(key->type, CONFIG_SECRET);
    }
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

TEST(a_list_of_tables_is_kept_as_json)
{
    struct err err = {0};
    write_file("return { [\"model.providers\"] = { { name = \"a\", price = { input = 0.5 } } },\n"
               "model = { budget = {} } }");
    struct config *config = config_load(path, NULL, 0, &err);
    unlink(path);
    CHECK_STR(err.message, "");
    REQUIRE(config);
    const char *json = config_text(config, "model.providers");
    CHECK(strstr(json, "[{") == json);
    CHECK(strstr(json, "\"price\":{\"input\":0.5}"));
    CHECK_STR(config_text(config, "model.budget"), "");
    config_free(config);
    CHECK(strstr(wrong_set("model.providers={}"), "must be a list of tables"));
    CHECK(strstr(wrong_set("model.providers=[{]"), "must be a list of tables"));
    CHECK(strstr(wrong("return { [\"model.providers\"] = \"x\" }"), "must be a list of tables"));
}
