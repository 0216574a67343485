/* sql.h -- just enough of SQL's lexical grammar to see what a text begins with. */
#pragma once

#include "base/str.h"

/* Cuts the next token off *rest: a word, a number, a quoted string or name with
 * its quotes, or one other character.  White space and comments are skipped;
 * empty at the end. */
struct str sql_token(struct str *rest);
/* Words compare without regard to case. */
bool sql_is_word(struct str token, const char *word);
/* Whether the word stands anywhere outside strings, quoted names and comments. */
bool sql_has_word(struct str sql, const char *word);
/* Nothing but white space, comments and semicolons. */
bool sql_blank(struct str sql);
