/* Kills within a window, over processes; what a file keeps. */
#include "reload/quarantine.h"

#include <unistd.h>

#include "base/sys.h"
#include "observe/log.h"
#include "test.h"

#define S INT64_C(1000000000)

static char path[] = "/tmp/maru-quarantine-XXXXXX";

static struct quarantine *open_fresh(int limit)
{
    static bool made;
    log_setup(-1, LOG_ERROR);
    if (!made)
        close(mkstemp(path));
    made = true;
    unlink(path);
    return quarantine_open(&(struct quarantine_options){path, limit, 60 * S});
}

static struct quarantine *open_again(int limit)
{
    return quarantine_open(&(struct quarantine_options){path, limit, 60 * S});
}

TEST(only_kills_within_the_window_count)
{
    int64_t at[] = {0, 50 * S, 100 * S, 110 * S};
    CHECK(!quarantine_is_reached(at, 0, 3, 60 * S));
    CHECK(!quarantine_is_reached(at, 2, 3, 60 * S));
    CHECK(!quarantine_is_reached(at, 3, 3, 60 * S));
    CHECK(quarantine_is_reached(at, 4, 3, 60 * S));
    CHECK(quarantine_is_reached(at, 1, 1, 60 * S));
}

TEST(the_third_kill_holds_a_plugin_back_once)
{
    struct quarantine *q = open_fresh(3);
    CHECK(!quarantine_count(q, "a", "0123456789abcdef", "one", false, 1 * S));
    CHECK(!quarantine_count(q, "a", "0123456789ab", "two", false, 2 * S));
    CHECK(!quarantine_count(q, "b", "0123456789ab", "of another", false, 2 * S));
    CHECK(!quarantine_count(q, "a", "ffffffffffff", "of another content", false, 2 * S));
    CHECK(quarantine_count(q, "a", "0123456789ab", "three", false, 3 * S));
    CHECK(!quarantine_count(q, "a", "0123456789ab", "four", false, 4 * S));
    struct quarantine_state s = quarantine_of(q, "a", "0123456789abcdef");
    CHECK(s.held);
    CHECK(!s.interpreted);
    CHECK_EQ(s.kills, 4);
    CHECK_EQ(s.since_wall, 3 * S);
    CHECK_STR(s.reason, "four");
    CHECK(!quarantine_of(q, "b", "0123456789ab").held);
    CHECK(!quarantine_of(q, "a", "ffffffffffff").held);
    CHECK_EQ(quarantine_of(q, "c", "0123456789ab").kills, 0);
    quarantine_close(q);
    unlink(path);
}

TEST(a_file_keeps_all_of_it)
{
    struct err err = {0};
    struct quarantine *q = open_fresh(3);
    quarantine_count(q, "a", "0123456789ab", "plugins/a/plugin.lua:3:\tloop\n", true, 5 * S);
    quarantine_count(q, "a", "0123456789ab", "again\tand\nagain", false, 6 * S);
    CHECK(quarantine_save(q, &err));
    quarantine_close(q);
    q = open_again(3);
    struct quarantine_state s = quarantine_of(q, "a", "0123456789ab");
    CHECK(!s.held && s.interpreted);
    CHECK_EQ(s.kills, 2);
    CHECK_STR(s.reason, "again and again");
    CHECK(quarantine_count(q, "a", "0123456789ab", "third", false, 7 * S));
    CHECK(quarantine_save(q, &err));
    quarantine_close(q);
    q = open_again(3);
    CHECK(quarantine_of(q, "a", "0123456789ab").held);
    CHECK_EQ(quarantine_of(q, "a", "0123456789ab").since_wall, 7 * S);
    quarantine_close(q);
    unlink(path);
}

TEST(forgetting_spares_the_content_that_serves)
{
    struct quarantine *q = open_fresh(2);
    quarantine_count(q, "a", "aaaaaaaaaaaa", "x", true, 1 * S);
    quarantine_count(q, "a", "bbbbbbbbbbbb", "x", false, 1 * S);
    quarantine_count(q, "b", "aaaaaaaaaaaa", "x", false, 1 * S);
    CHECK_EQ(quarantine_forget(q, "a", "bbbbbbbbbbbb"), FORGOT_HOLD);
    CHECK_EQ(quarantine_of(q, "a", "aaaaaaaaaaaa").kills, 0);
    CHECK_EQ(quarantine_of(q, "a", "bbbbbbbbbbbb").kills, 1);
    CHECK_EQ(quarantine_forget(q, "a", "bbbbbbbbbbbb"), FORGOT_NOTHING);
    CHECK_EQ(quarantine_forget(q, "a", NULL), FORGOT_KILLS);
    CHECK_EQ(quarantine_forget(q, "a", NULL), FORGOT_NOTHING);
    CHECK_EQ(quarantine_of(q, "b", "aaaaaaaaaaaa").kills, 1);
    quarantine_close(q);
    unlink(path);
}

TEST(a_file_that_is_damaged_loses_what_is_damaged)
{
    struct err err = {0};
    struct quarantine *q = open_fresh(3);
    quarantine_close(q);
    static const char text[] = "\n\t\t\nrubbish\na\t0123\t1\t1\t1\t1\t1\tx\n"
                               "a\t0123456789ab\t1\t0\t3\t7\t5,6,rubbish\tkept\n"
                               "b\t0123456789ab\tyes\t0\t3\t7\t5\tlost\nc\t0123456789ab\t1\t0";
    CHECK(file_write(path, str_c(text), 0600, &err));
    q = open_again(3);
    CHECK(quarantine_of(q, "a", "0123456789ab").held);
    CHECK_STR(quarantine_of(q, "a", "0123456789ab").reason, "kept");
    CHECK(!quarantine_of(q, "b", "0123456789ab").held);
    CHECK(!quarantine_of(q, "c", "0123456789ab").held);
    quarantine_close(q);
    unlink(path);
}
