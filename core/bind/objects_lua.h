/* objects_lua.h -- what objects_lua.c and objects_stream_lua.c share. */
#pragma once

#include <lua.h>

#include "objects/object.h"

/* The host's store; raises "<who>: this host runs without objects". */
struct objects *objects_of(lua_State *L, const char *who);
void objects_push_info(lua_State *L, const struct object_info *info); /* a table */

/* objects_stream_lua.c */
void objects_streams_open(lua_State *L); /* the classes */
int objects_writer(lua_State *L);
int objects_reader(lua_State *L);
