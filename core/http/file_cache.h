/* file_cache.h -- files of a directory, opened safely; small ones kept in memory.
 *
 * Process-wide, any thread.  A kept file, or the knowledge that there is none,
 * is looked at again after a second.  Reading a file not yet kept blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct file {
    _Atomic int refs;
    bool exists;
    int64_t size, modified; /* bytes; seconds since the epoch */
    char etag[48];          /* with quotes */
    char *bytes;            /* NULL: larger than FILES_CACHED_BYTES, see file_open */
    /* private to file_cache.c */
    int64_t modified_ns, checked_ns;
    struct file_slot *slot;
};

/* A reference to what `name` (checked by file_name_is_safe) is below dir now. */
struct file *file_find(const char *dir, struct str name, int64_t now_ns);
void file_unref(struct file *file);
int file_open(const char *dir, struct str name); /* a descriptor, or -1 with errno */
/* No empty, dot-led or overlong segment, no backslash, no control character. */
bool file_name_is_safe(struct str name);
void file_cache_clear(void);
