/* floats.h -- arrays of float32 from what clients send.
 *
 * Text is a JSON array of numbers (RFC 8259), or one such number a line
 * (NDJSON; blank lines count for nothing); which of both is seen by its first
 * character.  Every number becomes the float32 next to it, ties to even.
 * What is no number, and what float32 cannot hold but as infinity, is refused
 * together with its place.
 *
 * Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum { FLOATS_MOST = 10000000 };

/* How many numbers there can be in the text at most, from its commas or line feeds: the room that
 * floats_parse needs.  False with *err (ERR_LIMIT) when that is over FLOATS_MOST. */
bool floats_room(struct str text, size_t *room, struct err *err);

/* Reads the text into out, which has `room` elements of floats_room(text); *n is how many there
 * are, at least one.  False with *err (ERR_INVALID); *bad is then the index, from 1, of the first
 * value that is wrong, or 0 when there is none at all. */
bool floats_parse(struct str text, float *out, size_t room, size_t *n, size_t *bad,
                  struct err *err);

/* float32, little-endian, n of them in 4 * n bytes.  Returns the index, from 1, of the first that
 * is infinite, or NaN unless `missing`, or 0.  The bytes need not be aligned. */
size_t floats_read(const char *bytes, size_t n, bool missing, float *out);
size_t floats_first_bad(const float *values, size_t n, bool missing); /* the same of these */
void floats_write(const float *values, size_t n, char *bytes);

/* The same bytes as base64 with padding (RFC 4648 §4), floats_base64_bytes(n) letters. */
size_t floats_base64_bytes(size_t n);
void floats_to_base64(const float *values, size_t n, char *text);

/* *n of them, of which out holds text.n / 16 * 3 + 3; infinities and NaN as they are.  False for
 * what is no such text, or no whole number of float32; out has anything then. */
bool floats_of_base64(struct str text, float *out, size_t *n);

/* The least and the greatest value; false when all are NaN. */
bool floats_range(const float *values, size_t n, float *least, float *greatest);

/* To the float32 next to each, rounded to so many decimals, half of one up; decimals may be below
 * 0. `to` may be `values`. */
void floats_round(const float *values, size_t n, int decimals, float *to);

/* How far forecast[i - lag] is from values[i], of those where neither is NaN; in float64. */
struct floats_errors {
    size_t count;
    double absolute, square; /* mean absolute error; root of the mean squared one; 0 of none */
};
struct floats_errors floats_errors(const float *values, const float *forecast, size_t n,
                                   size_t lag);
