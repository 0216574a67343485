#include <lua.h>

#include "vm/internal.h"
#include "vm/json.h"

/* Containers under construction lie on the Lua stack, an object with the key
 * of its next value above it: …, object, key, array, …  No Lua error may pass
 * through json_read, so the memory limit is looked at here, not enforced by
 * the allocator. */
struct decoder {
    lua_State *L;
    struct vm *vm;
    int depth;
    int count[JSON_DEPTH_MAX + 1]; /* items so far, or -1 in an object */
};

static void add(struct decoder *d)
{
    if (d->depth == 0)
        return;
    int *count = &d->count[d->depth];
    if (*count < 0)
        lua_rawset(d->L, -3);
    else
        lua_rawseti(d->L, -2, ++*count);
}

static bool on_null(void *arg, struct err *err)
{
    struct decoder *d = arg;
    (void)err;
    lua_pushlightuserdata(d->L, NULL);
    add(d);
    return true;
}

static bool on_boolean(void *arg, bool value, struct err *err)
{
    struct decoder *d = arg;
    (void)err;
    lua_pushboolean(d->L, value);
    add(d);
    return true;
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    struct decoder *d = arg;
    (void)text;
    (void)err;
    lua_pushnumber(d->L, value);
    add(d);
    return true;
}

static bool has_room(struct decoder *d, size_t more, struct err *err)
{
    if (counter_get(&d->vm->used) + (int64_t)more <= counter_get(&d->vm->limit))
        return true;
    atomic_store_explicit(&d->vm->broken, true, memory_order_relaxed);
    return err_set(err, ERR_MEMORY, "not enough memory");
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    struct decoder *d = arg;
    if (!has_room(d, value.n, err))
        return false;
    lua_pushlstring(d->L, value.p, value.n);
    add(d);
    return true;
}

static bool on_key(void *arg, struct str key, struct err *err)
{
    struct decoder *d = arg;
    if (!has_room(d, key.n, err))
        return false;
    lua_pushlstring(d->L, key.p, key.n);
    return true;
}

static bool begin(struct decoder *d, int count, struct err *err)
{
    if (d->depth == JSON_DEPTH_MAX || !lua_checkstack(d->L, 6))
        return err_set(err, ERR_LIMIT, "nested too deeply");
    if (!has_room(d, 64, err))
        return false;
    lua_newtable(d->L);
    d->count[++d->depth] = count;
    return true;
}

static bool on_begin_object(void *arg, struct err *err)
{
    return begin(arg, -1, err);
}

static bool on_begin_array(void *arg, struct err *err)
{
    return begin(arg, 0, err);
}

static bool on_end(void *arg, struct err *err)
{
    struct decoder *d = arg;
    (void)err;
    if (d->count[d->depth] == 0)
        lua_json_mark_array(d->L);
    d->depth--;
    add(d);
    return true;
}

static const struct json_events events = {
    .null = on_null,
    .boolean = on_boolean,
    .number = on_number,
    .string = on_string,
    .key = on_key,
    .begin_object = on_begin_object,
    .end_object = on_end,
    .begin_array = on_begin_array,
    .end_array = on_end,
};

bool lua_json_decode(lua_State *L, struct str text, int max_depth, struct err *err)
{
    struct decoder d;
    d.L = L;
    d.vm = vm_of(L);
    d.depth = 0;
    int top = lua_gettop(L);
    bool enforced = d.vm->enforced;
    d.vm->enforced = false;
    bool ok = json_read(text, max_depth, &events, &d, err);
    d.vm->enforced = enforced;
    if (!ok)
        lua_settop(L, top);
    return ok;
}
