/* disk.c -- preloaded into the real program: a disk that is slow, full or broken, and a process
 * that dies at a chosen call.  Nothing of this is in the program itself.
 *
 *   DISK_SYNC_US=1000   every sync takes so much longer, on every file
 *   DISK_STATE=DIR      the rest concerns files below DIR, by what they are: db, wal (of *.db),
 *                       and other.  Only processes that open a database below DIR take part, so
 *                       not the supervisor.
 *   DISK_PLAN=FILE      read when the first database is opened and then removed:
 *                       "OP FILE N before|after [TEXT]": die by SIGKILL at the Nth such call.
 *                       OP: write sync truncate.  TEXT: only writes of these bytes count, and
 *                       syncs after such a write.  Removed, so the next process lives.
 *   DISK_FAULT=FILE     while it is there: "OP FILE ERRNO [HALF]", one line each; OP and FILE as
 *                       above, or any, and open (for writing); ERRNO: ENOSPC EIO EROFS.  HALF: a
 *                       write writes half of its bytes first, as a disk does that becomes full.
 *
 * Build: a shared library, without sanitizers.  Before that of ASan it needs
 * ASAN_OPTIONS=verify_asan_link_order=0.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FDS = 65536 };
enum role { ROLE_NONE, ROLE_OTHER, ROLE_DB, ROLE_WAL };
enum op { OP_WRITE, OP_SYNC, OP_TRUNCATE, OP_OPEN };

static const char *const role_names[] = {"none", "other", "db", "wal"};
static const char *const op_names[] = {"write", "sync", "truncate", "open"};
static _Atomic unsigned char roles[FDS];

static struct {
    const char *state, *plan, *fault;
    long sync_us;
    atomic_bool planned; /* the plan was read */
    enum op op;
    enum role role;
    atomic_long left; /* calls until death; 0 = none is planned */
    bool after;
    char text[96];   /* empty: any call */
    atomic_bool met; /* it was written */
} disk;

int open64(const char *path, int flags, ...);
int openat64(int dir, const char *path, int flags, ...);
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at);
int ftruncate64(int fd, off64_t n);

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void disk_setup(void)
{
    disk.state = getenv("DISK_STATE");
    disk.plan = getenv("DISK_PLAN");
    disk.fault = getenv("DISK_FAULT");
    disk.sync_us = getenv("DISK_SYNC_US") ? atol(getenv("DISK_SYNC_US")) : 0;
}

/* A small file as text, without the functions of this library. */
static bool read_text(const char *path, char *out, size_t size)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out, size - 1);
    syscall(SYS_close, fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static int find_word(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

static void read_plan(void)
{
    char text[256], op[16], role[16], when[16];
    long n;
    if (!disk.plan || atomic_exchange(&disk.planned, true) ||
        !read_text(disk.plan, text, sizeof text))
        return;
    unlink(disk.plan);
    if (sscanf(text, "%15s %15s %ld %15s %95[^\n]", op, role, &n, when, disk.text) < 4)
        return;
    int o = find_word(op, op_names, 4), r = find_word(role, role_names, 4);
    if (o < 0 || r < 0)
        return;
    disk.op = (enum op)o;
    disk.role = (enum role)r;
    disk.after = strcmp(when, "after") == 0;
    atomic_store(&disk.left, n);
}

static bool ends(const char *path, const char *with)
{
    size_t n = strlen(path), m = strlen(with);
    return n >= m && strcmp(path + n - m, with) == 0;
}

static enum role role_of_path(const char *path)
{
    if (!disk.state || strncmp(path, disk.state, strlen(disk.state)) != 0)
        return ROLE_NONE;
    return ends(path, ".db") ? ROLE_DB : ends(path, ".db-wal") ? ROLE_WAL : ROLE_OTHER;
}

static int opened(int fd, const char *path)
{
    if (fd < 0 || fd >= FDS || !disk.state)
        return fd;
    enum role role = role_of_path(path);
    atomic_store(&roles[fd], (unsigned char)role);
    if (role == ROLE_DB)
        read_plan();
    return fd;
}

static enum role role_of(int fd)
{
    return fd >= 0 && fd < FDS ? (enum role)atomic_load(&roles[fd]) : ROLE_NONE;
}

/* Whether this call, which writes these bytes, is one of those that are counted. */
static bool is_meant(enum op op, enum role role, const void *p, size_t n)
{
    if (role != disk.role)
        return false;
    bool has = disk.text[0] && p && memmem(p, n, disk.text, strlen(disk.text));
    if (has)
        atomic_store(&disk.met, true);
    return op == disk.op && (!disk.text[0] || (op == OP_WRITE ? has : atomic_load(&disk.met)));
}

/* The call that is asked for is this one: it was, or will be, the last. */
static bool is_last(enum op op, enum role role, const void *p, size_t n)
{
    return atomic_load(&disk.left) && is_meant(op, role, p, n) &&
           atomic_fetch_sub(&disk.left, 1) == 1;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static int errno_named(const char *name)
{
    static const char *const names[] = {"ENOSPC", "EIO", "EROFS", "EACCES"};
    static const int numbers[] = {ENOSPC, EIO, EROFS, EACCES};
    int i = find_word(name, names, 4);
    return i < 0 ? 0 : numbers[i];
}

/* What this call is to fail with now, or 0. */
static int fault(enum op op, enum role role, bool *half)
{
    char text[256], o[16], r[16], e[16], h[16], *rest = NULL;
    *half = false;
    bool ours = atomic_load(&disk.planned) || (op == OP_OPEN && role != ROLE_OTHER);
    if (!disk.fault || role == ROLE_NONE || !ours || !read_text(disk.fault, text, sizeof text))
        return 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        int words = sscanf(line, "%15s %15s %15s %15s", o, r, e, h);
        if (words < 3 || (strcmp(o, "any") != 0 && strcmp(o, op_names[op]) != 0) ||
            (strcmp(r, "any") != 0 && strcmp(r, role_names[role]) != 0))
            continue;
        *half = words == 4;
        return errno_named(e);
    }
    return 0;
}

static void wait_us(long us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    if (us > 0)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

#define OPEN_BODY(name, call)                                                                      \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                           \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }                                                                                              \
    static __typeof__(&name) real;                                                                 \
    if (!real)                                                                                     \
        real = REAL(name);                                                                         \
    bool half;                                                                                     \
    int failed = (flags & O_ACCMODE) ? fault(OP_OPEN, role_of_path(path), &half) : 0;              \
    if (failed) {                                                                                  \
        errno = failed;                                                                            \
        return -1;                                                                                 \
    }                                                                                              \
    return opened(call, path);

int open(const char *path, int flags, ...)
{
    OPEN_BODY(open, real(path, flags, mode))
}
int open64(const char *path, int flags, ...)
{
    OPEN_BODY(open64, real(path, flags, mode))
}
int openat(int dir, const char *path, int flags, ...)
{
    OPEN_BODY(openat, real(dir, path, flags, mode))
}
int openat64(int dir, const char *path, int flags, ...)
{
    OPEN_BODY(openat64, real(dir, path, flags, mode))
}

int close(int fd)
{
    static __typeof__(&close) real;
    if (!real)
        real = REAL(close);
    if (fd >= 0 && fd < FDS)
        atomic_store(&roles[fd], ROLE_NONE);
    return real(fd);
}

/* Calls of one kind: fail, or do it and die before or after. */
#define CALL(type, op, fd, p, n, partly, call)                                                     \
    enum role role = role_of(fd);                                                                  \
    bool half;                                                                                     \
    int failed = role ? fault(op, role, &half) : 0;                                                \
    bool last = role && is_last(op, role, p, n);                                                   \
    if (last && !disk.after)                                                                       \
        die();                                                                                     \
    if (failed && half)                                                                            \
        (void)!(partly);                                                                           \
    if (failed) {                                                                                  \
        errno = failed;                                                                            \
        return -1;                                                                                 \
    }                                                                                              \
    type result = call;                                                                            \
    if (last)                                                                                      \
        die();                                                                                     \
    return result;

ssize_t write(int fd, const void *p, size_t n)
{
    static __typeof__(&write) real;
    if (!real)
        real = REAL(write);
    CALL(ssize_t, OP_WRITE, fd, p, n, real(fd, p, n / 2), real(fd, p, n))
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    static __typeof__(&pwrite) real;
    if (!real)
        real = REAL(pwrite);
    CALL(ssize_t, OP_WRITE, fd, p, n, real(fd, p, n / 2, at), real(fd, p, n, at))
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    static __typeof__(&pwrite64) real;
    if (!real)
        real = REAL(pwrite64);
    CALL(ssize_t, OP_WRITE, fd, p, n, real(fd, p, n / 2, at), real(fd, p, n, at))
}

int ftruncate(int fd, off_t n)
{
    static __typeof__(&ftruncate) real;
    if (!real)
        real = REAL(ftruncate);
    CALL(int, OP_TRUNCATE, fd, NULL, 0, 0, real(fd, n))
}

int ftruncate64(int fd, off64_t n)
{
    static __typeof__(&ftruncate64) real;
    if (!real)
        real = REAL(ftruncate64);
    CALL(int, OP_TRUNCATE, fd, NULL, 0, 0, real(fd, n))
}

int fsync(int fd)
{
    static __typeof__(&fsync) real;
    if (!real)
        real = REAL(fsync);
    wait_us(disk.sync_us);
    CALL(int, OP_SYNC, fd, NULL, 0, 0, real(fd))
}

int fdatasync(int fd)
{
    static __typeof__(&fdatasync) real;
    if (!real)
        real = REAL(fdatasync);
    wait_us(disk.sync_us);
    CALL(int, OP_SYNC, fd, NULL, 0, 0, real(fd))
}
