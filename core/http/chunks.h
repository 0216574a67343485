/* chunks.h -- a chunked body, checked before the server library decodes it.
 *
 * The library takes what others would read otherwise (a size followed by
 * anything, LF for CR LF, any trailer), so a proxy in front could be made to
 * see another end of the body.  Here only RFC 9112's form passes, and what is
 * passed on is bare: sizes and data, without extensions or trailers.  Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum chunks_state {                /* ORDER chunks_state: what comes next */
                    CHUNKS_SIZE,   /* a hexadecimal digit */
                    CHUNKS_DIGITS, /* one more, an extension or the line's end */
                    CHUNKS_EXTENSION,
                    CHUNKS_SIZE_LF,
                    CHUNKS_DATA,
                    CHUNKS_DATA_CR,
                    CHUNKS_DATA_LF,
                    CHUNKS_TRAILER, /* the first byte of a trailer, or the end */
                    CHUNKS_TRAILER_NAME,
                    CHUNKS_TRAILER_VALUE,
                    CHUNKS_TRAILER_LF,
                    CHUNKS_LAST_LF,
                    CHUNKS_END,  /* the body is over */
                    CHUNKS_BAD,  /* it is malformed */
                    CHUNKS_OVER, /* it goes on behind `most`; passed on as if it ended */
};

enum { CHUNKS_EXTRA = 16 << 10 }; /* bytes of extensions and trailers in one body */

struct chunks { /* zero it to begin */
    enum chunks_state state;
    int digits;    /* of the size so far */
    int extra;     /* bytes of extensions and trailers */
    uint64_t left; /* of the chunk */
    bool bound;    /* set by the caller: no more than `most` bytes of data may come */
    uint64_t most; /* that may come still */
};

/* Takes the next bytes of a body and appends to out what is passed on; when the
 * body is malformed, bytes that the library refuses.  Returns how many bytes
 * were taken: fewer than there are only at CHUNKS_END, the rest is not the
 * body's. */
size_t chunks_feed(struct chunks *chunks, struct str in, struct buf *out);
