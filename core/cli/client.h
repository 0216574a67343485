/* client.h -- the admin API of a running server, asked over its unix socket. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* Sends one request and waits for the whole answer: status, or 0 with *err
 * (ERR_NOT_FOUND when no server runs on that state directory). */
int admin_request(const char *state_dir, const char *method, const char *path, struct buf *body,
                  struct err *err);
/* The same with a JSON body; empty = none. */
int admin_send(const char *state_dir, const char *method, const char *path, struct str content,
               struct buf *body, struct err *err);
