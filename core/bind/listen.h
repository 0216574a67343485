/* listen.h -- what a plugin's subscriptions may take on a lane: their number and the bytes that
 * wait in them, which are not in its VM's memory. */
#pragma once

#include <lua.h>
#include <stdbool.h>

#include "base/err.h"

struct channel_sub;
struct vm;

enum { LISTEN_BYTES = 16 << 20 }; /* messages that wait, of one plugin on one lane */

/* Once for each VM.  May raise. */
void listen_open(lua_State *L);
/* False with *err: there are as many subscriptions as the plugin may have tasks. */
bool listen_may_begin(struct vm *vm, struct err *err);
void listen_begin(struct vm *vm, struct channel_sub *sub);
/* The subscription goes on without the VM, on a budget of its own. */
struct channel_budget;
void listen_pass(struct vm *vm, struct channel_sub *sub, struct channel_budget *budget);
void listen_end(struct vm *vm, struct channel_sub *sub); /* unsubscribes */
