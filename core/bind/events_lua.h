/* events_lua.h -- what the files of app.events share.  Private to bind/events_*.c. */
#pragma once

#include <lua.h>
#include <stdbool.h>

#include "base/str.h"

struct vm;

/* Raises, beginning with usage, when the topic's name is none or is not one that this plugin may
 * emit, or with `reads` read. */
void events_check_topic(lua_State *L, const struct vm *vm, struct str topic, bool reads,
                        const char *usage);
/* raw.events.emit_many(topic, texts, keys, headers) */
int events_emit_many(lua_State *L);
