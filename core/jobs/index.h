/* index.h -- whole numbers to pointers: a job by its id.
 *
 * Open addressing with backward shift, so a queue that ran for weeks has no
 * tombstones.  Keys are > 0.  Not thread-safe.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct index_slot {
    int64_t id; /* 0 = empty */
    void *value;
};
struct index {
    struct index_slot *slots;
    size_t size, count; /* size: 0 or a power of two, at least a third of it empty */
};                      /* {0} is empty */

void *index_get(const struct index *x, int64_t id); /* NULL when absent */
void index_set(struct index *x, int64_t id, void *value);
void *index_remove(struct index *x, int64_t id); /* the removed value, or NULL */
void index_free(struct index *x);
