#include "http/client.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../loopback.h"
#include "base/clock.h"
#include "base/mem.h"
#include "loop/lane.h"
#include "test.h"

enum { MOST_PIECES = 8 };

/* A peer whose answers are sent piece by piece, a pause between; then it closes, or keeps silent
 * until it is stopped. */
struct peer {
    int fd, port;
    const char *pieces[MOST_PIECES]; /* "" = that connection is over */
    int pause_ms;
    size_t filler;    /* so many bytes of body behind the pieces */
    atomic_long sent; /* of them */
    bool silent;
    atomic_bool stopped;
    pthread_t thread;
};

static void send_filler(struct peer *peer, int fd)
{
    static char block[65536];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)('a' + i % 26);
    for (size_t left = peer->filler; left;) {
        ssize_t n = send(fd, block, left < sizeof block ? left : sizeof block, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        left -= (size_t)n;
        atomic_fetch_add(&peer->sent, n);
    }
}

static void *peer_main(void *arg)
{
    struct peer *peer = arg;
    char request[2048];
    for (int i = 0; peer->pieces[i]; i++) {
        int fd = accept(peer->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        ssize_t n = read(fd, request, sizeof request);
        for (; peer->pieces[i] && peer->pieces[i][0]; i++) {
            n = send(fd, peer->pieces[i], strlen(peer->pieces[i]), MSG_NOSIGNAL);
            usleep((useconds_t)peer->pause_ms * 1000);
        }
        (void)n;
        send_filler(peer, fd);
        while (peer->silent && !atomic_load(&peer->stopped))
            usleep(1000);
        close(fd);
        if (!peer->pieces[i])
            return NULL;
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
    atomic_store(&peer->stopped, true);
    shutdown(peer->fd, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->fd);
}

struct run {
    struct lane *lane;
    struct http_client *client;
    struct fetch_options options;
    struct http_fetch *fetch;
    struct timer again;
    sem_t done;
    struct err err;
    int heads, pieces, status, attempts;
    size_t bytes, biggest;
    unsigned sum;
    bool in_order, wrong;        /* head, pieces, done */
    bool pauses, cancels, stays; /* after each piece; at the first one; paused for good */
    enum fetch_code code;
    char message[256], text[512];
};

static void on_head(void *arg, const struct fetch_result *head)
{
    struct run *run = arg;
    run->heads++;
    run->status = head->status;
    run->wrong = run->wrong || run->pieces > 0 || head->header_count == 0;
}

static void on_again(struct timer *timer)
{
    struct run *run = (struct run *)((char *)timer - offsetof(struct run, again));
    http_fetch_resume(run->fetch);
}

static void on_piece(void *arg, struct str bytes)
{
    struct run *run = arg;
    run->pieces++;
    run->wrong = run->wrong || run->heads != 1 || bytes.n == 0;
    if (run->bytes + bytes.n < sizeof run->text)
        memcpy(run->text + run->bytes, bytes.p, bytes.n);
    run->bytes += bytes.n;
    run->biggest = bytes.n > run->biggest ? bytes.n : run->biggest;
    for (size_t i = 0; i < bytes.n; i++)
        run->sum = run->sum * 31 + (unsigned char)bytes.p[i];
    if (run->cancels) {
        http_fetch_cancel(run->fetch);
        sem_post(&run->done);
    } else if (run->pauses || run->stays) {
        http_fetch_pause(run->fetch);
        if (run->pauses)
            timer_start(run->lane, &run->again, 2 * NS_PER_MS);
    }
}

static void on_done(void *arg, const struct fetch_result *result)
{
    struct run *run = arg;
    run->code = result->code;
    run->attempts = result->attempts;
    run->wrong = run->wrong || result->body.n > 0;
    snprintf(run->message, sizeof run->message, "%s", result->message);
    sem_post(&run->done);
}

static void begin(void *arg)
{
    struct run *run = arg;
    run->client = http_client_create(run->lane, &run->err);
    run->again.fire = on_again;
    run->fetch = http_fetch(run->client, &run->options, on_done, run, &run->err);
    if (!run->fetch)
        sem_post(&run->done);
}

static void end(void *arg)
{
    struct run *run = arg;
    timer_stop(run->lane, &run->again);
    http_client_destroy(run->client);
}

static void resume(void *arg)
{
    struct run *run = arg;
    run->stays = false;
    http_fetch_resume(run->fetch);
}

static void start(struct run *run, struct peer *peer)
{
    struct err err = {0};
    char url[64], allowed[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", peer->port);
    snprintf(allowed, sizeof allowed, "127.0.0.1:%d", peer->port);
    const char *entries[] = {allowed};
    run->options.url = str_c(url);
    run->options.allow = (struct allow_list){entries, 1};
    run->options.on_head = on_head;
    run->options.on_body = on_piece;
    if (!run->options.timeout_ns)
        run->options.timeout_ns = 20 * NS_PER_SECOND;
    if (!run->options.max_bytes)
        run->options.max_bytes = INT64_MAX;
    sem_init(&run->done, 0, 0);
    run->lane = lane_create(0, LANE_WEB, "test", &err);
    lane_start(run->lane, NULL, NULL, &err);
    lane_call_wait(run->lane, begin, run);
}

static void stop(struct run *run)
{
    sem_wait(&run->done);
    lane_call_wait(run->lane, end, run);
    lane_stop(run->lane);
    lane_join(run->lane);
    lane_destroy(run->lane);
    sem_destroy(&run->done);
}

static void stream(struct run *run, struct peer *peer)
{
    peer_start(peer);
    start(run, peer);
    stop(run);
    peer_stop(peer);
}

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"

TEST(a_body_comes_in_pieces_after_its_head)
{
    struct peer peer = {.pieces = {HEAD, "one ", "two ", "three"}, .pause_ms = 30};
    struct run run = {0};
    stream(&run, &peer);
    CHECK_EQ(run.code, FETCH_OK);
    CHECK_EQ(run.status, 200);
    CHECK_STR(run.text, "one two three");
    CHECK(run.pieces > 1);
    CHECK(!run.wrong);
}

TEST(an_answer_without_a_body_has_a_head_and_an_end)
{
    struct peer peer = {.pieces = {"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"}};
    struct run run = {0};
    stream(&run, &peer);
    CHECK_EQ(run.code, FETCH_OK);
    CHECK_EQ(run.status, 204);
    CHECK_EQ(run.heads, 1);
    CHECK_EQ(run.pieces, 0);
}

TEST(a_caller_that_pauses_loses_nothing)
{
    struct peer quick = {.pieces = {HEAD}, .filler = 3000000};
    struct peer same = {.pieces = {HEAD}, .filler = 3000000};
    struct run run = {0}, slow = {.pauses = true};
    stream(&run, &quick);
    stream(&slow, &same);
    CHECK_EQ(run.bytes, 3000000);
    CHECK_EQ(slow.bytes, 3000000);
    CHECK_EQ(slow.sum, run.sum);
    CHECK_EQ(slow.code, FETCH_OK);
    CHECK(slow.biggest <= 2 * FETCH_WINDOW_BYTES);
}

/* What the kernel's buffers hold, and no more, leaves the peer. */
TEST(a_paused_caller_holds_the_peer_up)
{
    struct peer peer = {.pieces = {HEAD}, .filler = 200000000};
    struct run run = {.stays = true,
                      .options.silence_ns = 3 * NS_PER_SECOND, /* a busy machine is silent, too */
                      .options.timeout_ns = 120 * NS_PER_SECOND};
    peer_start(&peer);
    start(&run, &peer);
    long before = -1;
    while (atomic_load(&peer.sent) != before) {
        before = atomic_load(&peer.sent);
        usleep(250000);
    }
    CHECK(before < 50000000);
    usleep(3500000); /* a pause is no silence */
    lane_call_wait(run.lane, resume, &run);
    stop(&run);
    peer_stop(&peer);
    CHECK_EQ(run.code, FETCH_OK);
    CHECK_EQ(run.bytes, 200000000);
}

TEST(a_caller_may_cancel_in_its_callback)
{
    struct peer peer = {.pieces = {HEAD, "one"}, .filler = 1000000};
    struct run run = {.cancels = true, .code = FETCH_TLS};
    stream(&run, &peer);
    CHECK_EQ(run.code, FETCH_TLS);
    CHECK_EQ(run.pieces, 1);
}

TEST(a_cut_body_is_an_error_after_what_came)
{
    struct peer peer = {.pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"}};
    struct run run = {0};
    stream(&run, &peer);
    CHECK_EQ(run.code, FETCH_PROTOCOL);
    CHECK_STR(run.text, "hello");
    CHECK_STR(run.message, "the answer was cut short");
}

TEST(a_silent_peer_is_a_timeout_before_and_between_bytes)
{
    struct peer mute = {.pieces = {"HTTP/1.1 "}, .silent = true};
    struct peer stuck = {.pieces = {HEAD, "one"}, .silent = true};
    struct peer steady = {.pieces = {HEAD, "1", "2", "3", "4", "5", "6"}, .pause_ms = 200};
    struct run never = {.options.silence_ns = 100 * NS_PER_MS};
    struct run between = {.options.silence_ns = 100 * NS_PER_MS};
    struct run fine = {.options.silence_ns = 900 * NS_PER_MS};
    stream(&never, &mute);
    CHECK_EQ(never.code, FETCH_TIMEOUT);
    CHECK_EQ(never.heads, 0);
    stream(&between, &stuck);
    CHECK_EQ(between.code, FETCH_TIMEOUT);
    CHECK_STR(between.text, "one");
    CHECK_STR(between.message, "nothing was heard for 100 ms");
    stream(&fine, &steady);
    CHECK_EQ(fine.code, FETCH_OK);
    CHECK_STR(fine.text, "123456");
}

TEST(more_than_the_limit_is_refused)
{
    struct peer peer = {.pieces = {HEAD}, .filler = 300000};
    struct run run = {.options.max_bytes = 100000};
    stream(&run, &peer);
    CHECK_EQ(run.code, FETCH_TOO_LARGE);
    CHECK(run.bytes <= 100000);
}

TEST(what_is_tried_again_or_leads_elsewhere_is_not_seen)
{
    struct peer peer = {.pieces = {"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nConnection: "
                                   "close\r\nContent-Length: 4\r\n\r\nbusy",
                                   "",
                                   "HTTP/1.1 302 Found\r\nLocation: /there\r\nConnection: "
                                   "close\r\nContent-Length: 4\r\n\r\ngone",
                                   "", HEAD "here"}};
    struct run run = {.options = {.retries = 1, .redirects = 1, .backoff_ns = NS_PER_MS}};
    stream(&run, &peer);
    CHECK_EQ(run.code, FETCH_OK);
    CHECK_EQ(run.status, 200);
    CHECK_EQ(run.heads, 1);
    CHECK_EQ(run.attempts, 3);
    CHECK_STR(run.text, "here");
}

TEST(the_last_of_the_attempts_is_seen_whatever_it_says)
{
    struct peer peer = {
        .pieces = {"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy"}};
    struct run run = {0};
    stream(&run, &peer);
    CHECK_EQ(run.status, 503);
    CHECK_STR(run.text, "busy");
}
