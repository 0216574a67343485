/* http_lua.h -- routes and sockets whose handlers are Lua.
 *
 * route->target is a `struct vm **`: the generation's VM of each lane, by
 * lane->index; a NULL entry (quarantined, being rebuilt) is answered with 503.
 */
#pragma once

#include <stdbool.h>

#include "http/server.h"

/* What struct http_app's dispatch and socket come to. */
void http_dispatch_lua(struct http_request *request, const struct http_route *route);
void http_socket_lua(struct socket *socket, const struct http_route *route, enum socket_event event,
                     struct http_request *request, struct str data);
/* What its may_open comes to: the plugin's limits.sockets. */
bool http_socket_may_open(struct http_request *request, const struct http_route *route, int open);
