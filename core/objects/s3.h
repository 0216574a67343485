/* s3.h -- objects in a bucket of S3, or of a server that speaks its protocol (MinIO, Ceph, Swift).
 *
 * The key of a plugin's object is "<plugin>/<key>".  Big objects go up in parts of PART bytes
 * (CreateMultipartUpload) and come down in ranges, so that a stream takes no more memory than a
 * part.  A reader asks for all ranges of one etag: an object that is replaced in between ends
 * it with ERR_CONFLICT.  Source: facts/services.md §6; sigv4.h.
 *
 * Calls come on their own lane's thread, whose HTTP client they use.
 */
#pragma once

#include "objects/object.h"

struct http_client;

struct s3_options {
    const char *url;    /* https://s3.ap-northeast-2.amazonaws.com; http only for tests and LANs */
    const char *bucket; /* it has to be there */
    const char *region;
    const char *id, *secret, *token;     /* token: of a session, or NULL */
    bool path_style;                     /* https://host/bucket/key, not https://bucket.host/key */
    int64_t timeout_ns;                  /* of one request, with its retries */
    struct http_client **const *clients; /* by lane index, once lanes are there */
};

/* Everything is copied.  NULL with *err ERR_INVALID. */
struct objects *s3_open(const struct s3_options *options, struct err *err);
