/* findings.h -- what `maru check` found wrong, and how it is shown.
 *
 * Everything is collected first and printed in the order of plugin, file and
 * line, with the lines around, so that one run shows all of it.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/json.h"
#include "vm/bundle.h"

struct finding_row {
    char *plugin;
    char *path; /* "plugins/x/parse.lua"; the plugin's folder when it is of no file */
    const struct bundle_file *source; /* borrowed; NULL = no lines to show */
    int line, column, length;         /* 0 = unknown */
    bool warning;
    char *code, *message;
};

struct findings {
    struct finding_row *rows;
    int count, errors, warnings;
};

/* Adds one; everything is copied but the source.  One that says the same as another is left out,
 * and so is a failed load at a line where something is found already. */
void findings_add(struct findings *f, const struct finding_row *row);
/* Adds "plugins/x/plugin.lua:7: message" as an error of the plugin.  bundle may be NULL. */
void findings_add_message(struct findings *f, const char *plugin, const struct bundle *bundle,
                          const char *code, const char *message);
void findings_sort(struct findings *f);
void findings_print(const struct findings *f, FILE *out);
void findings_json(const struct findings *f, struct json *w); /* an array */
void findings_free(struct findings *f);
