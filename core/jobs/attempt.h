/* attempt.h -- a line of the log of failed attempts, on its way to the record and back. */
#pragma once

#include "jobs/private.h"

/* What it said, where, when.  Texts may be NULL. */
struct attempt_line {
    int64_t attempt, started_at, ended_at; /* times: wall, ns */
    const char *error, *traceback, *lane;
    const char *node; /* of a record that several share; otherwise NULL, and not printed */
};
void attempt_print_line(struct json *w, const struct attempt_line *line);

/* What attempt_log() adds to the batch that has the job's next state. */
struct attempt {
    struct effect effect; /* first */
    int64_t job, started_at, ended_at;
    int number, total; /* of this try; all that were logged may be as many */
    char *error, *traceback;
    char lane[16];
};
/* NULL when the effect is something else. */
const struct attempt *attempt_of(const struct effect *effect);
