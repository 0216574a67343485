/* frame.h -- the place in a plugin's source that a message names, and the lines around it.
 *
 * Messages say "plugins/guestbook/lines.lua:7: …"; the lines come from the bundle that raised
 * them, so they are those that ran, whatever lies in the folder by now.
 */
#pragma once

#include <stdbool.h>

#include "base/json.h"
#include "base/str.h"
#include "vm/bundle.h"

enum { FRAME_AROUND = 3 }; /* lines before and behind that are shown */

struct frame {
    const struct bundle_file *file;
    int line;
    struct str message; /* behind the place, or the whole message when it names none */
    char at[256];       /* "plugins/guestbook/lines.lua:7" */
};

/* The first place in the message that is a line of the bundle; false when there is none
 * (out->message is set all the same).  Borrows both. */
bool frame_find(const struct bundle *bundle, const char *message, struct frame *out);
/* The text of a line, counted from 1, without its end; p NULL when there is no such line. */
struct str frame_line(const struct bundle_file *file, int line);
/* [{"line":6,"text":"…"},…]: the lines around `line`. */
void frame_json(struct json *w, const struct bundle_file *file, int line);
