#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

struct sys_calls sys_calls = {.write = write, .fsync = fsync, .rename = rename};

bool file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "open %s", path);
    size_t start = out->n;
    for (;;) {
        buf_reserve(out, 65536);
        ssize_t n = read(fd, out->p + out->n, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_sys(err, errno, "read %s", path);
            break;
        }
        out->n += (size_t)n;
        out->p[out->n] = '\0';
        if (out->n - start > max) {
            err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, max);
            break;
        }
        if (n == 0) {
            close(fd);
            return true;
        }
    }
    close(fd);
    return false;
}

static bool write_all(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = sys_calls.write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = str_n(bytes.p + n, bytes.n - (size_t)n);
    }
    return true;
}

/* The rename is durable only when the folder is. */
static bool sync_folder(const char *path)
{
    char *copy = mem_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mem_free(copy);
    if (fd < 0)
        return false;
    bool ok = sys_calls.fsync(fd) == 0;
    int saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

bool file_write(const char *path, struct str bytes, int mode, struct err *err)
{
    char *temporary = mem_printf("%s.%d.tmp", path, (int)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    bool ok = fd >= 0 && write_all(fd, bytes) && sys_calls.fsync(fd) == 0;
    int failed = ok ? 0 : errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        failed = errno;
        ok = false;
    }
    if (ok && (sys_calls.rename(temporary, path) != 0 || !sync_folder(path))) {
        failed = errno;
        ok = false;
    }
    if (!ok) {
        unlink(temporary);
        err_sys(err, failed, "write %s", path);
    }
    mem_free(temporary);
    return ok;
}

bool dir_make(const char *path, int mode, struct err *err)
{
    char *copy = mem_strdup(path);
    bool ok = true;
    for (char *at = copy + 1; ok && *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        ok = mkdir(copy, (mode_t)mode) == 0 || errno == EEXIST;
        *at = '/';
    }
    ok = ok && (mkdir(copy, (mode_t)mode) == 0 || errno == EEXIST);
    if (!ok)
        err_sys(err, errno, "create folder %s", path);
    mem_free(copy);
    return ok;
}
