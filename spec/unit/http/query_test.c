#include "http/request.h"
#include "test.h"

static const char *decoded(const char *text, bool plus)
{
    static struct buf out;
    buf_clear(&out);
    return percent_decode(str_c(text), plus, &out) ? (out.p ? out.p : "") : "refused";
}

TEST(decodes_percent_encoding)
{
    CHECK_STR(decoded("a%20b", false), "a b");
    CHECK_STR(decoded("%ED%95%9C", false), "\xed\x95\x9c");
    CHECK_STR(decoded("a+b", false), "a+b");
    CHECK_STR(decoded("a+b", true), "a b");
    CHECK_STR(decoded("", false), "");
}

TEST(refuses_what_is_no_text)
{
    static const char *const bad[] = {"%", "%1", "%zz", "%00", "%ff", "%ed%a0%80", "%c0%af"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_STR(decoded(bad[i], true), "refused");
}

/* "a=1;b=2;" or with " bad" at the end. */
static const char *pairs(const char *query)
{
    static struct buf out;
    struct buf scratch = {0};
    struct str name, value;
    size_t at = 0;
    bool bad;
    buf_clear(&out);
    buf_add_c(&out, "");
    while (query_next(str_c(query), &at, &scratch, &name, &value, &bad))
        buf_printf(&out, "%.*s=%.*s;", (int)name.n, name.p, (int)value.n, value.p);
    if (bad)
        buf_add_c(&out, " bad");
    buf_free(&scratch);
    return out.p ? out.p : "";
}

TEST(reads_pairs)
{
    CHECK_STR(pairs("a=1&b=2"), "a=1;b=2;");
    CHECK_STR(pairs("a&b=&=c"), "a=;b=;=c;");
    CHECK_STR(pairs("&&a=1&&"), "a=1;");
    CHECK_STR(pairs("a=b=c"), "a=b=c;");
    CHECK_STR(pairs("a+b=%26"), "a b=&;");
    CHECK_STR(pairs("a=1&b=%f"), "a=1; bad");
}
