/* watchdog_try.c -- what a count hook reaches in this LuaJIT, found out and not assumed. */
#include <lauxlib.h>
#include <lualib.h>

#include "vm/watchdog.h"

/* The second call enters the loop's trace at its first turn.  There it either meets the
 * armed hook or runs to its end, which takes a fraction of a millisecond. */
static const char program[] = "local function loop(n)\n"
                              "  local x = 0\n"
                              "  for i = 1, n do x = (x + i) % 65521 end\n"
                              "  return x\n"
                              "end\n"
                              "loop(1000)\n"
                              "local compiled = require('jit.util').traceinfo(1) ~= nil\n"
                              "return compiled, loop\n";

enum { LOOP_TURNS = 100000, HOOK_STEPS = 1000 };

static void on_hook(lua_State *L, lua_Debug *where)
{
    (void)where;
    luaL_error(L, "stopped");
}

enum watch_protection watchdog_try(void)
{
    enum watch_protection found = WATCH_INTERPRETED;
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_loadstring(L, program) == 0 && lua_pcall(L, 0, 2, 0) == 0 && lua_toboolean(L, -2)) {
        lua_pushinteger(L, LOOP_TURNS);
        lua_sethook(L, on_hook, LUA_MASKCOUNT, HOOK_STEPS);
        found = lua_pcall(L, 1, 0, 0) == 0 ? WATCH_UNCHECKED : WATCH_CHECKED;
        lua_sethook(L, NULL, 0, 0);
    }
    lua_close(L);
    return found;
}

const char *watch_protection_name(enum watch_protection p)
{
    static const char *const names[] = {"interpreted", "checked", "unchecked"};
    return names[p];
}

const char *watch_protection_text(enum watch_protection p)
{
    static const char *const texts[] = {
        "nothing is compiled here: a handler that loops is stopped with an error",
        "compiled code checks hooks here: a handler that loops is stopped with an error",
        ("compiled code checks no hooks here: a handler that loops in it costs its process, once;"
         " plugins with jit = false are stopped with an error"),
    };
    return texts[p];
}
