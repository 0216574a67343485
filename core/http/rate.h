/* rate.h -- token buckets by key, in fixed memory.
 *
 * One bucket is one number (the time at which it is full again).  When a shard
 * has no room the bucket that is nearest to full is given up: a flood of new
 * clients can make a limit too kind, never use more memory.  Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rate_table;

struct rate_table *rate_create(void);
void rate_destroy(struct rate_table *table);
/* Takes a token of the bucket `key` holding `burst` and filling at `rate` a
 * second.  False when it is empty; *wait_ns is then the time to the next. */
bool rate_take(struct rate_table *table, uint64_t key, double rate, int burst, int64_t now_ns,
               int64_t *wait_ns);
/* Somebody who knows better says that the next token is wait_ns away. */
void rate_tell(struct rate_table *table, uint64_t key, double rate, int burst, int64_t now_ns,
               int64_t wait_ns);
