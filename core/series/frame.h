/* frame.h -- builds a struct series_frame from rows that come one after another. */
#pragma once

#include "series/series.h"

struct frame_builder {
    const char *const *key_names, *const *value_names; /* borrowed */
    int key_count, value_count;
    bool counted;
    int64_t n;
    struct buf at, counts;
    struct buf columns[SERIES_COLUMNS]; /* keys: struct str with an offset into text; values */
    struct buf text;
}; /* zeroed, then names and counts */

void frame_key(struct frame_builder *b, int column, struct str text);
void frame_value(struct frame_builder *b, int column, double value);
/* What came since the last one; the builder has no rows then. */
struct series_frame *frame_finish(struct frame_builder *b);
void frame_discard(struct frame_builder *b); /* its rows */

/* Room for n rows and text_bytes of key text; names are copied. */
struct series_frame *frame_create(int64_t n, int key_count, int value_count, bool counted,
                                  const char *const *key_names, const char *const *value_names,
                                  size_t text_bytes, char **text);
