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
    int64_t x = ((const struct kept *)a)->at_wall, y = ((const struct kept *)b)->at_wall;
    return x > y ? -1 : x < y;
}

/* What stands in a small file beside the bundle, without the line's end; "" when there is none. */
static void read_note(const char *root, const char *name, char *out, size_t size)
{
    struct buf text = {0};
    struct err err;
    char *path = mem_printf("%s/%s", root, name);
    bool there = file_read(path, 4096, &text, &err);
    snprintf(out, size, "%.*s", there ? (int)text.n : 0, text.n ? text.p : "");
    out[strcspn(out, "\n")] = 0;
    buf_free(&text);
    mem_free(path);
}

static int64_t changed_at(const char *root, const char *name)
{
    struct stat st;
    char *path = mem_printf("%s/%s", root, name);
    bool there = stat(path, &st) == 0;
    mem_free(path);
    return there ? st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec : 0;
}

static bool is_kept(const char *entry, const char *plugin)
{
    size_t prefix = strlen(plugin);
    return !strncmp(entry, plugin, prefix) && entry[prefix] == '.' &&
           strspn(entry + prefix + 1, "0123456789abcdef") == KEEP_HASH &&
           !entry[prefix + 1 + KEEP_HASH];
}

static char *root_of(const char *dir, const char *plugin, const char *hash)
{
    return mem_printf("%s/%s.%.*s", dir, plugin, KEEP_HASH, hash);
}

struct kept *keep_list(const char *dir, const char *plugin, int *count)
{
    struct kept *list = NULL;
    *count = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!is_kept(e->d_name, plugin))
            continue;
        list = mem_realloc(list, (size_t)(*count + 1) * sizeof *list);
        struct kept *k = &list[(*count)++];
        char *root = mem_printf("%s/%s", dir, e->d_name);
        *k = (struct kept){.at_wall = changed_at(root, "version")};
        snprintf(k->hash, sizeof k->hash, "%s", e->d_name + strlen(plugin) + 1);
        read_note(root, "version", k->version, sizeof k->version);
        read_note(root, "failed", k->failed, sizeof k->failed);
        mem_free(root);
    }
    if (d)
        closedir(d);
    if (*count)
        qsort(list, (size_t)*count, sizeof *list, newest_first);
    return list;
}

static bool write_bytes(const char *path, const char *bytes, size_t n, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    errno = fd < 0 ? errno : ENOSPC; /* of a write that is cut short */
    bool ok = fd >= 0 && write(fd, bytes, n) == (ssize_t)n;
    if (!ok)
        err_sys(err, errno, "keep %s", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool write_note(const char *root, const char *name, const char *text, struct err *err)
{
    char *path = mem_printf("%s/%s", root, name), *line = mem_printf("%s\n", text);
    bool ok = write_bytes(path, line, strlen(line), err);
    mem_free(path);
    mem_free(line);
    return ok;
}

static bool write_files(const char *root, const struct bundle *bundle, struct err *err)
{
    bool ok = true;
    for (int i = 0; ok && i < bundle->count; i++) {
        const struct bundle_file *f = &bundle->files[i];
        char *path = mem_printf("%s/%s/%s", root, bundle->name, f->name);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        ok = dir_make(path, 0700, err);
        *slash = '/';
        ok = ok && write_bytes(path, f->bytes, f->n, err);
        mem_free(path);
    }
    return ok;
}

/* The oldest go. */
static void clean(const char *dir, const char *plugin)
{
    int count;
    struct kept *list = keep_list(dir, plugin, &count);
    for (int i = KEEP_COUNT; i < count; i++) {
        char *root = root_of(dir, plugin, list[i].hash);
        remove_tree(root);
        mem_free(root);
    }
    mem_free(list);
}

/* The whole hash of the only one that begins so. */
static bool find(const char *dir, const char *plugin, const char *hash, char out[KEEP_HASH + 1],
                 struct err *err)
{
    int count, found = 0;
    size_t n = strnlen(hash, KEEP_HASH);
    struct kept *list = keep_list(dir, plugin, &count);
    for (int i = 0; i < count; i++) {
        if (n && !strncmp(list[i].hash, hash, n)) {
            memcpy(out, list[i].hash, sizeof list[i].hash);
            found++;
        }
    }
    mem_free(list);
    if (found > 1)
        return err_set(err, ERR_CONFLICT, "%d kept generations of %s begin with %s", found, plugin,
                       hash);
    return found || err_set(err, ERR_NOT_FOUND,
                            "no kept generation of %s begins with '%s'; `maru plugins show %s` "
                            "lists them",
                            plugin, hash, plugin);
}

struct bundle *keep_read(const char *dir, const char *plugin, const char *hash, struct err *err)
{
    char whole[KEEP_HASH + 1];
    err_clear(err);
    if (!find(dir, plugin, hash, whole, err))
        return NULL;
    char *root = root_of(dir, plugin, whole), *path = mem_printf("%s/%s", root, plugin);
    struct bundle *bundle = bundle_read(path, err);
    if (bundle && strncmp(bundle->hash, whole, KEEP_HASH)) {
        err_set(err, ERR_CORRUPT, "%s: is not what was kept under that name", path);
        bundle_free(bundle);
        bundle = NULL;
    }
    mem_free(root);
    mem_free(path);
    return bundle;
}

/* A crash may have left less than what was kept. */
static bool is_whole(const char *dir, const struct bundle *bundle)
{
    struct err err;
    struct bundle *kept = keep_read(dir, bundle->name, bundle->hash, &err);
    if (kept)
        bundle_free(kept);
    return kept != NULL;
}

bool keep_save(const char *dir, const struct bundle *bundle, const char *version, struct err *err)
{
    char *path = root_of(dir, bundle->name, bundle->hash);
    char *part = mem_printf("%s.part", path), *failed = mem_printf("%s/failed", path);
    bool ok = true;
    err_clear(err);
    if (!is_whole(dir, bundle)) {
        remove_tree(path);
        remove_tree(part);
        ok = write_files(part, bundle, err) && write_note(part, "version", version, err) &&
             (rename(part, path) == 0 || err_sys(err, errno, "keep %s", path));
    } else {
        unlink(failed);
        ok = write_note(path, "version", version, err);
    }
    clean(dir, bundle->name);
    mem_free(part);
    mem_free(path);
    mem_free(failed);
    return ok;
}

struct bundle *keep_newest(const char *dir, const char *plugin, struct err *err)
{
    int count;
    struct kept *list = keep_list(dir, plugin, &count);
    struct bundle *bundle = NULL;
    err_set(err, ERR_NOT_FOUND, "no generation of %s was kept", plugin);
    for (int i = 0; i < count && !bundle; i++) {
        if (!list[i].failed[0])
            bundle = keep_read(dir, plugin, list[i].hash, err);
    }
    mem_free(list);
    return bundle;
}

bool keep_fail(const char *dir, const char *plugin, const char *hash, const char *why,
               struct err *err)
{
    char whole[KEEP_HASH + 1];
    if (!find(dir, plugin, hash, whole, err))
        return false;
    char *root = root_of(dir, plugin, whole);
    bool ok = write_note(root, "failed", why, err);
    mem_free(root);
    return ok;
}
