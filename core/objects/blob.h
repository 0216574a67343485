/* blob.h -- files of the object folder, by their id; blocking, for pool threads. */
#pragma once

#include <sodium.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { BLOB_ID_BYTES = 37, BLOB_HASH_BYTES = 65 };

struct blob {
    char id[BLOB_ID_BYTES];
    int fd; /* -1: closed */
    int64_t size;
    crypto_hash_sha256_state hash;
};

bool blob_folder(const char *dir, struct err *err); /* makes what is missing */
/* A new one in tmp/. */
bool blob_create(struct blob *b, const char *dir, struct err *err);
bool blob_write(struct blob *b, struct str bytes, struct err *err);
/* All is on disk, under a name that is, too; gives the hash in hex.  Closed either way. */
bool blob_seal(struct blob *b, const char *dir, char hash[BLOB_HASH_BYTES], struct err *err);
void blob_close(struct blob *b);
/* From tmp/ to its place; nothing to do when it is there.  A crash in between is made good when the
 * folder is opened. */
void blob_place(const char *dir, const char *id);
void blob_remove(const char *dir, const char *id); /* wherever it is */
/* Reading; ERR_NOT_FOUND when it is gone. */
bool blob_open(struct blob *b, const char *dir, const char *id, struct err *err);
/* At most n bytes from `at` are appended; fewer only at the end. */
bool blob_read(struct blob *b, int64_t at, size_t n, struct buf *out, struct err *err);
/* Calls fn for the id of each file in tmp/ that was written to before `before` (wall, ns). */
bool blob_each_unplaced(const char *dir, int64_t before,
                        bool (*fn)(void *arg, const char *id, struct err *err), void *arg,
                        struct err *err);
void blob_hash_text(crypto_hash_sha256_state *hash, char text[BLOB_HASH_BYTES]);
