/* share.h -- KERNELS_SHARE=N: the long tests look at one value in N, for a processor that is
 * imitated (scripts/test arm); N is odd, so that every place in a vector is met. */
#pragma once

#include <stdlib.h>

static inline size_t kernels_share(void)
{
    const char *wish = getenv("KERNELS_SHARE");
    size_t n = wish ? strtoull(wish, NULL, 10) : 1;
    return n ? n : 1;
}
