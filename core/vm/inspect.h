/* inspect.h -- a plugin's sources read without running them: what `maru check` adds to loading.
 *
 * The reading is done by lua/maru/check/ in a VM made for it.  It knows what is registered because
 * that VM has an `app` like every other, and what is meant because it knows maru.d.lua.
 *
 * Threads: the one that made it.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct bundle;
struct host;
struct inspector;
struct lane;
struct scratch;

/* NULL with *err.  lane and host are borrowed; the lane need not run. */
struct inspector *inspector_create(struct lane *lane, const struct host *host, struct err *err);
void inspector_destroy(struct inspector *inspector);

struct finding {
    char *file;         /* "parse.lua" */
    int line;           /* from 1; 0 = nowhere in particular */
    int column, length; /* column from 1, in bytes; 0 = the whole line */
    bool warning;
    char *code, *message; /* "sql", "no such table: lins; did you mean 'lines'?" */
};

struct inspection {
    struct finding *findings; /* by file and line */
    int count;
    int statements; /* prepared */
    int unchecked;  /* put together at run time */
};

/* Reads every *.lua of the bundle.  scratch: where the plugin's tables are, or NULL to leave SQL
 * alone.  False with *err when the reading itself failed. */
bool inspector_run(struct inspector *inspector, const struct bundle *bundle,
                   struct scratch *scratch, struct inspection *out, struct err *err);
void inspection_free(struct inspection *inspection);

/* Appends what is registered as JSON: {"app":{"store":{"all":"function"}},"tx":…}. */
bool inspector_surface(struct inspector *inspector, struct buf *json, struct err *err);
/* Appends a .luacheckrc for plugins, made from maru.d.lua. */
bool inspector_luacheckrc(struct inspector *inspector, struct buf *out, struct err *err);

/* The text of maru.d.lua. */
struct str inspect_types(void);
