/* client.h -- what client_lua.c and client_stream_lua.c share: options and headers of a request. */
#pragma once

#include <lua.h>
#include <stdint.h>

#include "bind/trace.h"
#include "http/client.h"

struct task;
struct vm;

struct client_defaults {
    int64_t timeout_ns, silence_ns;
    const char *max_bytes;
};

/* The call's url and options (arguments 1 and 2; others are dropped), its slices borrowed from
 * them.  headers has room for FETCH_HEADERS.  Raises with the usage line. */
struct fetch_options client_read_options(lua_State *L, struct vm *vm, struct fetch_header *headers,
                                         const struct client_defaults *defaults, const char *usage);
/* Adds the trace's headers to `headers`, which the options have, and says in the span of the wait
 * that follows what is asked.  text lives as long as the options are used; shown is the URL without
 * what nobody is to see. */
void client_trace(struct task *task, struct trace_headers *text, struct fetch_options *options,
                  struct fetch_header *headers, struct str shown);
/* options.shown, or the URL. */
struct str client_shown(lua_State *L, const struct fetch_options *options, const char *usage);
/* Pushes { name = value }; those that came several times are one list. */
void client_push_headers(lua_State *L, const struct fetch_result *result);

/* `return client_stream_open(…)`: sends, and waits for the answer's head.  Gives handle, status,
 * headers, url, or nil, message, code. */
int client_stream_open(lua_State *L, struct task *task, struct fetch_options *options);
int client_stream(lua_State *L);
void client_stream_class(lua_State *L); /* its metatable */
