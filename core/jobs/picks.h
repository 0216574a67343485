/* picks.h -- the first few of very many, in order.  Known to core/jobs only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pick_source { PICK_MEMORY, PICK_DEAD, PICK_DONE };

struct pick {
    int64_t key, id;
    enum pick_source source;
};

struct picks {
    struct pick *list;
    size_t n, cap, most;
    struct pick worst; /* of the `most` that were kept, once there are as many */
    bool full;
};

void picks_init(struct picks *picks, size_t most);
void picks_add(struct picks *picks, int64_t key, int64_t id, enum pick_source source);
/* Sorts by key, then id; of two with the same id the first source stays.  At most `most`. */
void picks_finish(struct picks *picks);
void picks_free(struct picks *picks);
