#include "vm/vm.h"

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "vm/host.h"
#include "vm/internal.h"
#include "vm/json.h"
#include "vm/mend.h"

enum {
    SCRATCH_KEPT = 1 << 20,
    LOAD_STEPS = 10000, /* instructions between two looks at the clock while loading */
};

/* ---- memory ------------------------------------------------------------ */

/* The collector starts a cycle when memory has grown by so much since the last one.  A small state
 * marks what lives once for three times of garbage; a large one must not come to four times its
 * size; over half of the limit garbage must not be what reaches it. */
static const struct pace {
    int pause, step;
} paces[] = {{200, 200}, {400, 400}, {110, 400}};
enum { PACE_EVEN, PACE_EASY, PACE_TIGHT }; /* ORDER paces; a new state has the first */

static void pace(struct vm *vm, int64_t used, int64_t limit)
{
    int pace = used > limit / 2 ? PACE_TIGHT : used > limit / 8 ? PACE_EVEN : PACE_EASY;
    if (pace == vm->pace || !vm->L)
        return;
    vm->pace = pace;
    lua_gc(vm->L, LUA_GCSETPAUSE, paces[pace].pause);
    lua_gc(vm->L, LUA_GCSETSTEPMUL, paces[pace].step);
}

enum { OVERDRAFT_BYTES = 16 << 20 };

/* Whether an allocation is to fail; see mend.h. */
static bool refuses(struct vm *vm, int64_t used, int64_t limit)
{
    bool over = used > limit && vm->enforced;
    if (!over && !vm->starved)
        return false;
    if (!mend_can_fail(vm->L) && used < limit * 2 + OVERDRAFT_BYTES) {
        mend_hurry(vm->L);
        return false;
    }
    if (!vm->starved)
        atomic_store_explicit(&vm->broken, true, memory_order_relaxed);
    return true;
}

static void *allocate(void *ud, void *p, size_t before, size_t after)
{
    struct vm *vm = ud;
    int64_t used = counter_get(&vm->used) + (int64_t)after - (int64_t)before;
    int64_t limit = counter_get(&vm->limit);
    if (after > before && refuses(vm, used, limit)) {
        mend_frame(vm->L);
        return NULL;
    }
    p = blocks_resize(&vm->blocks, p, before, after);
    if (!p && after > 0)
        return NULL;
    atomic_store_explicit(&vm->used, used, memory_order_relaxed);
    pace(vm, used, limit);
    return p;
}

/* Every entry is protected, and pushes from outside cannot run out of memory, so
 * this is a bug of the host. */
static int on_panic(lua_State *L)
{
    log_error("vm", "unprotected error: %s", lua_tostring(L, -1));
    invariant(false && "a Lua error outside of a protected call");
    return 0;
}

/* ---- making one -------------------------------------------------------- */

struct build {
    struct vm *vm;
    struct plugin_decl **copy;
};

/* source(name) -> text of a bundle file, or nil: error messages look for lines in it. */
static int l_source(lua_State *L)
{
    struct str name;
    name.p = luaL_checklstring(L, 1, &name.n);
    const struct bundle_file *file = bundle_find(vm_of(L)->options.bundle, name);
    if (!file)
        return 0;
    lua_pushlstring(L, file->bytes, file->n);
    return 1;
}

/* hash(text) -> hex: the same handlers on every lane have the same one. */
static int l_hash(lua_State *L)
{
    struct str text;
    unsigned char hash[16];
    char hex[2 * sizeof hash + 1];
    text.p = luaL_checklstring(L, 1, &text.n);
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text.p, text.n, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    lua_pushstring(L, hex);
    return 1;
}

/* load_plugin() -> what plugin.lua returned */
static int l_load_plugin(lua_State *L)
{
    const struct bundle *bundle = vm_of(L)->options.bundle;
    sandbox_push_file(L, bundle, bundle_find(bundle, STR("plugin.lua")));
    lua_call(L, 0, 1);
    return 1;
}

static void set_text(lua_State *L, const char *key, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

static void set_function(lua_State *L, const char *key, lua_CFunction function)
{
    lua_pushcfunction(L, function);
    lua_setfield(L, -2, key);
}

/* Pushes the table that lua/maru/boot.lua gets. */
static void push_parts(lua_State *L, const struct vm_options *options)
{
    lua_newtable(L);
    set_text(L, "name", options->bundle->name);
    set_text(L, "generation", options->label);
    set_text(L, "dir", options->bundle->dir);
    lua_pushboolean(L, options->host && options->host->development);
    lua_setfield(L, -2, "development");
    set_function(L, "hash", l_hash);
    set_function(L, "source", l_source);
    set_function(L, "load_plugin", l_load_plugin);
    set_function(L, "arguments", task_arguments);
    failure_open(L);
    lua_setfield(L, -2, "failure");
    sandbox_parts(L);
    if (options->host && options->host->bind)
        options->host->bind(L);
    else
        lua_newtable(L);
    lua_setfield(L, -2, "raw");
    struct err err;
    struct str config = options->config_json;
    if (config.n == 0)
        lua_newtable(L);
    else if (!lua_json_decode(L, config, JSON_DEPTH_DEFAULT, &err))
        luaL_error(L, "plugins.%s: %s", options->bundle->name, err.message);
    lua_setfield(L, -2, "settings");
}

/* Pushes "plugins/x/plugin.lua:7: " for the innermost line of the plugin's, or "". */
static void push_place(lua_State *L)
{
    lua_Debug at;
    for (int level = 0; lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline > 0 && !library_is_source(at.short_src)) {
            lua_pushfstring(L, "%s:%d: ", at.short_src, at.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

/* From the deadline on every instruction raises, so that no pcall of the plugin's goes on. */
static void on_load_steps(lua_State *L, lua_Debug *event)
{
    struct vm *vm = vm_of(L);
    bool unwanted = vm->options.unwanted && atomic_load(vm->options.unwanted);
    (void)event;
    if (!unwanted && clock_steady_ns() < vm->load_until)
        return;
    lua_sethook(L, on_load_steps, LUA_MASKCOUNT, 1);
    push_place(L);
    if (unwanted)
        lua_pushfstring(L, "%sthe server is stopping", lua_tostring(L, -1));
    else
        lua_pushfstring(L, "%sloading took longer than %d ms", lua_tostring(L, -1),
                        (int)(vm->options.load_ns / NS_PER_MS));
    lua_error(L);
}

/* Compiled code honours no hook, so files are run by the interpreter. */
static void limit_loading(struct vm *vm, bool on)
{
    if (vm->options.load_ns <= 0)
        vm->options.load_ns = VM_LOAD_NS_DEFAULT;
    vm->load_until = clock_steady_ns() + vm->options.load_ns;
    luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | (on ? LUAJIT_MODE_OFF : LUAJIT_MODE_ON));
    lua_sethook(vm->L, on ? on_load_steps : NULL, on ? LUA_MASKCOUNT : 0, on ? LOAD_STEPS : 0);
}

static int build(lua_State *L)
{
    struct build *b = lua_touserdata(L, 1);
    struct vm *vm = b->vm;
    sandbox_open(L); /* opening the libraries turns the compiler on */
    limit_loading(vm, true);
    library_push(L, vm->options.boot ? vm->options.boot : "maru.boot");
    push_parts(L, &vm->options);
    lua_call(L, 1, 3); /* declaration run inside */
    vm->inside_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    vm->run_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, task_push_protected);
    vm->push_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    vm->enforced = false; /* what C reads from here on cannot raise */
    plugin_read(L, vm->decl);
    if (b->copy) {
        *b->copy = mem_zero(1, sizeof **b->copy);
        plugin_read(L, *b->copy);
    }
    return 0;
}

static void report(struct vm *vm, int status, struct err *err)
{
    lua_State *L = vm->L;
    const char *dir = vm->options.bundle->dir;
    if (status == LUA_ERRMEM)
        err_set(err, ERR_MEMORY,
                "%s/plugin.lua: the memory limit of %lld KiB was reached while loading", dir,
                (long long)(counter_get(&vm->limit) / 1024));
    else if (lua_type(L, -1) == LUA_TSTRING)
        err_set(err, ERR_LUA, "%s", lua_tostring(L, -1));
    else
        err_set(err, ERR_LUA, "%s/plugin.lua: raised a %s value while loading", dir,
                luaL_typename(L, -1));
}

struct vm *vm_create(const struct vm_options *options, struct plugin_decl **decl, struct err *err)
{
    struct vm *vm = mem_zero(1, sizeof *vm);
    vm->options = *options;
    vm->decl = mem_zero(1, sizeof *vm->decl);
    vm->own_counters = options->counters ? NULL : mem_zero(1, sizeof *vm->own_counters);
    vm->counters = options->counters ? options->counters : vm->own_counters;
    list_init(&vm->tasks);
    atomic_store(&vm->limit, options->memory_limit > 0 ? options->memory_limit : VM_MEMORY_DEFAULT);
    mend_find();
    vm->L = lua_newstate(allocate, vm);
    invariant(vm->L);
    lua_atpanic(vm->L, on_panic);
    struct build b = {vm, decl};
    if (decl)
        *decl = NULL;
    vm->enforced = true;
    int status = lua_cpcall(vm->L, build, &b);
    limit_loading(vm, false);
    if (vm_broken(vm)) /* also when it was caught: nobody knows what is half made */
        status = LUA_ERRMEM;
    vm->enforced = false;
    if (status != 0) {
        report(vm, status, err);
        if (decl && *decl)
            plugin_decl_free(*decl);
        vm_destroy(vm);
        return NULL;
    }
    if (vm->decl->memory_limit > 0)
        atomic_store(&vm->limit, vm->decl->memory_limit);
    if (vm->decl->task_ns <= 0)
        vm->decl->task_ns = VM_TASK_NS_DEFAULT;
    vm->watchdog_ns = vm->decl->watchdog_ns > 0  ? vm->decl->watchdog_ns
                      : options->watchdog_ns > 0 ? options->watchdog_ns
                                                 : VM_WATCHDOG_NS_DEFAULT;
    vm_compile(vm, true);
    vm_tell_memory(vm);
    return vm;
}

void vm_compile(struct vm *vm, bool on)
{
    on = on && vm->decl->jit && !vm->options.interpreted;
    luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | (on ? LUAJIT_MODE_ON : LUAJIT_MODE_OFF));
}

void vm_declare(struct vm *vm, lua_State *L)
{
    bool enforced = vm->enforced;
    struct plugin_decl *decl = mem_zero(1, sizeof *decl);
    vm->enforced = false; /* reading cannot raise */
    plugin_read(L, decl);
    vm->enforced = enforced;
    if (decl->task_ns <= 0)
        decl->task_ns = VM_TASK_NS_DEFAULT;
    plugin_decl_free(vm->decl);
    vm->decl = decl;
}

void vm_destroy(struct vm *vm)
{
    if (!vm)
        return;
    invariant(counter_get(&vm->task_count) == 0);
    lua_close(vm->L);
    blocks_free_all(&vm->blocks);
    task_pool_free(vm);
    plugin_decl_free(vm->decl);
    for (struct vm_slot *slot = vm->slots, *next; slot; slot = next) {
        next = slot->next;
        mem_free(slot);
    }
    buf_free(&vm->scratch);
    mem_free(vm->own_counters);
    mem_free(vm->kill_text);
    mem_free(vm->kill_trace);
    mem_free(vm);
}

void vm_idle(struct vm *vm)
{
    counter_add(&vm->counters->memory_bytes, -vm->told_bytes);
    vm->told_bytes = 0;
    if (vm->options.idle)
        vm->options.idle(vm, vm->options.owner);
}

/* The table of handlers is what the function that runs them closes over. */
static bool push_handlers(lua_State *L, int run)
{
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, run, i)); i++) {
        if (!strcmp(name, "functions") && lua_istable(L, -1))
            return true;
        lua_pop(L, 1);
    }
    return false;
}

void vm_place(struct vm *vm, int handler, char *out, size_t size)
{
    lua_State *L = vm->L;
    lua_Debug at;
    int top = lua_gettop(L);
    *out = '\0';
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm->run_ref);
    if (push_handlers(L, top + 1)) {
        lua_rawgeti(L, -1, handler);
        if (lua_isfunction(L, -1) && lua_getinfo(L, ">S", &at) && at.linedefined > 0)
            snprintf(out, size, "%s:%d", at.source + (*at.source == '@'), at.linedefined);
    }
    lua_settop(L, top);
}

/* ---- asking ------------------------------------------------------------ */

struct vm *vm_of(lua_State *L)
{
    void *vm;
    lua_getallocf(L, &vm);
    return vm;
}

struct lane *vm_lane(const struct vm *vm)
{
    return vm->options.lane;
}

const struct host *vm_host(const struct vm *vm)
{
    return vm->options.host;
}

const char *vm_label(const struct vm *vm)
{
    return vm->options.label;
}

const char *vm_plugin(const struct vm *vm)
{
    return vm->options.bundle->name;
}

const struct bundle *vm_bundle(const struct vm *vm)
{
    return vm->options.bundle;
}

void *vm_owner(const struct vm *vm)
{
    return vm->options.owner;
}

const struct plugin_decl *vm_decl(const struct vm *vm)
{
    return vm->decl;
}

struct vm_usage vm_usage(const struct vm *vm)
{
    return (struct vm_usage){
        .memory_bytes = counter_get(&vm->used),
        .memory_limit = counter_get(&vm->limit),
        .tasks = counter_get(&vm->task_count),
        .started = counter_get(&vm->counters->started),
        .errors = counter_get(&vm->counters->failed),
        .cpu_ns = counter_get(&vm->counters->cpu_ns),
    };
}

bool vm_retired(const struct vm *vm)
{
    return vm->retired;
}

bool vm_broken(const struct vm *vm)
{
    return atomic_load_explicit((atomic_bool *)&vm->broken, memory_order_relaxed);
}

bool vm_may_have(struct vm *vm, enum vm_cap cap, int64_t count, struct err *err)
{
    if (count < vm->decl->caps[cap])
        return true;
    counter_add(&vm->counters->refused[cap], 1);
    return err_set(err, ERR_LIMIT, "%s has %lld %s at once on this lane (limits.%s)",
                   vm->options.bundle->name, (long long)count, vm_cap_name(cap), vm_cap_name(cap));
}

bool vm_take(struct vm *vm, enum vm_cap cap, struct err *err)
{
    if (!vm_may_have(vm, cap, vm->taken[cap], err))
        return false;
    vm->taken[cap]++;
    return true;
}

void vm_give(struct vm *vm, enum vm_cap cap)
{
    vm->taken[cap]--;
}

bool vm_charge(struct vm *vm, size_t bytes, struct err *err)
{
    int64_t used = counter_get(&vm->used), limit = counter_get(&vm->limit);
    if ((int64_t)bytes > limit - used)
        return err_set(err, ERR_LIMIT, "%zu bytes are more than %s has left of its memory", bytes,
                       vm->options.bundle->name);
    counter_add(&vm->used, (int64_t)bytes);
    return true;
}

void vm_uncharge(struct vm *vm, size_t bytes)
{
    counter_add(&vm->used, -(int64_t)bytes);
}

struct buf *vm_scratch(struct vm *vm)
{
    if (vm->scratch.cap > SCRATCH_KEPT)
        buf_free(&vm->scratch);
    buf_clear(&vm->scratch);
    return &vm->scratch;
}

static struct vm_slot *find_slot(const struct vm *vm, const char *name)
{
    struct vm_slot *slot = vm->slots;
    while (slot && strcmp(slot->name, name) != 0)
        slot = slot->next;
    return slot;
}

void vm_set_slot(struct vm *vm, const char *name, void *value)
{
    struct vm_slot *slot = find_slot(vm, name);
    if (!slot) {
        slot = mem_zero(1, sizeof *slot);
        slot->name = name;
        slot->next = vm->slots;
        vm->slots = slot;
    }
    slot->value = value;
}

void *vm_get_slot(const struct vm *vm, const char *name)
{
    struct vm_slot *slot = find_slot(vm, name);
    return slot ? slot->value : NULL;
}
