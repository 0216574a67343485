/* sqlite_gather.c -- what the writer appends to its write-ahead log goes out in one write(2).
 *
 * DESIGN.  SQLite writes a log frame by frame, each as two calls; a commit of 64 jobs has a hundred
 * of them.  Here they wait in memory until SQLite asks for the file to be synced, which with
 * synchronous=FULL it does before it shows a commit to readers (and, for the log's header, before
 * it writes the first frame).  Until then only the writer's own connection reads them; it makes
 * them go out first.  A write that fails is told at the sync, where SQLite fails the commit just
 * so; what was waiting is forgotten, as SQLite writes the same place again.
 *
 * A checkpoint syncs the log once more, though nothing was written since: that one is left out.
 */
#include <stdatomic.h>

#include "base/mem.h"
#include "storage/sqlite_private.h"

enum {
    GATHER_FIRST = 64 << 10,
    GATHER_MOST = 1 << 20,
    GATHER_PIECE = 124 << 10, /* SQLite takes a write's length modulo 128 KB */
};

struct gathering {
    sqlite3_file base; /* first */
    sqlite3_file *real;
    char *bytes; /* of [at, at + n) of the file */
    size_t n, cap;
    sqlite3_int64 at;
    bool dirty; /* written since the last sync, or nobody knows */
};

static struct gathering *of(sqlite3_file *file)
{
    return (struct gathering *)(void *)file;
}

static int write_out(struct gathering *f)
{
    size_t n = f->n;
    int rc = SQLITE_OK;
    f->n = 0;
    for (size_t done = 0, piece; done < n && rc == SQLITE_OK; done += piece) {
        piece = n - done < GATHER_PIECE ? n - done : GATHER_PIECE;
        rc = f->real->pMethods->xWrite(f->real, f->bytes + done, (int)piece,
                                       f->at + (sqlite3_int64)done);
    }
    return rc;
}

static int gather_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
    struct gathering *f = of(file);
    bool follows = f->n && at == f->at + (sqlite3_int64)f->n && f->n + (size_t)n <= GATHER_MOST;
    f->dirty = true;
    if (!follows) {
        int rc = write_out(f);
        if (rc != SQLITE_OK)
            return rc;
        f->at = at;
    }
    if (f->n + (size_t)n > f->cap) {
        while (f->n + (size_t)n > f->cap)
            f->cap = f->cap ? f->cap * 2 : GATHER_FIRST;
        f->bytes = mem_realloc(f->bytes, f->cap);
    }
    memcpy(f->bytes + f->n, p, (size_t)n);
    f->n += (size_t)n;
    return SQLITE_OK;
}

static int gather_sync(sqlite3_file *file, int flags)
{
    struct gathering *f = of(file);
    int rc = write_out(f);
    if (rc == SQLITE_OK && f->dirty)
        rc = f->real->pMethods->xSync(f->real, flags);
    if (rc == SQLITE_OK)
        f->dirty = false;
    return rc;
}

static int gather_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
    int rc = write_out(of(file));
    return rc == SQLITE_OK ? of(file)->real->pMethods->xRead(of(file)->real, p, n, at) : rc;
}

static int gather_size(sqlite3_file *file, sqlite3_int64 *size)
{
    int rc = write_out(of(file));
    return rc == SQLITE_OK ? of(file)->real->pMethods->xFileSize(of(file)->real, size) : rc;
}

static int gather_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = write_out(of(file));
    of(file)->dirty = true;
    return rc == SQLITE_OK ? of(file)->real->pMethods->xTruncate(of(file)->real, size) : rc;
}

static int gather_close(sqlite3_file *file)
{
    struct gathering *f = of(file);
    int rc = write_out(f);
    int closed = f->real->pMethods->xClose(f->real);
    mem_free(f->bytes);
    return rc != SQLITE_OK ? rc : closed;
}

static int gather_lock(sqlite3_file *file, int level)
{
    return of(file)->real->pMethods->xLock(of(file)->real, level);
}

static int gather_unlock(sqlite3_file *file, int level)
{
    return of(file)->real->pMethods->xUnlock(of(file)->real, level);
}

static int gather_reserved(sqlite3_file *file, int *out)
{
    return of(file)->real->pMethods->xCheckReservedLock(of(file)->real, out);
}

static int gather_control(sqlite3_file *file, int op, void *arg)
{
    return of(file)->real->pMethods->xFileControl(of(file)->real, op, arg);
}

static int gather_sector(sqlite3_file *file)
{
    return of(file)->real->pMethods->xSectorSize(of(file)->real);
}

static int gather_device(sqlite3_file *file)
{
    return of(file)->real->pMethods->xDeviceCharacteristics(of(file)->real);
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = gather_close,
    .xRead = gather_read,
    .xWrite = gather_write,
    .xTruncate = gather_truncate,
    .xSync = gather_sync,
    .xFileSize = gather_size,
    .xLock = gather_lock,
    .xUnlock = gather_unlock,
    .xCheckReservedLock = gather_reserved,
    .xFileControl = gather_control,
    .xSectorSize = gather_sector,
    .xDeviceCharacteristics = gather_device,
};

static _Atomic(sqlite3_vfs *) beneath;

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                     int *out)
{
    sqlite3_vfs *real = atomic_load(&beneath);
    struct gathering *f = of(file);
    (void)vfs;
    if (!(flags & SQLITE_OPEN_WAL))
        return real->xOpen(real, name, file, flags, out);
    *f = (struct gathering){.real = (sqlite3_file *)(void *)(f + 1), .dirty = true};
    f->real->pMethods = NULL;
    int rc = real->xOpen(real, name, f->real, flags, out);
    if (rc == SQLITE_OK)
        f->base.pMethods = &methods;
    else if (f->real->pMethods)
        f->real->pMethods->xClose(f->real);
    return rc;
}

const char *gather_vfs(const char *name)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static sqlite3_vfs own;
    pthread_mutex_lock(&lock);
    sqlite3_vfs *real = sqlite3_vfs_find(name);
    if (real && real != atomic_load(&beneath)) {
        atomic_store(&beneath, real);
        if (own.zName)
            sqlite3_vfs_unregister(&own);
        own = *real;
        own.zName = "maru-gather";
        own.xOpen = open_file;
        own.szOsFile += (int)sizeof(struct gathering);
        sqlite3_vfs_register(&own, 0);
    }
    pthread_mutex_unlock(&lock);
    return real ? own.zName : name;
}
