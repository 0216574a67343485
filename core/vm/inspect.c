#include "vm/inspect.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "storage/scratch.h"
#include "vm/embedded.h"
#include "vm/internal.h"
#include "vm/json.h"

struct inspector {
    struct vm *vm;
    struct bundle bundle; /* the plugin that the VM is made for: it does nothing */
    struct bundle_file file;
};

/* What the Lua side works on now. */
struct run {
    const struct bundle *bundle;
    struct scratch *scratch;
    struct inspection *out;
    struct buf *text;
    const char *module; /* of a text: the file that makes it */
};

struct str inspect_types(void)
{
    return embedded_text_find("core/lua/maru/maru.d.lua");
}

struct inspector *inspector_create(struct lane *lane, const struct host *host, struct err *err)
{
    static char dir[] = "maru", name[] = "plugin.lua";
    static char text[] = "return { name = \"maru\", version = \"0.0.0\" }";
    struct inspector *in = mem_zero(1, sizeof *in);
    in->file = (struct bundle_file){name, text, sizeof text - 1};
    in->bundle = (struct bundle){.name = "maru", .dir = dir, .files = &in->file, .count = 1};
    struct vm_options options = {
        .lane = lane, .host = host, .bundle = &in->bundle, .label = "maru@check"};
    in->vm = vm_create(&options, NULL, err);
    if (in->vm)
        return in;
    mem_free(in);
    return NULL;
}

void inspector_destroy(struct inspector *in)
{
    if (!in)
        return;
    vm_destroy(in->vm);
    mem_free(in);
}

/* ---- what the Lua side asks -------------------------------------------------------------- */

/* prepare(sql, given) -> true | nil, message, offset, length, words of the plugin's schema */
static int l_prepare(lua_State *L)
{
    const struct run *run = lua_touserdata(L, lua_upvalueindex(1));
    struct str sql;
    sql.p = luaL_checklstring(L, 1, &sql.n);
    struct scratch_fault fault;
    struct err err = {0}, ignored;
    const char *plugin = run->bundle->name;
    if (scratch_prepare(run->scratch, plugin, sql, luaL_checkint(L, 2), &fault, &err)) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct buf *words = vm_scratch(vm_of(L));
    scratch_words(run->scratch, plugin, words, &ignored);
    lua_pushnil(L);
    lua_pushstring(L, err.message);
    lua_pushinteger(L, fault.offset);
    lua_pushinteger(L, fault.length);
    lua_pushlstring(L, words->p ? words->p : "", words->n);
    return 5;
}

static bool is_source(const struct bundle_file *f)
{
    size_t n = strlen(f->name);
    return n > 4 && strcmp(f->name + n - 4, ".lua") == 0 && strncmp(f->name, "public/", 7) != 0;
}

/* -- plugin: { name, dir, files, prepare } */
static void push_plugin(lua_State *L, struct run *run)
{
    lua_newtable(L);
    lua_pushstring(L, run->bundle->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, run->bundle->dir);
    lua_setfield(L, -2, "dir");
    lua_newtable(L);
    for (int i = 0, n = 0; i < run->bundle->count; i++) {
        const struct bundle_file *f = &run->bundle->files[i];
        if (!is_source(f))
            continue;
        lua_newtable(L);
        lua_pushstring(L, f->name);
        lua_setfield(L, -2, "name");
        lua_pushlstring(L, f->bytes, f->n);
        lua_setfield(L, -2, "text");
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, "files");
    if (run->scratch) {
        lua_pushlightuserdata(L, run);
        lua_pushcclosure(L, l_prepare, 1);
        lua_setfield(L, -2, "prepare");
    }
}

/* -- surface */
static void push_surface(lua_State *L)
{
    library_push(L, "maru.check.surface");
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->inside_ref);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_call(L, 2, 1);
}

/* -- types */
static void push_types(lua_State *L)
{
    struct str text = inspect_types();
    library_push(L, "maru.check.types");
    lua_getfield(L, -1, "read");
    lua_remove(L, -2);
    lua_pushlstring(L, text.p, text.n);
    lua_call(L, 1, 1);
}

/* ---- what it answers --------------------------------------------------------------------- */

static char *text_field(lua_State *L, const char *key)
{
    lua_getfield(L, -1, key);
    char *text = mem_strdup(luaL_checkstring(L, -1));
    lua_pop(L, 1);
    return text;
}

static int int_field(lua_State *L, const char *key)
{
    lua_getfield(L, -1, key);
    int n = luaL_checkint(L, -1);
    lua_pop(L, 1);
    return n;
}

static void read_finding(lua_State *L, struct finding *f)
{
    f->file = text_field(L, "file");
    f->code = text_field(L, "code");
    f->message = text_field(L, "message");
    f->line = int_field(L, "line");
    f->column = int_field(L, "column");
    f->length = int_field(L, "length");
    char *severity = text_field(L, "severity");
    f->warning = strcmp(severity, "warning") == 0;
    mem_free(severity);
}

static int by_place(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;
    int order = strcmp(x->file, y->file);
    if (order == 0)
        order = (x->line > y->line) - (x->line < y->line);
    return order != 0 ? order : (x->column > y->column) - (x->column < y->column);
}

static int l_run(lua_State *L)
{
    struct run *run = lua_touserdata(L, 1);
    struct inspection *out = run->out;
    library_push(L, "maru.check.inspect");
    push_plugin(L, run);
    push_surface(L);
    push_types(L);
    lua_call(L, 3, 3); /* findings statements unchecked */
    out->statements = luaL_checkint(L, -2);
    out->unchecked = luaL_checkint(L, -1);
    lua_pop(L, 2);
    int count = (int)lua_objlen(L, -1);
    out->findings = mem_zero((size_t)count + 1, sizeof *out->findings);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        read_finding(L, &out->findings[out->count++]);
        lua_pop(L, 1);
    }
    qsort(out->findings, (size_t)count, sizeof *out->findings, by_place);
    return 0;
}

static int l_surface(lua_State *L)
{
    const struct run *run = lua_touserdata(L, 1);
    struct err err;
    push_surface(L);
    if (!lua_json_encode(L, lua_gettop(L), run->text, &err))
        luaL_error(L, "%s", err.message);
    return 0;
}

static int l_luacheckrc(lua_State *L)
{
    const struct run *run = lua_touserdata(L, 1);
    size_t n;
    library_push(L, "maru.check.luacheckrc");
    push_types(L);
    lua_call(L, 1, 1);
    const char *text = luaL_checklstring(L, -1, &n);
    buf_add(run->text, text, n);
    return 0;
}

static bool protected_run(struct inspector *in, lua_CFunction function, struct run *run,
                          struct err *err)
{
    lua_State *L = in->vm->L;
    int top = lua_gettop(L);
    bool ok = lua_cpcall(L, function, run) == 0;
    if (!ok)
        err_set(err, ERR_LUA, "maru check: %s", lua_tostring(L, -1));
    lua_settop(L, top);
    return ok;
}

bool inspector_run(struct inspector *in, const struct bundle *bundle, struct scratch *scratch,
                   struct inspection *out, struct err *err)
{
    struct run run = {.bundle = bundle, .scratch = scratch, .out = out};
    *out = (struct inspection){0};
    return protected_run(in, l_run, &run, err);
}

void inspection_free(struct inspection *in)
{
    for (int i = 0; i < in->count; i++) {
        mem_free(in->findings[i].file);
        mem_free(in->findings[i].code);
        mem_free(in->findings[i].message);
    }
    mem_free(in->findings);
    *in = (struct inspection){0};
}

bool inspector_surface(struct inspector *in, struct buf *json, struct err *err)
{
    return protected_run(in, l_surface, &(struct run){.text = json}, err);
}

bool inspector_luacheckrc(struct inspector *in, struct buf *out, struct err *err)
{
    return protected_run(in, l_luacheckrc, &(struct run){.text = out}, err);
}
