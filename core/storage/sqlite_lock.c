#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/sqlite_private.h"

enum { LOCK_POLL_MS = 10 };

static bool wait_for_lock(int fd, int64_t wait_ns)
{
    int64_t deadline = clock_steady_ns() + wait_ns;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || clock_steady_ns() >= deadline)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_MS * NS_PER_MS}, NULL);
    }
    return true;
}

int lock_take(const char *path, int64_t wait_ns, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_sys(err, errno, "%s", path);
        return -1;
    }
    char text[32] = "";
    if (!wait_for_lock(fd, wait_ns)) {
        ssize_t n = pread(fd, text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = '\0';
        err_set(err, ERR_BUSY, "%s is held by process %ld; stop it first", path,
                strtol(text, NULL, 10));
        close(fd);
        return -1;
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        err_sys(err, errno, "%s", path);
        close(fd);
        return -1;
    }
    return fd;
}

void lock_give(int fd)
{
    if (fd >= 0)
        close(fd);
}
