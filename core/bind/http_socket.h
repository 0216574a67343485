/* http_socket.h -- what the http_socket_*.c files share; nobody else includes it.
 *
 * A socket's state and the version of the plugin it was made by live with the
 * socket, as JSON and text, so they outlive VMs.  While an event of the socket is
 * handled its state may be a table of that VM, which is written back at the end.
 */
#pragma once

#include <lua.h>

#include "base/err.h"
#include "http/socket.h"
#include "vm/vm.h"

enum { SOCKET_STATE_BYTES = 64 << 10 };

struct socket_keep {
    char *state; /* JSON; NULL = nil */
    size_t n;
    char *version; /* M.version that the state is of */
    /* while an event is handled */
    struct vm *vm; /* NULL = none is */
    int table;     /* registry reference of the state there, or LUA_NOREF */
};

/* Of a socket; made at first use, freed by socket_keep_free at SOCKET_CLOSE. */
struct socket_keep *socket_keep(struct socket *socket);
void socket_keep_free(struct socket *socket);
void socket_keep_version(struct socket_keep *keep, const char *version);

/* An event of the socket is handled in this VM from now on. */
void socket_keep_begin(struct socket_keep *keep, struct vm *vm);
/* It is over; saved: what the table has become is kept.  False with *err when it cannot be. */
bool socket_keep_end(struct socket_keep *keep, lua_State *L, bool saved, struct err *err);
/* Keeps the value at index instead.  False with *err: no JSON, or too much. */
bool socket_keep_set(struct socket_keep *keep, lua_State *L, int index, struct err *err);
/* Pushes the state as a value of its own; false with *err when the VM has no room. */
bool socket_keep_push(const struct socket_keep *keep, lua_State *L, struct err *err);

/* Gives the handle's class, which has its methods, socket.state and socket.state = value.
 * fields: the names of all of them; find: the socket of the handle at 1, or NULL. */
typedef struct socket *socket_of_fn(lua_State *L);
void socket_state_class(lua_State *L, const char *type, const char *fields, socket_of_fn *find);
