/* rows.h -- builds a struct rows from values that come one after another. */
#pragma once

#include "storage/store.h"

struct rows_builder {
    int column_count;
    int64_t row_count;
    int64_t max_rows, max_bytes;
    struct buf names;  /* NUL-terminated, one after another */
    struct buf values; /* struct value; of text s.p is an offset into bytes */
    struct buf bytes;
}; /* {0} plus the limits */

void rows_column(struct rows_builder *b, const char *name);
/* Every value of a row in order, then rows_end_row(). */
void rows_value(struct rows_builder *b, struct value value); /* text is copied */
/* False with *err (ERR_LIMIT) when a limit is passed. */
bool rows_end_row(struct rows_builder *b, struct err *err);
/* The result; the builder is empty again. */
struct rows *rows_finish(struct rows_builder *b);
void rows_discard(struct rows_builder *b);
