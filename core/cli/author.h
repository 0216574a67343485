/* author.h -- what a plugin's author gets beside the plugin: types for the editor, rules for
 * luacheck.
 *
 *   plugins/.maru/maru.d.lua   the host's types, of this program's version
 *   plugins/.maru/test.d.lua   those of `test` in a spec
 *   plugins/.luarc.json        for an editor that opens the folder of plugins
 *   plugins/.luacheckrc
 *   plugins/NAME/.luarc.json   the same for one that opens the plugin's folder
 *   plugins/NAME/.luacheckrc
 *
 * None of them is part of a plugin: names that begin with a dot are never loaded.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct inspector;
struct lane;

/* What a command needs to inspect without a server. */
struct author {
    struct lane *lane;
    struct inspector *inspector;
};
bool author_open(struct author *author, struct err *err);
void author_close(struct author *author); /* also after author_open failed */

/* Writes the three files into the folder of plugins, and into NAME's; what an author wrote instead
 * is left alone.  False with *err. */
bool author_write(struct inspector *inspector, const char *plugins, const char *name,
                  struct err *err);
/* Brings what author_write made up to this program's version; does nothing where it made nothing,
 * and nothing where it may not write. */
void author_refresh(struct inspector *inspector, const char *plugins);
