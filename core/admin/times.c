/* times.c -- spans of time in a query: since=1h, or from= and to= in seconds since 1970. */
#include <stdlib.h>

#include "admin/internal.h"
#include "base/clock.h"
#include "base/mem.h"

static bool instant(const struct admin_call *call, const char *name, int64_t *wall_ns,
                    struct err *err)
{
    char *text = admin_query(call, name, ""), *end = text;
    double seconds = *text ? strtod(text, &end) : 0;
    bool ok = (*end == '\0' && seconds >= 0 && seconds < 9e9) ||
              err_set(err, ERR_INVALID, "%s is seconds since 1970", name);
    *wall_ns = ok ? (int64_t)(seconds * 1000 + 0.5) * NS_PER_MS : 0;
    mem_free(text);
    return ok;
}

bool admin_query_times(const struct admin_call *call, int64_t *from, int64_t *to, struct err *err)
{
    char *since = admin_query(call, "since", "");
    int64_t ns = 0;
    bool ok = instant(call, "from", from, err) && instant(call, "to", to, err);
    if (ok && *since && (ok = duration_parse(str_c(since), &ns, err)))
        *from = clock_wall_ns() - ns;
    mem_free(since);
    return ok;
}
