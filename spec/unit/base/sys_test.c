#include "test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

static char *folder(void)
{
    char *path = mem_strdup("/tmp/maru-sys-XXXXXX");
    return mkdtemp(path);
}

TEST(writes_and_reads_back)
{
    char *dir = folder(), *path = mem_printf("%s/a/b//c", dir), *file = mem_printf("%s/f", path);
    struct err err = {0};
    struct buf b = {0};
    REQUIRE(dir_make(path, 0755, &err));
    CHECK(dir_make(path, 0755, &err));
    CHECK(file_write(file, STR("one"), 0600, &err));
    CHECK(file_write(file, STR("two two"), 0600, &err));
    CHECK(file_read(file, 100, &b, &err));
    CHECK_STR(b.p, "two two");
    CHECK(!file_read(file, 3, &b, &err));
    CHECK_EQ(err.code, ERR_LIMIT);
    struct stat st;
    CHECK(stat(file, &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK(!dir_make(file, 0755, &err));
    CHECK_EQ(err.sys, ENOTDIR);
    buf_free(&b);
    char *clean = mem_printf("rm -r %s", dir);
    CHECK_EQ(system(clean), 0);
    mem_free(clean), mem_free(file), mem_free(path), mem_free(dir);
}

TEST(a_missing_file_is_not_found)
{
    struct err err = {0};
    struct buf b = {0};
    CHECK(!file_read("/nowhere/x", 10, &b, &err));
    CHECK_EQ(err.code, ERR_NOT_FOUND);
    CHECK_STR(err.message, "/nowhere/x: No such file or directory");
    buf_free(&b);
}

static ssize_t full_disk(int fd, const void *p, size_t n)
{
    (void)fd, (void)p, (void)n;
    errno = ENOSPC;
    return -1;
}

TEST(a_full_disk_leaves_the_old_file)
{
    char *dir = folder(), *file = mem_printf("%s/f", dir);
    struct err err = {0};
    struct buf b = {0};
    REQUIRE(file_write(file, STR("old"), 0600, &err));
    sys_calls.write = full_disk;
    CHECK(!file_write(file, STR("new"), 0600, &err));
    CHECK_EQ(err.sys, ENOSPC);
    sys_calls.write = write;
    CHECK(file_read(file, 100, &b, &err));
    CHECK_STR(b.p, "old");
    buf_free(&b);
    unlink(file);
    CHECK_EQ(rmdir(dir), 0); /* no temporary file is left */
    mem_free(file), mem_free(dir);
}
