#include "test.h"

#include "base/mem.h"
#include "cli/flat.h"
#include "cli/glyphs.h"

TEST(korean_is_two_columns_wide)
{
    CHECK_EQ(glyphs_width("shop"), 4);
    CHECK_EQ(glyphs_width("홍대점 1"), 8);
    CHECK_EQ(glyphs_width("\xe1\x84\x92\xe1\x85\xa9\xe1\x86\xbc"), 2); /* 홍 of three jamo */
    CHECK_EQ(glyphs_width("e\xcc\x81"), 1);
    CHECK_EQ(glyphs_width(""), 0);
    CHECK_EQ(glyphs_width("\xed\x99"), 2); /* cut off: each byte for itself */
}

static void check_plain(const char *text, size_t n, const char *want)
{
    char *plain = glyphs_plain(str_n(text, n));
    CHECK_STR(plain, want);
    mem_free(plain);
}

TEST(what_steers_a_terminal_is_not_printed)
{
    check_plain("\033[31mred\r", 9, "?[31mred?");
    check_plain("a\0b", 3, "a?b");
    check_plain("two\nlines\tand", 13, "two\nlines\tand");
    check_plain("\xc2\x9b"
                "31m",
                5, "?31m");
    check_plain("\xe2\x80\xae"
                "fdp",
                6, "?fdp");
    check_plain("감사합니다", strlen("감사합니다"), "감사합니다");
}

TEST(paths_are_found_however_many)
{
    struct buf text = {0};
    struct flat flat;
    struct err err = {0};
    buf_add_c(&text, "{\"rows\":[");
    for (int i = 0; i < 300; i++)
        buf_printf(&text, "%s{\"n\":%d,\"name\":\"r%d\"}", i ? "," : "", i, i);
    buf_add_c(&text, "],\"a\":\"first\",\"a\":\"second\"}");
    CHECK(flat_read(buf_str(&text), &flat, &err));
    CHECK_STR(flat_get(&flat, "rows.%d.name", 0), "r0");
    CHECK_STR(flat_get(&flat, "rows.%d.name", 299), "r299");
    CHECK_STR(flat_get(&flat, "a"), "first");
    CHECK(flat_get(&flat, "rows.300.name") == NULL);
    CHECK(flat_get(&flat, "rows") == NULL);
    flat_free(&flat);
    buf_free(&text);
}
