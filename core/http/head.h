/* head.h -- the head of an HTTP/1.1 request, checked before the server library sees it.
 *
 * Stricter than the library: what passes here never fails there, so every
 * malformed request can be answered the same way, and two readings of one
 * message (two lengths, a length beside chunks, folded lines, bare LF) are
 * refused.  Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum head_result {
    HEAD_PARTIAL, /* more bytes are needed */
    HEAD_WHOLE,   /* *out is filled */
    HEAD_REFUSED, /* out->status, out->code, out->detail say how and why */
};

struct head {
    size_t bytes; /* of request line and headers */
    struct str method, target;
    int64_t content_length; /* -1 = none */
    bool chunked;
    int status;
    const char *code, *detail; /* static text */
};

enum { HEAD_COUNT = 100, HEAD_METHOD_BYTES = 32 };

bool head_token_char(unsigned char c);  /* of a method or a header's name */
bool head_host_plain(struct str value); /* nothing but a name or address and a port */

/* scanned: how much of input was there when the last call said HEAD_PARTIAL. */
enum head_result head_check(struct str input, size_t scanned, int header_bytes, int uri_bytes,
                            struct head *out);
