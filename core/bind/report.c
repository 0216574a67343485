#include "bind/report.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"
#include "vm/library.h"

/* An object of maru/test/report.lua is on the stack's bottom. */
struct report {
    lua_State *L;
};

static int open_protected(lua_State *L)
{
    const char *handler = lua_touserdata(L, 1);
    luaL_openlibs(L);
    library_load(L, "maru.test.report");
    lua_call(L, 0, 1);
    lua_pushstring(L, handler);
    lua_call(L, 1, 1);
    lua_setglobal(L, "report");
    return 0;
}

struct report *report_open(const char *handler, struct err *err)
{
    lua_State *L = luaL_newstate();
    if (lua_cpcall(L, open_protected, (void *)(uintptr_t)handler) != 0) {
        err_set(err, ERR_NOT_FOUND, "%s", lua_tostring(L, -1));
        lua_close(L);
        return NULL;
    }
    lua_getglobal(L, "report");
    struct report *report = mem_zero(1, sizeof *report);
    report->L = L;
    return report;
}

/* report.<name>(text) → the result is on top; a failure of the handler is one of the run. */
static bool call(struct report *report, const char *name, struct str text)
{
    lua_State *L = report->L;
    lua_settop(L, 1);
    lua_getfield(L, 1, name);
    lua_pushlstring(L, text.p, text.n);
    if (lua_pcall(L, 1, 1, 0) == 0)
        return true;
    fprintf(stderr, "maru: %s\n", lua_tostring(L, -1));
    return false;
}

void report_file(struct report *report, const char *path)
{
    call(report, "file", str_c(path));
}

bool report_line(struct report *report, struct str line)
{
    return !call(report, "line", line) || lua_toboolean(report->L, -1);
}

void report_failure(struct report *report, const char *message)
{
    call(report, "failure", str_c(message));
}

int report_close(struct report *report)
{
    int failed = call(report, "close", STR("")) ? (int)lua_tointeger(report->L, -1) : 1;
    lua_close(report->L);
    mem_free(report);
    return failed;
}
