/* power_vfs.h -- a disk whose power can be cut, between SQLite and the files.
 *
 * Every file is written as always, and beside it stand the image that was last
 * synced and the writes since then.  A cut makes all calls fail from then on.
 * power_restore(), when the database is closed, leaves what such a disk may
 * leave: of each file the synced image with a random part of its unsynced
 * 512-byte sectors, truncations and sizes; and names that were made or deleted,
 * which only a directory's sync makes lasting (SQLite's unix VFS syncs it with
 * the first sync of a journal or WAL), as they were or as they are.  The
 * WAL-index is shared memory: stale, full of garbage or gone.
 *
 * A lying disk answers syncs without doing anything: a checker has to notice.
 */
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { POWER_SECTOR = 512, POWER_FILES = 64, POWER_COPY = 4096 * 1024 };

struct power_op { /* a write, or without bytes a truncation */
    struct power_op *next;
    int64_t at;
    size_t n;
    unsigned char bytes[];
};

struct power_inode {
    char path[128];
    unsigned char *disk; /* the synced image */
    size_t disk_n, disk_cap;
    struct power_op *ops, **ops_end;
    bool is_journal, synced; /* synced: at least once */
    bool linked, lasting;    /* its name stands in the directory: now, on disk */
};

struct power_file {
    sqlite3_file base; /* first */
    struct power_inode *inode;
    sqlite3_file *real; /* behind this struct */
};

static struct {
    pthread_mutex_t lock;
    sqlite3_vfs vfs, *real;
    struct power_inode *inodes[POWER_FILES];
    int count;
    uint64_t random;
    int64_t left; /* changes until the cut; 0 = none is planned */
    int64_t changes;
    bool off, lies;
    char beside[128];      /* a file that is mapped, not written: as it was at the cut … */
    unsigned char *mapped; /* … */
    size_t mapped_n;
} power = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline uint64_t power_random(uint64_t n)
{
    power.random ^= power.random << 13;
    power.random ^= power.random >> 7;
    power.random ^= power.random << 17;
    return (power.random >> 11) % n;
}

static inline size_t power_read_file(const char *path, unsigned char **out)
{
    int fd = open(path, O_RDONLY);
    *out = mem_alloc(POWER_COPY);
    ssize_t n = fd < 0 ? 0 : read(fd, *out, POWER_COPY);
    if (fd >= 0)
        close(fd);
    return n > 0 ? (size_t)n : 0;
}

static inline void power_cut_locked(void)
{
    __atomic_store_n(&power.off, true, __ATOMIC_RELAXED);
    mem_free(power.mapped);
    power.mapped_n = power_read_file(power.beside, &power.mapped);
}

/* Lock held: something is about to change; false when the power is gone. */
static inline bool power_change(void)
{
    if (power.off)
        return false;
    power.changes++;
    if (power.left && --power.left == 0)
        power_cut_locked();
    return true;
}

static inline void power_image_size(struct power_inode *f, size_t n, bool garbage)
{
    if (n > f->disk_cap) {
        f->disk_cap = n * 2;
        f->disk = mem_realloc(f->disk, f->disk_cap);
    }
    for (size_t i = f->disk_n; i < n; i++)
        f->disk[i] = garbage ? (unsigned char)(i * 131 + 7) : 0;
    f->disk_n = n;
}

static inline void power_image_write(struct power_inode *f, int64_t at, const unsigned char *p,
                                     size_t n, bool garbage)
{
    if ((size_t)at + n > f->disk_n)
        power_image_size(f, (size_t)at + n, garbage);
    memcpy(f->disk + at, p, n);
}

static inline void power_op_add(struct power_inode *f, int64_t at, const void *p, size_t n)
{
    struct power_op *op = mem_alloc(sizeof *op + n);
    *op = (struct power_op){.at = at, .n = n};
    if (n)
        memcpy(op->bytes, p, n);
    *f->ops_end = op;
    f->ops_end = &op->next;
}

static inline void power_ops_free(struct power_inode *f)
{
    for (struct power_op *op = f->ops, *next; op; op = next) {
        next = op->next;
        mem_free(op);
    }
    f->ops = NULL;
    f->ops_end = &f->ops;
}

static inline void power_flush(struct power_inode *f)
{
    for (struct power_op *op = f->ops; op; op = op->next)
        if (op->n)
            power_image_write(f, op->at, op->bytes, op->n, false);
        else
            power_image_size(f, (size_t)op->at, false);
    power_ops_free(f);
    f->synced = true;
}

static inline void power_flush_names(void)
{
    for (int i = 0; i < power.count; i++)
        power.inodes[i]->lasting = power.inodes[i]->linked;
}

static inline struct power_inode *power_find(const char *path)
{
    for (int i = 0; i < power.count; i++)
        if (power.inodes[i]->linked && strcmp(power.inodes[i]->path, path) == 0)
            return power.inodes[i];
    return NULL;
}

static inline struct power_inode *power_inode_get(const char *path, bool is_journal)
{
    struct power_inode *f = power_find(path);
    if (f)
        return f;
    if (power.count == POWER_FILES)
        abort();
    f = mem_zero(1, sizeof *f);
    snprintf(f->path, sizeof f->path, "%s", path);
    f->ops_end = &f->ops;
    f->is_journal = is_journal;
    f->linked = true;
    power.inodes[power.count++] = f;
    return f;
}

#define POWER_REAL(file) (((struct power_file *)(void *)(file))->real)
#define POWER_PASS(file, error, call)                                                              \
    __atomic_load_n(&power.off, __ATOMIC_RELAXED) ? (error) : POWER_REAL(file)->pMethods->call

static inline int power_close(sqlite3_file *file)
{
    return POWER_REAL(file)->pMethods->xClose(POWER_REAL(file));
}

static inline int power_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
    return POWER_PASS(file, SQLITE_IOERR_READ, xRead(POWER_REAL(file), p, n, at));
}

static inline int power_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
    struct power_file *f = (struct power_file *)(void *)file;
    pthread_mutex_lock(&power.lock);
    int rc = SQLITE_IOERR_WRITE;
    if (power_change()) {
        power_op_add(f->inode, at, p, (size_t)n);
        rc = power.off ? rc : f->real->pMethods->xWrite(f->real, p, n, at);
    }
    pthread_mutex_unlock(&power.lock);
    return rc;
}

static inline int power_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct power_file *f = (struct power_file *)(void *)file;
    pthread_mutex_lock(&power.lock);
    int rc = SQLITE_IOERR_TRUNCATE;
    if (power_change()) {
        power_op_add(f->inode, size, NULL, 0);
        rc = power.off ? rc : f->real->pMethods->xTruncate(f->real, size);
    }
    pthread_mutex_unlock(&power.lock);
    return rc;
}

static inline int power_sync(sqlite3_file *file, int flags)
{
    struct power_file *f = (struct power_file *)(void *)file;
    (void)flags;
    pthread_mutex_lock(&power.lock);
    bool ok = power_change() && !power.off;
    if (ok && !power.lies) {
        bool first = !f->inode->synced;
        power_flush(f->inode);
        if (first && f->inode->is_journal)
            power_flush_names();
    }
    pthread_mutex_unlock(&power.lock);
    return ok ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static inline int power_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return POWER_PASS(file, SQLITE_IOERR_FSTAT, xFileSize(POWER_REAL(file), size));
}

static inline int power_lock(sqlite3_file *file, int level)
{
    return POWER_PASS(file, SQLITE_IOERR_LOCK, xLock(POWER_REAL(file), level));
}

static inline int power_unlock(sqlite3_file *file, int level)
{
    return POWER_REAL(file)->pMethods->xUnlock(POWER_REAL(file), level);
}

static inline int power_reserved(sqlite3_file *file, int *out)
{
    return POWER_REAL(file)->pMethods->xCheckReservedLock(POWER_REAL(file), out);
}

static inline int power_control(sqlite3_file *file, int op, void *arg)
{
    return POWER_REAL(file)->pMethods->xFileControl(POWER_REAL(file), op, arg);
}

static inline int power_sector(sqlite3_file *file)
{
    return POWER_REAL(file)->pMethods->xSectorSize(POWER_REAL(file));
}

static inline int power_device(sqlite3_file *file)
{
    return POWER_REAL(file)->pMethods->xDeviceCharacteristics(POWER_REAL(file));
}

static inline int power_shm_map(sqlite3_file *file, int page, int size, int extend,
                                void volatile **out)
{
    return POWER_PASS(file, SQLITE_IOERR_SHMMAP,
                      xShmMap(POWER_REAL(file), page, size, extend, out));
}

static inline int power_shm_lock(sqlite3_file *file, int at, int n, int flags)
{
    if (!(flags & SQLITE_SHM_UNLOCK) && __atomic_load_n(&power.off, __ATOMIC_RELAXED))
        return SQLITE_IOERR_SHMLOCK;
    return POWER_REAL(file)->pMethods->xShmLock(POWER_REAL(file), at, n, flags);
}

static inline void power_shm_barrier(sqlite3_file *file)
{
    (void)file;
    __sync_synchronize(); /* SQLite's own also takes a mutex, in a way that TSan does not see */
}

static inline int power_shm_unmap(sqlite3_file *file, int drop)
{
    return POWER_REAL(file)->pMethods->xShmUnmap(POWER_REAL(file), drop);
}

/* Version 2: no mapping of the database, which maru does not use either. */
static const sqlite3_io_methods power_methods = {2,
                                                 power_close,
                                                 power_read,
                                                 power_write,
                                                 power_truncate,
                                                 power_sync,
                                                 power_size,
                                                 power_lock,
                                                 power_unlock,
                                                 power_reserved,
                                                 power_control,
                                                 power_sector,
                                                 power_device,
                                                 power_shm_map,
                                                 power_shm_lock,
                                                 power_shm_barrier,
                                                 power_shm_unmap,
                                                 NULL,
                                                 NULL};

static inline int power_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                             int *out)
{
    struct power_file *f = (struct power_file *)(void *)file;
    bool is_journal = flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL);
    (void)vfs;
    if (!name || !(is_journal || flags & SQLITE_OPEN_MAIN_DB))
        return power.real->xOpen(power.real, name, file, flags, out);
    f->base.pMethods = NULL;
    f->real = (sqlite3_file *)(void *)(f + 1);
    pthread_mutex_lock(&power.lock);
    int rc = SQLITE_CANTOPEN;
    if (!power.off)
        rc = power.real->xOpen(power.real, name, f->real, flags, out);
    if (rc == SQLITE_OK) {
        f->inode = power_inode_get(name, is_journal);
        f->base.pMethods = &power_methods;
    }
    pthread_mutex_unlock(&power.lock);
    return rc;
}

static inline int power_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    (void)vfs;
    pthread_mutex_lock(&power.lock);
    int rc = SQLITE_IOERR_DELETE;
    struct power_inode *f = power_find(name);
    if (power_change()) {
        if (f)
            f->linked = false;
        if (!power.off)
            rc = power.real->xDelete(power.real, name, 0);
        if (!power.off && sync_dir && !power.lies)
            power_flush_names();
    }
    pthread_mutex_unlock(&power.lock);
    return rc;
}

/* Takes the place of the default VFS. */
static inline void power_setup(void)
{
    if (power.real)
        return;
    power.real = sqlite3_vfs_find(NULL);
    power.vfs = *power.real;
    power.vfs.zName = "power";
    power.vfs.szOsFile = (int)sizeof(struct power_file) + power.real->szOsFile;
    power.vfs.xOpen = power_open;
    power.vfs.xDelete = power_delete;
    sqlite3_vfs_register(&power.vfs, 1);
}

/* Forgets all files.  `beside` is read at the cut as it is then. */
static inline void power_begin(uint64_t seed, const char *beside)
{
    for (int i = 0; i < power.count; i++) {
        power_ops_free(power.inodes[i]);
        mem_free(power.inodes[i]->disk);
        mem_free(power.inodes[i]);
    }
    power.count = 0;
    power.random = seed * 2654435761u + 88172645463325252u;
    power.off = false;
    power.left = 0;
    snprintf(power.beside, sizeof power.beside, "%s", beside);
}

static inline void power_plan(int64_t changes)
{
    pthread_mutex_lock(&power.lock);
    power.left = changes;
    pthread_mutex_unlock(&power.lock);
}

static inline bool power_is_off(void)
{
    return __atomic_load_n(&power.off, __ATOMIC_RELAXED);
}

static inline void power_cut(void)
{
    pthread_mutex_lock(&power.lock);
    if (!power.off)
        power_cut_locked();
    pthread_mutex_unlock(&power.lock);
}

/* Of 100 sectors `keep` reach the disk, in any order. */
static inline void power_keep_some(struct power_inode *f, uint64_t keep)
{
    bool garbage = power_random(2);
    for (struct power_op *op = f->ops; op; op = op->next) {
        if (op->n == 0 && power_random(100) < keep)
            power_image_size(f, (size_t)op->at, garbage);
        for (size_t from = 0, n; from < op->n; from += n) {
            n = POWER_SECTOR - ((size_t)op->at + from) % POWER_SECTOR;
            n = n < op->n - from ? n : op->n - from;
            if (power_random(100) < keep)
                power_image_write(f, op->at + (int64_t)from, op->bytes + from, n, garbage);
        }
    }
    power_ops_free(f);
}

static inline void power_put(const char *path, const unsigned char *p, size_t n)
{
    unlink(path); /* ext4 would flush a file that was truncated and written again */
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n)
        abort();
    close(fd);
}

static inline void power_drop(int i)
{
    struct power_inode *f = power.inodes[i];
    power_ops_free(f);
    mem_free(f->disk);
    mem_free(f);
    power.inodes[i] = power.inodes[--power.count];
}

/* What of a name in the directory is as it is now, and what as it was. */
static inline void power_restore_names(bool all)
{
    for (int i = 0; i < power.count; i++) {
        struct power_inode *f = power.inodes[i];
        if (f->linked == f->lasting)
            continue;
        bool now = all || power_random(2);
        for (int k = i; k < power.count; k++)
            if (strcmp(power.inodes[k]->path, f->path) == 0)
                power.inodes[k]->lasting = power.inodes[k]->linked =
                    now ? power.inodes[k]->linked : power.inodes[k]->lasting;
    }
    for (int i = power.count - 1; i >= 0; i--)
        if (!power.inodes[i]->linked) {
            if (!power_find(power.inodes[i]->path))
                unlink(power.inodes[i]->path);
            power_drop(i);
        }
}

/* After the cut and the close of everything.  all: the process alone died, the
 * kernel still writes what it has. */
static inline void power_restore(bool all)
{
    static const uint64_t keeps[] = {0, 3, 30, 50, 80, 97, 100};
    static unsigned char garbage[32768];
    uint64_t keep = all ? 100 : keeps[power_random(7)];
    memset(garbage, 0xa5, sizeof garbage);
    power_restore_names(all);
    for (int i = 0; i < power.count; i++) {
        struct power_inode *f = power.inodes[i];
        char shm[160];
        power_keep_some(f, keep);
        power_put(f->path, f->disk, f->disk_n);
        snprintf(shm, sizeof shm, "%s-shm", f->path);
        if (!all && !f->is_journal && power_random(2))
            unlink(shm);
        else if (!all && !f->is_journal && access(shm, F_OK) == 0)
            power_put(shm, garbage, sizeof garbage);
    }
    __atomic_store_n(&power.off, false, __ATOMIC_RELAXED);
    power.left = 0;
}
