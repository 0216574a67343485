#include "serving.h"
#include "talk.h"
#include "test.h"

#define port serving_only(1, NULL)

#define HANDSHAKE                                                                                  \
    "GET /ws/room HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"         \
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"

static int open_socket(struct buf *in)
{
    int fd = talk_open(port);
    talk_say(fd, HANDSHAKE "\r\n");
    talk_until(fd, "\r\n\r\n", 2000, in);
    buf_clear(in);
    return fd;
}

/* A masked frame; FIN is part of opcode. */
static void send_frame(int fd, int opcode, const char *p, size_t n)
{
    char *out = malloc(n + 14);
    size_t head = 0;
    out[head++] = (char)opcode;
    if (n < 126) {
        out[head++] = (char)(0x80 | n);
    } else if (n < 65536) {
        out[head++] = (char)(0x80 | 126);
        out[head++] = (char)(n >> 8);
        out[head++] = (char)n;
    } else {
        out[head++] = (char)(0x80 | 127);
        for (int i = 7; i >= 0; i--)
            out[head++] = (char)((uint64_t)n >> (8 * i));
    }
    memcpy(out + head, "\x01\x02\x03\x04", 4);
    for (size_t i = 0; i < n; i++)
        out[head + 4 + i] = (char)(p[i] ^ (char)(1 + i % 4));
    talk_send(fd, out, head + 4 + n);
    free(out);
}

TEST(shakes_hands_as_the_standard_says)
{
    const char *text = HANDSHAKE "\r\n";
    int fd = talk_open(port);
    struct buf in = {0};
    talk_say(fd, text);
    CHECK(talk_until(fd, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 2000, &in));
    CHECK(strstr(in.p, "HTTP/1.1 101 "));
    buf_free(&in);
    close(fd);
}

TEST(refuses_other_handshakes)
{
    CHECK_EQ(talk_status(talk_get(port, "GET /ws/room", NULL)), 426);
    CHECK_EQ(talk_status(talk_get(port, "GET /ws/room",
                                  "upgrade: websocket\r\nconnection: upgrade\r\n"
                                  "sec-websocket-key: short\r\nsec-websocket-version: 13\r\n")),
             426);
    const char *a = talk_ask(port, HANDSHAKE "origin: https://evil.example\r\n\r\n",
                             sizeof HANDSHAKE "origin: https://evil.example\r\n\r\n" - 1);
    CHECK_EQ(talk_status(a), 403);
    int fd = talk_open(port);
    struct buf in = {0};
    talk_say(fd, HANDSHAKE "origin: http://test\r\n\r\n");
    CHECK(talk_until(fd, "101 ", 2000, &in));
    buf_free(&in);
    close(fd);
}

TEST(echoes_messages_of_all_sizes_in_order)
{
    struct buf in = {0};
    int fd = open_socket(&in);
    static char big[SOCKET_MESSAGE_BYTES];
    memset(big, 'm', sizeof big);
    for (int i = 0; i < 40; i++)
        send_frame(fd, 0x81, "hello", 5);
    send_frame(fd, 0x81, big, 300);
    send_frame(fd, 0x01, "frag", 4);
    send_frame(fd, 0x80, "ment", 4);
    send_frame(fd, 0x81, big, sizeof big);
    CHECK(talk_until(fd,
                     "\x81\x08"
                     "fragment",
                     2000, &in));
    CHECK(in.n > 40 * 7 && memcmp(in.p + 39 * 7, "\x81\x05hello", 7) == 0);
    while (in.n < sizeof big && talk_hear(fd, 1000, &in))
        continue;
    CHECK(in.n > sizeof big);
    buf_free(&in);
    close(fd);
}

TEST(answers_pings_and_closings)
{
    struct buf in = {0};
    int fd = open_socket(&in);
    send_frame(fd, 0x89, "p", 1);
    CHECK(talk_until(fd, "\x8a\x01p", 2000, &in));
    send_frame(fd, 0x88, "\x03\xe8", 2);
    CHECK(talk_until_end(fd, 2000, &in));
    CHECK(in.n == 7 && memcmp(in.p + 3, "\x88\x02\x03\xe8", 4) == 0);
    close(fd);
    buf_clear(&in);
    fd = open_socket(&in);
    send_frame(fd, 0x81, "bye", 3);
    CHECK(talk_until(fd,
                     "\x88\x05\x03\xe8"
                     "bye",
                     2000, &in));
    close(fd);
    buf_free(&in);
}

/* The code of the close frame that answers what was sent. */
static int closed_with(int opcode, const char *p, size_t n)
{
    struct buf in = {0};
    int fd = open_socket(&in);
    send_frame(fd, opcode, p, n);
    while (in.n < 4 && talk_hear(fd, 2000, &in))
        continue;
    int code =
        in.n >= 4 && in.p[0] == '\x88' ? (unsigned char)in.p[2] * 256 + (unsigned char)in.p[3] : -1;
    buf_free(&in);
    close(fd);
    return code;
}

TEST(closes_on_broken_messages)
{
    static char big[SOCKET_MESSAGE_BYTES + 1];
    CHECK_EQ(closed_with(0x81, "\xff\xfe", 2), 1007);
    CHECK_EQ(closed_with(0x83, "x", 1), 1002);
    CHECK_EQ(closed_with(0x81, big, sizeof big), 1009);
}

TEST(survives_clients_that_vanish)
{
    for (int i = 0; i < 200; i++) {
        struct buf in = {0};
        int fd = talk_open(port);
        talk_say(fd, HANDSHAKE "\r\n");
        if (i % 2)
            talk_until(fd, "\r\n\r\n", 2000, &in);
        send_frame(fd, 0x81, "hello", 5);
        struct linger hard = {1, i % 4 < 2};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
        buf_free(&in);
    }
    CHECK_EQ(talk_status(talk_get(port, "GET /hello", NULL)), 200);
}

TEST(drops_a_client_that_does_not_read)
{
    struct buf in = {0};
    int fd = open_socket(&in);
    static char big[256 << 10];
    memset(big, 'b', sizeof big);
    struct timeval limit = {3, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int sent = 0;
    for (; sent < 400; sent++) {
        char head[14] = "\x81\xff\0\0\0\0\0\x04\0\0\0\0\0\0";
        if (!talk_send(fd, head, 14) || !talk_send(fd, big, sizeof big))
            break;
    }
    printf("# gave up after %d messages of 256 KiB\n", sent);
    CHECK(sent < 400);
    buf_free(&in);
    close(fd);
}
