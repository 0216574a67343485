/* query.h -- the words a user typed, as a tree.
 *
 *   맛집 서울           both words             "정말 맛있다"   one after another
 *   맛집 OR 카페        either                 -광고           not that one
 *   star*               words that begin so    title:맛집      in one field
 *   (a OR b) -c         groups
 *
 * A part without letters or digits says nothing and is passed over.  Every
 * group needs something that must occur, so that each driver can answer.
 *
 * Threads: any; the tree is the arena's.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    QUERY_BYTES = 1000, /* longest query */
    QUERY_PARTS = 64,   /* words and phrases */
    QUERY_DEPTH = 8,    /* parentheses in one another */
    QUERY_WORDS = 64,   /* words of one phrase */
};

enum query_kind { QUERY_TEXT, QUERY_ALL, QUERY_ANY };

struct query_node {
    enum query_kind kind;
    bool negated;               /* a member of QUERY_ALL only */
    struct query_node *next;    /* the next member of what it belongs to */
    struct query_node *members; /* ALL, ANY */
    /* TEXT: at least one word, words one after another */
    struct str text;
    bool prefix; /* the last word may go on */
    int words;
    bool pair;   /* the last word is a pair of characters */
    bool single; /* …or one Korean, Chinese or Japanese character alone */
    int field;   /* -1 = any */
    int column;
};

/* What a name before a colon means. */
enum { QUERY_NO_FIELD = -1, QUERY_NOT_TEXT = -2 };
typedef int query_field_fn(void *arg, struct str name); /* its number, or one of these */

/* *root is NULL for a blank query.  False with *err (ERR_INVALID, ERR_LIMIT):
 * "column 7: a quote is not closed"; columns are characters, from 1. */
bool query_parse(struct arena *arena, struct str text, query_field_fn *field, void *arg,
                 struct query_node **root, struct err *err);
