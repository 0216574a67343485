/* files.h -- static files: a URL prefix onto a directory or onto files in memory.
 *
 * Strong ETags, Last-Modified, conditional and range requests, HEAD, .br/.gz
 * siblings, index.html for a path that ends in '/'.  Never served: names that
 * begin with a dot, anything reached through a link that leaves the directory.
 * Files up to FILES_CACHED_BYTES are kept in memory and looked at again at most
 * once a second; larger ones are streamed.  A table is immutable; its file
 * cache is shared by all lanes of the process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

struct files;
struct http_request;

enum {
    FILES_CACHED_BYTES = 256 << 10, /* largest file kept in memory */
    FILES_CACHE_BYTES = 64 << 20,   /* all of them */
    FILES_CACHE_ENTRIES = 4096,     /* names, also of files that do not exist */
};

struct files_entry {
    const char *name; /* "page.js", "lib/html.js" */
    const char *bytes;
    size_t n;
};

/* Strings and entries are borrowed and live as long as the table. */
struct files_mount {
    const char *prefix;                /* "/", "/plugins/guestbook/"; ends in '/' */
    const char *dir;                   /* a directory, or NULL: */
    const struct files_entry *entries; /* files in memory, sorted by name */
    int count;
    const char *version; /* of the entries (a content hash), part of their ETags */
    bool admin;          /* served on admin listeners only */
};

/* Longest prefix first.  NULL with *err when two mounts have one prefix or a
 * directory cannot be opened. */
struct files *files_create(const struct files_mount *mounts, int count, bool development,
                           struct err *err);
void files_destroy(struct files *files);
/* Answers and returns true when a mount has the file (or answers 405, 412,
 * 416 for it); false = no such file. */
bool files_serve(const struct files *files, struct http_request *r);
