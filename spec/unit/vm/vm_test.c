#include <unistd.h>

#include "base/clock.h"
#include "base/sys.h"
#include "vm/support.h"

TEST(runs_a_handler_with_app)
{
    struct run run = call_once("f = function(app) return app.name, app.generation, 3 end");
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(run.json, "[\"demo\",\"demo@0123456789ab\",3]");
}

/* The message of a plugin.lua that loads for ever. */
static void check_endless(const char *text, const char *line)
{
    struct fixture f;
    fixture_init(&f);
    f.load_ns = 30 * NS_PER_MS;
    add_file(&f, "plugin.lua", text);
    CHECK(!fixture_load(&f, ""));
    if (!strstr(f.err.message, line) || !strstr(f.err.message, "loading took longer than 30 ms"))
        TEST_FAIL("%s", f.err.message);
    fixture_close(&f);
}

TEST(stops_files_that_load_for_ever)
{
    check_endless("local n = 0\nwhile true do\nn = n + 1\nend", "plugins/demo/plugin.lua:");
    check_endless("local function f() while true do end end\nwhile true do\npcall(f)\nend",
                  "plugins/demo/plugin.lua:");
    check_endless("local co = coroutine.wrap(function() while true do end end)\nco()",
                  "plugins/demo/plugin.lua:1");
}

/* ---- bundles ----------------------------------------------------------- */

TEST(every_plugin_of_this_repository_loads)
{
    static const char *const names[] = {"chzzk", "simulator", "soop", "streampulse"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char dir[64];
        snprintf(dir, sizeof dir, "plugins/%s", names[i]);
        struct fixture f;
        fixture_init(&f);
        struct bundle *bundle = bundle_read(dir, &f.err);
        REQUIRE(bundle);
        CHECK_STR(bundle->name, names[i]);
        CHECK_STR(bundle->dir, dir);
        CHECK_EQ(strlen(bundle->hash), 64);
        f.bundle = *bundle;
        if (!fixture_load(&f, ""))
            TEST_FAIL("%s", f.err.message);
        fixture_close(&f);
        bundle_free(bundle);
    }
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char path[256];
    struct err err;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    dir_make(path, 0755, &err);
    *slash = '/';
    if (!file_write(path, str_c(text), 0644, &err))
        TEST_FAIL("%s", err.message);
}

TEST(reads_a_folder_and_names_it_by_content)
{
    char root[] = "/tmp/maru-bundle-XXXXXX", dir[64], hash[BUNDLE_HASH + 1];
    struct err err;
    REQUIRE(mkdtemp(root));
    snprintf(dir, sizeof dir, "%s/demo/", root);
    CHECK(!bundle_read(dir, &err));
    write_text(dir, "parse.lua", "return 1");
    CHECK(!bundle_read(dir, &err));
    CHECK(strstr(err.message, "/demo: no plugin.lua"));
    write_text(dir, "plugin.lua", "return {}");
    write_text(dir, "migrations/0001_base.sql", "select 1");
    write_text(dir, "spec/demo_spec.lua", "left out");
    write_text(dir, ".hidden", "left out");
    write_text(dir, "empty.txt", "");
    char link[80];
    snprintf(link, sizeof link, "%sloop", dir);
    CHECK_EQ(symlink(".", link), 0);
    struct bundle *b = bundle_read(dir, &err);
    REQUIRE(b);
    CHECK_STR(b->name, "demo");
    CHECK_EQ(b->count, 4);
    CHECK_STR(b->files[1].name, "migrations/0001_base.sql");
    CHECK(bundle_find(b, STR("empty.txt")) && bundle_find(b, STR("empty.txt"))->n == 0);
    CHECK(!bundle_find(b, STR("spec/demo_spec.lua")));
    strcpy(hash, b->hash);
    bundle_free(b);
    write_text(dir, "spec/demo_spec.lua", "changed");
    b = bundle_read(dir, &err);
    CHECK_STR(b->hash, hash);
    bundle_free(b);
    write_text(dir, "parse.lua", "return 2");
    b = bundle_read(dir, &err);
    CHECK(strcmp(b->hash, hash) != 0);
    bundle_free(b);
    char command[80];
    snprintf(command, sizeof command, "rm -r %s", root);
    CHECK_EQ(system(command), 0);
}

TEST(keeps_slots_by_name)
{
    struct fixture f;
    int a, b;
    REQUIRE(fixture_exports(&f, "f = function() end"));
    CHECK(!vm_get_slot(f.vm, "a"));
    vm_set_slot(f.vm, "a", &a);
    vm_set_slot(f.vm, "b", &b);
    vm_set_slot(f.vm, "a", &b);
    CHECK(vm_get_slot(f.vm, "a") == &b && vm_get_slot(f.vm, "b") == &b);
    CHECK_STR(vm_plugin(f.vm), "demo");
    CHECK_STR(vm_label(f.vm), "demo@0123456789ab");
    CHECK(vm_lane(f.vm) == f.lane && vm_owner(f.vm) == &f && vm_decl(f.vm)->start == -1);
    fixture_close(&f);
}
