/* frames.h -- what a HTTP/2 client sends, counted before the server library reads it.
 *
 * The library answers, stores and decodes what it is sent, as much as is sent:
 * a header block may name one table entry 400,000 times, and frames that carry
 * neither a request nor data cost a client nothing.  Here they are bounded, for
 * one connection and by the second.  Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct frames_limits {
    int control;    /* a second: frames without a request and without data */
    int resets;     /* a second: RST_STREAM */
    int block;      /* bytes of one header block */
    int block_size; /* fields of one header block */
};

/* Where in a header block the walk is (RFC 7541, section 6), without decoding it. */
enum fields_state { FIELDS_START, FIELDS_INDEX, FIELDS_LENGTH, FIELDS_LENGTH_MORE, FIELDS_STRING };
struct fields {
    enum fields_state state;
    int strings;   /* of the field that are still to come */
    int shift;     /* of an integer in several bytes */
    uint32_t left; /* bytes of a string; until it is known, what is known of it */
    int count;     /* fields and table updates begun */
};

struct frames { /* zero it to begin */
    int64_t second_ns;
    size_t written; /* to the client, when the second began */
    int control, resets, updates;
    bool in_block; /* a header block has begun and not ended */
    bool unknown;  /* the last frames looked at had one of a type that is not known */
    int block;     /* its bytes */
    struct fields fields;
};

/* Goes on walking a header block. */
void fields_walk(struct fields *fields, const unsigned char *p, size_t n);

/* Looks at the whole frames at the beginning of input, which begins with a frame or the
 * connection's preface.  written: bytes written to the client so far; a client may send
 * a window update for each KiB of them.  NULL, or why the connection has to end. */
const char *frames_check(struct frames *frames, struct str input, size_t written, int64_t now_ns,
                         const struct frames_limits *limits);
/* Removes whole frames of unknown types, which are to be ignored (the library writes a line for
 * each); was_in_block: frames->in_block before they were looked at.  Returns the size left. */
size_t frames_strip(char *p, size_t n, bool was_in_block);
/* Counts errors that the client made the library answer; NULL, or why it has to end. */
const char *frames_errors(struct frames *frames, uint64_t errors, int64_t now_ns,
                          const struct frames_limits *limits);
