/* scratch.h -- a database in memory that has the tables of plugins and no rows.
 *
 * `maru check` makes one, applies every migration to it from the first to the
 * last, and prepares the statements that stand in the plugins' sources.  None
 * is run.  What a plugin may touch is decided as in the store.
 *
 * One thread at a time; everything blocks.
 */
#pragma once

#include "storage/migrate.h"

struct scratch;

/* NULL with *err. */
struct scratch *scratch_open(struct err *err);
void scratch_close(struct scratch *scratch);

/* As store_migrate. */
bool scratch_migrate(struct scratch *scratch, const char *plugin,
                     const struct migration *migrations, int count, struct err *err);

/* Where a statement is wrong. */
struct scratch_fault {
    int offset; /* bytes from its beginning; -1 = SQLite does not say */
    int length;
};

/* Whether the plugin could run the statement with `given` values (-1 = as many as it takes).
 * False with *err and *fault. */
bool scratch_prepare(struct scratch *scratch, const char *plugin, struct str sql, int given,
                     struct scratch_fault *fault, struct err *err);
/* Appends the names of the plugin's tables and their columns, a space behind each. */
bool scratch_words(struct scratch *scratch, const char *plugin, struct buf *out, struct err *err);
