#include "config/file.h"

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"

enum {
    FILE_BYTES = 1 << 20,
    FILE_INSTRUCTIONS = 10000000, /* a file that loops is an error, not a hang */
    FILE_DEPTH = 20,
};

static void on_count(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    luaL_error(L, "the configuration file runs for too long");
}

/* secret("path"): what stands in that file. */
static int l_secret(lua_State *L)
{
    struct config *config = lua_touserdata(L, lua_upvalueindex(1));
    const char *path = luaL_checkstring(L, 1);
    struct buf text = {0};
    struct err err = {0};
    bool ok = config_secret(config, path, &text, &err);
    lua_pushlstring(L, ok ? text.p : "", ok ? text.n : 0);
    buf_free(&text);
    return ok ? 1 : luaL_error(L, "%s", err.message);
}

/* What a file may use: the basic functions without loaders, string, table, math, os.getenv, secret.
 */
static void open_libraries(lua_State *L, struct config *config)
{
    static const char *const removed[] = {"dofile",  "loadfile", "load",           "loadstring",
                                          "require", "module",   "collectgarbage", "getfenv",
                                          "setfenv", "newproxy", "print",          NULL};
    static const lua_CFunction openers[] = {luaopen_base, luaopen_string, luaopen_table,
                                            luaopen_math};
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
        lua_pushcfunction(L, openers[i]);
        lua_call(L, 0, 0);
    }
    for (int i = 0; removed[i]; i++) {
        lua_pushnil(L);
        lua_setglobal(L, removed[i]);
    }
    lua_pushcfunction(L, luaopen_os);
    lua_call(L, 0, 1);
    lua_createtable(L, 0, 1);
    lua_getfield(L, -2, "getenv");
    lua_setfield(L, -2, "getenv");
    lua_setglobal(L, "os");
    lua_pop(L, 1);
    lua_pushlightuserdata(L, config);
    lua_pushcclosure(L, l_secret, 1);
    lua_setglobal(L, "secret");
}

static bool write_json(lua_State *L, int index, int depth, struct buf *out, struct err *err);

static bool write_table(lua_State *L, int index, int depth, struct buf *out, struct err *err)
{
    size_t length = lua_objlen(L, index), seen = 0;
    buf_add_char(out, length > 0 ? '[' : '{');
    if (length > 0) {
        for (size_t i = 1; i <= length; i++) {
            lua_rawgeti(L, index, (int)i);
            if (i > 1)
                buf_add_char(out, ',');
            if (!write_json(L, lua_gettop(L), depth + 1, out, err))
                return false;
            lua_pop(L, 1);
        }
    } else {
        for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING)
                return err_set(err, ERR_INVALID, "keys must be text");
            if (seen++ > 0)
                buf_add_char(out, ',');
            json_write_string(out, str_c(lua_tostring(L, -2)));
            buf_add_char(out, ':');
            if (!write_json(L, lua_gettop(L), depth + 1, out, err))
                return false;
        }
    }
    buf_add_char(out, length > 0 ? ']' : '}');
    return true;
}

static bool write_json(lua_State *L, int index, int depth, struct buf *out, struct err *err)
{
    size_t n;
    const char *text;
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        buf_add_c(out, lua_toboolean(L, index) ? "true" : "false");
        return true;
    case LUA_TNUMBER:
        if (!json_write_number(out, lua_tonumber(L, index)))
            return err_set(err, ERR_INVALID, "must be a finite number");
        return true;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &n);
        json_write_string(out, str_n(text, n));
        return true;
    case LUA_TTABLE:
        if (depth == FILE_DEPTH)
            return err_set(err, ERR_LIMIT, "nested too deeply");
        return write_table(L, index, depth, out, err);
    default:
        return err_set(err, ERR_INVALID, "must be text, number, boolean or table, got %s",
                       luaL_typename(L, index));
    }
}

/* The value at the top as --set would give it. */
static bool plain_text(lua_State *L, struct buf *out, struct err *err)
{
    size_t n;
    if (lua_type(L, -1) == LUA_TBOOLEAN) {
        buf_add_c(out, lua_toboolean(L, -1) ? "true" : "false");
        return true;
    }
    if (lua_type(L, -1) == LUA_TNUMBER)
        return json_write_number(out, lua_tonumber(L, -1)) ||
               err_set(err, ERR_INVALID, "must be a finite number");
    if (lua_type(L, -1) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &n);
        buf_add(out, text, n);
        return true;
    }
    return err_set(err, ERR_INVALID, "must be text, number or boolean, got %s",
                   luaL_typename(L, -1));
}

/* An array of text at the top, a mark behind each. */
static bool list_text(lua_State *L, struct buf *out, struct err *err)
{
    int length = (int)lua_objlen(L, -1);
    for (int i = 1; i <= length; i++) {
        lua_rawgeti(L, -1, i);
        if (!plain_text(L, out, err))
            return false;
        buf_add_char(out, LIST_MARK);
        lua_pop(L, 1);
    }
    return true;
}

struct reading {
    struct config *config;
    lua_State *L;
    const char *path;
    struct str source;
};

/* "maru.lua:7", or without a line when the text does not show it; freed by the caller. */
static char *place(const struct reading *r, struct str key)
{
    int line = config_line(r->source, key);
    return line > 0 ? mem_printf("%s:%d", r->path, line) : mem_strdup(r->path);
}

static bool is_key(const struct reading *r, struct str name)
{
    bool by_file;
    return config_find(r->config, name.p, &by_file) != NULL;
}

static bool is_tables(const struct reading *r, struct str name)
{
    bool by_file;
    const struct entry *entry = config_find(r->config, name.p, &by_file);
    return entry && entry->key->type == CONFIG_TABLES;
}

static void assign_plugin(const struct reading *r, struct str plugin, struct str key,
                          struct str json)
{
    char *name = mem_printf("plugins.%.*s.%.*s", (int)plugin.n, plugin.p, (int)key.n, key.p);
    char *origin = place(r, str_c(name));
    config_assign_plugin(r->config, plugin, key, json, origin);
    mem_free(origin);
    mem_free(name);
}

/* The table at the top holds one plugin's values. */
static bool read_plugin(const struct reading *r, struct str plugin, struct err *err)
{
    lua_State *L = r->L;
    if (!lua_istable(L, -1))
        return err_set(err, ERR_INVALID, "plugins.%.*s must be a table of its settings",
                       (int)plugin.n, plugin.p);
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        struct buf json = {0};
        if (lua_type(L, -2) != LUA_TSTRING)
            return err_set(err, ERR_INVALID, "plugins.%.*s: keys must be text", (int)plugin.n,
                           plugin.p);
        struct str key = str_c(lua_tostring(L, -2));
        bool ok = write_json(L, lua_gettop(L), 0, &json, err);
        if (ok)
            assign_plugin(r, plugin, key, buf_str(&json));
        buf_free(&json);
        if (!ok)
            return err_wrap(err, "plugins.%.*s.%.*s", (int)plugin.n, plugin.p, (int)key.n, key.p);
    }
    return true;
}

static bool read_section(const struct reading *r, struct str prefix, struct err *err);

/* The value at the top belongs to `name`. */
static bool read_value(const struct reading *r, struct str name, struct err *err)
{
    lua_State *L = r->L;
    const struct str plugins = STR("plugins.");
    if (lua_istable(L, -1) && !is_key(r, name)) {
        if (str_starts(name, plugins))
            return read_plugin(r, str_n(name.p + plugins.n, name.n - plugins.n), err);
        return read_section(r, name, err);
    }
    struct buf text = {0};
    bool ok = true;
    if (lua_istable(L, -1) && is_tables(r, name))
        ok = lua_objlen(L, -1) == 0 || write_json(L, lua_gettop(L), 0, &text, err);
    else
        ok = lua_istable(L, -1) ? list_text(L, &text, err) : plain_text(L, &text, err);
    if (!ok)
        err_wrap(err, "%.*s", (int)name.n, name.p);
    char *origin = place(r, name);
    const struct giver by = {FROM_FILE, origin};
    ok = ok && config_assign(r->config, name.p, buf_str(&text), &by, err);
    mem_free(origin);
    buf_free(&text);
    return ok;
}

/* The table at the top: keys are joined with points, so http = { listen = … }
 * and ["http.listen"] = … say the same. */
static bool read_section(const struct reading *r, struct str prefix, struct err *err)
{
    lua_State *L = r->L;
    int table = lua_gettop(L);
    if (prefix.n > 100)
        return err_set(err, ERR_INVALID, "%.*s: nested too deeply", (int)prefix.n, prefix.p);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        struct buf name = {0};
        if (lua_type(L, -2) != LUA_TSTRING)
            return err_set(err, ERR_INVALID, "%.*s%skeys must be text, got %s", (int)prefix.n,
                           prefix.p, prefix.n > 0 ? ": " : "", luaL_typename(L, -2));
        if (prefix.n > 0)
            buf_printf(&name, "%.*s.", (int)prefix.n, prefix.p);
        buf_add_c(&name, lua_tostring(L, -2));
        bool ok = read_value(r, buf_str(&name), err);
        buf_free(&name);
        if (!ok)
            return false;
    }
    return true;
}

static bool run_text(lua_State *L, const char *path, struct str source, struct err *err)
{
    char *name = mem_printf("@%s", path);
    bool ok = luaL_loadbufferx(L, source.p, source.n, name, "t") == 0 && lua_pcall(L, 0, 1, 0) == 0;
    mem_free(name);
    const char *message = ok ? "" : lua_tostring(L, -1);
    if (!ok && str_starts(str_c(message), str_c(path)))
        err_set(err, ERR_INVALID, "%s", message); /* names its line */
    else if (!ok)
        err_set(err, ERR_INVALID, "%s: %s", path, message);
    if (ok && !lua_istable(L, -1))
        ok = err_set(err, ERR_INVALID, "%s: must return a table", path);
    return ok;
}

/* *err begins with the key it is about; puts file and line in front. */
static bool name_line(const char *path, struct str source, struct err *err)
{
    int line = config_line(source, str_n(err->message, str_find(str_c(err->message), ':')));
    return line > 0 ? err_wrap(err, "%s:%d", path, line) : err_wrap(err, "%s", path);
}

bool config_file(struct config *config, const char *path, struct err *err)
{
    struct buf source = {0};
    lua_State *L = luaL_newstate();
    if (!L)
        return err_set(err, ERR_MEMORY, "%s: no memory for a Lua state", path);
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF); /* or the count is not kept */
    lua_sethook(L, on_count, LUA_MASKCOUNT, FILE_INSTRUCTIONS);
    open_libraries(L, config);
    bool ok = file_read(path, FILE_BYTES, &source, err) && run_text(L, path, buf_str(&source), err);
    const struct reading reading = {config, L, path, buf_str(&source)};
    if (ok && !read_section(&reading, STR(""), err))
        ok = name_line(path, buf_str(&source), err);
    lua_close(L);
    buf_free(&source);
    return ok;
}
