#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"

struct sys_calls sys_calls = {write, fsync, rename};

static bool read_all(int fd, const char *path, size_t max, struct buf *out, struct err *err)
{
    size_t start = out->n;
    for (;;) {
        buf_reserve(out, 64 * 1024);
        ssize_t n = read(fd, out->p + out->n, out->cap - out->n - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, errno, "%s: read", path);
        if (n == 0)
            return true;
        out->n += (size_t)n;
        out->p[out->n] = '\0';
        if (out->n - start > max)
            return err_set(err, ERR_LIMIT, "%s: more than %zu bytes", path, max);
    }
}

bool file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err_sys(err, errno, "%s", path);
        err->code = err->sys == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        return false;
    }
    bool ok = read_all(fd, path, max, out, err);
    close(fd);
    return ok;
}

static bool write_all(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = sys_calls.write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = str_n(bytes.p + n, bytes.n - (size_t)n);
    }
    return true;
}

/* The new name is only durable once its folder is. */
static bool sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? str_dup(str_n(path, (size_t)(slash - path) + 1)) : mem_strdup(".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && sys_calls.fsync(fd) == 0;
    int sys = errno;
    if (fd >= 0)
        close(fd);
    mem_free(folder);
    errno = sys;
    return ok;
}

bool file_write(const char *path, struct str bytes, int mode, struct err *err)
{
    char *temporary = mem_printf("%s.%08x", path, (unsigned)rand_u64());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    bool ok = fd >= 0 && write_all(fd, bytes) && sys_calls.fsync(fd) == 0;
    int sys = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        sys = errno;
        ok = false;
    }
    if (ok && sys_calls.rename(temporary, path) != 0) {
        sys = errno;
        ok = false;
    }
    if (!ok && fd >= 0)
        unlink(temporary);
    mem_free(temporary);
    if (ok && !sync_folder(path)) {
        sys = errno;
        ok = false;
    }
    return ok || err_sys(err, sys, "%s: write", path);
}

bool dir_make(const char *path, int mode, struct err *err)
{
    char *copy = mem_strdup(path);
    int sys = 0;
    for (char *at = copy + (*copy == '/');; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char here = *at;
        *at = '\0';
        sys = *copy == '\0' || mkdir(copy, (mode_t)mode) == 0 ? 0 : errno;
        *at = here;
        if (here == '\0' || (sys != 0 && sys != EEXIST))
            break;
    }
    mem_free(copy);
    struct stat st;
    if (sys == EEXIST && stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        sys = ENOTDIR;
    return sys == 0 || sys == EEXIST || err_sys(err, sys, "%s: make folder", path);
}
