/* store_lua.h -- the transaction behind a tx, for other nouns that take part in it.
 *
 * lua/maru/store.lua makes `tx` and asks info.in_tx.<noun>(handle) for each
 * part of it, e.g. tx.jobs; handle is what the noun's raw functions pass here.
 * Inside store:tx a wait is allowed to who calls task_check(L, "tx…").
 */
#pragma once

#include <lua.h>

struct store_tx;

/* The open transaction of the handle at index; raises "<who>: the transaction is over". */
struct store_tx *store_tx_check(lua_State *L, int index, const char *who);
