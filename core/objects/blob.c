#include "objects/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/sys.h"

static void temporary_path(char path[PATH_MAX], const char *dir, const char *id)
{
    snprintf(path, PATH_MAX, "%s/tmp/%s", dir, id);
}

static void placed_path(char path[PATH_MAX], const char *dir, const char *id)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)id, strlen(id));
    snprintf(path, PATH_MAX, "%s/%02x/%s", dir, hash[0], id);
}

bool blob_folder(const char *dir, struct err *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/tmp", dir);
    return dir_make(path, 0700, err);
}

bool blob_create(struct blob *b, const char *dir, struct err *err)
{
    char path[PATH_MAX];
    rand_uuid7(b->id);
    temporary_path(path, dir, b->id);
    b->size = 0;
    crypto_hash_sha256_init(&b->hash);
    b->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return b->fd >= 0 || err_sys(err, errno, "%s", path);
}

/* ENOSPC and EDQUOT are the disk's, not the machine's failure. */
static bool fail(struct err *err, int sys, const char *what)
{
    err_sys(err, sys, "%s", what);
    if (sys == ENOSPC || sys == EDQUOT)
        err->code = ERR_FULL;
    return false;
}

bool blob_write(struct blob *b, struct str bytes, struct err *err)
{
    crypto_hash_sha256_update(&b->hash, (const unsigned char *)bytes.p, bytes.n);
    b->size += (int64_t)bytes.n;
    while (bytes.n) {
        ssize_t n = sys_calls.write(b->fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, errno, "write of an object");
        bytes = str_n(bytes.p + n, bytes.n - (size_t)n);
    }
    return true;
}

void blob_hash_text(crypto_hash_sha256_state *hash, char text[BLOB_HASH_BYTES])
{
    unsigned char bytes[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(hash, bytes);
    sodium_bin2hex(text, BLOB_HASH_BYTES, bytes, sizeof bytes);
}

static bool sync_folder(const char *dir, struct err *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/tmp", dir);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && sys_calls.fsync(fd) == 0;
    int sys = errno;
    if (fd >= 0)
        close(fd);
    return ok || err_sys(err, sys, "sync of %s", path);
}

bool blob_seal(struct blob *b, const char *dir, char hash[BLOB_HASH_BYTES], struct err *err)
{
    blob_hash_text(&b->hash, hash);
    bool ok = sys_calls.fsync(b->fd) == 0;
    int sys = errno;
    blob_close(b);
    return ok ? sync_folder(dir, err) : fail(err, sys, "sync of an object");
}

void blob_close(struct blob *b)
{
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
}

void blob_place(const char *dir, const char *id)
{
    char from[PATH_MAX], to[PATH_MAX];
    temporary_path(from, dir, id);
    placed_path(to, dir, id);
    if (sys_calls.rename(from, to) == 0 || errno != ENOENT)
        return;
    char *slash = strrchr(to, '/');
    *slash = '\0';
    mkdir(to, 0700);
    *slash = '/';
    (void)sys_calls.rename(from, to);
}

void blob_remove(const char *dir, const char *id)
{
    char path[PATH_MAX];
    temporary_path(path, dir, id);
    unlink(path);
    placed_path(path, dir, id);
    unlink(path);
}

bool blob_open(struct blob *b, const char *dir, const char *id, struct err *err)
{
    char path[PATH_MAX];
    snprintf(b->id, sizeof b->id, "%s", id);
    crypto_hash_sha256_init(&b->hash);
    b->size = 0;
    placed_path(path, dir, id);
    b->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (b->fd < 0 && errno == ENOENT) {
        temporary_path(path, dir, id);
        b->fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (b->fd < 0 && errno == ENOENT) { /* placed between the two looks, or gone */
        placed_path(path, dir, id);
        b->fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (b->fd >= 0)
        return true;
    int sys = errno;
    err_sys(err, sys, "%s", path);
    if (sys == ENOENT)
        err->code = ERR_NOT_FOUND;
    return false;
}

bool blob_read(struct blob *b, int64_t at, size_t n, struct buf *out, struct err *err)
{
    buf_reserve(out, n);
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(b->fd, out->p + out->n, n - done, at + (int64_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, errno, "read of an object");
        if (got == 0)
            break;
        out->n += (size_t)got;
        done += (size_t)got;
    }
    return true;
}

static bool is_older(DIR *folder, const char *name, int64_t before)
{
    struct stat st;
    return name[0] != '.' && fstatat(dirfd(folder), name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           (int64_t)st.st_mtim.tv_sec * NS_PER_SECOND + st.st_mtim.tv_nsec < before;
}

bool blob_each_unplaced(const char *dir, int64_t before,
                        bool (*fn)(void *arg, const char *id, struct err *err), void *arg,
                        struct err *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/tmp", dir);
    DIR *folder = opendir(path);
    if (!folder)
        return err_sys(err, errno, "%s", path);
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(folder));)
        if (is_older(folder, e->d_name, before))
            ok = fn(arg, e->d_name, err);
    closedir(folder);
    return ok;
}
