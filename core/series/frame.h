/* frame.h -- builds a struct series_frame from rows that come one after another. */
#pragma once

#include "series/series.h"

struct frame_builder {
    int key_count, value_count;
    bool counted;
    int64_t n;
    struct buf at, counts;
    struct buf columns[SERIES_COLUMNS]; /* keys: struct str with an offset into text; values */
    struct buf text;
}; /* zeroed, then the counts */

void frame_key(struct frame_builder *b, int column, struct str text);
void frame_value(struct frame_builder *b, int column, double value);
/* names: keys, then values; borrowed by the frame's own copy. */
struct series_frame *frame_finish(struct frame_builder *b, const char *const *key_names,
                                  const char *const *value_names);
void frame_discard(struct frame_builder *b);

/* Room for n rows and text_bytes of key text; names are copied. */
struct series_frame *frame_create(int64_t n, int key_count, int value_count, bool counted,
                                  const char *const *key_names, const char *const *value_names,
                                  size_t text_bytes, char **text);
