/* public.h -- GET and PUT /objects/{plugin}: who has a ticket (ticket.h) reads or writes one
 * object.
 *
 * What was uploaded is never run here: it goes out with nosniff, a sandbox, and as a file to keep
 * unless the ticket says otherwise and the type is harmless.  GET knows ranges and conditions;
 * nothing of an object is held but a piece.  PUT: the library has the body in a file by then; it is
 * put piece by piece.
 */
#pragma once

struct http_request;

/* A route's handler; arg is a struct objects *const *, which may be NULL. */
void objects_public(struct http_request *request, void *arg);
