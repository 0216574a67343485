/* celery/apply.h -- one signature becomes messages; known to celery/follow.c only. */
#pragma once

#include "jobs/celery/follow.h"

/* Where a signature is applied. */
struct celery_place {
    const struct celery_message *from;
    struct str parent_id, root_id;
    struct str first;       /* the argument in front, raw JSON; empty = none */
    struct str chain;       /* what follows it, in reverse; an array or empty */
    struct str chord;       /* it is a part of */
    struct str group;       /* id */
    int group_index, depth; /* -1 = none */
};

void celery_apply(struct celery_follow *f, struct arena *arena, struct str sig,
                  const struct celery_place *at, bool child);

/* Takes the value over. */
void celery_add_pair(struct celery_pair **list, int *count, struct str key, struct buf *value);
/* An option's list; "link" may be one signature instead. */
struct str celery_signatures(struct arena *arena, struct str options, const char *key);
