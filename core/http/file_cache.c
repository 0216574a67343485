#include "http/file_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "http/files.h"

enum { FILE_NAME_BYTES = 1024, FILE_SEGMENT_BYTES = 255 };
static const int64_t fresh_ns = NS_PER_SECOND;

struct file_slot {
    struct list by_use; /* least recently used first */
    struct file *file;
    char *key;
    size_t key_n;
};

static struct {
    pthread_mutex_t lock;
    struct map *slots;  /* under lock, like all below */
    struct list by_use; /* of file_slot */
    int count;
    int64_t bytes;
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER, .by_use = {&cache.by_use, &cache.by_use}};

bool file_name_is_safe(struct str name)
{
    if (name.n == 0 || name.n > FILE_NAME_BYTES)
        return false;
    size_t start = 0;
    for (size_t i = 0; i <= name.n; i++) {
        char c = i < name.n ? name.p[i] : '/';
        if (c == '\\' || (unsigned char)c < 0x20)
            return false;
        if (c != '/')
            continue;
        if (i == start || i - start > FILE_SEGMENT_BYTES || name.p[start] == '.')
            return false;
        start = i + 1;
    }
    return true;
}

/* Where the kernel has no openat2: no link at all is followed. */
static int open_by_steps(int dir, char *path)
{
    int at = dup(dir);
    for (char *slash; at >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        *slash = '\0';
        int next = openat(at, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(at);
        at = next;
    }
    if (at < 0)
        return -1;
    int fd = openat(at, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    close(at);
    return fd;
}

int file_open(const char *dir, struct str name)
{
    int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    char path[FILE_NAME_BYTES + 1];
    memcpy(path, name.p, name.n);
    path[name.n] = '\0';
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        fd = open_by_steps(root, path);
    int failure = errno;
    close(root);
    struct stat st;
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        failure = ENOENT;
        fd = -1;
    }
    errno = failure;
    return fd;
}

void file_unref(struct file *file)
{
    if (!file || atomic_fetch_sub(&file->refs, 1) != 1)
        return;
    mem_free(file->bytes);
    mem_free(file);
}

static int64_t stat_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * NS_PER_SECOND + st->st_mtim.tv_nsec;
}

static bool read_whole(int fd, char *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = pread(fd, to + at, n - at, (off_t)at);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

/* Reads the file anew, unless it is what `old` (or NULL) says; takes old's reference. */
static struct file *load(const char *dir, struct str name, struct file *old, int64_t now_ns)
{
    int fd = file_open(dir, name);
    struct stat st;
    bool there = fd >= 0 && fstat(fd, &st) == 0;
    if (old && old->exists == there &&
        (!there || (old->modified_ns == stat_ns(&st) && old->size == st.st_size))) {
        if (fd >= 0)
            close(fd);
        return old;
    }
    file_unref(old);
    struct file *file = mem_zero(1, sizeof *file);
    atomic_init(&file->refs, 1);
    file->checked_ns = now_ns;
    if (there) {
        file->exists = true;
        file->size = st.st_size;
        file->modified = st.st_mtim.tv_sec;
        file->modified_ns = stat_ns(&st);
        snprintf(file->etag, sizeof file->etag, "\"%llx-%llx\"", (long long)file->modified_ns,
                 (long long)file->size);
        if (file->size <= FILES_CACHED_BYTES) {
            file->bytes = mem_alloc((size_t)file->size + 1);
            file->exists = read_whole(fd, file->bytes, (size_t)file->size);
        }
    }
    if (fd >= 0)
        close(fd);
    return file;
}

/* Under lock. */
static void drop(struct file_slot *slot)
{
    map_remove(cache.slots, str_n(slot->key, slot->key_n));
    list_remove(&slot->by_use);
    cache.count--;
    if (slot->file->bytes)
        cache.bytes -= slot->file->size;
    file_unref(slot->file);
    mem_free(slot->key);
    mem_free(slot);
}

/* Under lock. */
static void put(struct str key, struct file *file)
{
    struct file_slot *slot = map_get(cache.slots, key);
    if (slot)
        drop(slot);
    slot = mem_zero(1, sizeof *slot);
    slot->key = mem_dup(key.p, key.n);
    slot->key_n = key.n;
    slot->file = file;
    atomic_fetch_add(&file->refs, 1);
    map_set(cache.slots, key, slot);
    list_push_back(&cache.by_use, &slot->by_use);
    cache.count++;
    if (file->bytes)
        cache.bytes += file->size;
    while (cache.count > FILES_CACHE_ENTRIES || cache.bytes > FILES_CACHE_BYTES)
        drop(list_entry(cache.by_use.next, struct file_slot, by_use));
}

struct file *file_find(const char *dir, struct str name, int64_t now_ns)
{
    char key[FILE_NAME_BYTES + 512];
    size_t dir_n = strlen(dir);
    if (dir_n + 1 + name.n > sizeof key)
        return load(dir, name, NULL, now_ns);
    memcpy(key, dir, dir_n + 1);
    memcpy(key + dir_n + 1, name.p, name.n);
    struct str k = str_n(key, dir_n + 1 + name.n);
    pthread_mutex_lock(&cache.lock);
    if (!cache.slots)
        cache.slots = map_create();
    struct file_slot *slot = map_get(cache.slots, k);
    struct file *file = slot ? slot->file : NULL;
    bool fresh = file && now_ns - file->checked_ns < fresh_ns;
    if (file) {
        atomic_fetch_add(&file->refs, 1);
        file->checked_ns = fresh ? file->checked_ns : now_ns; /* others need not look as well */
        list_remove(&slot->by_use);
        list_push_back(&cache.by_use, &slot->by_use);
    }
    pthread_mutex_unlock(&cache.lock);
    if (fresh)
        return file;
    struct file *found = load(dir, name, file, now_ns);
    if (found == file)
        return found;
    pthread_mutex_lock(&cache.lock);
    put(k, found);
    pthread_mutex_unlock(&cache.lock);
    return found;
}

void file_cache_clear(void)
{
    pthread_mutex_lock(&cache.lock);
    while (cache.slots && !list_empty(&cache.by_use))
        drop(list_entry(cache.by_use.next, struct file_slot, by_use));
    map_destroy(cache.slots);
    cache.slots = NULL;
    pthread_mutex_unlock(&cache.lock);
}
