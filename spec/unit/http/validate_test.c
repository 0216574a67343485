#include "http/validate.h"

#include "test.h"

TEST(compares_entity_tags)
{
    CHECK(etag_listed(STR("\"a\""), STR("\"a\""), true));
    CHECK(etag_listed(STR("\"x\", W/\"a\""), STR("\"a\""), false));
    CHECK(!etag_listed(STR("W/\"a\""), STR("\"a\""), true));
    CHECK(etag_listed(STR(" * "), STR("\"a\""), true));
    CHECK(!etag_listed(STR("a"), STR("\"a\""), false));
    CHECK(!etag_listed(STR(""), STR("\"a\""), false));
}

TEST(reads_and_writes_dates)
{
    char text[30];
    CHECK_EQ(http_date_parse(STR("Sun, 06 Nov 1994 08:49:37 GMT")), 784111777);
    http_date_format(784111777, text);
    CHECK_STR(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK_EQ(http_date_parse(STR("Sun, 06 Foo 1994 08:49:37 GMT")), -1);
    CHECK_EQ(http_date_parse(STR("Sunday, 06-Nov-94 08:49:37 GMT")), -1);
    CHECK_EQ(http_date_parse(STR("Sun, 06 Nov 1994 28:49:37 GMT")), -1);
}

static char part[64];

static const char *range(const char *header, uint64_t size)
{
    uint64_t first, last;
    switch (range_parse(str_c(header), size, &first, &last)) {
    case RANGE_WHOLE:
        return "whole";
    case RANGE_OUTSIDE:
        return "outside";
    case RANGE_PART:
        snprintf(part, sizeof part, "%llu-%llu", (unsigned long long)first,
                 (unsigned long long)last);
        return part;
    }
    return "?";
}

TEST(reads_ranges)
{
    CHECK_STR(range("bytes=0-4", 10), "0-4");
    CHECK_STR(range("bytes=5-", 10), "5-9");
    CHECK_STR(range("bytes=-3", 10), "7-9");
    CHECK_STR(range("bytes=-30", 10), "0-9");
    CHECK_STR(range("bytes=4-400", 10), "4-9");
    CHECK_STR(range("bytes=10-", 10), "outside");
    CHECK_STR(range("bytes=-0", 10), "outside");
    CHECK_STR(range("bytes=0-", 0), "outside");
    CHECK_STR(range("bytes=5-4", 10), "whole");
    CHECK_STR(range("bytes=1-2,4-5", 10), "whole");
    CHECK_STR(range("items=1-2", 10), "whole");
    CHECK_STR(range("bytes=99999999999999999999-", 10), "whole");
    CHECK_STR(range("bytes=a-b", 10), "whole");
}

TEST(knows_json_by_its_content_type)
{
    CHECK(content_is_json(STR("application/json")));
    CHECK(content_is_json(STR("Application/JSON; Charset=UTF-8")));
    CHECK(content_is_json(STR("application/problem+json;charset=\"utf-8\"; x=1")));
    static const char *const others[] = {"",
                                         "text/plain",
                                         "application/jsonp",
                                         "application/+json",
                                         "text/x+json",
                                         "application/json; charset=euc-kr",
                                         "application/x-www-form-urlencoded"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK(!content_is_json(str_c(others[i])));
    CHECK(!content_is_json(str_n(NULL, 0)));
}

TEST(reads_accepted_encodings)
{
    CHECK(encoding_accepted(STR("gzip, deflate, br"), "br"));
    CHECK(encoding_accepted(STR("GZIP;q=0.5"), "gzip"));
    CHECK(!encoding_accepted(STR("gzip;q=0, br"), "gzip"));
    CHECK(!encoding_accepted(STR("gzip; q=0.000"), "gzip"));
    CHECK(encoding_accepted(STR("*"), "gzip"));
    CHECK(!encoding_accepted(STR("*;q=0"), "gzip"));
    CHECK(!encoding_accepted(STR("identity"), "gzip"));
    CHECK(!encoding_accepted(STR(""), "gzip"));
}
