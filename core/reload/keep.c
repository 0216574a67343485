#include "reload/keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "vm/bundle.h"

struct kept {
    char *path;
    struct timespec at;
};

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int newest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct kept *)a)->at, *y = &((const struct kept *)b)->at;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec > y->tv_sec ? -1 : 1;
    return x->tv_nsec > y->tv_nsec ? -1 : x->tv_nsec < y->tv_nsec;
}

/* Folders "<plugin>.<hash>" below dir, the newest first. */
static struct kept *list_kept(const char *dir, const char *plugin, int *count)
{
    struct kept *list = NULL;
    size_t prefix = strlen(plugin);
    *count = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (strncmp(e->d_name, plugin, prefix) || e->d_name[prefix] != '.' ||
            strstr(e->d_name, ".part") || fstatat(dirfd(d), e->d_name, &st, 0) < 0)
            continue;
        list = mem_realloc(list, (size_t)(*count + 1) * sizeof *list);
        list[(*count)++] = (struct kept){mem_printf("%s/%s", dir, e->d_name), st.st_mtim};
    }
    if (d)
        closedir(d);
    if (*count)
        qsort(list, (size_t)*count, sizeof *list, newest_first);
    return list;
}

static void free_kept(struct kept *list, int count)
{
    for (int i = 0; i < count; i++)
        mem_free(list[i].path);
    mem_free(list);
}

static bool write_files(const char *root, const struct bundle *bundle, struct err *err)
{
    bool ok = true;
    for (int i = 0; ok && i < bundle->count; i++) {
        const struct bundle_file *f = &bundle->files[i];
        char *path = mem_printf("%s/%s/%s", root, bundle->name, f->name);
        char *slash = strrchr(path, '/');
        *slash = 0;
        ok = dir_make(path, 0700, err);
        *slash = '/';
        int fd = ok ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
        ok = ok && fd >= 0 && write(fd, f->bytes, f->n) == (ssize_t)f->n;
        if (!ok && !err->code)
            err_sys(err, errno, "keep %s", path);
        if (fd >= 0)
            close(fd);
        mem_free(path);
    }
    return ok;
}

bool keep_save(const char *dir, const struct bundle *bundle, struct err *err)
{
    char *path = mem_printf("%s/%s.%.12s", dir, bundle->name, bundle->hash);
    char *part = mem_printf("%s.part", path);
    bool ok = true;
    err_clear(err);
    if (utimensat(AT_FDCWD, path, NULL, 0) < 0) {
        remove_tree(part);
        ok = write_files(part, bundle, err) &&
             (rename(part, path) == 0 || err_sys(err, errno, "keep %s", path));
    }
    int count;
    struct kept *list = list_kept(dir, bundle->name, &count);
    for (int i = KEEP_COUNT; i < count; i++)
        remove_tree(list[i].path);
    free_kept(list, count);
    mem_free(part);
    mem_free(path);
    return ok;
}

struct bundle *keep_newest(const char *dir, const char *plugin, struct err *err)
{
    int count;
    struct kept *list = list_kept(dir, plugin, &count);
    struct bundle *bundle = NULL;
    if (!count)
        err_set(err, ERR_NOT_FOUND, "no generation of %s was kept", plugin);
    for (int i = 0; i < count && !bundle; i++) {
        char *path = mem_printf("%s/%s", list[i].path, plugin);
        bundle = bundle_read(path, err);
        mem_free(path);
    }
    free_kept(list, count);
    return bundle;
}
