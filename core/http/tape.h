/* tape.h -- answers of other hosts, recorded and played: what `maru test` puts between plugins and
 * the network.
 *
 * One tape for the process, out by default: then a fetch pays one relaxed load
 * for it.  While it plays no request leaves the process; one that is not on the
 * tape fails and is kept as a miss.  Secrets are replaced by their names before
 * anything is noted or compared.
 *
 * Threads: any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/str.h"

enum tape_mode { TAPE_OUT, TAPE_PLAYS, TAPE_RECORDS };

extern _Atomic int tape_state; /* read by tape_mode() only */

static inline enum tape_mode tape_mode(void)
{
    return (enum tape_mode)atomic_load_explicit(&tape_state, memory_order_relaxed);
}

/* A request and what came of it.  Headers are "name: value" lines, each ended by '\n'. */
struct tape_exchange {
    struct str method, url, request_headers, request_body;
    int status;
    struct str error; /* word of fetch_code_name() when there was no answer, else empty */
    struct str headers, body;
};

void tape_insert(enum tape_mode mode);
void tape_clear(void); /* forgets exchanges and misses */
/* The text is written as its name from now on. */
void tape_hide(struct str text, const char *name);
void tape_add(const struct tape_exchange *exchange);  /* as it was recorded: copied */
void tape_note(const struct tape_exchange *exchange); /* as it happened: hidden and copied */

/* The answer for a request, marked as played, or false and a miss.  The one not played so far
 * comes first, then the last one again.  *out is valid until tape_clear(). */
bool tape_find(struct str method, struct str url, struct str body, struct tape_exchange *out);

int tape_count(void);
bool tape_at(int index, struct tape_exchange *out); /* in the order of tape_note(); likewise */
/* Appends the requests that were not on the tape, a line each, and forgets them. */
void tape_take_misses(struct buf *out);
