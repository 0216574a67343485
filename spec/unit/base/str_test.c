#include "test.h"

#include <limits.h>

#include "base/mem.h"
#include "base/str.h"

TEST(split_cuts_at_each_separator)
{
    struct str rest = STR("a,,bc");
    CHECK(str_eq_c(str_split(&rest, ','), "a"));
    CHECK(str_eq_c(str_split(&rest, ','), ""));
    CHECK(str_eq_c(str_split(&rest, ','), "bc"));
    CHECK_EQ(rest.n, 0);
    CHECK(str_eq_c(str_split(&rest, ','), ""));
}

TEST(compares_like_bytes)
{
    CHECK(str_cmp(STR("a"), STR("ab")) < 0);
    CHECK(str_cmp(STR("b"), STR("ab")) > 0);
    CHECK(str_cmp(STR("\xff"), STR("a")) > 0);
    CHECK(str_cmp(STR(""), str_n(NULL, 0)) == 0);
    CHECK(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")));
    CHECK_EQ(str_find(STR("abc"), 'c'), 2);
    CHECK_EQ(str_find(STR("abc"), 'x'), 3);
}

TEST(trims_white_space)
{
    CHECK(str_eq_c(str_trim(STR(" \t a b\r\n")), "a b"));
    CHECK_EQ(str_trim(STR("  ")).n, 0);
}

TEST(reads_whole_numbers_in_range)
{
    long long n = 0;
    CHECK(str_int64(STR("9223372036854775807"), &n) && n == LLONG_MAX);
    CHECK(str_int64(STR("-9223372036854775808"), &n) && n == LLONG_MIN);
    CHECK(str_int64(STR("+7"), &n) && n == 7);
    CHECK(!str_int64(STR("9223372036854775808"), &n));
    CHECK(!str_int64(STR("-9223372036854775809"), &n));
    CHECK(!str_int64(STR(""), &n) && !str_int64(STR("-"), &n));
    CHECK(!str_int64(STR("1 "), &n) && !str_int64(STR("1.0"), &n));
}

TEST(a_buffer_grows_and_is_handed_over)
{
    struct buf b = {0};
    CHECK_STR(buf_str(&b).p, "");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    buf_add(&b, NULL, 0);
    buf_add_char(&b, '.');
    CHECK_EQ(b.n, 3891);
    CHECK_EQ(strlen(b.p), 3891);
    size_t n;
    char *p = buf_take(&b, &n);
    CHECK_EQ(n, 3891);
    CHECK(b.p == NULL);
    mem_free(p);
    p = buf_take(&b, NULL);
    CHECK_STR(p, "");
    mem_free(p);
}

TEST(a_long_printf_fits)
{
    struct buf b = {0};
    buf_printf(&b, "%0500d|", 7);
    CHECK_EQ(b.n, 501);
    CHECK_EQ(b.p[500], '|');
    buf_free(&b);
}

TEST(knows_utf8)
{
    CHECK(utf8_valid(STR("plain ascii, longer than eight")));
    CHECK(utf8_valid(STR("마루 \xF0\x9F\x8C\xB8 é")));
    CHECK(utf8_valid(STR("\xF4\x8F\xBF\xBF")));
    CHECK(!utf8_valid(STR("\xF4\x90\x80\x80"))); /* over U+10FFFF */
    CHECK(!utf8_valid(STR("\xED\xA0\x80")));     /* a surrogate */
    CHECK(!utf8_valid(STR("\xC0\xAF")));         /* overlong */
    CHECK(!utf8_valid(STR("\xE0\x80\xAF")));
    CHECK(!utf8_valid(STR("\xF0\x80\x80\xAF")));
    CHECK(!utf8_valid(STR("\x80")) && !utf8_valid(STR("\xEB\xA7")) && !utf8_valid(STR("\xFF")));
    CHECK_EQ(utf8_length(STR("마루!")), 3);
}
