/* question.h -- what a question to one series says alike to every driver, and the answer's builder.
 *
 * Names in the SQL were checked when they were declared; everything that comes
 * with a call is a parameter.
 */
#pragma once

#include "series/frame.h"
#include "series/series_private.h"

/* What a driver says in its own words. */
struct question_words {
    const char *schema;                             /* before a table's name */
    const char *newest;                             /* a step's newest value of the column %1$s */
    void (*step)(struct query *q, int64_t step_us); /* where the step of a point begins */
};

void question_columns(struct query *q, const struct series *s, const char *at); /* "select …" */
void question_keys(struct query *q, const struct series *s); /* their names in a list */
void question_where(struct query *q, const struct series_call *call);
void question_limit(struct query *q, const struct series_call *call);
/* The whole question of SERIES_DOWNSAMPLE: step, keys, values, points of each. */
void question_steps(struct query *q, const struct series_call *call,
                    const struct question_words *words);
/* For the answer: owned by the caller until frame_finish or frame_discard. */
struct frame_builder *question_frame(const struct series_call *call);
