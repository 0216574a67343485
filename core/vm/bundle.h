/* bundle.h -- a plugin's folder read into memory, and its name by content.
 *
 * Loading from memory makes a generation immune to edits that arrive while it
 * loads, and lets the last ones be kept and rolled back to.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { BUNDLE_FILES = 2000, BUNDLE_BYTES = 64 << 20, BUNDLE_HASH = 64 };

struct bundle_file {
    char *name; /* "parse.lua", "migrations/0001_base.sql", "public/page.js" */
    char *bytes;
    size_t n;
};

struct bundle {
    char name[64];              /* folder name = plugin name */
    char *dir;                  /* as shown in errors: "plugins/guestbook" */
    char hash[BUNDLE_HASH + 1]; /* BLAKE2b-256 of names and contents, hex; 12 are shown */
    struct bundle_file *files;  /* sorted by name */
    int count;
};

/* Reads *.lua, migrations/, public/ and others; leaves out spec/ and dot files.
 * NULL with *err naming the file and the limit. */
struct bundle *bundle_read(const char *dir, struct err *err);
void bundle_free(struct bundle *bundle);
/* "plugins/guestbook/plugin.lua:7" of the first line of its Lua files that has the text, plugin.lua
 * before the others; without the line when none has it. */
void bundle_place(const struct bundle *bundle, const char *text, char *out, size_t size);
const struct bundle_file *bundle_find(const struct bundle *bundle, struct str name);
