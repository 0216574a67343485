#include "serving.h"
#include "talk.h"
#include "test.h"

/* One server for the whole program, with the limits that it has anyway: no case here is to depend
 * on how fast a machine is.  Time limits are patience_test.c's. */
#define port serving_only(2, NULL)

static bool is_problem(const char *answer, int status)
{
    const char *type = talk_header(answer, "content-type");
    bool ok =
        talk_status(answer) == status && type && strcmp(type, "application/problem+json") == 0;
    if (!ok)
        printf("# wanted %d as a problem, got: %.300s\n", status, answer);
    return ok;
}

TEST(answers_a_route)
{
    const char *a = talk_get(port, "GET /hello", "x-request-id: abc-1\r\n");
    CHECK_EQ(talk_status(a), 200);
    CHECK_STR(talk_body(a), "{\"message\":\"hello\"}");
    CHECK_STR(talk_header(a, "x-request-id"), "abc-1");
    CHECK_STR(talk_header(a, "content-type"), "application/json");
    a = talk_get(port, "GET /hello", "x-request-id: not <plain>\r\n");
    CHECK_EQ(strlen(talk_header(a, "x-request-id")), 16);
}

TEST(answers_HEAD_without_a_body)
{
    const char *a = talk_get(port, "HEAD /hello", NULL);
    CHECK_EQ(talk_status(a), 200);
    CHECK_STR(talk_header(a, "content-length"), "19");
    CHECK_STR(talk_body(a), "");
}

TEST(says_which_methods_a_path_has)
{
    const char *a = talk_get(port, "PUT /describe/1", NULL);
    CHECK(is_problem(a, 405));
    CHECK_STR(talk_header(a, "allow"), "GET, HEAD, DELETE, OPTIONS");
    a = talk_get(port, "OPTIONS /describe/1", NULL);
    CHECK_EQ(talk_status(a), 204);
    CHECK_STR(talk_header(a, "allow"), "GET, HEAD, DELETE, OPTIONS");
    CHECK(is_problem(talk_get(port, "GET /nowhere", NULL), 404));
    CHECK(is_problem(talk_get(port, "OPTIONS /nowhere", NULL), 404));
    CHECK(is_problem(talk_get(port, "GET /admin", NULL), 404));
}

TEST(lets_listed_origins_call)
{
    const char *a = talk_get(port, "OPTIONS /hello",
                             "origin: https://friend.example\r\n"
                             "access-control-request-method: GET\r\n"
                             "access-control-request-headers: x-a\r\n");
    CHECK_EQ(talk_status(a), 204);
    CHECK_STR(talk_header(a, "access-control-allow-origin"), "https://friend.example");
    CHECK_STR(talk_header(a, "access-control-allow-headers"), "x-a");
    a = talk_get(port, "OPTIONS /hello",
                 "origin: https://evil.example\r\naccess-control-request-method: GET\r\n");
    CHECK(is_problem(a, 403));
    a = talk_get(port, "GET /hello", "origin: https://evil.example\r\n");
    CHECK_EQ(talk_status(a), 200);
    CHECK(!talk_header(a, "access-control-allow-origin"));
}

TEST(decodes_paths_and_parameters)
{
    const char *a = talk_get(port, "GET /describe/%ED%95%9C%20x?q", NULL);
    CHECK(strstr(talk_body(a), "/describe/\xed\x95\x9c x id=\xed\x95\x9c x client=127.0.0.1"));
    CHECK(is_problem(talk_get(port, "GET /describe/%ff", NULL), 400));
    CHECK(is_problem(talk_get(port, "GET /describe/%00", NULL), 400));
    CHECK(is_problem(talk_get(port, "GET /describe/%4", NULL), 400));
    CHECK(is_problem(talk_get(port, "GET /a/../hello", NULL), 400));
    CHECK(is_problem(talk_get(port, "GET /a/%2e%2e/hello", NULL), 400));
    CHECK(is_problem(talk_get(port, "GET /describe/a\xed", NULL), 400));
}

TEST(passes_a_trace_on)
{
    const char *a =
        talk_get(port, "GET /describe/1",
                 "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n");
    CHECK(strstr(talk_body(a), "trace=4bf92f3577b34da6a3ce929d0e0e4736"));
}

TEST(answers_malformed_requests_as_problems)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET /hello HTTP/1.1\r\n\r\n", 400},
        {"GET /hello HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", 400},
        {"GET /hello HTTP/1.1\nhost: a\n\n", 400},
        {"GET /hello\r\n\r\n", 400},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
        {"GET /hello HTTP/3.0\r\nhost: a\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400},
        {"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n"
         "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400},
        {"POST /echo HTTP/1.1\r\nhost: a\r\nexpect: magic\r\ncontent-length: 1\r\n\r\na", 417},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *a = talk_ask(port, cases[i].text, strlen(cases[i].text));
        CHECK(is_problem(a, cases[i].status));
        CHECK(!strstr(a, "stays open"));
    }
}

TEST(names_the_limits_of_head_and_target)
{
    char *text = malloc(40000);
    memset(text, 'a', 40000);
    memcpy(text, "GET /", 5);
    const char *a = talk_ask(port, text, 30000);
    CHECK(is_problem(a, 414));
    CHECK(strstr(a, "the limit is 8192 bytes"));
    int n = sprintf(text, "GET /hello HTTP/1.1\r\nhost: a\r\nbig: ");
    memset(text + n, 'a', 20000);
    a = talk_ask(port, text, (size_t)n + 20000);
    CHECK(is_problem(a, 431));
    CHECK(strstr(a, "the limit is 16384 bytes"));
    free(text);
}

TEST(refuses_bodies_over_the_routes_limit_before_reading_them)
{
    static const char huge[] = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1048577\r\n\r\n";
    const char *a = talk_ask(port, huge, sizeof huge - 1);
    CHECK(is_problem(a, 413));
    CHECK(strstr(a, "the limit is 1048576 bytes"));
    char text[400];
    int n = sprintf(text, "POST /echo/small HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                          "content-length: 100\r\n\r\n");
    memset(text + n, 'b', 101);
    CHECK_EQ(talk_status(talk_ask(port, text, (size_t)n + 100)), 200);
    n = sprintf(text, "POST /echo/small HTTP/1.1\r\nhost: a\r\ncontent-length: 101\r\n\r\n");
    a = talk_ask(port, text, (size_t)n);
    CHECK(is_problem(a, 413));
    CHECK(strstr(a, "the limit is 100 bytes"));
}

TEST(refuses_chunked_bodies_over_the_limit)
{
    char *text = malloc(200000);
    int n = sprintf(text, "POST /echo/small HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                          "transfer-encoding: chunked\r\n\r\n");
    n += sprintf(text + n, "65\r\n");
    memset(text + n, 'c', 0x65);
    n += 0x65;
    n += sprintf(text + n, "\r\n0\r\n\r\n");
    const char *a = talk_ask(port, text, (size_t)n);
    CHECK(is_problem(a, 413));
    CHECK(strstr(a, "the limit is 100"));
    free(text);
}

TEST(refuses_a_chunk_over_the_limit_before_it_comes)
{
    static const char two[] = "POST /echo/small HTTP/1.1\r\nhost: a\r\ntransfer-encoding: "
                              "chunked\r\n\r\n2\r\nab\r\n63\r\n";
    const char *a = talk_ask(port, two, sizeof two - 1); /* 2 and 99 bytes, the limit is 100 */
    CHECK(is_problem(a, 413));
    CHECK(strstr(a, "the limit is 100"));
    CHECK(!strstr(a, "stays open"));
}

TEST(takes_chunks_up_to_the_limit)
{
    char text[400];
    int n = sprintf(text, "POST /echo/small HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                          "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n62\r\n");
    n += sprintf(text + n, "%098d\r\n0\r\n\r\n", 7);
    const char *a = talk_ask(port, text, (size_t)n);
    CHECK_EQ(talk_status(a), 200);
    CHECK_EQ(strlen(talk_body(a)), 100);
}

TEST(stops_reading_an_endless_chunked_body)
{
    int fd = talk_open(port);
    talk_say(fd, "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    static char chunk[65536 + 8];
    int n = sprintf(chunk, "10000\r\n");
    memset(chunk + n, 'd', 65536);
    size_t sent = 0;
    struct buf in = {0};
    while (sent < (64 << 20) && in.n == 0 && talk_send(fd, chunk, (size_t)n + 65536)) {
        talk_send(fd, "\r\n", 2);
        sent += 65536;
        talk_hear(fd, 0, &in);
    }
    talk_until(fd, "\r\n\r\n", 30000, &in);
    buf_add_char(&in, '\0');
    CHECK(sent < (32 << 20));
    CHECK(is_problem(in.p, 413));
    buf_free(&in);
    close(fd);
}

TEST(keeps_large_bodies_in_a_file)
{
    size_t n = 3 << 20;
    char *text = malloc(n + 200);
    int head = sprintf(text,
                       "POST /echo/large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                       "content-length: %zu\r\n\r\n",
                       n);
    for (size_t i = 0; i < n; i++)
        text[(size_t)head + i] = (char)('a' + i % 26);
    const char *a = talk_ask(port, text, (size_t)head + n);
    CHECK_EQ(talk_status(a), 200);
    CHECK(memcmp(talk_body(a), text + head, n) == 0);
    free(text);
}

TEST(continues_when_asked_to)
{
    int fd = talk_open(port);
    struct buf in = {0};
    talk_say(fd, "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\n"
                 "content-length: 5\r\n\r\n");
    CHECK(talk_until(fd, "100 Continue\r\n\r\n", 30000, &in));
    talk_say(fd, "12345");
    CHECK(talk_until_end(fd, 30000, &in));
    CHECK(in.n > 5 && memcmp(in.p + in.n - 5, "12345", 5) == 0);
    buf_free(&in);
    close(fd);
}

TEST(keeps_connections_alive)
{
    int fd = talk_open(port);
    struct buf in = {0};
    for (int i = 0; i < 50; i++) {
        buf_clear(&in);
        talk_say(fd, i % 2 ? "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n<echo>"
                           : "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
        REQUIRE(talk_until(fd, i % 2 ? "<echo>" : "\"hello\"}", 30000, &in));
    }
    buf_free(&in);
    close(fd);
}

TEST(answers_pipelined_requests_in_order)
{
    int fd = talk_open(port);
    struct buf in = {0};
    talk_say(fd, "GET /describe/one HTTP/1.1\r\nhost: a\r\n\r\n"
                 "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\ntwo"
                 "GET /describe/three HTTP/1.1\r\nhost: a\r\n\r\n"
                 "GET /describe/four HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    CHECK(talk_until_end(fd, 30000, &in));
    const char *at = in.p ? in.p : "";
    static const char *const words[] = {"id=one", "\r\n\r\ntwo", "id=three", "id=four"};
    for (int i = 0; i < 4; i++) {
        at = strstr(at, words[i]);
        REQUIRE(at);
    }
    buf_free(&in);
    close(fd);
}

TEST(takes_a_request_byte_by_byte_with_another_behind)
{
    int fd = talk_open(port);
    struct buf in = {0};
    const char *text = "GET /describe/one HTTP/1.1\r\nhost: a\r\n\r\n"
                       "GET /describe/two HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for (size_t i = 0; i < strlen(text); i += 7) {
        talk_send(fd, text + i, strlen(text + i) < 7 ? strlen(text + i) : 7);
        usleep(2000);
    }
    CHECK(talk_until_end(fd, 30000, &in));
    CHECK(in.p && strstr(in.p, "id=one") && strstr(in.p, "id=two"));
    buf_free(&in);
    close(fd);
}

/* Answers to everything in `text`, sent in pieces of `step` bytes. */
static const char *answers_to(const char *text, size_t step)
{
    static struct buf in;
    buf_clear(&in);
    int fd = talk_open(port);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i += step) {
        if (!talk_send(fd, text + i, n - i < step ? n - i : step))
            break;
        if (step < n)
            usleep(300);
    }
    talk_until_end(fd, 30000, &in);
    buf_add_char(&in, '\0');
    close(fd);
    return in.p;
}

TEST(looks_at_each_pipelined_request_as_at_the_first)
{
    static const char *const bad[] = {
        "GET /hello HTTP/1.1\r\n\r\n",
        "GET /hello HTTP/1.1\nhost: a\n\n",
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 9\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t step = 1; step < 1000; step *= 31) {
            char text[1000];
            snprintf(text, sizeof text,
                     "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
                     "3\r\none\r\n0\r\n\r\n%sGET /describe/two HTTP/1.1\r\nhost: a\r\n\r\n",
                     bad[i]);
            const char *in = answers_to(text, step);
            CHECK_EQ(talk_status(in), 200);
            CHECK(strstr(in, "\r\n\r\none"));
            CHECK(strstr(in, "HTTP/1.1 400") && !strstr(in, "id=two"));
        }
    }
}

TEST(takes_chunks_and_what_is_behind_them)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"
        "transfer-encoding: chunked\r\n\r\n5;x=y\r\nfirst\r\n01\r\n!\r\n0\r\nA: b\r\n\r\n"
        "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        "6\r\nsecond\r\n0\r\n\r\n";
    for (size_t step = 1; step < sizeof text * 2; step = step * 2 + 1) {
        const char *in = answers_to(text, step);
        CHECK(strstr(in, "\r\n\r\nfirst!HTTP/1.1 200"));
        CHECK(strstr(in, "\r\n\r\nsecond"));
    }
}

TEST(limits_the_rate_of_a_client)
{
    int ok = 0, refused = 0;
    for (int i = 0; i < 6; i++) {
        const char *a = talk_get(port, "GET /rated", NULL);
        ok += talk_status(a) == 200;
        if (talk_status(a) == 429) {
            refused++;
            CHECK(is_problem(a, 429));
            CHECK_STR(talk_header(a, "retry-after"), "1");
        }
    }
    CHECK_EQ(ok, 3);
    CHECK_EQ(refused, 3);
}

TEST(asks_who_calls)
{
    const char *a = talk_get(port, "GET /secret", NULL);
    CHECK(is_problem(a, 401));
    CHECK_STR(talk_header(a, "www-authenticate"), "Bearer");
}

TEST(keeps_answers_of_cached_routes)
{
    long before = atomic_load(&runs);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(talk_status(talk_get(port, "GET /cached/hello?a", NULL)), 200);
    CHECK(atomic_load(&runs) - before <= 1);
    const char *a = talk_get(port, "GET /cached/hello?a", NULL);
    CHECK(talk_header(a, "age") != NULL);
    char headers[1100];
    snprintf(headers, sizeof headers, "if-none-match: %s\r\n", talk_header(a, "etag"));
    a = talk_get(port, "GET /cached/hello?a", headers);
    CHECK_EQ(talk_status(a), 304);
    CHECK_STR(talk_body(a), "");
    a = talk_get(port, "HEAD /cached/hello?a", NULL);
    CHECK_STR(talk_header(a, "content-length"), "19");
    talk_get(port, "GET /cached/hello?b", NULL);
    CHECK_EQ(atomic_load(&runs) - before, 2);
    http_server_forget(serving.server, "probe");
    talk_get(port, "GET /cached/hello?a", NULL);
    CHECK_EQ(atomic_load(&runs) - before, 3);
}

TEST(compresses_for_those_who_can_read_it)
{
    const char *a = talk_get(port, "GET /big", NULL);
    CHECK(!talk_header(a, "content-encoding"));
    CHECK_STR(talk_header(a, "vary"), "accept-encoding");
    int plain = atoi(talk_header(a, "content-length"));
    a = talk_get(port, "GET /big", "accept-encoding: br, gzip\r\n");
    CHECK_STR(talk_header(a, "content-encoding"), "gzip");
    CHECK(atoi(talk_header(a, "content-length")) < plain / 3);
    CHECK_EQ((unsigned char)talk_body(a)[0], 0x1f);
    a = talk_get(port, "GET /cached", "accept-encoding: gzip\r\n");
    a = talk_get(port, "GET /cached", "accept-encoding: gzip\r\n");
    CHECK_STR(talk_header(a, "content-encoding"), "gzip");
    CHECK(!talk_header(talk_get(port, "GET /cached", NULL), "content-encoding"));
    CHECK(!talk_header(talk_get(port, "GET /hello", "accept-encoding: gzip\r\n"), "vary"));
}

TEST(streams_until_it_is_closed)
{
    const char *a = talk_get(port, "GET /stream?end", NULL);
    CHECK_STR(talk_header(a, "content-type"), "text/event-stream");
    CHECK(strstr(a, "data: one\n\n"));
    CHECK(strstr(a, "\r\n0\r\n\r\n"));
    CHECK_EQ(talk_status(talk_get(port, "HEAD /stream", NULL)), 200);
}

TEST(keeps_a_quiet_stream_alive_and_sees_the_client_leave)
{
    long before = atomic_load(&gone);
    int fd = talk_open(port);
    struct buf in = {0};
    talk_say(fd, "GET /stream HTTP/1.1\r\nhost: a\r\n\r\n");
    CHECK(talk_until(fd, "\n:\n\n", 30000, &in));
    close(fd);
    for (int i = 0; i < 3000 && atomic_load(&gone) == before; i++)
        usleep(10000);
    CHECK_EQ(atomic_load(&gone) - before, 1);
    buf_free(&in);
}

TEST(tells_a_handler_that_its_client_left)
{
    long before = atomic_load(&gone);
    int fd = talk_open(port);
    talk_say(fd, "GET /never HTTP/1.1\r\nhost: a\r\n\r\n");
    usleep(50000);
    CHECK_EQ(atomic_load(&gone) - before, 0);
    close(fd);
    for (int i = 0; i < 3000 && atomic_load(&gone) == before; i++)
        usleep(10000);
    CHECK_EQ(atomic_load(&gone) - before, 1);
}

TEST(sees_a_client_leave_that_had_sent_more)
{
    long before = atomic_load(&gone);
    int fd = talk_open(port);
    talk_say(fd, "GET /never HTTP/1.1\r\nhost: a\r\n\r\n");
    usleep(20000);
    talk_say(fd, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    usleep(20000);
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    for (int i = 0; i < 3000 && atomic_load(&gone) == before; i++)
        usleep(10000);
    CHECK_EQ(atomic_load(&gone) - before, 1);
}

TEST(drops_a_client_that_does_not_read)
{
    long before = atomic_load(&gone);
    int fd = talk_open(port);
    talk_say(fd, "GET /flood HTTP/1.1\r\nhost: a\r\n\r\n");
    for (int i = 0; i < 3000 && atomic_load(&gone) == before; i++)
        usleep(10000);
    CHECK_EQ(atomic_load(&gone) - before, 1);
    close(fd);
}

static void *many(void *arg)
{
    int to = *(int *)arg;
    for (int i = 0; i < 30; i++) {
        int fd = talk_open(to);
        struct buf in = {0};
        for (int k = 0; k < 20; k++)
            talk_say(fd, "GET /cached HTTP/1.1\r\nhost: a\r\n\r\n");
        talk_say(fd, "GET /describe/last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        if (i % 3)
            talk_until_end(fd, 30000, &in);
        buf_free(&in);
        close(fd);
    }
    return NULL;
}

TEST(serves_many_at_once_on_two_lanes)
{
    pthread_t threads[8];
    int to = port;
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, many, &to);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(talk_status(talk_get(port, "GET /hello", NULL)), 200);
}

TEST(counts_what_it_did)
{
    const char *a = talk_get(port, "GET /metrics", NULL);
    CHECK(strstr(a, "http_requests_total{plugin=\"probe\",class=\"2xx\"}"));
    CHECK(strstr(a, "http_request_seconds_bucket"));
    CHECK(strstr(a, "http_cancels_total"));
    CHECK(strstr(a, "http_connections"));
}
