/* What a failed coroutine says, taken from the value it raised. */
#include <lauxlib.h>
#include <lua.h>

#include "vm/internal.h"
#include "vm/json.h"

enum {
    TRACEBACK_BYTES = 4000,
    MESSAGE_BYTES = 8000,    /* of an error; the rest is cut off */
    DELAY_MOST = 1000000000, /* seconds */
    EXTRA_BYTES = 256 << 10, /* of app.fail's fourth argument as JSON; a longer one is left out */
};

void failure_open(lua_State *L)
{
    if (luaL_newmetatable(L, VM_FAILURE)) {
        lua_pushliteral(L, "locked");
        lua_setfield(L, -2, "__metatable");
    }
}

static char *keep(struct task *task, const char *p, size_t n)
{
    char *copy = task_alloc(task, n + 1);
    memcpy(copy, p, n);
    return copy;
}

/* At most so many bytes, whole characters of UTF-8. */
static size_t cut(const char *p, size_t n)
{
    if (n <= MESSAGE_BYTES)
        return n;
    n = MESSAGE_BYTES;
    while (n > 0 && ((unsigned char)p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static bool is_failure(lua_State *L, int index)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, VM_FAILURE);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static void push_field(lua_State *L, int index, const char *key)
{
    lua_pushvalue(L, index);
    lua_pushstring(L, key);
    lua_rawget(L, -2);
    lua_remove(L, -2);
}

static const char *text_field(struct task *task, lua_State *L, int index, const char *key,
                              const char *otherwise)
{
    push_field(L, index, key);
    const char *text = otherwise;
    if (lua_type(L, -1) == LUA_TSTRING) {
        size_t n;
        const char *p = lua_tolstring(L, -1, &n);
        text = keep(task, p, cut(p, n));
    }
    lua_pop(L, 1);
    return text;
}

static double number_field(lua_State *L, int index, const char *key, double otherwise)
{
    push_field(L, index, key);
    double value = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : otherwise;
    lua_pop(L, 1);
    return value;
}

/* The plugin may have changed what app.fail made. */
static bool is_error_status(double status)
{
    return status >= 400 && status <= 599 && status == (double)(int)status;
}

static void read_table(struct task *task, lua_State *L, struct task_failure *out)
{
    int index = lua_gettop(L);
    double status = number_field(L, index, "status", 0);
    out->status = status == 0 ? 0 : is_error_status(status) ? (int)status : 500;
    out->code = text_field(task, L, index, "code", "lua");
    out->message = text_field(task, L, index, "message", "");
    double delay = number_field(L, index, "delay", -1);
    out->delay = !(delay >= 0) ? -1 : delay < DELAY_MOST ? delay : DELAY_MOST;
    push_field(L, index, "extra");
    struct buf json = {0};
    struct err err;
    if (!lua_isnil(L, -1) && lua_json_encode(L, lua_gettop(L), &json, &err) &&
        json.n <= EXTRA_BYTES)
        out->extra_json = str_n(keep(task, json.p, json.n), json.n);
    buf_free(&json);
    lua_pop(L, 1);
}

bool task_failure_of(struct task *task, lua_State *L, int index, struct task_failure *out)
{
    if (!is_failure(L, index))
        return false;
    *out = (struct task_failure){.code = "lua", .traceback = "", .delay = -1};
    lua_pushvalue(L, index);
    read_table(task, L, out);
    lua_pop(L, 1);
    return true;
}

/* "[C]: at 0x7f…", a C function without a name: nobody needs to know where the program lies. */
static struct str without_address(struct str line)
{
    const char *at = memmem(line.p, line.n, ": at 0x", 7);
    return at ? str_n(line.p, (size_t)(at - line.p)) : line;
}

/* A traceback without the host library's own frames. */
static const char *keep_frames(struct task *task, struct str text)
{
    struct str rest = str_n(text.p, text.n < TRACEBACK_BYTES ? text.n : TRACEBACK_BYTES);
    struct buf kept = {0};
    while (rest.n) {
        struct str line = str_split(&rest, '\n');
        if ((line.n > 1 && library_is_source(line.p + 1)) ||
            str_starts(line, STR("\t[C]: in function 'error'")))
            continue;
        if (kept.n)
            buf_add_char(&kept, '\n');
        buf_add_str(&kept, without_address(line));
    }
    const char *copy = keep(task, kept.p ? kept.p : "", kept.n);
    buf_free(&kept);
    return copy;
}

static const char *traceback(struct task *task, lua_State *co)
{
    lua_State *L = task_vm(task)->L;
    luaL_traceback(L, co, NULL, 0);
    struct str text;
    text.p = lua_tolstring(L, -1, &text.n);
    const char *copy = keep_frames(task, text);
    lua_pop(L, 1);
    return copy;
}

void failure_killed(struct task *task, struct task_failure *out)
{
    const struct vm *vm = task_vm(task);
    struct str text = str_c(vm->kill_text);
    *out = (struct task_failure){.code = "killed", .delay = -1};
    out->message = keep(task, text.p, text.n);
    out->traceback = keep_frames(task, str_c(vm->kill_trace));
}

/* The value is read on the VM's main state: a coroutine that overflowed its stack has no
 * room for a push, and none for a traceback. */
void failure_read(struct task *task, lua_State *co, struct task_failure *out)
{
    lua_State *L = task_vm(task)->L;
    int top = lua_gettop(L);
    lua_xmove(co, L, 1);
    *out = (struct task_failure){.code = "lua", .traceback = "", .delay = -1};
    if (is_failure(L, top + 1)) {
        read_table(task, L, out);
    } else if (lua_type(L, top + 1) == LUA_TSTRING) {
        size_t n;
        const char *p = lua_tolstring(L, top + 1, &n);
        out->message = keep(task, p, cut(p, n));
        if (!strstr(out->message, "stack overflow"))
            out->traceback = traceback(task, co);
    } else {
        char words[96];
        snprintf(words, sizeof words, "raised a %s value instead of text or app.fail(…)",
                 luaL_typename(L, top + 1));
        out->message = keep(task, words, strlen(words));
        out->traceback = traceback(task, co);
    }
    lua_settop(L, top);
}
