#include "http/frames.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "test.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PROMISE, PING, GOAWAY, UPDATE, CONTINUATION };
enum { END_STREAM = 1, END_HEADERS = 4, PADDED = 8, WITH_PRIORITY = 32 };

static const struct frames_limits limits = {
    .control = 100, .resets = 100, .block = 2000, .block_size = 50};
static struct frames frames;
static struct buf in;

static void put(int type, int flags, const char *p, size_t n)
{
    char head[9] = {(char)(n >> 16), (char)(n >> 8), (char)n, (char)type, (char)flags, 0, 0, 0, 1};
    buf_add(&in, head, sizeof head);
    buf_add(&in, p, n);
}

/* Looks at what was put, at a second of the clock. */
static const char *look(int64_t second, size_t written)
{
    const char *why =
        frames_check(&frames, buf_str(&in), written, (second + 1) * NS_PER_SECOND, &limits);
    buf_clear(&in);
    return why;
}

static void begin(void)
{
    frames = (struct frames){0};
    buf_clear(&in);
}

TEST(lets_ordinary_requests_pass)
{
    begin();
    buf_add_c(&in, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put(SETTINGS, 0, "", 0);
    for (int i = 0; i < 1000; i++) {
        put(HEADERS, END_HEADERS, "\x82\x87\x84", 3);
        put(DATA, 0, "some", 4);
        put(DATA, END_STREAM, "", 0);
    }
    CHECK(!look(0, 0));
    CHECK_EQ(frames.control, 1);
    CHECK(!frames.in_block && !frames.unknown);
}

TEST(counts_frames_that_carry_nothing_by_the_second)
{
    static const int types[] = {PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, 0x2a, DATA, UPDATE};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        begin();
        for (int second = 0; second < 3; second++) {
            for (int i = 0; i < limits.control; i++)
                put(types[t], 0, "", 0);
            CHECK(!look(second, 0));
        }
        put(types[t], 0, "", 0);
        CHECK_STR(look(2, 0), "too many control frames");
    }
    begin();
    for (int i = 0; i <= limits.control; i++)
        put(DATA, PADDED, "\x03\0\0\0", 4);
    CHECK_STR(look(0, 0), "too many control frames");
}

TEST(gives_window_updates_for_what_was_written)
{
    begin();
    CHECK(!look(0, 5000));
    for (int i = 0; i < 1100; i++)
        put(UPDATE, 0, "\0\0\x04\0", 4);
    CHECK(!look(0, 5000 + (1000 << 10)));
    put(UPDATE, 0, "\0\0\x04\0", 4);
    CHECK_STR(look(0, 5000 + (1000 << 10)), "too many control frames");
}

TEST(bounds_header_blocks)
{
    char block[4000];
    memset(block, 'x', sizeof block);
    memcpy(block, "\0\x01x\x7f\xff\x1d", 6); /* a name of 1, a value of 3,966 */
    begin();
    put(HEADERS, END_HEADERS, block, 2000);
    CHECK(!look(0, 0));
    put(HEADERS, END_HEADERS, block, 2001);
    CHECK_STR(look(0, 0), "the header block is too large");
    begin();
    put(HEADERS, 0, block, 1000);
    put(CONTINUATION, 0, block + 1000, 1000);
    CHECK(!look(0, 0));
    CHECK(frames.in_block);
    put(CONTINUATION, END_HEADERS, block + 2000, 1);
    CHECK_STR(look(0, 0), "the header block is too large");
    begin();
    put(HEADERS, 0, block, 10);
    for (int i = 0; i <= limits.control; i++)
        put(CONTINUATION, 0, "", 0);
    CHECK_STR(look(0, 0), "too many control frames");
}

TEST(bounds_the_fields_of_a_block)
{
    char block[100];
    memset(block, 0xbe, sizeof block);
    begin();
    put(HEADERS, END_HEADERS, block, 50);
    CHECK(!look(0, 0));
    put(HEADERS, END_HEADERS, block, 51);
    CHECK_STR(look(0, 0), "the header block is too large");
    begin();
    for (int i = 0; i < 51; i++)
        put(i ? CONTINUATION : HEADERS, i == 50 ? END_HEADERS : 0, block, 1);
    CHECK_STR(look(0, 0), "the header block is too large");
    begin();
    put(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, "\x02\0\0\0\0\x10\x82\x84\0\0", 10);
    CHECK(!look(0, 0));
    CHECK_EQ(frames.block, 2);
}

/* A field of each kind, with integers and strings long and short; cut anywhere it counts alike. */
TEST(walks_blocks_without_decoding_them)
{
    static char block[1000];
    struct buf b = {0};
    buf_add(&b, "\x82\xff\x80\x01", 4); /* indexed, the second in 3 bytes */
    buf_add(&b, "\x3f\xe1\x1f\x20", 4); /* two table sizes */
    buf_add(&b,
            "\x40\x01"
            "a\x02"
            "bc",
            6);                     /* literal, new name, indexed */
    buf_add(&b, "\x7f\x20\x00", 3); /* literal, name 95, empty value */
    buf_add(&b,
            "\x0f\x10\x83"
            "xyz",
            6);                             /* literal, name 31, Huffman */
    buf_add(&b, "\x10\x00\x7f\x80\x01", 5); /* never indexed, empty name, 255 bytes */
    memset(block, 0x82, sizeof block);
    buf_add(&b, block, 255);
    buf_add(&b, "\x84", 1);
    for (size_t cut = 0; cut <= b.n; cut++) {
        struct fields f = {0};
        fields_walk(&f, (const unsigned char *)b.p, cut);
        fields_walk(&f, (const unsigned char *)b.p + cut, b.n - cut);
        CHECK_EQ(f.count, 9);
        CHECK_EQ(f.state, FIELDS_START);
    }
    buf_free(&b);
}

TEST(removes_frames_it_does_not_know)
{
    begin();
    put(0x2a, 0, "grease", 6);
    put(PING, 0, "12345678", 8);
    put(0xff, 0, "", 0);
    put(HEADERS, 0, "\x82", 1);
    put(0x2a, 0, "within a block", 14);
    buf_add(&in, "\0\0\1\x2a", 4);
    struct buf copy = {0};
    buf_add(&copy, in.p, in.n);
    CHECK(!look(0, 0));
    CHECK(frames.unknown);
    size_t n = frames_strip(copy.p, copy.n, false);
    CHECK_EQ(n, copy.n - 15 - 9);
    CHECK_EQ(copy.p[3], PING);
    CHECK_EQ(copy.p[17 + 3], HEADERS);
    CHECK_EQ(copy.p[27 + 3], 0x2a);
    buf_free(&copy);
}

TEST(waits_for_whole_frames)
{
    begin();
    put(PING, 0, "12345678", 8);
    size_t n = in.n;
    for (size_t cut = 0; cut < n; cut++)
        frames_check(&frames, str_n(in.p, cut), 0, NS_PER_SECOND, &limits);
    CHECK_EQ(frames.control, 0);
    CHECK(!look(0, 0));
    CHECK_EQ(frames.control, 1);
}

TEST(counts_errors_tenfold)
{
    begin();
    CHECK(!frames_errors(&frames, 0, NS_PER_SECOND, &limits));
    CHECK(!frames_errors(&frames, 10, NS_PER_SECOND, &limits));
    CHECK_STR(frames_errors(&frames, 1, NS_PER_SECOND, &limits), "too many stream errors");
    CHECK(!frames_errors(&frames, 1, 3 * NS_PER_SECOND, &limits));
    CHECK(frames_errors(&frames, UINT64_MAX, 3 * NS_PER_SECOND, &limits) != NULL);
}
