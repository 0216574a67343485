#include "http/head.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

enum { HEADER = 1000, URI = 100 };

static struct head head;

/* 0 = partial, 200 = whole, else the status of the refusal. */
static int checked(const char *text)
{
    enum head_result result = head_check(str_c(text), 0, HEADER, URI, &head);
    return result == HEAD_PARTIAL ? 0 : result == HEAD_WHOLE ? 200 : head.status;
}

TEST(accepts_plain_requests)
{
    CHECK_EQ(checked("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    CHECK(str_eq_c(head.method, "GET") && str_eq_c(head.target, "/a?b"));
    CHECK_EQ(head.content_length, -1);
    CHECK_EQ(checked("GET / HTTP/1.0\r\n\r\n"), 200);
    CHECK_EQ(checked("POST / HTTP/1.1\r\nhost:x\r\ncontent-length:  12 \r\n\r\n"), 200);
    CHECK_EQ(head.content_length, 12);
    CHECK_EQ(checked("POST / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"), 200);
    CHECK(head.chunked);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: x\r\nname: \xed\x95\x9c\t\r\n\r\nBODY"), 200);
    CHECK_EQ(head.bytes, strlen("GET / HTTP/1.1\r\nhost: x\r\nname: \xed\x95\x9c\t\r\n\r\n"));
}

TEST(waits_for_the_rest)
{
    static const char whole[] = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    for (size_t n = 0; n < sizeof whole - 1; n++)
        CHECK_EQ(head_check(str_n(whole, n), n > 5 ? n - 5 : 0, HEADER, URI, &head), HEAD_PARTIAL);
    for (size_t scanned = 0; scanned < sizeof whole - 1; scanned++)
        CHECK_EQ(head_check(str_n(whole, sizeof whole - 1), scanned, HEADER, URI, &head),
                 HEAD_WHOLE);
}

TEST(refuses_two_readings_of_one_message)
{
    CHECK_EQ(
        checked("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n"),
        400);
    CHECK_EQ(checked("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n"
                     "transfer-encoding: chunked\r\n\r\n"),
             400);
    CHECK_EQ(checked("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n"),
             501);
    CHECK_EQ(checked("POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"), 501);
    CHECK_EQ(checked("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n"), 400);
    CHECK_EQ(checked("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\n"), 400);
    CHECK_EQ(checked("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: \r\n\r\n"), 400);
    CHECK_EQ(checked("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n"),
             400);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n"), 400);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n"), 400);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: x/y\r\n\r\n"), 400);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: x, y\r\n\r\n"), 400);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: u@x\r\n\r\n"), 400);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n"), 200);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost : x\r\n\r\n"), 400);
    CHECK_EQ(checked("GET / HTTP/1.1\nhost: x\n\n"), 400);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: x\na: b\r\n\r\n"), 400);
}

TEST(refuses_malformed_heads)
{
    CHECK_EQ(checked("GET / HTTP/1.1\r\n\r\n"), 400);
    CHECK_EQ(checked("GET  / HTTP/1.1\r\nhost: x\r\n\r\n"), 400);
    CHECK_EQ(checked("GET /\r\nhost: x\r\n\r\n"), 400);
    CHECK_EQ(checked("GET http://x/ HTTP/1.1\r\nhost: x\r\n\r\n"), 400);
    CHECK_EQ(checked("GET /a\tb HTTP/1.1\r\nhost: x\r\n\r\n"), 400);
    CHECK_EQ(checked("G@T / HTTP/1.1\r\nhost: x\r\n\r\n"), 400);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: x\r\na\r\n\r\n"), 400);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: x\r\na: b\x01\r\n\r\n"), 400);
    CHECK_EQ(checked("\x16\x03\x01\x02"), 400);
    CHECK_EQ(checked("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    CHECK_EQ(checked("GET / HTTP/1.9\r\nhost: x\r\n\r\n"), 505);
    CHECK_EQ(checked("GET / HTTP/1.1\r\nhost: x\r\nexpect: 200-ok\r\n\r\n"), 417);
}

TEST(names_limits)
{
    char text[3000] = "GET /";
    memset(text + 5, 'a', 200);
    CHECK_EQ(checked(text), 414);
    strcpy(text + 205, " HTTP/1.1\r\nhost: x\r\n\r\n");
    CHECK_EQ(checked(text), 414);
    strcpy(text, "GET / HTTP/1.1\r\nhost: x\r\na: ");
    memset(text + strlen(text), 'a', 1200);
    CHECK_EQ(checked(text), 431);
    strcat(text, "\r\n\r\n");
    CHECK_EQ(checked(text), 431);
}

TEST(counts_headers)
{
    static char text[8000];
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nhost: x\r\n");
    for (int i = 0; i < 100; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "a:b\r\n");
    strcpy(text + n, "\r\n");
    CHECK_EQ(head_check(str_c(text), 0, 8000, URI, &head), HEAD_REFUSED);
    CHECK_EQ(head.status, 431);
}
