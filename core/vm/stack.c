/* How much of the thread's own stack is in use: Lua code can recurse through C functions
 * (gsub's callback, a coroutine in a coroutine), which LuaJIT does not count. */
#include <pthread.h>

#include "vm/args.h"
#include "vm/internal.h"

/* A quarter, so that what recurses inside of LuaJIT beyond the last look here (table.sort: 1.5 MB
 * until the Lua stack is full) has room. */
enum { STACK_SHARE = 4 };

static _Thread_local char
    *lowest; /* the least address that may be in use at a look; NULL = not known */

static char *find_lowest(void)
{
    pthread_attr_t attr;
    void *base = NULL;
    size_t bytes = 0;
    invariant(pthread_getattr_np(pthread_self(), &attr) == 0);
    pthread_attr_getstack(&attr, &base, &bytes);
    pthread_attr_destroy(&attr);
    return (char *)base + bytes - bytes / STACK_SHARE;
}

bool vm_stack_has_room(void)
{
    if (!lowest)
        lowest = find_lowest();
    return (char *)__builtin_frame_address(0) > lowest;
}

void vm_stack_check(lua_State *L, const char *who)
{
    if (!vm_stack_has_room())
        args_error(L, "%s: stack overflow (nested too deeply)", who);
}
