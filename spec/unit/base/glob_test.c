#include "base/glob.h"

#include "test.h"

static bool match(const char *pattern, const char *text)
{
    return glob_match(str_c(pattern), str_c(text));
}

TEST(stands_for_itself)
{
    CHECK(match("", "") && match("shop:cart", "shop:cart"));
    CHECK(!match("", "a") && !match("a", "") && !match("shop", "shop:cart") && !match("b", "a"));
}

TEST(stars_and_questions)
{
    CHECK(match("*", "") && match("*", "any") && match("a*", "a") && match("*c", "abc"));
    CHECK(match("a*b*c", "a-b-b-c") && !match("a*b*c", "a-b-b-d") && match("**a**", "a"));
    CHECK(match("a?c", "abc") && !match("a?c", "ac") && match("?*", "a") && !match("?*", ""));
    CHECK(match("shop:*:42", "shop:cart:42") && !match("shop:*:42", "shop:cart:421"));
}

TEST(classes)
{
    CHECK(match("[abc]x", "bx") && !match("[abc]x", "dx") && match("[a-c]", "b"));
    CHECK(match("[c-a]", "b") && match("[^a-c]", "d") && !match("[^a-c]", "b"));
    CHECK(match("[\\]]", "]") && match("*[0-9]", "n7") && !match("*[0-9]", "n"));
    CHECK(match("[a", "a") && !match("[", "[") && !match("[a]", ""));
}

TEST(what_is_escaped_has_no_meaning)
{
    struct buf pattern = {0};
    struct str odd = STR("a*b?[c]\\d");
    glob_escape(&pattern, odd);
    CHECK(glob_match(buf_str(&pattern), odd) && !match(pattern.p, "axb?[c]\\d"));
    CHECK(!glob_is_plain(odd) && glob_is_plain(STR("shop:cart")));
    CHECK(match("\\", "\\") && match("a\\*", "a*") && !match("a\\*", "ab"));
    buf_free(&pattern);
}

/* Whoever goes back to every star needs longer than there is time. */
TEST(many_stars_end)
{
    struct buf pattern = {0}, text = {0};
    for (int i = 0; i < 100; i++)
        buf_add_c(&pattern, "a*");
    buf_add_char(&pattern, 'b');
    for (int i = 0; i < 500; i++)
        buf_add_char(&text, 'a');
    CHECK(!glob_match(buf_str(&pattern), buf_str(&text)));
    buf_add_char(&text, 'b');
    CHECK(glob_match(buf_str(&pattern), buf_str(&text)));
    buf_free(&pattern);
    buf_free(&text);
}
