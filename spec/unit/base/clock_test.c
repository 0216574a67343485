#include "test.h"

#include <time.h>

#include "base/clock.h"
#include "base/rand.h"

TEST(writes_utc_like_the_c_library)
{
    char ours[32], theirs[32];
    for (int i = 0; i < 20000; i++) {
        int64_t second = (int64_t)(rand_u64() % 253402300800U);
        struct tm tm;
        gmtime_r(&(time_t){second}, &tm);
        strftime(theirs, sizeof theirs, "%Y-%m-%dT%H:%M:%S.123Z", &tm);
        if (second > 9000000000)
            continue; /* past what int64_t nanoseconds hold */
        clock_format_utc(second * NS_PER_SECOND + 123456789, ours);
        CHECK_STR(ours, theirs);
    }
    clock_format_utc(-1, ours);
    CHECK_STR(ours, "1969-12-31T23:59:59.999Z");
}

static long long duration(const char *text)
{
    int64_t ns = -1;
    struct err err = {0};
    return duration_parse(str_c(text), &ns, &err) ? ns : -1;
}

TEST(reads_durations)
{
    CHECK_EQ(duration("250ms"), 250 * NS_PER_MS);
    CHECK_EQ(duration("30s"), 30 * NS_PER_SECOND);
    CHECK_EQ(duration("5m"), 300 * NS_PER_SECOND);
    CHECK_EQ(duration("1.5h"), 5400 * NS_PER_SECOND);
    CHECK_EQ(duration("1d"), 86400 * NS_PER_SECOND);
    CHECK_EQ(duration("36525d"), DURATION_MOST);
    CHECK_EQ(duration("36526d"), -1);
    CHECK_EQ(duration("0"), 0);
    CHECK_EQ(duration("2.5"), 2500 * NS_PER_MS);
    CHECK_EQ(duration("5x"), -1);
    CHECK_EQ(duration(""), -1);
    CHECK_EQ(duration("s"), -1);
    CHECK_EQ(duration("1."), -1);
    CHECK_EQ(duration("-1s"), -1);
    CHECK_EQ(duration("999999999999d"), -1);
}

TEST(reads_sizes)
{
    int64_t n = 0;
    struct err err = {0};
    CHECK(size_parse(STR("64K"), &n, &err) && n == 65536);
    CHECK(size_parse(STR("1.5M"), &n, &err) && n == 1572864);
    CHECK(size_parse(STR("1G"), &n, &err) && n == 1 << 30);
    CHECK(size_parse(STR("17"), &n, &err) && n == 17);
    CHECK(!size_parse(STR("17X"), &n, &err));
    CHECK_STR(err.message, "\"17X\" is not a size: write 64K, 16M, 1G or bytes");
}

TEST(draws_random_numbers)
{
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        double x = rand_unit();
        CHECK(x >= 0 && x < 1);
        sum += x;
    }
    CHECK(sum > 4500 && sum < 5500);
    char a[37], b[37];
    rand_uuid7(a);
    rand_uuid7(b);
    CHECK_EQ(strlen(a), 36);
    CHECK(a[14] == '7' && strchr("89ab", a[19]) && strcmp(a, b) != 0 && strncmp(a, b, 8) == 0);
}
