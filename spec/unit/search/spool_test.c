/* Documents on disk for a server that is away: order, crashes, torn tails, bounds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "observe/log.h"
#include "search/spool.h"
#include "test.h"

static char dir[64];

static void fresh(void)
{
    char command[128];
    log_setup(-1, LOG_ERROR);
    snprintf(dir, sizeof dir, "/tmp/maru-spool.%d", getpid());
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_EQ(system(command), 0);
}

static struct spool *reopen(struct spool *spool, int64_t most)
{
    struct err err = {0};
    spool_close(spool);
    spool = spool_open(dir, most, &err);
    if (!spool)
        TEST_FAIL("%s", err.message);
    return spool;
}

static bool add(struct spool *spool, int from, int count)
{
    struct err err = {0};
    char text[100][32];
    struct str records[100];
    for (int i = 0; i < count; i++) {
        snprintf(text[i], sizeof text[i], "record %d", from + i);
        records[i] = str_c(text[i]);
    }
    return spool_append(spool, records, count, &err);
}

/* Takes everything out and checks that it is first … last, in order. */
static void check_all(struct spool *spool, int first, int last)
{
    size_t ends[7];
    struct buf out = {0};
    char want[32];
    int n, next = first;
    while (!spool_is_empty(spool)) {
        buf_clear(&out);
        n = spool_read(spool, 40, 7, &out, ends);
        for (int i = 0; i < n; i++, next++) {
            size_t start = i ? ends[i - 1] : 0;
            snprintf(want, sizeof want, "record %d", next);
            CHECK(str_eq_c(str_n(out.p + start, ends[i] - start), want));
        }
        spool_advance(spool);
    }
    CHECK_EQ(next, last + 1);
    CHECK_EQ(spool_records(spool), 0);
    CHECK_EQ(spool_bytes(spool), 0);
    buf_free(&out);
}

TEST(what_goes_in_comes_out_in_order)
{
    fresh();
    struct spool *spool = reopen(NULL, 1 << 20);
    CHECK(spool_is_empty(spool));
    CHECK(add(spool, 1, 50) && add(spool, 51, 50));
    CHECK_EQ(spool_records(spool), 100);
    check_all(spool, 1, 100);
    CHECK(add(spool, 1, 3));
    check_all(spool, 1, 3);
    spool_close(spool);
    fresh();
}

TEST(another_process_goes_on_where_this_one_was)
{
    fresh();
    size_t ends[20];
    struct buf out = {0};
    struct spool *spool = reopen(NULL, 1 << 20);
    CHECK(add(spool, 1, 30));
    CHECK_EQ(spool_read(spool, 1 << 20, 20, &out, ends), 20);
    spool_advance(spool);
    CHECK_EQ(spool_read(spool, 1 << 20, 5, &out, ends), 5); /* read, but not done with */
    spool = reopen(spool, 1 << 20);
    CHECK_EQ(spool_records(spool), 10);
    CHECK(add(spool, 31, 10));
    spool = reopen(spool, 1 << 20);
    check_all(spool, 21, 40);
    spool_close(spool);
    buf_free(&out);
    fresh();
}

static void last_segment(char path[512])
{
    char best[256] = "";
    DIR *d = opendir(dir);
    struct dirent *e;
    while ((e = readdir(d)))
        if (strstr(e->d_name, ".seg") && strcmp(e->d_name, best) > 0)
            snprintf(best, sizeof best, "%s", e->d_name);
    closedir(d);
    snprintf(path, 512, "%s/%s", dir, best);
}

TEST(a_torn_tail_is_dropped_and_nothing_before_it)
{
    char path[512];
    struct stat st;
    for (int cut = 1; cut < 17; cut++) {
        fresh();
        struct spool *spool = reopen(NULL, 1 << 20);
        CHECK(add(spool, 1, 10));
        spool_close(spool);
        last_segment(path);
        CHECK_EQ(stat(path, &st), 0);
        CHECK_EQ(truncate(path, st.st_size - cut), 0);
        spool = reopen(NULL, 1 << 20);
        CHECK_EQ(spool_records(spool), 9);
        CHECK(add(spool, 10, 5));
        check_all(spool, 1, 14);
        spool_close(spool);
    }
    fresh();
}

TEST(a_flipped_bit_ends_its_segment)
{
    char path[512], byte = 'X';
    fresh();
    struct spool *spool = reopen(NULL, 1 << 20);
    CHECK(add(spool, 1, 10));
    spool_close(spool);
    last_segment(path);
    int fd = open(path, O_WRONLY);
    CHECK_EQ(pwrite(fd, &byte, 1, 3 * 16 + 10), 1);
    close(fd);
    spool = reopen(NULL, 1 << 20);
    check_all(spool, 1, 3);
    spool_close(spool);
    fresh();
}

TEST(its_bound_holds_and_what_was_there_stays)
{
    fresh();
    struct spool *spool = reopen(NULL, 400);
    CHECK(add(spool, 1, 20));
    CHECK(!add(spool, 21, 20));
    CHECK_EQ(spool_records(spool), 20);
    check_all(spool, 1, 20);
    CHECK(add(spool, 1, 20));
    spool_close(spool);
    fresh();
}

static ssize_t half_write(int fd, const void *p, size_t n)
{
    static bool half;
    half = !half;
    if (half)
        return write(fd, p, n / 2);
    errno = ENOSPC;
    return -1;
}

static int no_sync(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    errno = EIO;
    return -1;
}

TEST(a_write_that_fails_leaves_what_was_before)
{
    struct sys_calls real = sys_calls;
    fresh();
    struct spool *spool = reopen(NULL, 1 << 20);
    CHECK(add(spool, 1, 10));
    sys_calls.write = half_write;
    CHECK(!add(spool, 11, 10));
    sys_calls = real;
    CHECK(add(spool, 11, 10));
    sys_calls.fsync = no_sync;
    CHECK(!add(spool, 21, 10));
    sys_calls = real;
    CHECK(add(spool, 21, 10));
    spool = reopen(spool, 1 << 20);
    check_all(spool, 1, 30);
    spool_close(spool);
    fresh();
}

TEST(records_stay_while_their_file_cannot_be_opened)
{
    size_t ends[20];
    struct buf out = {0};
    struct rlimit real, none;
    fresh();
    struct spool *spool = reopen(NULL, 1 << 20);
    CHECK(add(spool, 1, 10));
    spool = reopen(spool, 1 << 20);
    CHECK(add(spool, 11, 10));
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &real), 0);
    none = real;
    none.rlim_cur = 0;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int n = spool_read(spool, 1 << 20, 20, &out, ends);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &real), 0);
    CHECK_EQ(n, 0);
    CHECK_EQ(spool_records(spool), 20);
    check_all(spool, 1, 20);
    spool_close(spool);
    buf_free(&out);
    fresh();
}

/* What a crash leaves between a segment's end and the word of it. */
TEST(an_old_head_skips_nothing_that_came_after_it)
{
    char path[512], old[64] = "";
    size_t ends[20];
    struct buf out = {0};
    fresh();
    struct spool *spool = reopen(NULL, 1 << 20);
    CHECK(add(spool, 1, 20));
    CHECK_EQ(spool_read(spool, 1 << 20, 10, &out, ends), 10);
    spool_advance(spool);
    snprintf(path, sizeof path, "%s/head", dir);
    int fd = open(path, O_RDONLY);
    ssize_t bytes = read(fd, old, sizeof old);
    close(fd);
    check_all(spool, 11, 20);
    spool_close(spool);
    fd = open(path, O_WRONLY | O_TRUNC);
    CHECK_EQ(write(fd, old, (size_t)bytes), bytes);
    close(fd);
    spool = reopen(NULL, 1 << 20);
    CHECK(spool_is_empty(spool));
    CHECK(add(spool, 21, 20));
    spool = reopen(spool, 1 << 20);
    check_all(spool, 21, 40);
    spool_close(spool);
    buf_free(&out);
    fresh();
}
