/* HTTP/2 frames by hand: what rapid resets cost, and what they never cause. */
#include "serving.h"
#include "talk.h"
#include "test.h"

enum { PAIRS = 100000, BATCH = 100 };

static char state_dir[] = "/tmp/maru-flood-test.XXXXXX";

static size_t put_frame(char *out, int type, int flags, uint32_t stream, const char *p, size_t n)
{
    out[0] = (char)(n >> 16);
    out[1] = (char)(n >> 8);
    out[2] = (char)n;
    out[3] = (char)type;
    out[4] = (char)flags;
    for (int i = 0; i < 4; i++)
        out[5 + i] = (char)(stream >> (24 - 8 * i));
    memcpy(out + 9, p, n);
    return 9 + n;
}

/* GET /hello, as indexed and literal fields. */
static size_t put_request(char *out, uint32_t stream)
{
    static const char block[] = "\x82\x86\x04\x06/hello\x01\x04test";
    return put_frame(out, 1, 5, stream, block, sizeof block - 1);
}

static int open_http2(void)
{
    int fd = talk_open(serving.port);
    char settings[16];
    talk_say(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    talk_send(fd, settings, put_frame(settings, 4, 0, 0, "", 0));
    return fd;
}

static void open_all(int max_cancels)
{
    if (!mkdtemp(state_dir))
        abort();
    struct http_options options = serving_options(state_dir);
    options.h2c = true;
    options.limits.cancels = max_cancels;
    serving_open(&serving, &options, 1, NULL);
}

static void close_all(void)
{
    serving_remove(&serving, state_dir);
    strcpy(state_dir, "/tmp/maru-flood-test.XXXXXX");
    memset(&serving, 0, sizeof serving);
}

/* How many pairs could be sent before the server closed. */
static int flood(int fd)
{
    static char batch[BATCH * 64];
    struct buf in = {0};
    uint32_t stream = 1;
    for (int sent = 0; sent < PAIRS; sent += BATCH) {
        size_t n = 0;
        for (int i = 0; i < BATCH; i++, stream += 2) {
            n += put_request(batch + n, stream);
            n += put_frame(batch + n, 3, 0, stream, "\0\0\0\x8", 4);
        }
        if (!talk_send(fd, batch, n) || !talk_hear(fd, 0, &in)) {
            buf_free(&in);
            return sent;
        }
        buf_clear(&in);
    }
    buf_free(&in);
    return PAIRS;
}

static bool answers_hello(int fd, uint32_t stream)
{
    char request[64];
    struct buf in = {0};
    talk_send(fd, request, put_request(request, stream));
    bool ok = talk_until(fd, "{\"message\":\"hello\"}", 2000, &in);
    buf_free(&in);
    return ok;
}

TEST(answers_over_http2)
{
    open_all(100);
    int fd = open_http2();
    CHECK(answers_hello(fd, 1));
    CHECK(answers_hello(fd, 3));
    close(fd);
    close_all();
}

TEST(runs_hardly_any_of_100000_reset_requests)
{
    open_all(PAIRS * 2);
    long before = atomic_load(&runs);
    int fd = open_http2();
    CHECK_EQ(flood(fd), PAIRS);
    CHECK(answers_hello(fd, PAIRS * 2 + 1));
    long ran = atomic_load(&runs) - before;
    printf("# %ld of %d reset requests ran\n", ran - 1, PAIRS);
    CHECK(ran < 500);
    close(fd);
    close_all();
}

TEST(closes_a_connection_that_cancels_too_much)
{
    open_all(100);
    long before = atomic_load(&runs);
    int fd = open_http2();
    struct buf in = {0};
    flood(fd);
    CHECK(talk_until_end(fd, 2000, &in));
    buf_free(&in);
    CHECK(atomic_load(&runs) - before < 500);
    close(fd);
    fd = open_http2();
    CHECK(answers_hello(fd, 1));
    close(fd);
    close_all();
}

TEST(lets_a_client_cancel_now_and_then)
{
    open_all(100);
    int fd = open_http2();
    char frames[128];
    for (uint32_t stream = 1; stream < 100; stream += 2) {
        size_t n = put_request(frames, stream);
        n += put_frame(frames + n, 3, 0, stream, "\0\0\0\x8", 4);
        talk_send(fd, frames, n);
    }
    CHECK(answers_hello(fd, 101));
    close(fd);
    close_all();
}

/* How a connection that sends frame() `count` times ends: the GOAWAY's error code, or -1. */
static int goaway_of(const char *first, size_t first_n, const char *frame, size_t n, int count)
{
    open_all(100);
    int fd = open_http2(), code = -1;
    struct buf in = {0};
    talk_send(fd, first, first_n);
    for (int i = 0; i < count && talk_send(fd, frame, n); i++)
        if (i % 50 == 0)
            talk_hear(fd, 0, &in);
    talk_until_end(fd, 1000, &in);
    for (size_t at = 0; at + 9 <= in.n;) {
        const unsigned char *p = (const unsigned char *)in.p + at;
        if (p[3] == 7)
            code = p[16];
        at += 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]);
    }
    buf_free(&in);
    close(fd);
    fd = open_http2();
    CHECK(answers_hello(fd, 1));
    close(fd);
    close_all();
    return code;
}

TEST(ends_connections_that_flood)
{
    enum { CALM = 11, NONE = -1 };
    char frame[600], block[200];
    size_t n = put_frame(frame, 6, 0, 0, "12345678", 8);
    CHECK_EQ(goaway_of("", 0, frame, n, 3000), CALM);
    n = put_frame(frame, 4, 0, 0, "\0\4\0\1\0\0", 6);
    CHECK_EQ(goaway_of("", 0, frame, n, 3000), CALM);
    n = put_frame(frame, 0x2a, 0, 0, "unknown", 7);
    CHECK_EQ(goaway_of("", 0, frame, n, 3000), CALM);
    char first[64];
    size_t first_n = put_frame(first, 1, 0, 1, "\x82", 1);
    n = put_frame(frame, 9, 0, 1, "", 0);
    CHECK(goaway_of(first, first_n, frame, n, 3000) != NONE);
    memset(block, 0x82, sizeof block);
    n = put_frame(frame, 9, 0, 1, block, sizeof block);
    CHECK(goaway_of(first, first_n, frame, n, 10) != NONE);
}

TEST(lets_unknown_frames_pass_now_and_then)
{
    open_all(100);
    int fd = open_http2();
    char frame[64];
    for (uint32_t stream = 1; stream < 20; stream += 2) {
        talk_send(fd, frame, put_frame(frame, 0x2a, 0, stream, "unknown", 7));
        CHECK(answers_hello(fd, stream));
    }
    close(fd);
    close_all();
}

TEST(bounds_answers_that_nobody_takes)
{
    if (!mkdtemp(state_dir))
        abort();
    struct http_options options = serving_options(state_dir);
    options.h2c = true;
    options.limits.send_ns = 500 * NS_PER_MS;
    options.limits.unsent_bytes = 100; /* six answers of 19 bytes */
    serving_open(&serving, &options, 1, NULL);
    long before = atomic_load(&runs);
    int fd = open_http2();
    struct buf in = {0};
    char frames[64 * 50];
    size_t n = put_frame(frames, 4, 0, 0, "\0\4\0\0\0\0", 6); /* no window */
    for (uint32_t stream = 1; stream < 100; stream += 2)
        n += put_request(frames + n, stream);
    talk_send(fd, frames, n);
    CHECK(talk_until_end(fd, 3000, &in));
    CHECK(!in.p || !memmem(in.p, in.n, "hello", 5));
    CHECK_EQ(atomic_load(&runs) - before, 6);
    close(fd);
    buf_clear(&in);
    fd = open_http2();
    n = put_frame(frames, 4, 0, 0, "\0\4\0\0\0\x0a", 6); /* ten bytes for each */
    for (uint32_t stream = 1; stream < 100; stream += 2) {
        n += put_request(frames + n, stream);
        n += put_frame(frames + n, 8, 0, stream, "\0\0\1\0", 4);
    }
    talk_send(fd, frames, n);
    for (int i = 0; i < 100 && atomic_load(&runs) - before < 56; i++)
        talk_hear(fd, 20, &in);
    CHECK_EQ(atomic_load(&runs) - before, 56);
    buf_free(&in);
    close(fd);
    close_all();
}

TEST(drops_a_header_block_that_never_ends)
{
    if (!mkdtemp(state_dir))
        abort();
    struct http_options options = serving_options(state_dir);
    options.h2c = true;
    options.limits.header_ns = 300 * NS_PER_MS;
    serving_open(&serving, &options, 1, NULL);
    int fd = open_http2();
    struct buf in = {0};
    char frame[64];
    talk_send(fd, frame, put_frame(frame, 1, 0, 1, "\x82", 1));
    bool ended = false;
    for (int i = 0; i < 60 && !ended; i++)
        ended =
            !talk_send(fd, frame, put_frame(frame, 9, 0, 1, "\x86", 1)) || !talk_hear(fd, 50, &in);
    CHECK(ended);
    buf_free(&in);
    close(fd);
    close_all();
}

TEST(drops_a_frame_that_never_ends)
{
    struct http_options options;
    if (!mkdtemp(state_dir))
        abort();
    options = serving_options(state_dir);
    options.h2c = true;
    options.limits.header_ns = 300 * NS_PER_MS;
    serving_open(&serving, &options, 1, NULL);
    int fd = open_http2();
    struct buf in = {0};
    talk_send(fd, "\0\0\x20\x01\x05\0\0\0\x01", 9);
    bool ended = false;
    for (int i = 0; i < 60 && !ended; i++)
        ended = !talk_send(fd, "\x82", i < 20 ? 1 : 0) || !talk_hear(fd, 50, &in);
    CHECK(ended);
    buf_free(&in);
    close(fd);
    close_all();
}
