/* ticket.h -- URLs of the host's own that are good for one key, one method and a while.
 *
 *   /objects/<plugin>?key=K&expires=E[&type=T][&max=N][&name=F][&inline=1]&signature=S
 *
 * S is HMAC-SHA256 over the method and everything else in it.  The key of an object stands in
 * the query, because a path cannot hold every one ("a/../b").  Pure; any thread.
 */
#pragma once

#include "objects/object.h"

enum {
    TICKET_SECONDS = 604800, /* a week, as S3 has it */
    TICKET_NAME_BYTES = 200, /* of the file that a browser makes of it */
};

struct ticket {
    struct str plugin, key, type, name;
    int64_t expires; /* wall, seconds */
    int64_t max;     /* PUT: bytes; 0 = the server's own bound */
    bool put, shown; /* shown: in the browser, where that is harmless, not kept as a file */
};

/* Appends the URL, from "/objects/" on. */
void ticket_write(struct buf *out, const struct ticket *t, const unsigned char *key);
/* Reads a query; what it points into is in `text`.  ERR_FORBIDDEN: not signed so; ERR_TIMEOUT: its
 * time is over; ERR_INVALID: no such query. */
bool ticket_read(struct ticket *t, struct str plugin, bool put, struct str query, int64_t now,
                 const unsigned char *key, struct buf *text, struct err *err);
/* Appends "attachment; filename*=UTF-8''…", or "inline" of a type that is shown. */
void ticket_disposition(struct buf *out, struct str name, bool shown);
/* Types that a browser shows without running what is in them. */
bool ticket_is_harmless(struct str type);
