/* sqlite_still.c -- where time stands still, `current_timestamp` and datetime('now') stand with it.
 */
#include "base/clock.h"
#include "base/still.h"
#include "storage/sqlite_private.h"

/* Milliseconds from noon in Greenwich on 24 November 4714 BC, which SQLite counts from, to 1970. */
static const int64_t julian_ms = INT64_C(210866760000000);

static int current_time(sqlite3_vfs *vfs, sqlite3_int64 *ms)
{
    (void)vfs;
    *ms = clock_wall_ns() / NS_PER_MS + julian_ms;
    return SQLITE_OK;
}

const char *conn_vfs(void)
{
    static sqlite3_vfs own;
    const sqlite3_vfs *system = sqlite3_vfs_find(NULL);
    if (!still_is_begun() || !system)
        return NULL;
    if (!own.zName) {
        own = *system;
        own.zName = "maru-still";
        own.xCurrentTimeInt64 = current_time;
        sqlite3_vfs_register(&own, 0);
    }
    return own.zName;
}
