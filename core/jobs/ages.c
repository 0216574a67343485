#include "jobs/ages.h"

static void add(struct ages *a, int64_t since, uint32_t by)
{
    for (int ring = 0; ring < AGES_RINGS; ring++, since /= AGES_STEP)
        a->slots[ring][(uint64_t)since % AGES_SLOTS] += by;
}

void ages_enter(struct ages *a, int64_t since)
{
    a->count++;
    add(a, since, 1);
}

void ages_leave(struct ages *a, int64_t since)
{
    a->count--;
    add(a, since, UINT32_MAX); /* one less, modulo 2^32 */
}

/* How many slots back from now the farthest counted one is; -1: none. */
static int farthest(const uint32_t *slots, int64_t now)
{
    for (int back = AGES_SLOTS - 1; back >= 0; back--)
        if (slots[(uint64_t)(now - back) % AGES_SLOTS])
            return back;
    return -1;
}

int64_t ages_oldest(const struct ages *a, int64_t now)
{
    int64_t width = 1, oldest = 0;
    if (a->count == 0)
        return 0;
    /* A ring that is too short shows what is older at a wrong place; the next
     * wider one then says so by an age that does not fit into it. */
    for (int ring = 0; ring < AGES_RINGS; ring++, width *= AGES_STEP) {
        int back = farthest(a->slots[ring], now / width);
        int64_t age = back <= 0 ? 0 : back * width - (width - 1 - now % width) / 2;
        if (ring == 0 || age > (AGES_SLOTS - AGES_STEP) * (width / AGES_STEP))
            oldest = age;
    }
    return oldest < 0 ? 0 : oldest;
}
