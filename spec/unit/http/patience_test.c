#include "serving.h"
#include "talk.h"
#include "test.h"

/* What a server does with clients that take their time: small limits, so that it is soon over. */
static void hurry(struct http_options *options)
{
    options->limits.header_ns = 300 * NS_PER_MS;
    options->limits.body_ns = 300 * NS_PER_MS;
    options->limits.idle_ns = 1500 * NS_PER_MS;
}

#define port serving_only(1, hurry)

/* A byte now and then, for as long as it is taken; false when the connection never ended. */
static bool trickle(int fd, const char *text, struct buf *in)
{
    for (int i = 0; i < 600; i++)
        if (!talk_send(fd, i < (int)strlen(text) ? text + i : "x", 1) || !talk_hear(fd, 50, in))
            return true;
    return false;
}

TEST(answers_slow_heads_with_408)
{
    int fd = talk_open(port);
    struct buf in = {0};
    CHECK(trickle(fd, "GET /hello HTTP/1.1\r\nhost: a\r\nx: ", &in));
    buf_add_char(&in, '\0');
    CHECK_EQ(talk_status(in.p), 408);
    CHECK_STR(talk_header(in.p, "content-type"), "application/problem+json");
    buf_free(&in);
    close(fd);
}

TEST(cuts_off_slow_bodies)
{
    int fd = talk_open(port);
    struct buf in = {0};
    talk_say(fd, "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n");
    CHECK(trickle(fd, "", &in));
    CHECK_EQ(in.n, 0);
    buf_free(&in);
    close(fd);
}

TEST(cuts_off_slow_bodies_that_it_asked_for)
{
    int fd = talk_open(port);
    struct buf in = {0};
    talk_say(fd, "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"
                 "content-length: 1000\r\n\r\n");
    CHECK(talk_until(fd, "100 Continue\r\n\r\n", 30000, &in));
    size_t before = in.n;
    CHECK(trickle(fd, "", &in));
    CHECK_EQ(in.n, before);
    buf_free(&in);
    close(fd);
}

TEST(closes_idle_connections)
{
    int fd = talk_open(port);
    struct buf in = {0};
    CHECK(talk_until_end(fd, 30000, &in));
    CHECK_EQ(in.n, 0);
    close(fd);
}
