/* s3_private.h -- what s3*.c share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "http/client.h"
#include "objects/s3.h"
#include "objects/sigv4.h"
#include "observe/drivers.h"

enum {
    S3_PAIRS = 8,
    S3_LANES = 1024,
    S3_RETRIES = 4,
    S3_PART_BYTES = 8 << 20,           /* of an upload, the least that S3 takes is 5 MiB … */
    S3_GROW_PARTS = 500,               /* so many, then they are twice as big … */
    S3_LARGEST_PART_BYTES = 512 << 20, /* … up to this */
    S3_RANGE_BYTES = 4 << 20,          /* of a download */
};

struct s3 {
    struct objects objects; /* first */
    char *origin, *host;    /* "https://bucket.host:port", and the Host header of it */
    char *base;             /* of paths: "" or "/bucket" */
    char *allow;            /* the one host:port that is reached */
    char *region, *id, *secret, *token;
    struct http_client **const *clients;
    pthread_mutex_t lock;
    pthread_cond_t quiet;
    int64_t under_way; /* under lock: requests and streams */
    bool closing;      /* under lock */
    /* lanes that have been seen; each list is its lane's own */
    struct lane *lanes[S3_LANES]; /* under lock */
    struct list requests[S3_LANES];
    struct list uploads; /* under lock: those of this process that S3 has parts of */
    int64_t timeout_ns;
    struct driver_health *health;
    _Atomic int64_t heard_ns; /* steady: when it was last told how the server is */
    atomic_bool down;         /* and what */
    /* s3_sweep.c, s3_probe.c: on objects.lane */
    struct timer sweep_timer, probe_timer;
    bool ended;
    int64_t probe_pause_ns, probe_sent_ns;
};

/* One request.  What it points at is borrowed while s3_send() runs, but for `arg`. */
struct s3_request {
    const char *method;
    const char *plugin; /* NULL: the bucket itself is meant */
    struct str key;
    struct sigv4_pair query[S3_PAIRS];
    int query_count;
    struct sigv4_pair headers[S3_PAIRS]; /* names in lower case */
    int header_count;
    struct str body;
    struct str sha256; /* what the body's is to be, in hex; or empty */
    bool body_lent;    /* it stays until `done` */
    int64_t max_bytes; /* of the answer; 0 = 1 MiB */
    bool once;         /* not again when it fails, and soon over */
    bool aside;        /* what it answers says nothing of how the server is */
};

struct s3_answer {
    int status; /* 0: there was none, and err says why */
    struct str body;
    const struct fetch_header *headers;
    int header_count;
    struct err err;  /* for statuses over 299, too; ERR_NONE below */
    struct str code; /* of S3's error: NoSuchKey … */
};
typedef void s3_done_fn(void *arg, const struct s3_answer *answer);

/* s3_request.c.  `done` comes later, once, on this lane. */
void s3_send(struct s3 *s3, struct lane *lane, const struct s3_request *request, s3_done_fn *done,
             void *arg);
struct str s3_header(const struct s3_answer *answer, const char *name); /* or empty */
void s3_query(struct s3_request *r, const char *name, struct str value);
void s3_add_header(struct s3_request *r, const char *name, struct str value);
void s3_begin(struct s3 *s3); /* pairs around what close waits for */
void s3_over(struct s3 *s3);
bool s3_presign(struct objects *store, const struct object_presign *p, struct buf *out);
void s3_cancel_all(struct s3 *s3); /* and waits; no new ones */
/* Size, etag and time of an object as its headers say. */
void s3_read_info(const struct s3_answer *answer, struct object_info *info);

/* s3_xml.c: the few answers of S3 that have to be read; slices of the text, entities and all. */
struct str xml_find(struct str xml, const char *element); /* the first one's inside */
bool xml_next(struct str *xml, const char *element, struct str *inside); /* and what follows it */
void xml_decode(struct buf *out, struct str text);                       /* &amp; &#x41; … */
void xml_encode(struct buf *out, struct str text);
bool url_decode(struct buf *out, struct str text); /* %41; false: no UTF-8 */
int64_t xml_time(struct str text); /* 2024-01-31T12:00:00.000Z: wall, ns; 0 = none */

/* s3_call.c, s3_list.c, s3_upload.c, s3_download.c.  The names of keys and not of requests are
 * what a plugin's author knows: s3_call_failed() answers with them. */
void s3_call_failed(struct object_call *c, const struct s3_answer *a);
void s3_list(struct object_call *c);
void s3_delete_many(struct object_call *c);
/* s3_sweep.c, s3_probe.c */
void s3_sweep_begin(struct s3 *s3);
void s3_sweep_end(struct s3 *s3);
void s3_probe_begin(struct s3 *s3);
void s3_probe_end(struct s3 *s3);
void s3_run(struct objects *store, struct object_call *call);
bool s3_upload_is_here(struct s3 *s3, struct str id); /* any thread */
void s3_upload_begin(struct object_upload *u);
void s3_upload_write(struct object_upload *u, struct str bytes);
void s3_upload_end(struct object_upload *u);
void s3_download_begin(struct object_download *d);
void s3_download_next(struct object_download *d);
void s3_download_part(struct object_download *d, int64_t from, int64_t n);
void s3_download_close(struct object_download *d);
