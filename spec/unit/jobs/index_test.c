#include "jobs/index.h"

#include "base/rand.h"
#include "test.h"

enum { IDS = 500, ROUNDS = 200000 };

TEST(finds_what_is_in_and_nothing_else)
{
    static int64_t values[IDS + 1]; /* 0 = not in */
    struct index x = {0};
    size_t count = 0;
    CHECK(index_get(&x, 1) == NULL);
    CHECK(index_remove(&x, 1) == NULL);
    for (int round = 0; round < ROUNDS && !test_failures; round++) {
        int64_t id = 1 + (int64_t)(rand_u64() % IDS);
        if (rand_u64() % 2) {
            count += values[id] == 0;
            values[id] = round + 1;
            index_set(&x, id, &values[id]);
        } else {
            void *gone = index_remove(&x, id);
            CHECK(gone == (values[id] ? &values[id] : NULL));
            count -= values[id] != 0;
            values[id] = 0;
        }
        int64_t other = 1 + (int64_t)(rand_u64() % IDS);
        CHECK(index_get(&x, other) == (values[other] ? &values[other] : NULL));
        CHECK_EQ(x.count, count);
    }
    CHECK(index_get(&x, 0) == NULL);
    CHECK(index_get(&x, -5) == NULL);
    index_free(&x);
}
