#include "vm/floats.h"

#include <lauxlib.h>

#include "vm/args.h"
#include "vm/internal.h"
#include "vm/vm.h"

enum { FLOATS_COLLECT = 1 << 20 }; /* bytes for which garbage is looked for first */

const struct floats *floats_at(lua_State *L, int index)
{
    void *p = lua_touserdata(L, index);
    if (!p || !lua_getmetatable(L, index))
        return NULL;
    bool same = lua_topointer(L, -1) == vm_of(L)->floats_class;
    lua_pop(L, 1);
    return same ? p : NULL;
}

void floats_class(lua_State *L)
{
    struct vm *vm = vm_of(L);
    vm->floats_class = lua_topointer(L, -1);
    vm->floats_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

bool floats_has_room(lua_State *L, size_t bytes, struct err *err)
{
    struct vm *vm = vm_of(L);
    if (bytes < FLOATS_COLLECT)
        return true;
    if (!vm_charge(vm, bytes, err)) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        if (!vm_charge(vm, bytes, err))
            return false;
    }
    vm_uncharge(vm, bytes);
    return true;
}

struct floats *floats_push(lua_State *L, size_t n)
{
    struct err err = {0};
    size_t bytes = sizeof(struct floats) + n * sizeof(float);
    if (!floats_has_room(L, bytes, &err)) {
        push_error(L, &err);
        return NULL;
    }
    struct floats *f = lua_newuserdata(L, bytes);
    f->n = n;
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->floats_ref);
    lua_setmetatable(L, -2);
    return f;
}
