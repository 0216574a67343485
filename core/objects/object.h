/* object.h -- blobs by key: files of people, exports, backups; what is too big for a row.
 *
 * A driver (directory.h, s3.h) is a table of functions, as in storage/store.h.  A call is a
 * struct of its caller's, handed to object_run() and given back by `done` on the caller's lane,
 * exactly once and never before object_run() returned.  What it points at is borrowed until then.
 *
 * Keys are text of 1 to OBJECT_KEY_BYTES bytes (UTF-8, no control characters); "/" is a letter like
 * others, nothing is normalised.  Each plugin has keys of its own.  An object is whole or not
 * there: who reads one while it is replaced gets the old or the new one.  What put answered for is
 * on disk.
 *
 * Threads: everything here may be called from any thread, objects_close() once all callers are
 * gone.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/lane.h"

struct checksum;
struct objects;

enum {
    OBJECT_KEY_BYTES = 900, /* S3 takes 1024, with the name of the plugin in front */
    OBJECT_TYPE_BYTES = 200,
    OBJECT_ETAG_BYTES = 65,         /* with a NUL */
    OBJECT_BODY_BYTES = 64 << 20,   /* one OBJECT_PUT or OBJECT_GET; more by streams */
    OBJECT_CHUNK_BYTES = 256 << 10, /* of a stream that is read */
    OBJECT_LIST = 1000,             /* keys of one OBJECT_LIST, at most and by default */
    OBJECT_QUEUE = 10000,           /* calls under way; another one is ERR_BUSY */
};

struct object_info {
    struct str key, type;         /* OBJECT_LIST: in call->out; else the caller's key, call->out */
    int64_t size, at;             /* bytes; wall, ns: when it was put */
    char etag[OBJECT_ETAG_BYTES]; /* changes with the bytes; hex */
    bool is_prefix;               /* OBJECT_LIST: key stands for all that begin with it */
};

enum object_op {
    OBJECT_PUT,
    OBJECT_GET,
    OBJECT_STAT,
    OBJECT_DELETE,
    OBJECT_DELETE_MANY,
    OBJECT_LIST_KEYS
};

struct object_call {
    struct lane_message message; /* private, first */
    /* set by the caller */
    enum object_op op;
    const char *plugin;
    struct str key;                         /* LIST_KEYS: the prefix, may be empty */
    struct str body;                        /* PUT */
    struct str type;                        /* PUT: media type; empty = application/octet-stream */
    bool if_absent;                         /* PUT: ERR_EXISTS when the key is there */
    struct str sha256;                      /* PUT: ERR_CONFLICT of other bytes; hex, or empty */
    int64_t from, n;                        /* GET: a part of it, n = 0: up to its end */
    struct str after;                       /* LIST_KEYS: behind this key, or this prefix */
    struct str delimiter;                   /* LIST_KEYS: "/", or empty: see is_prefix */
    const struct str *keys;                 /* DELETE_MANY: what is not there is no error */
    int key_count;                          /* DELETE_MANY: at most OBJECT_LIST */
    int limit;                              /* LIST_KEYS; 0 = OBJECT_LIST */
    void (*done)(struct object_call *call); /* lane; the call is its owner's again */
    /* result; the owner frees by object_call_free() */
    struct err err;          /* ERR_NOT_FOUND: GET, STAT, DELETE of what is not there */
    struct object_info info; /* PUT, GET, STAT */
    struct buf out;          /* GET: the bytes */
    struct buf text;         /* what info and items point into */
    struct object_info *items;
    int count; /* LIST_KEYS: of items; DELETE_MANY: of keys */
    bool more; /* LIST_KEYS: there are others behind the last one */
    /* private */
    struct lane *lane;
    struct objects *store;
};
void object_run(struct objects *store, struct object_call *call, struct lane *lane);
void object_call_free(struct object_call *call); /* what the result holds */

/* An object that is written piece by piece in constant memory.
 *   object_upload_begin → ready → object_upload_write → ready → … → object_upload_end → ended
 * All of it on one lane, one thing at a time; end may come while a write is under way when
 * it is object_upload_end(u, false), and is then the last that is said.  Until `ended`, which
 * comes once and last, the upload is the store's. */
struct object_upload {
    struct lane_message message; /* private, first */
    const char *plugin;
    struct str key, type;
    bool if_absent;
    struct checksum *checksum;              /* ERR_CONFLICT of other bytes; borrowed; or NULL */
    void (*ready)(struct object_upload *u); /* u->err tells; after an error only end(u, false) */
    void (*ended)(struct object_upload *u); /* u->err, u->info (info.key is the caller's) */
    struct err err;
    struct object_info info;
    /* private */
    struct objects *store;
    struct lane *lane;
    void *state;
    bool busy, ending, commit;
};
void object_upload_begin(struct objects *store, struct object_upload *u, struct lane *lane);
void object_upload_write(struct object_upload *u, struct str bytes); /* borrowed until ready */
void object_upload_end(struct object_upload *u, bool commit);

/* An object that is read piece by piece.
 *   object_download_begin → got (info) → object_download_next → got (bytes) → … → close
 * bytes is empty at the end.  close may come at any time, once; then closed comes, last. */
struct object_download {
    struct lane_message message; /* private, first */
    const char *plugin;
    struct str key;
    int64_t from, n;                        /* a part, as in object_call */
    void (*got)(struct object_download *d); /* d->err tells; after an error only close */
    void (*closed)(struct object_download *d);
    struct err err;
    struct object_info info; /* after the first got */
    struct str bytes;        /* good until the next call about d */
    /* private */
    struct objects *store;
    struct lane *lane;
    void *state;
    struct buf text;
    bool busy, closing;
};
void object_download_begin(struct objects *store, struct object_download *d, struct lane *lane);
void object_download_next(struct object_download *d);
/* Only this part of it is read; n > 0, within its size.  Behind the first got, before any next. */
void object_download_part(struct object_download *d, int64_t from, int64_t n);
void object_download_close(struct object_download *d);

/* A URL for somebody who is not a plugin. */
struct object_presign {
    const char *plugin;
    struct str key;
    bool put;
    int64_t expires_s; /* from now on: 1 … 604800 */
    struct str type;   /* PUT: it has to be of this type; GET: it is told to be; or empty */
    int64_t max_bytes; /* PUT; 0: no other bound than the server's */
    struct str name;   /* GET: what the file is to be called; or empty */
    bool shown;        /* GET: not kept as a file, where its type is harmless */
};
/* Appends it.  Does not ask whether the key is there.  False with *err. */
bool object_presign(struct objects *store, const struct object_presign *p, struct buf *out,
                    struct err *err);

/* False with *err ERR_INVALID or ERR_LIMIT. */
bool object_key_check(struct str key, struct err *err);
bool object_type_check(struct str type, struct err *err);

/* The seam.  A driver embeds struct objects first in its own.  Calls are checked already. */
struct objects_driver {
    const char *name;
    void (*run)(struct objects *store, struct object_call *call);
    void (*upload_begin)(struct object_upload *u);
    void (*upload_write)(struct object_upload *u, struct str bytes);
    void (*upload_end)(struct object_upload *u); /* u->commit tells; nothing is under way */
    void (*download_begin)(struct object_download *d);
    void (*download_next)(struct object_download *d);
    void (*download_part)(struct object_download *d, int64_t from, int64_t n);
    void (*download_close)(struct object_download *d); /* frees d->state; nothing is under way */
    /* A URL of its server's own; NULL, or false: the host answers for it (public.h). */
    bool (*presign)(struct objects *store, const struct object_presign *p, struct buf *out);
    /* Timers of its own on store->lane, on whose thread both are called; NULL = none. */
    void (*begin)(struct objects *store);
    void (*end)(struct objects *store); /* none of them runs any more */
    void (*close)(struct objects *store);
};
/* What is looked after by timers: what nobody finished, and whether the server is there. */
struct object_upkeep {
    int64_t every_ns; /* between sweeps */
    int64_t ttl_ns;   /* what is older was given up */
    /* Calls each(to, name) for every plugin that serves; on the lane. */
    void (*plugins)(void *arg, void (*each)(void *to, const char *plugin), void *to);
    void *arg;
};
enum { OBJECT_TICKET_KEY_BYTES = 32 };
struct objects {
    const struct objects_driver *driver;
    atomic_int under_way; /* calls */
    struct lane *lane;    /* of the upkeep */
    bool begun;           /* it */
    struct object_upkeep upkeep;
    char *public_url;                                  /* before "/objects/…", or "" */
    unsigned char ticket_key[OBJECT_TICKET_KEY_BYTES]; /* of URLs that the host answers for */
};
/* For drivers: LIST_KEYS goes on behind a prefix, all of whose keys were told of by it. */
bool object_after_is_prefix(const struct object_call *call);
/* For drivers: on the lane, by way of its message. */
void object_answer(struct object_call *call);
void object_upload_answer(struct object_upload *u);     /* ready, or ended */
void object_download_answer(struct object_download *d); /* got, or closed */

/* The key of tickets that follows from another secret. */
void object_derive_key(unsigned char key[OBJECT_TICKET_KEY_BYTES], struct str secret);
/* For who opened it, before any call: url (copied) stands before the host's own URLs. */
void objects_set_tickets(struct objects *store, const unsigned char *key, const char *url);
/* Upkeep, from now on until objects_end(), which objects_close() does, too.  Neither is called on a
 * lane that may be given. */
void objects_begin(struct objects *store, struct lane *lane, const struct object_upkeep *upkeep);
void objects_end(struct objects *store);
void objects_close(struct objects *store); /* NULL is fine */
