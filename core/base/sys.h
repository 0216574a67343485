/* sys.h -- the system calls a test may replace, and file helpers over them.
 *
 * Failure injection: a test stores its own function in `sys_calls` and sees
 * what the code does with a full disk or a failed sync.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

struct sys_calls {
    ssize_t (*write)(int fd, const void *p, size_t n);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
};
extern struct sys_calls sys_calls;

/* Reads a whole file of at most max bytes into *out (appended). */
bool file_read(const char *path, size_t max, struct buf *out, struct err *err);
/* Writes path anew by a temporary file beside it, fsync and rename. */
bool file_write(const char *path, struct str bytes, int mode, struct err *err);
bool dir_make(const char *path, int mode, struct err *err); /* with parents */
