#include "cli/author.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "bind/bind.h"
#include "loop/lane.h"
#include "vm/embedded.h"
#include "vm/host.h"
#include "vm/inspect.h"

/* Ours as long as it begins like this; an author who changes the line keeps the file. */
static const char made[] = "-- Made by maru from maru.d.lua, and renewed with it.";

bool author_open(struct author *a, struct err *err)
{
    static const struct host host = {.bind = bind_all};
    *a = (struct author){.lane = lane_create(0, LANE_CONTROL, "author", err)};
    if (a->lane)
        a->inspector = inspector_create(a->lane, &host, err);
    return a->inspector != NULL;
}

void author_close(struct author *a)
{
    inspector_destroy(a->inspector);
    if (a->lane)
        lane_destroy(a->lane);
}

static bool read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    char piece[8192];
    size_t n;
    if (!file)
        return false;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_add(out, piece, n);
    fclose(file);
    return true;
}

static bool is_ours(struct str text, struct str fresh)
{
    return str_starts(text, str_c(made)) || str_starts(fresh, STR("---@meta"));
}

/* create: also where nothing is yet. */
static bool renew(const char *path, struct str fresh, bool create, struct err *err)
{
    struct buf there = {0};
    bool exists = read_file(path, &there);
    bool wanted =
        exists ? is_ours(buf_str(&there), fresh) && !str_eq(buf_str(&there), fresh) : create;
    buf_free(&there);
    return !wanted || file_write(path, fresh, 0644, err);
}

/* The editor's file names the folder of the types, which lies beside it or one higher. */
static bool write_luarc(const char *dir, const char *types, struct err *err)
{
    struct str text = embedded_text_find("core/cli/scaffold/luarc.json");
    char *path = mem_printf("%s/.luarc.json", dir);
    struct buf out = {0};
    size_t at = (size_t)(strstr((const char *)text.p, "TYPES") - text.p);
    buf_add(&out, text.p, at);
    buf_add_c(&out, types);
    buf_add(&out, text.p + at + 5, text.n - at - 5);
    bool ok = access(path, F_OK) == 0 || file_write(path, buf_str(&out), 0644, err);
    buf_free(&out);
    mem_free(path);
    return ok;
}

static bool write_luacheckrc(struct inspector *inspector, const char *dir, bool create,
                             struct err *err)
{
    struct buf text = {0};
    char *path = mem_printf("%s/.luacheckrc", dir);
    buf_add_c(&text, made);
    buf_add_char(&text, '\n');
    bool ok =
        inspector_luacheckrc(inspector, &text, err) && renew(path, buf_str(&text), create, err);
    buf_free(&text);
    mem_free(path);
    return ok;
}

static bool write_types(const char *plugins, bool create, struct err *err)
{
    char *dir = mem_printf("%s/.maru", plugins);
    char *host = mem_printf("%s/maru.d.lua", dir), *test = mem_printf("%s/test.d.lua", dir);
    bool begun = access(host, F_OK) == 0; /* test.d.lua may be newer than what is there */
    bool ok =
        (!create || dir_make(dir, 0755, err)) && renew(host, inspect_types(), create, err) &&
        renew(test, embedded_text_find("core/lua/maru/test/test.d.lua"), create || begun, err);
    mem_free(dir);
    mem_free(host);
    mem_free(test);
    return ok;
}

bool author_write(struct inspector *inspector, const char *plugins, const char *name,
                  struct err *err)
{
    char *own = mem_printf("%s/%s", plugins, name);
    bool ok = write_types(plugins, true, err) && write_luarc(plugins, ".maru", err) &&
              write_luacheckrc(inspector, plugins, true, err) &&
              write_luarc(own, "../.maru", err) && write_luacheckrc(inspector, own, true, err);
    mem_free(own);
    return ok;
}

void author_refresh(struct inspector *inspector, const char *plugins)
{
    struct err ignored = {0};
    DIR *dir = opendir(plugins);
    write_types(plugins, false, &ignored);
    write_luacheckrc(inspector, plugins, false, &ignored);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        char *own = mem_printf("%s/%s", plugins, e->d_name);
        write_luacheckrc(inspector, own, false, &ignored);
        mem_free(own);
    }
    if (dir)
        closedir(dir);
}
