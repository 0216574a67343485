/* Bundles kept on disk by content, and the note that one of them serves instead of the folder. */
#include "reload/keep.h"

#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "reload/rollback.h"
#include "reload/scan.h"
#include "test.h"
#include "vm/bundle.h"

struct fixture {
    char root[40];
    char *kept, *plugins, *file;
    struct err err;
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.root = "/tmp/maru-keep-XXXXXX"};
    if (!mkdtemp(f->root))
        TEST_FAIL("no folder");
    f->kept = mem_printf("%s/kept", f->root);
    f->plugins = mem_printf("%s/plugins", f->root);
    f->file = mem_printf("%s/shop/plugin.lua", f->plugins);
    char *shop = mem_printf("%s/shop", f->plugins);
    dir_make(shop, 0700, &f->err);
    mem_free(shop);
}

static void fixture_fini(struct fixture *f)
{
    char *command = mem_printf("rm -rf %s", f->root);
    CHECK_EQ(system(command), 0);
    mem_free(command);
    mem_free(f->kept);
    mem_free(f->plugins);
    mem_free(f->file);
}

static struct scan scan_text(struct fixture *f, const char *text)
{
    const char *const dirs[] = {f->plugins, NULL};
    CHECK(file_write(f->file, str_c(text), 0600, &f->err));
    return scan_read(dirs, NULL);
}

/* Keeps a plugin.lua with this text; out receives its 12 digits. */
static void save(struct fixture *f, const char *text, char out[KEEP_HASH + 1])
{
    struct scan scan = scan_text(f, text);
    snprintf(out, KEEP_HASH + 1, "%.*s", KEEP_HASH, scan.entries[0].bundle->hash);
    CHECK(keep_save(f->kept, scan.entries[0].bundle, text + 3, &f->err));
    scan_free(&scan);
    usleep(2000); /* file times tell which is newer */
}

TEST(keeps_the_newest_five_in_the_order_they_served)
{
    struct fixture f;
    char hash[7][KEEP_HASH + 1];
    int count;
    fixture_init(&f);
    static const char *const texts[] = {"-- 1", "-- 2", "-- 3", "-- 4", "-- 5", "-- 6"};
    for (int i = 0; i < 6; i++)
        save(&f, texts[i], hash[i]);
    save(&f, "-- 3", hash[6]);
    struct kept *list = keep_list(f.kept, "shop", &count);
    CHECK_EQ(count, KEEP_COUNT);
    CHECK_STR(list[0].hash, hash[2]);
    CHECK_STR(list[0].version, "3");
    CHECK_STR(list[1].hash, hash[5]);
    CHECK_STR(list[4].hash, hash[1]);
    mem_free(list);
    mem_free(keep_list(f.kept, "sho", &count));
    CHECK_EQ(count, 0);
    fixture_fini(&f);
}

TEST(writes_anew_what_a_crash_cut_short)
{
    struct fixture f;
    char hash[KEEP_HASH + 1];
    fixture_init(&f);
    save(&f, "-- 1", hash);
    char *kept = mem_printf("%s/shop.%s/shop/plugin.lua", f.kept, hash);
    CHECK_EQ(truncate(kept, 0), 0);
    mem_free(kept);
    CHECK(!keep_read(f.kept, "shop", hash, &f.err));
    CHECK_EQ(f.err.code, ERR_CORRUPT);
    save(&f, "-- 1", hash);
    struct bundle *bundle = keep_read(f.kept, "shop", hash, &f.err);
    CHECK(bundle);
    if (bundle)
        bundle_free(bundle);
    fixture_fini(&f);
}

TEST(finds_one_by_how_its_hash_begins)
{
    struct fixture f;
    char hash[KEEP_HASH + 1];
    fixture_init(&f);
    save(&f, "-- 1", hash);
    struct bundle *bundle = keep_read(f.kept, "shop", hash, &f.err);
    REQUIRE(bundle);
    CHECK(!strncmp(bundle->hash, hash, KEEP_HASH));
    bundle_free(bundle);
    hash[3] = 0;
    bundle = keep_read(f.kept, "shop", hash, &f.err);
    REQUIRE(bundle);
    bundle_free(bundle);
    CHECK(!keep_read(f.kept, "shop", "", &f.err));
    CHECK_EQ(f.err.code, ERR_NOT_FOUND);
    CHECK(!keep_read(f.kept, "shop", hash[0] == 'a' ? "b" : "a", &f.err));
    CHECK_EQ(f.err.code, ERR_NOT_FOUND);
    fixture_fini(&f);
}

TEST(passes_over_what_failed_until_it_serves_again)
{
    struct fixture f;
    char one[KEEP_HASH + 1], two[KEEP_HASH + 1];
    int count;
    fixture_init(&f);
    save(&f, "-- 1", one);
    save(&f, "-- 2", two);
    CHECK(keep_fail(f.kept, "shop", two, "too many errors", &f.err));
    CHECK(!keep_fail(f.kept, "shop", "0123456789ab", "x", &f.err));
    struct kept *list = keep_list(f.kept, "shop", &count);
    CHECK_STR(list[0].hash, two);
    CHECK_STR(list[0].failed, "too many errors");
    mem_free(list);
    struct bundle *bundle = keep_newest(f.kept, "shop", &f.err);
    REQUIRE(bundle);
    CHECK(!strncmp(bundle->hash, one, KEEP_HASH));
    bundle_free(bundle);
    save(&f, "-- 2", two);
    list = keep_list(f.kept, "shop", &count);
    CHECK_STR(list[0].failed, "");
    mem_free(list);
    CHECK(!keep_newest(f.kept, "other", &f.err));
    CHECK_EQ(f.err.code, ERR_NOT_FOUND);
    fixture_fini(&f);
}

TEST(notes_a_rollback_and_reads_it_again)
{
    struct fixture f;
    struct rollback r;
    fixture_init(&f);
    CHECK(!rollback_read(f.kept, "shop", &r));
    r = (struct rollback){.plugin = "shop",
                          .from = "aaaaaaaaaaaa",
                          .to = "bbbbbbbbbbbb",
                          .reason = "12 of 20 tasks failed: 60 %",
                          .at_wall = 42};
    REQUIRE(rollback_write(f.kept, &r, &f.err));
    struct rollback again;
    REQUIRE(rollback_read(f.kept, "shop", &again));
    CHECK_STR(again.from, r.from);
    CHECK_STR(again.to, r.to);
    CHECK_STR(again.folder, "");
    CHECK_STR(again.reason, r.reason);
    CHECK_EQ(again.at_wall, 42);
    CHECK(rollback_hides(&again, "aaaaaaaaaaaa1234"));
    CHECK(!rollback_hides(&again, "bbbbbbbbbbbb1234"));
    CHECK(!rollback_hides(&again, "cccccccccccc1234"));
    snprintf(r.folder, sizeof r.folder, "cccccccccccc");
    REQUIRE(rollback_write(f.kept, &r, &f.err));
    REQUIRE(rollback_read(f.kept, "shop", &again));
    CHECK(rollback_hides(&again, "cccccccccccc1234"));
    rollback_forget(f.kept, "shop");
    CHECK(!rollback_read(f.kept, "shop", &again));
    fixture_fini(&f);
}

TEST(puts_the_kept_bundle_where_the_folder_was_given_up)
{
    struct fixture f;
    char one[KEEP_HASH + 1], two[KEEP_HASH + 1];
    static const char *const except[] = {"shop", NULL};
    fixture_init(&f);
    save(&f, "-- 1", one);
    save(&f, "-- 2", two);
    struct rollback r = {.plugin = "shop", .reason = "x"};
    memcpy(r.from, two, sizeof two);
    memcpy(r.to, one, sizeof one);
    REQUIRE(rollback_write(f.kept, &r, &f.err));
    struct scan scan = scan_text(&f, "-- 2");
    rollback_apply(f.kept, &scan, except);
    CHECK(!scan.entries[0].note);
    rollback_apply(f.kept, &scan, NULL);
    CHECK(!strncmp(scan.entries[0].bundle->hash, one, KEEP_HASH));
    CHECK(scan.entries[0].note && strstr(scan.entries[0].note, "rolled back from "));
    scan_free(&scan);
    scan = scan_text(&f, "-- 3");
    rollback_apply(f.kept, &scan, NULL);
    CHECK(!scan.entries[0].note);
    scan_free(&scan);
    fixture_fini(&f);
}
