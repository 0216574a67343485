/* bind.h -- the C half of `app`: one table of raw functions for each noun.
 *
 * A noun has two halves that nobody else touches:
 *
 *   bind/<noun>_lua.c      int bind_<noun>(lua_State *L) leaves one table of raw
 *                          functions on the stack and returns 1.  They check
 *                          arguments (vm/args.h), call C once, and wait with
 *                          task_check + task_wait (vm/task.h) as their last act.
 *   lua/maru/<noun>.lua    returns function(raw, info) -> object; app.<noun> is
 *                          that object.  Whatever has to happen after a wait
 *                          happens here, because C cannot continue after a yield.
 *
 * `raw` is the noun's own table.  `info` is { name, generation, config, env,
 * raw = tables of all nouns, declared = the table plugin.lua returned, checked
 * (its series, jobs, requires, allow …), fail = app.fail, app = the handle
 * under construction: not to be used before the first handler runs }.
 *
 * Errors name the plugin's line: args_fail and args_error (not luaL_error, which
 * would name the host library's).
 *
 * A half gets plugin values, so it trusts nothing: raw functions check their
 * arguments although only the host library calls them.  Plugins never see a
 * raw table.  Host library files run in an environment of their own (pristine
 * string, table, math …), so a plugin that changes `string` fools nobody.
 *
 * Userdata: bind_class() makes the metatable, locked so that a plugin cannot
 * take `__gc` or a method away from its object.
 *
 * Where the process's part is: vm_host(vm_of(L))->store and so on; NULL in
 * `maru check`, which bind_part() answers with an error that says so.  What a
 * binding keeps per VM lives in vm_set_slot/vm_get_slot or as an upvalue.
 *
 * Requests: a route's handler is called as handler(app, req), req being the
 * userdata of http_lua.c.  When the route declares path, query, headers or body
 * the host library's wrapper (lua/maru/route.lua) reads req.params, req.query,
 * req.headers and req:json(), checks them, and puts the checked and converted
 * tables in their place with raw.http.set(req, field, table), field being
 * "params", "query", "headers" or "body".  It answers 422 by returning
 * status, problem table, { ["content-type"] = "application/problem+json" }.
 */
#pragma once

#include <lauxlib.h>
#include <lua.h>

/* Pushes a table { noun = raw table } of everything below.  May raise. */
int bind_all(lua_State *L);

/* ORDER bind: alphabetical, as in the list of bind.c. */
int bind_cache(lua_State *L);
int bind_channels(lua_State *L);
int bind_client(lua_State *L); /* app.http, outgoing */
int bind_crypto(lua_State *L);
int bind_events(lua_State *L);
int bind_files(lua_State *L); /* app.read */
int bind_http(lua_State *L);  /* requests, streams, sockets */
int bind_jobs(lua_State *L);
int bind_json(lua_State *L);
int bind_kernels(lua_State *L);
int bind_log(lua_State *L);
int bind_mail(lua_State *L);
int bind_metrics(lua_State *L);
int bind_model(lua_State *L);
int bind_objects(lua_State *L);
int bind_program(lua_State *L); /* app.exec */
int bind_search(lua_State *L);
int bind_series(lua_State *L);
int bind_store(lua_State *L);
int bind_text(lua_State *L);
int bind_time(lua_State *L); /* now, sleep, spawn, call */
int bind_trace(lua_State *L);
int bind_workflows(lua_State *L);

/* Registers the metatable `name` ("app.channel") with its methods, `__gc` and
 * `__metatable`; leaves nothing on the stack.  gc may run twice. */
void bind_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc);

/* Raises "<who>: this host runs without <part>" when part is NULL. */
void bind_part(lua_State *L, const void *part, const char *who, const char *name);
