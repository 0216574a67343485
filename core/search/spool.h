/* spool.h -- what waits on disk for a server that is away.
 *
 * A folder of segments that are only appended to.  A record is its length, a
 * CRC-32 and its bytes; what spool_append() answered for is synced.  After a
 * crash reading goes on at the place last kept, or a little before it: who
 * takes records out must not mind one twice.  A record that was torn by the
 * crash was answered for to nobody and ends its segment.
 *
 * Threads: one at a time.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct spool;

enum { SPOOL_SEGMENT_BYTES = 8 << 20, SPOOL_RECORD_BYTES = 32 << 20 };

/* dir is made when needed.  most_bytes bounds the segments.  NULL with *err. */
struct spool *spool_open(const char *dir, int64_t most_bytes, struct err *err);
void spool_close(struct spool *spool); /* NULL is fine */

bool spool_is_empty(const struct spool *spool);
int64_t spool_bytes(const struct spool *spool);
int64_t spool_records(const struct spool *spool); /* of this process and those found at the start */

/* All of them or none.  False with *err: ERR_FULL over the bound or on a full disk, ERR_IO. */
bool spool_append(struct spool *spool, const struct str *records, int count, struct err *err);

/* Appends the oldest records to *out, at least one and at most about max_bytes of them, their ends
 * to ends[0 … most-1]; how many, 0 when there is none, or none can be read now. */
int spool_read(struct spool *spool, size_t max_bytes, int most, struct buf *out, size_t *ends);
/* Those that spool_read() gave last are done with. */
void spool_advance(struct spool *spool);
