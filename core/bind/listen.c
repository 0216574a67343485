#include "bind/listen.h"

#include <lauxlib.h>

#include "channels/channel.h"
#include "vm/vm.h"

static const char slot[] = "listening";

struct listening {
    int count;
    struct channel_budget budget;
};

/* It is a userdata of the registry, so the VM frees it: after its tasks, which own all
 * subscriptions. */
void listen_open(lua_State *L)
{
    struct listening *l = lua_newuserdata(L, sizeof *l);
    *l = (struct listening){.budget.most = LISTEN_BYTES};
    luaL_ref(L, LUA_REGISTRYINDEX);
    vm_set_slot(vm_of(L), slot, l);
}

bool listen_may_begin(struct vm *vm, struct err *err)
{
    const struct listening *l = vm_get_slot(vm, slot);
    return vm_may_have(vm, CAP_TASKS, l->count, err);
}

void listen_begin(struct vm *vm, struct channel_sub *sub)
{
    struct listening *l = vm_get_slot(vm, slot);
    l->count++;
    channel_set_budget(sub, &l->budget);
}

void listen_pass(struct vm *vm, struct channel_sub *sub, struct channel_budget *budget)
{
    ((struct listening *)vm_get_slot(vm, slot))->count--;
    channel_set_budget(sub, budget);
}

void listen_end(struct vm *vm, struct channel_sub *sub)
{
    ((struct listening *)vm_get_slot(vm, slot))->count--;
    channel_unsubscribe(sub);
}
