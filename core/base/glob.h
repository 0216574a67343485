/* glob.h -- patterns of names as Redis has them: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before what
 * is meant as it stands.
 *
 * Matching takes time in the length of the pattern times that of the text, whatever they are.
 */
#pragma once

#include "base/str.h"

bool glob_match(struct str pattern, struct str text); /* all of text */
bool glob_is_plain(struct str text);                  /* nothing in it has a meaning */
/* Appends text so that it stands for itself alone. */
void glob_escape(struct buf *out, struct str text);
