/* sigv4.h -- AWS Signature Version 4, as S3 wants it: paths are encoded once and never normalised.
 *
 * Source: the Amazon S3 API reference, "Authenticating Requests"; checked with the vectors of
 * awslabs/aws-c-auth and of that page.  Pure; any thread.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

enum { SIGV4_HEX = 64, SIGV4_TIME = 16 }; /* "20130524T000000Z" */

struct sigv4_keys {
    struct str id, secret, token; /* token: of a session, or empty */
    struct str region, service;
};

/* Names and values as they are, not encoded.  Of headers names are in lower case, among them
 * host; the order is any. */
struct sigv4_pair {
    struct str name, value;
};

struct sigv4_request {
    struct str method;
    struct str path; /* not encoded, begins with "/" */
    const struct sigv4_pair *query;
    int query_count;
    const struct sigv4_pair *headers; /* those that are signed */
    int header_count;
    struct str payload; /* SHA-256 of the body in hex, or a word such as UNSIGNED-PAYLOAD */
    int64_t at;         /* wall, seconds */
};

/* Appends the value of the Authorization header.  The headers hold x-amz-date (sigv4_time()) and,
 * of a session, x-amz-security-token. */
void sigv4_authorization(struct buf *out, const struct sigv4_keys *keys,
                         const struct sigv4_request *request);
/* Appends the query of a presigned URL, which is good for `expires` seconds (1 … 604800).  The
 * request's own pairs are among its parameters. */
void sigv4_presign(struct buf *out, const struct sigv4_keys *keys,
                   const struct sigv4_request *request, int64_t expires);

void sigv4_time(char out[SIGV4_TIME + 1], int64_t at);
void sigv4_hash(char out[SIGV4_HEX + 1], struct str bytes); /* SHA-256 in hex */
/* RFC 3986; slash: "/" stays. */
void sigv4_encode(struct buf *out, struct str text, bool slash);
void sigv4_query(struct buf *out, const struct sigv4_pair *pairs, int count); /* in their order */

/* The steps, for tests: the canonical request, and the string to sign of it. */
void sigv4_canonical(struct buf *out, const struct sigv4_request *request);
void sigv4_to_sign(struct buf *out, const struct sigv4_keys *keys,
                   const struct sigv4_request *request, struct str canonical);
