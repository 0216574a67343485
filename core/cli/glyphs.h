/* glyphs.h -- UTF-8 text on a terminal: how many columns it takes, and what of it may be printed.
 *
 * A character of Korean, Chinese or Japanese is two columns wide and three bytes long.
 */
#pragma once

#include "base/str.h"

/* A copy without characters that steer a terminal (escape, C1, bidirectional
 * overrides): "?" stands for each; line feeds and tabs stay.  The caller's. */
char *glyphs_plain(struct str text);

/* Columns that the text takes in one line. */
int glyphs_width(const char *text);

/* Prints at most `most` columns of it, in one line, with spaces up to `least`. */
void glyphs_print(const char *text, int least, int most);
