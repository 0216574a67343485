#include "http/client.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../loopback.h"
#include "base/clock.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "test.h"

/* A peer that answers each connection with the next of its texts, then closes. */
struct peer {
    int fd, port, answered;
    const char *answers[4];
    char requests[4][1024];
    int stall_ms;
    pthread_t thread;
};

static void *peer_main(void *arg)
{
    struct peer *peer = arg;
    for (int i = 0; i < 4 && peer->answers[i]; i++) {
        int fd = accept(peer->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        ssize_t n = read(fd, peer->requests[i], sizeof peer->requests[i] - 1);
        (void)n;
        if (peer->stall_ms)
            usleep((useconds_t)peer->stall_ms * 1000);
        n = write(fd, peer->answers[i], strlen(peer->answers[i]));
        shutdown(fd, SHUT_WR);
        while (read(fd, peer->requests[3], 1) > 0)
            ;
        close(fd);
        peer->answered++;
    }
    return NULL;
}

static void peer_start(struct peer *peer)
{
    peer->fd = loopback_listen(0);
    peer->port = loopback_port(peer->fd);
    pthread_create(&peer->thread, NULL, peer_main, peer);
}

static void peer_stop(struct peer *peer)
{
    shutdown(peer->fd, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->fd);
}

struct run {
    struct lane *lane;
    struct http_client *client;
    struct fetch_options options;
    struct http_fetch *fetch;
    sem_t done;
    struct err err;
    enum fetch_code code;
    int status, attempts;
    char message[256], body[256], header[128], url[256];
};

static void keep(char *to, size_t size, struct str from)
{
    snprintf(to, size, "%.*s", (int)from.n, from.p ? from.p : "");
}

static void on_done(void *arg, const struct fetch_result *result)
{
    struct run *run = arg;
    run->code = result->code;
    run->status = result->status;
    run->attempts = result->attempts;
    keep(run->message, sizeof run->message, str_c(result->message));
    keep(run->body, sizeof run->body, result->body);
    keep(run->url, sizeof run->url, result->url);
    for (int i = 0; i < result->header_count; i++)
        if (str_eq_c(result->headers[i].name, "x-test"))
            keep(run->header, sizeof run->header, result->headers[i].value);
    sem_post(&run->done);
}

static void begin(void *arg)
{
    struct run *run = arg;
    run->client = http_client_create(run->lane, &run->err);
    run->fetch = http_fetch(run->client, &run->options, on_done, run, &run->err);
    if (!run->fetch)
        sem_post(&run->done);
}

static void cancel(void *arg)
{
    http_fetch_cancel(((struct run *)arg)->fetch);
}

static void end(void *arg)
{
    http_client_destroy(((struct run *)arg)->client);
}

/* Fetches path from 127.0.0.1:port, which is all that is allowed. */
static void fetch(struct run *run, int port, const char *path, bool cancelled)
{
    struct err err = {0};
    char *url = mem_printf("http://127.0.0.1:%d%s", port, path);
    char *allowed = mem_printf("127.0.0.1:%d", port);
    const char *entries[] = {allowed};
    run->options.url = str_c(url);
    run->options.allow = (struct allow_list){entries, 1};
    if (!run->options.timeout_ns)
        run->options.timeout_ns = 5 * NS_PER_SECOND;
    if (!run->options.max_bytes)
        run->options.max_bytes = 1000;
    sem_init(&run->done, 0, 0);
    run->lane = lane_create(0, LANE_WEB, "test", &err);
    lane_start(run->lane, NULL, NULL, &err);
    lane_call_wait(run->lane, begin, run);
    if (cancelled)
        lane_call_wait(run->lane, cancel, run);
    else
        sem_wait(&run->done);
    lane_call_wait(run->lane, end, run);
    lane_stop(run->lane);
    lane_join(run->lane);
    lane_destroy(run->lane);
    sem_destroy(&run->done);
    mem_free(url);
    mem_free(allowed);
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Test: a b\r\n\r\nhello"

TEST(an_answer_comes_with_status_headers_and_body)
{
    struct peer peer = {.answers = {OK_ANSWER}};
    struct run run = {0};
    peer_start(&peer);
    fetch(&run, peer.port, "/x?y=1", false);
    peer_stop(&peer);
    CHECK_EQ(run.code, FETCH_OK);
    CHECK_EQ(run.status, 200);
    CHECK_STR(run.body, "hello");
    CHECK_STR(run.header, "a b");
    CHECK(strncmp(peer.requests[0], "GET /x?y=1 HTTP/1.1\r\n", 21) == 0);
}

TEST(a_post_carries_its_body_and_becomes_a_get_when_it_is_sent_elsewhere)
{
    struct peer peer = {.answers = {"HTTP/1.1 303 See Other\r\nLocation: /there\r\n"
                                    "Content-Length: 0\r\nConnection: close\r\n\r\n",
                                    OK_ANSWER}};
    struct fetch_header type = {STR("content-type"), STR("application/json")};
    struct run run = {.options = {.method = STR("POST"),
                                  .body = STR("{\"a\":1}"),
                                  .headers = &type,
                                  .header_count = 1,
                                  .redirects = 3}};
    peer_start(&peer);
    fetch(&run, peer.port, "/here", false);
    peer_stop(&peer);
    CHECK_EQ(run.code, FETCH_OK);
    CHECK(strstr(peer.requests[0], "POST /here"));
    CHECK(strstr(peer.requests[0], "{\"a\":1}"));
    CHECK(strstr(peer.requests[1], "GET /there"));
    CHECK(!strstr(peer.requests[1], "{\"a\":1}"));
    CHECK(strstr(run.url, "/there"));
}

TEST(a_redirect_to_another_host_is_refused)
{
    struct peer peer = {.answers = {"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n"
                                    "Content-Length: 0\r\n\r\n"}};
    struct run run = {.options = {.redirects = 3}};
    peer_start(&peer);
    fetch(&run, peer.port, "/", false);
    peer_stop(&peer);
    CHECK_EQ(run.code, FETCH_FORBIDDEN);
    CHECK(strstr(run.message, "169.254.169.254 is not in the plugin's allow.net"));
}

TEST(a_503_is_tried_again_and_an_answer_is_an_answer)
{
    const char *busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 0\r\n"
                       "Connection: close\r\n\r\n";
    struct peer peer = {.answers = {busy, OK_ANSWER}};
    struct run run = {.options = {.retries = 2, .backoff_ns = NS_PER_MS}};
    peer_start(&peer);
    fetch(&run, peer.port, "/", false);
    peer_stop(&peer);
    CHECK_EQ(run.status, 200);
    CHECK_EQ(run.attempts, 2);

    struct peer again = {.answers = {busy}};
    struct run once = {0};
    peer_start(&again);
    fetch(&once, again.port, "/", false);
    peer_stop(&again);
    CHECK_EQ(once.code, FETCH_OK);
    CHECK_EQ(once.status, 503);
}

TEST(a_cut_answer_a_large_one_and_a_silent_peer_are_errors)
{
    struct peer cut = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"}};
    struct peer large = {.answers = {OK_ANSWER}};
    struct peer silent = {.answers = {OK_ANSWER}, .stall_ms = 400};
    struct run run = {0}, small = {.options = {.max_bytes = 4}};
    struct run slow = {.options = {.timeout_ns = 50 * NS_PER_MS}};
    peer_start(&cut);
    fetch(&run, cut.port, "/", false);
    peer_stop(&cut);
    CHECK_EQ(run.code, FETCH_PROTOCOL);
    CHECK_STR(run.message, "the answer was cut short");
    peer_start(&large);
    fetch(&small, large.port, "/", false);
    peer_stop(&large);
    CHECK_EQ(small.code, FETCH_TOO_LARGE);
    peer_start(&silent);
    fetch(&slow, silent.port, "/", false);
    peer_stop(&silent);
    CHECK_EQ(slow.code, FETCH_TIMEOUT);
}

TEST(nobody_listening_is_a_connect_error)
{
    struct peer peer = {.answers = {NULL}};
    struct run run = {0};
    peer_start(&peer);
    peer_stop(&peer);
    fetch(&run, peer.port, "/", false);
    CHECK_EQ(run.code, FETCH_CONNECT);
}

TEST(a_cancelled_fetch_is_never_heard_of)
{
    struct peer peer = {.answers = {OK_ANSWER}, .stall_ms = 100};
    struct run run = {.code = FETCH_TLS};
    peer_start(&peer);
    fetch(&run, peer.port, "/", true);
    peer_stop(&peer);
    CHECK_EQ(run.code, FETCH_TLS);
}

TEST(a_header_cannot_smuggle_a_line)
{
    struct fetch_header bad = {STR("x-a"), STR("1\r\nx-b: 2")};
    struct run run = {.options = {.headers = &bad, .header_count = 1}};
    fetch(&run, 1, "/", false);
    CHECK_EQ(run.err.code, ERR_INVALID);
    CHECK(strstr(run.err.message, "x-a"));
    static const char *const names[] = {"x a", "x:a", "x\na", "x\x7f", "x\xc3\xa4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct fetch_header odd = {str_c(names[i]), STR("1")};
        struct run other = {.options = {.headers = &odd, .header_count = 1}};
        fetch(&other, 1, "/", false);
        CHECK_EQ(other.err.code, ERR_INVALID);
    }
}
