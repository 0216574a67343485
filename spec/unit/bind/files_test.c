/* app.read: what M.allow.fs names, and nothing that a link or ".." makes of it. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "loop/pool.h"
#include "vm/support.h"

struct place {
    struct fixture f;
    char dir[64];
};

static void put(const struct place *p, const char *name, const char *text)
{
    struct err err = {0};
    char *path = mem_printf("%s/%s", p->dir, name);
    CHECK(file_write(path, str_c(text), 0600, &err));
    mem_free(path);
}

static void link_to(const struct place *p, const char *name, const char *target)
{
    char *path = mem_printf("%s/%s", p->dir, name);
    CHECK(symlink(target, path) == 0);
    mem_free(path);
}

static void make_dir(const struct place *p, const char *name)
{
    char *path = mem_printf("%s/%s", p->dir, name);
    CHECK(mkdir(path, 0700) == 0);
    mem_free(path);
}

/* open/ is allowed, and the file one/file; closed/ is not. */
static bool place_open(struct place *p)
{
    struct err err;
    snprintf(p->dir, sizeof p->dir, "/tmp/maru-files.XXXXXX");
    if (!mkdtemp(p->dir))
        return false;
    make_dir(p, "open");
    make_dir(p, "open/sub");
    make_dir(p, "closed");
    make_dir(p, "one");
    put(p, "open/a", "inside");
    put(p, "open/sub/b", "deeper");
    put(p, "closed/secret", "secret");
    put(p, "one/real", "real");
    link_to(p, "open/near", "sub/b");
    link_to(p, "open/out", "../closed/secret");
    link_to(p, "open/away", "../closed");
    link_to(p, "open/loop", "loop");
    link_to(p, "one/file", "real");
    link_to(p, "one/leak", "../closed/secret");
    link_to(p, "way", "open");
    char *text = mem_printf(
        "local D = '%s/'\n"
        "local M = { name = 'demo', version = '1.0.0' }\n"
        "M.allow = { fs = { D .. 'open/', D .. 'one/file', D .. 'one/leak', D .. 'way/', "
        "'/proc/self/' } }\n"
        "local names = { a = 'open/a', b = 'open/sub/b', near = 'open/near', out = 'open/out',\n"
        "  away = 'open/away/secret', climb = 'open/../closed/secret', secret = 'closed/secret',\n"
        "  none = 'open/none', hidden = 'closed/none', folder = 'open/sub', loop = 'open/loop',\n"
        "  file = 'one/file', real = 'one/real', leak = 'one/leak', way = 'way/a', under = "
        "'open/a/x' }\n"
        "M.exports = { nul = function(app) return app.read(D .. 'open/a\\0x') end,\n"
        "  fd = function(app) return app.read('/proc/self/root/etc/passwd') end }\n"
        "for name, path in pairs(names) do\n"
        "  M.exports[name] = function(app) return app.read(D .. path) end\n"
        "end\n"
        "return M\n",
        p->dir);
    fixture_init(&p->f);
    p->f.host.pool = pool_create("pool", 1, &err);
    add_file(&p->f, "plugin.lua", text);
    bool ok = fixture_load(&p->f, "");
    if (!ok)
        printf("# %s\n", p->f.err.message);
    mem_free(text);
    return ok;
}

static void place_close(struct place *p)
{
    pool_destroy(p->f.host.pool);
    uv_run(&p->f.lane->loop, UV_RUN_NOWAIT); /* what the pool sent back */
    fixture_close(&p->f);
    char *command = mem_printf("rm -rf '%s'", p->dir);
    CHECK(system(command) == 0);
    mem_free(command);
}

static bool says(struct place *p, const char *name, const char *part)
{
    struct run run = call(&p->f, name);
    bool ok = strstr(run.json, part) != NULL;
    if (!ok)
        printf("# %s: %s %s\n", name, run.json, run.message);
    return ok;
}

TEST(reads_what_is_named_and_follows_links_that_stay_inside)
{
    struct place p;
    REQUIRE(place_open(&p));
    CHECK(says(&p, "a", "[\"inside\"]"));
    CHECK(says(&p, "b", "[\"deeper\"]"));
    CHECK(says(&p, "near", "[\"deeper\"]"));
    CHECK(says(&p, "file", "[\"real\"]"));
    CHECK(says(&p, "way", "[\"inside\"]"));
    place_close(&p);
}

TEST(refuses_what_lies_outside_however_it_is_spelt)
{
    struct place p;
    REQUIRE(place_open(&p));
    CHECK(says(&p, "out", "\"forbidden\""));
    CHECK(says(&p, "away", "\"forbidden\""));
    CHECK(says(&p, "climb", "\"forbidden\""));
    CHECK(says(&p, "secret", "\"forbidden\""));
    CHECK(says(&p, "leak", "\"forbidden\""));
    CHECK(says(&p, "real", "\"forbidden\""));
    CHECK(says(&p, "nul", "\"forbidden\""));
    CHECK(says(&p, "fd", "\"forbidden\""));
    place_close(&p);
}

TEST(says_whether_a_file_is_there_only_where_it_may_be_read)
{
    struct place p;
    REQUIRE(place_open(&p));
    CHECK(says(&p, "none", "\"not_found\""));
    CHECK(says(&p, "under", "\"not_found\""));
    CHECK(says(&p, "hidden", "\"forbidden\""));
    CHECK(says(&p, "folder", "is not a file"));
    CHECK(says(&p, "loop", "\"io\""));
    place_close(&p);
}

TEST(a_read_that_nobody_waits_for_ends_by_itself)
{
    struct place p;
    struct run run;
    REQUIRE(place_open(&p));
    REQUIRE(start(&p.f, "a", &run));
    vm_retire(p.f.vm);
    vm_cancel_tasks(p.f.vm);
    CHECK(run.ended);
    CHECK(!strstr(run.json, "inside"));
    vm_destroy(p.f.vm);
    p.f.vm = NULL;
    place_close(&p);
}
