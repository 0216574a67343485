/* directory.h -- objects as files of a folder, with their index in the embedded store.
 *
 *   DIR/tmp/ID      being written, or written and not yet in its place
 *   DIR/xx/ID       xx: the first two digits of SHA-256(ID), so that no folder gets too big
 *   maru_object     key → ID, size, type, SHA-256 of the bytes (the etag)
 *   maru_object_gone  IDs of files that are no object any more
 *
 * O1  A row's file is whole and synced before the row is committed: in tmp/ or in its place.
 * O2  A file that loses its row gets one in maru_object_gone in the same commit, and is removed
 *     after it.  So after a crash only tmp/ and these have to be looked at.
 */
#pragma once

#include "objects/object.h"

struct pool;
struct sqlite;

/* Makes the folder, and tidies it up after a crash; blocks.  pool and db outlive it.  NULL with
 * *err. */
struct objects *directory_open(const char *path, struct sqlite *db, struct pool *pool,
                               struct err *err);
