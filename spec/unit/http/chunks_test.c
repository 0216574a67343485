#include "http/chunks.h"

#include <string.h>

#include "test.h"

static struct buf out;
static struct chunks chunks;

/* What is passed on of a body that comes in pieces of `step` bytes; the state is in `chunks`. */
static const char *passed(const char *text, size_t step)
{
    struct str left = str_c(text);
    chunks = (struct chunks){0};
    buf_clear(&out);
    buf_add_c(&out, "");
    while (left.n > 0 && chunks.state < CHUNKS_END) {
        size_t n = left.n < step ? left.n : step;
        size_t used = chunks_feed(&chunks, str_n(left.p, n), &out);
        left = str_n(left.p + used, left.n - used);
        if (used < n)
            break;
    }
    return out.p;
}

static bool is_bad(const char *text)
{
    for (size_t step = 1; step <= strlen(text); step++) {
        const char *bare = passed(text, step);
        if (chunks.state != CHUNKS_BAD || bare[strlen(bare) - 1] != 'z')
            return false;
    }
    return true;
}

TEST(passes_sizes_and_data_on_and_nothing_else)
{
    static const char body[] =
        "5;name=\"a b\"\r\nhello\r\n0a\r\n, 10 bytes\r\n000;x\r\nX-Sum: 1\r\n"
        "Empty:\r\n\r\n";
    for (size_t step = 1; step < sizeof body; step++) {
        CHECK_STR(passed(body, step), "5\r\nhello\r\na\r\n, 10 bytes\r\n0\r\n\r\n");
        CHECK_EQ(chunks.state, CHUNKS_END);
    }
}

TEST(leaves_what_is_behind_the_body)
{
    static const char body[] = "1\r\nx\r\n0\r\n\r\nGET /";
    chunks = (struct chunks){0};
    buf_clear(&out);
    CHECK_EQ(chunks_feed(&chunks, str_c(body), &out), strlen(body) - 5);
    CHECK_EQ(chunks_feed(&chunks, STR("GET /"), &out), 0);
    CHECK_EQ(chunks.state, CHUNKS_END);
}

TEST(ends_before_a_chunk_that_is_too_much)
{
    chunks = (struct chunks){.bound = true, .most = 4};
    buf_clear(&out);
    CHECK_EQ(chunks_feed(&chunks, STR("3\r\nabc\r\n1\r\nd\r\n1\r\ne\r\n0\r\n\r\n"), &out), 25);
    CHECK_EQ(chunks.state, CHUNKS_OVER);
    CHECK(str_eq(buf_str(&out), STR("3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")));
    CHECK_EQ(chunks_feed(&chunks, STR("1\r\n"), &out), 3);
    CHECK_EQ(out.n, 19);
}

TEST(holds_a_size_back_until_its_line_ends)
{
    CHECK_STR(passed("1", 1), "");
    CHECK_STR(passed("1;a", 1), "");
    CHECK_STR(passed("1;a\r", 1), "");
    CHECK_STR(passed("1;a\r\n", 1), "1\r\n");
    CHECK_STR(passed("0\r\nA: b\r\n\r", 1), "");
}

TEST(refuses_what_two_readers_could_read_in_two_ways)
{
    static const char *const bad[] = {
        "\r\n",         "-1\r\n",     "+1\r\n",       " 1\r\n",           "1 \r\n",
        "1\n",          "1\rx",       "0x1\r\n",      "1;a\nb",           "1;a\rb",
        "1;\x7f",       "1\r\nxy",    "1\r\nx\n",     "1\r\nx\r\r",       "g\r\n",
        "0\r\n\n",      "0\r\n: x",   "0\r\nA b: c",  "0\r\nA: b\n",      "0\r\n A: b",
        "0\r\nA: b\rc", "0\r\nA\r\n", "0\r\nA: \x01", "8000000000000000", "00000000000000001",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(is_bad(bad[i]));
        if (!is_bad(bad[i]))
            printf("# \"%s\" passed\n", bad[i]);
    }
}

TEST(bounds_extensions_and_trailers)
{
    struct buf body = {0};
    buf_add_c(&body, "0\r\n");
    for (int i = 0; i < 2000 && body.n < CHUNKS_EXTRA; i++)
        buf_add_c(&body, "Trailer: x\r\n");
    buf_add_c(&body, "\r\n");
    passed(body.p, body.n);
    CHECK_EQ(chunks.state, CHUNKS_END);
    buf_clear(&body);
    for (int i = 0; i < 3000; i++)
        buf_add_c(&body, "1;extension\r\nx\r\n");
    passed(body.p, body.n);
    CHECK_EQ(chunks.state, CHUNKS_BAD);
    buf_free(&body);
}
