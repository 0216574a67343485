#include "search/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/sys.h"
#include "observe/log.h"

enum { HEAD_BYTES = 8 };

struct segment {
    uint64_t number;
    int64_t bytes;   /* of whole records */
    int64_t records; /* in them */
};

struct spool {
    char *dir;
    int64_t most_bytes, records; /* records: behind the head */
    struct segment *segments;    /* oldest first */
    int count, cap;
    int fd;        /* of the last segment, for appending; -1 = the next append makes one */
    int64_t at;    /* the head, in the first segment */
    uint64_t gone; /* the newest segment that was, or that the file "head" names */
    /* what spool_read() gave last */
    int64_t read_end, read_records;
    int read_fd; /* of the first segment */
};

static char *path_of(const struct spool *spool, uint64_t number)
{
    return mem_printf("%s/%016llx.seg", spool->dir, (unsigned long long)number);
}

static uint32_t take_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_u32(struct buf *out, uint32_t n)
{
    char bytes[4] = {(char)n, (char)(n >> 8), (char)(n >> 16), (char)(n >> 24)};
    buf_add(out, bytes, sizeof bytes);
}

static uint32_t sum_of(struct str bytes)
{
    return (uint32_t)crc32(0, (const unsigned char *)bytes.p, (unsigned)bytes.n);
}

/* Appends the record at `at` to *out; its whole length, 0 when there is none that is whole. */
static int64_t read_record(int fd, int64_t at, int64_t end, struct buf *out)
{
    unsigned char head[HEAD_BYTES];
    if (at + HEAD_BYTES > end || pread(fd, head, sizeof head, at) != (ssize_t)sizeof head)
        return 0;
    uint32_t n = take_u32(head);
    if (n > SPOOL_RECORD_BYTES || at + HEAD_BYTES + n > end)
        return 0;
    buf_reserve(out, (size_t)n + 1);
    if (pread(fd, out->p + out->n, n, at + HEAD_BYTES) != (ssize_t)n ||
        sum_of(str_n(out->p + out->n, n)) != take_u32(head + 4))
        return 0;
    out->n += n;
    out->p[out->n] = '\0';
    return HEAD_BYTES + (int64_t)n;
}

/* ---- what the last process left ---------------------------------------- */

static void add_segment(struct spool *spool, struct segment segment)
{
    if (spool->count == spool->cap) {
        spool->cap = spool->cap ? 2 * spool->cap : 16;
        spool->segments =
            mem_realloc(spool->segments, (size_t)spool->cap * sizeof *spool->segments);
    }
    spool->segments[spool->count++] = segment;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct segment *)a)->number, y = ((const struct segment *)b)->number;
    return (x > y) - (x < y);
}

static bool list_segments(struct spool *spool, struct err *err)
{
    DIR *dir = opendir(spool->dir);
    struct dirent *entry;
    if (!dir)
        return err_sys(err, errno, "spool: %s", spool->dir);
    while ((entry = readdir(dir))) {
        unsigned long long number;
        char rest;
        if (sscanf(entry->d_name, "%16llx.se%c", &number, &rest) == 2 && rest == 'g')
            add_segment(spool, (struct segment){.number = number});
    }
    closedir(dir);
    if (spool->count)
        qsort(spool->segments, (size_t)spool->count, sizeof *spool->segments, by_number);
    return true;
}

/* How far a segment's records are whole. */
static bool measure(const struct spool *spool, struct segment *segment, int64_t from,
                    struct err *err)
{
    char *path = path_of(spool, segment->number);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    struct buf record = {0};
    bool ok = (fd >= 0 && fstat(fd, &st) == 0) || err_sys(err, errno, "spool: %s", path);
    int64_t n, at = 0;
    while (ok && (n = read_record(fd, at, st.st_size, &record)) > 0) {
        segment->records += at >= from;
        at += n;
        buf_clear(&record);
    }
    segment->bytes = at;
    if (ok && at < st.st_size)
        log_warn("search",
                 "%s ends with %lld bytes that are no whole record: what a crash tore, for which "
                 "nobody was answered, or a disk that lost what was",
                 path, (long long)(st.st_size - at));
    if (fd >= 0)
        close(fd);
    buf_free(&record);
    mem_free(path);
    return ok;
}

static void drop_first(struct spool *spool)
{
    char *path = path_of(spool, spool->segments[0].number);
    if (spool->read_fd >= 0)
        close(spool->read_fd);
    spool->read_fd = -1;
    if (spool->count == 1 && spool->fd >= 0) {
        close(spool->fd);
        spool->fd = -1;
    }
    unlink(path);
    mem_free(path);
    spool->gone = spool->segments[0].number;
    spool->count--;
    memmove(spool->segments, spool->segments + 1, (size_t)spool->count * sizeof *spool->segments);
    spool->at = 0;
}

static void keep_head(const struct spool *spool)
{
    struct err err;
    struct buf text = {0};
    char *path = mem_printf("%s/head", spool->dir);
    buf_printf(&text, "%016llx %lld\n",
               spool->count ? (unsigned long long)spool->segments[0].number : 0ULL,
               (long long)spool->at);
    if (!file_write(path, buf_str(&text), 0600, &err))
        log_warn("search", "%s -- after a restart some documents are sent again", err.message);
    buf_free(&text);
    mem_free(path);
}

/* The head's segment is the first; older ones were done with. */
static void find_head(struct spool *spool)
{
    struct err err;
    struct buf text = {0};
    unsigned long long number = 0;
    long long at = 0;
    char *path = mem_printf("%s/head", spool->dir);
    if (file_read(path, 64, &text, &err) && sscanf(text.p, "%16llx %lld", &number, &at) == 2) {
        while (spool->count > 0 && spool->segments[0].number < number)
            drop_first(spool);
        if (spool->count > 0 && spool->segments[0].number == number)
            spool->at = at;
        if (number > spool->gone)
            spool->gone = number;
    }
    buf_free(&text);
    mem_free(path);
}

static bool recover(struct spool *spool, struct err *err)
{
    if (!list_segments(spool, err))
        return false;
    find_head(spool);
    for (int i = 0; i < spool->count; i++) {
        if (!measure(spool, &spool->segments[i], i ? 0 : spool->at, err))
            return false;
        spool->records += spool->segments[i].records;
    }
    while (spool->count > 0 && spool->at >= spool->segments[0].bytes)
        drop_first(spool);
    return true;
}

struct spool *spool_open(const char *dir, int64_t most_bytes, struct err *err)
{
    struct spool *spool = mem_zero(1, sizeof *spool);
    spool->dir = mem_strdup(dir);
    spool->most_bytes = most_bytes;
    spool->fd = spool->read_fd = -1;
    if (dir_make(dir, 0700, err) && recover(spool, err))
        return spool;
    spool_close(spool);
    return NULL;
}

void spool_close(struct spool *spool)
{
    if (!spool)
        return;
    if (spool->fd >= 0)
        close(spool->fd);
    if (spool->read_fd >= 0)
        close(spool->read_fd);
    mem_free(spool->segments);
    mem_free(spool->dir);
    mem_free(spool);
}

bool spool_is_empty(const struct spool *spool)
{
    return spool->count == 0;
}

int64_t spool_bytes(const struct spool *spool)
{
    int64_t sum = -spool->at;
    for (int i = 0; i < spool->count; i++)
        sum += spool->segments[i].bytes;
    return sum;
}

int64_t spool_records(const struct spool *spool)
{
    return spool->records;
}

/* ---- in ---------------------------------------------------------------- */

static bool sync_dir(const struct spool *spool, struct err *err)
{
    int fd = open(spool->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && sys_calls.fsync(fd) == 0;
    if (!ok)
        err_sys(err, errno, "spool: %s", spool->dir);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool next_segment(struct spool *spool, struct err *err)
{
    /* After a crash the file "head" may name one that is gone: no record stands before that. */
    uint64_t number = (spool->count ? spool->segments[spool->count - 1].number : spool->gone) + 1;
    char *path;
    do { /* one that could not be removed is not written to */
        path = path_of(spool, number);
        spool->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    } while (spool->fd < 0 && errno == EEXIST && (mem_free(path), number++, true));
    bool ok = spool->fd >= 0 || err_sys(err, errno, "spool: %s", path);
    mem_free(path);
    if (!ok)
        return false;
    add_segment(spool, (struct segment){.number = number});
    return sync_dir(spool, err);
}

static bool write_all(int fd, struct str bytes, struct err *err)
{
    while (bytes.n > 0) {
        ssize_t n = sys_calls.write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
            return err_set(err, ERR_FULL, "spool: the disk is full");
        if (n < 0)
            return err_sys(err, errno, "spool: write");
        bytes.p += n;
        bytes.n -= (size_t)n;
    }
    return true;
}

static bool write_and_sync(struct spool *spool, struct str bytes, struct err *err)
{
    struct segment *last = &spool->segments[spool->count - 1];
    if (write_all(spool->fd, bytes, err)) {
        if (sys_calls.fsync(spool->fd) == 0) {
            last->bytes += (int64_t)bytes.n;
            return true;
        }
        err_sys(err, errno, "spool: sync");
    }
    /* What stands behind the last whole record is cut off; after a failed sync nobody knows what
     * is on disk, so that nothing more is written there. */
    if (ftruncate(spool->fd, last->bytes) != 0)
        log_error("search", "spool: cannot cut off what was not written whole");
    close(spool->fd);
    spool->fd = -1;
    if (last->bytes == 0 && spool->count == 1)
        drop_first(spool);
    return false;
}

bool spool_append(struct spool *spool, const struct str *records, int count, struct err *err)
{
    struct buf bytes = {0};
    bool ok = true;
    for (int i = 0; i < count; i++) {
        put_u32(&bytes, (uint32_t)records[i].n);
        put_u32(&bytes, sum_of(records[i]));
        buf_add_str(&bytes, records[i]);
    }
    if (spool_bytes(spool) + (int64_t)bytes.n > spool->most_bytes)
        ok = err_set(err, ERR_FULL, "the spool is full (search.spool): %lld records wait",
                     (long long)spool->records);
    if (ok && spool->fd >= 0 && spool->segments[spool->count - 1].bytes > SPOOL_SEGMENT_BYTES) {
        close(spool->fd);
        spool->fd = -1;
    }
    ok = ok && (spool->fd >= 0 || next_segment(spool, err)) &&
         write_and_sync(spool, buf_str(&bytes), err);
    if (ok) {
        spool->segments[spool->count - 1].records += count;
        spool->records += count;
    }
    buf_free(&bytes);
    return ok;
}

/* ---- out --------------------------------------------------------------- */

int spool_read(struct spool *spool, size_t max_bytes, int most, struct buf *out, size_t *ends)
{
    int n = 0;
    size_t begin = out->n;
    if (spool->count == 0)
        return 0;
    if (spool->read_fd < 0) {
        char *path = path_of(spool, spool->segments[0].number);
        spool->read_fd = open(path, O_RDONLY | O_CLOEXEC);
        int sys = errno;
        if (spool->read_fd < 0)
            log_error("search", "spool: %s: %s", path, strerror(sys));
        mem_free(path);
        if (spool->read_fd < 0 && sys != ENOENT) /* too many files are open: a later look may do */
            return 0;
    }
    spool->read_end = spool->at;
    while (n < most && out->n - begin < max_bytes) {
        int64_t bytes = read_record(spool->read_fd, spool->read_end, spool->segments[0].bytes, out);
        if (bytes == 0)
            break;
        spool->read_end += bytes;
        ends[n++] = out->n;
    }
    if (n == 0) { /* it was whole when it was measured or written */
        log_error("search", "spool: a segment cannot be read any more; %lld bytes are given up",
                  (long long)(spool->segments[0].bytes - spool->at));
        spool->read_end = spool->segments[0].bytes;
        spool->read_records = 0;
        spool_advance(spool);
        return spool_read(spool, max_bytes, most, out, ends);
    }
    spool->read_records = n;
    return n;
}

void spool_advance(struct spool *spool)
{
    spool->records -= spool->read_records;
    spool->at = spool->read_end;
    if (spool->at >= spool->segments[0].bytes)
        drop_first(spool);
    if (spool->count == 0)
        spool->records = 0;
    keep_head(spool);
}
