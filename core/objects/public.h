/* public.h -- GET and PUT /objects/{plugin}: who has a ticket (ticket.h) reads or writes one
 * object.
 *
 * What was uploaded is never run here: it goes out with nosniff, a sandbox, and as a file to keep
 * unless the ticket says otherwise and the type is harmless.  GET knows ranges and conditions;
 * nothing of an object is held but a piece.  PUT: the library has the body in a file by then; it is
 * put piece by piece.
 */
#pragma once

#include <stdbool.h>

struct http_arrival;
struct http_refusal;
struct http_request;
struct objects;

/* A route's handler; arg is a struct objects *const *, which may be NULL. */
void objects_public(struct http_request *request, void *arg);
/* For that route's `admit`: whether the body of a PUT may come.  store may be NULL. */
bool objects_admit(const struct http_arrival *arrival, struct objects *store,
                   struct http_refusal *refusal);
