/* text.h -- text as the words it is searched by.
 *
 * Letters and digits make words, in lower case, without accents and in plain
 * width.  Korean puts particles behind words and Chinese and Japanese no
 * spaces between them, so a run of their characters is taken as overlapping
 * pairs: "맛집에서" is 맛집, 집에, 에서, and is found by 맛집.  A run of one
 * character is that character.
 *
 * In a document the last character of a run is a word too, at the place of the
 * last pair: with it, every character begins some word of its run, and one
 * character alone is found as the beginning of a word.
 *
 * Threads: any; nothing is kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { TEXT_WORD_BYTES = 128 }; /* of a word; what is longer is known by its beginning */

enum text_mode { TEXT_DOCUMENT, TEXT_QUERY };

struct text_word {
    struct str text;   /* folded; lives during the call */
    size_t start, end; /* where it stands, in bytes */
    bool colocated;    /* at the same place as the word before it */
    bool pair;         /* two characters of a run, or its last */
    bool single;       /* a run of one character */
};
/* Returns false to stop. */
typedef bool text_word_fn(void *arg, const struct text_word *word);

/* False when fn stopped it.  Bytes that are no UTF-8 part words. */
bool text_words(struct str text, enum text_mode mode, text_word_fn *fn, void *arg);

/* How many words there are in query mode, at most `most`; *last is the last one's kind (text
 * unset). */
int text_count(struct str text, int most, struct text_word *last);

/* Appends the text with Korean letters that were written apart (NFD, as macOS does) put together.
 */
void text_compose(struct buf *out, struct str text);
/* Appends the folded form of one word: lower case, plain width, no accents. */
void text_fold(struct buf *out, struct str text);
