/* Where a fetch may lead, with a peer on 127.0.0.1 and ::1 and DNS answers of our own. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/fetch.h"
#include "test.h"

enum { CLIENTS = 16 };

/* Answers "GET /to?URL" with a redirect there, anything else with its own request; connections
 * stay open. */
struct peer {
    int v4, v6, port;
    atomic_int connections, requests;
    int fds[CLIENTS], count;
    int stop[2];
    pthread_t thread;
};

static void answer(struct peer *peer, int fd)
{
    char request[4096], out[8192];
    ssize_t n = read(fd, request, sizeof request - 1);
    if (n <= 0) {
        for (int i = 0; i < peer->count; i++)
            if (peer->fds[i] == fd)
                peer->fds[i] = -1;
        close(fd);
        return;
    }
    request[n] = '\0';
    peer->requests++;
    char *to = strncmp(request, "GET /to?", 8) == 0 ? request + 8 : NULL;
    if (to)
        to[strcspn(to, " ")] = '\0';
    int length =
        to ? snprintf(out, sizeof out,
                      "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", to)
           : snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %zd\r\n\r\n%s", n,
                      request);
    if (write(fd, out, (size_t)length) < 0)
        perror("write");
}

static void *peer_main(void *arg)
{
    struct peer *peer = arg;
    for (;;) {
        struct pollfd polled[CLIENTS + 3] = {
            {peer->stop[0], POLLIN, 0}, {peer->v4, POLLIN, 0}, {peer->v6, POLLIN, 0}};
        for (int i = 0; i < peer->count; i++)
            polled[3 + i] = (struct pollfd){peer->fds[i], POLLIN, 0};
        poll(polled, (nfds_t)(3 + peer->count), -1);
        if (polled[0].revents)
            return NULL;
        for (int i = peer->count - 1; i >= 0; i--)
            if (polled[3 + i].revents)
                answer(peer, peer->fds[i]);
        for (int i = 1; i < 3; i++) {
            if (!polled[i].revents)
                continue;
            peer->fds[peer->count++] = accept(polled[i].fd, NULL, NULL);
            peer->connections++;
        }
    }
}

static bool peer_start(struct peer *peer)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t n = sizeof a;
    memset(peer, 0, sizeof *peer);
    peer->v4 = socket(AF_INET, SOCK_STREAM, 0);
    peer->v6 = socket(AF_INET6, SOCK_STREAM, 0);
    if (bind(peer->v4, (struct sockaddr *)&a, sizeof a) < 0 || listen(peer->v4, 8) < 0)
        return false;
    getsockname(peer->v4, (struct sockaddr *)&a, &n);
    peer->port = ntohs(a.sin_port);
    b.sin6_port = a.sin_port;
    if (bind(peer->v6, (struct sockaddr *)&b, sizeof b) < 0 || listen(peer->v6, 8) < 0 ||
        pipe(peer->stop) < 0)
        return false;
    return pthread_create(&peer->thread, NULL, peer_main, peer) == 0;
}

static void peer_stop(struct peer *peer)
{
    if (write(peer->stop[1], "", 1) < 0)
        perror("write");
    pthread_join(peer->thread, NULL);
    for (int i = 0; i < peer->count; i++)
        if (peer->fds[i] >= 0)
            close(peer->fds[i]);
    close(peer->v4);
    close(peer->v6);
    close(peer->stop[0]);
    close(peer->stop[1]);
}

/* One client, so that connections are pooled, and the last fetch's result. */
struct side {
    struct peer peer;
    struct lane *lane;
    struct http_client *client;
    struct fetch_options options;
    struct fetch_header header;
    sem_t done;
    struct err err;
    enum fetch_code code;
    char message[256], body[4096];
};

static void make_client(void *arg)
{
    struct side *s = arg;
    s->client = http_client_create(s->lane, &s->err);
}

static void end_client(void *arg)
{
    struct side *s = arg;
    curl_slist_free_all(s->client->resolve);
    http_client_destroy(s->client);
}

static bool side_open(struct side *s)
{
    memset(s, 0, sizeof *s);
    if (!peer_start(&s->peer))
        return false;
    sem_init(&s->done, 0, 0);
    s->lane = lane_create(0, LANE_WEB, "test", &s->err);
    lane_start(s->lane, NULL, NULL, &s->err);
    lane_call_wait(s->lane, make_client, s);
    return true;
}

static void side_close(struct side *s)
{
    lane_call_wait(s->lane, end_client, s);
    lane_stop(s->lane);
    lane_join(s->lane);
    lane_destroy(s->lane);
    sem_destroy(&s->done);
    peer_stop(&s->peer);
}

/* DNS says that name:port is there. */
static void resolve(struct side *s, const char *name, const char *addresses)
{
    char *line = mem_printf("%s:%d:%s", name, s->peer.port, addresses);
    s->client->resolve = curl_slist_append(s->client->resolve, line);
    mem_free(line);
}

static void on_done(void *arg, const struct fetch_result *result)
{
    struct side *s = arg;
    s->code = result->code;
    snprintf(s->message, sizeof s->message, "%s", result->message);
    snprintf(s->body, sizeof s->body, "%.*s", (int)result->body.n,
             result->body.p ? result->body.p : "");
    sem_post(&s->done);
}

static void begin(void *arg)
{
    struct side *s = arg;
    if (!http_fetch(s->client, &s->options, on_done, s, &s->err))
        sem_post(&s->done);
}

/* Fetches url, in which each '#' stands for the peer's port, as a plugin whose allow.net is `allow`
 * (entries separated by spaces). */
static enum fetch_code fetch(struct side *s, const char *allow, const char *url)
{
    const char *entries[8];
    struct buf text[2] = {{0}, {0}};
    struct allow_list list = {entries, 0};
    for (int k = 0; k < 2; k++)
        for (const char *c = k ? url : allow; *c; c++) {
            if (*c == '#')
                buf_printf(&text[k], "%d", s->peer.port);
            else
                buf_add_char(&text[k], *c);
        }
    for (char *save, *e = strtok_r(text[0].p, " ", &save); e; e = strtok_r(NULL, " ", &save))
        entries[list.count++] = e;
    s->options = (struct fetch_options){.url = buf_str(&text[1]),
                                        .allow = list,
                                        .timeout_ns = 10 * NS_PER_SECOND,
                                        .max_bytes = 4000,
                                        .redirects = 5,
                                        .headers = &s->header,
                                        .header_count = s->header.name.n ? 1 : 0};
    s->body[0] = s->message[0] = '\0';
    lane_call_wait(s->lane, begin, s);
    sem_wait(&s->done);
    buf_free(&text[0]);
    buf_free(&text[1]);
    if (s->code != FETCH_OK && s->code != FETCH_FORBIDDEN)
        printf("# %s: %s\n", url, s->message);
    return s->code;
}

TEST(an_address_that_is_named_is_reached_and_no_other)
{
    struct side s;
    REQUIRE(side_open(&s));
    CHECK_EQ(fetch(&s, "127.0.0.1:#", "http://127.0.0.1:#/"), FETCH_OK);
    CHECK_EQ(fetch(&s, "[::1]:#", "http://[::1]:#/"), FETCH_OK);
    CHECK_EQ(fetch(&s, "[::1]:#", "http://[0:0::0:1]:#/"), FETCH_OK);
    CHECK_EQ(fetch(&s, "localhost:#", "http://localhost:#/"), FETCH_OK);
    CHECK_EQ(fetch(&s, "localhost:#", "http://LOCALHOST:#/"), FETCH_OK);
    int reached = s.peer.requests;
    CHECK_EQ(fetch(&s, "localhost:#", "http://127.0.0.1:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(fetch(&s, "127.0.0.1:#", "http://localhost:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(fetch(&s, "127.0.0.1:#", "http://127.0.0.2:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(fetch(&s, "127.0.0.1:1", "http://127.0.0.1:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(fetch(&s, "127.0.0.1:#", "http://[::ffff:127.0.0.1]:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(fetch(&s, "", "http://127.0.0.1:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(s.peer.requests, reached);
    side_close(&s);
}

TEST(no_spelling_of_a_host_gets_by)
{
    static const char *const urls[] = {
        "http://2130706433:#/",
        "http://0x7f000001:#/",
        "http://0x7f.1:#/",
        "http://0177.0.0.1:#/",
        "http://127.1:#/",
        "http://127.0.0.1.:#/",
        "http://api.example.com@127.0.0.1:#/",
        "http://api.example.com:80@127.0.0.1:#/",
        "http://api.example.com%40127.0.0.1:#/",
        "http://api.example.com\\@127.0.0.1:#/",
        "http://127.0.0.1:#\\@api.example.com:#/",
        "http://127.0.0.1:#/@api.example.com:#/",
        "http://127.0.0.1:##@api.example.com:#/",
        "http://127.0.0.1%00api.example.com:#/",
        "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1:#/",
        "http://\xe2\x93\xa1pi.example.com:#/",
        "http://[::1%25lo]:#/",
        "http://[fe80::1%25lo]:#/",
        "http://[::ffff:7f00:1]:#/",
        "http://[::7f00:1]:#/",
        "http://api.example.com.evil.example:#/",
        "http://127.0.0.1 .example.com:#/",
        "http:///127.0.0.1:#/",
        "//127.0.0.1:#/",
        "127.0.0.1:#",
    };
    struct side s;
    REQUIRE(side_open(&s));
    resolve(&s, "api.example.com", "127.0.0.1");
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        if (fetch(&s, "api.example.com:# *.api.example.com:#", urls[i]) == FETCH_OK)
            TEST_FAIL("%s is reached", urls[i]);
    }
    CHECK_EQ(s.peer.connections, 0);
    side_close(&s);
}

TEST(a_name_is_the_same_in_upper_case_and_with_a_dot_behind_it)
{
    struct side s;
    REQUIRE(side_open(&s));
    resolve(&s, "db.internal", "127.0.0.1");
    resolve(&s, "db.internal.", "127.0.0.1");
    CHECK_EQ(fetch(&s, "private:db.internal:#", "http://DB.Internal:#/"), FETCH_OK);
    CHECK_EQ(fetch(&s, "private:db.internal:#", "http://db.internal.:#/"), FETCH_OK);
    CHECK_EQ(fetch(&s, "private:db.internal:#", "http://user:word@db.internal:#/"), FETCH_OK);
    side_close(&s);
}

TEST(a_name_that_leads_to_a_private_address_is_not_followed_there)
{
    static const char *const places[] = {"127.0.0.1", "[::1]",           "[::ffff:127.0.0.1]",
                                         "10.0.0.1",  "127.0.0.1,[::1]", "0.0.0.0"};
    struct side s;
    REQUIRE(side_open(&s));
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char name[32];
        snprintf(name, sizeof name, "rebind%zu.example.com", i);
        resolve(&s, name, places[i]);
        char *url = mem_printf("http://%s:#/", name);
        CHECK_EQ(fetch(&s, "*.example.com:#", url), FETCH_FORBIDDEN);
        CHECK(strstr(s.message, "resolves to an address this plugin may not reach"));
        mem_free(url);
    }
    CHECK_EQ(s.peer.connections, 0);
    side_close(&s);
}

TEST(the_word_private_opens_private_addresses_and_never_those_of_metadata)
{
    struct side s;
    REQUIRE(side_open(&s));
    resolve(&s, "db.internal", "127.0.0.1");
    resolve(&s, "meta.internal", "169.254.169.254");
    resolve(&s, "meta6.internal", "[fd00:ec2::254]");
    CHECK_EQ(fetch(&s, "private:db.internal:#", "http://db.internal:#/"), FETCH_OK);
    CHECK_EQ(fetch(&s, "private:meta.internal:#", "http://meta.internal:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(fetch(&s, "private:meta6.internal:#", "http://meta6.internal:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(fetch(&s, "169.254.169.254:#", "http://169.254.169.254:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(fetch(&s, "[fe80::1]:#", "http://[fe80::1]:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(fetch(&s, "100.100.100.200:#", "http://100.100.100.200:#/"), FETCH_FORBIDDEN);
    side_close(&s);
}

TEST(an_open_connection_is_no_way_to_an_address_one_may_not_reach)
{
    struct side s;
    REQUIRE(side_open(&s));
    resolve(&s, "db.internal", "127.0.0.1");
    CHECK_EQ(fetch(&s, "private:db.internal:#", "http://db.internal:#/"), FETCH_OK);
    CHECK_EQ(fetch(&s, "private:db.internal:#", "http://db.internal:#/"), FETCH_OK);
    CHECK_EQ(s.peer.connections, 1); /* it is pooled */
    CHECK_EQ(fetch(&s, "db.internal:#", "http://db.internal:#/"), FETCH_FORBIDDEN);
    CHECK_EQ(s.peer.requests, 2);
    side_close(&s);
}

TEST(every_hop_of_a_redirect_is_checked)
{
    static const char allow[] = "localhost:# api.example.com:#";
    struct side s;
    REQUIRE(side_open(&s));
    resolve(&s, "api.example.com", "127.0.0.1");
    CHECK_EQ(fetch(&s, allow, "http://localhost:#/to?/there"), FETCH_OK);
    CHECK(strstr(s.body, "GET /there"));
    CHECK_EQ(fetch(&s, "localhost:# [::1]:#", "http://localhost:#/to?http://[::1]:#/x"), FETCH_OK);
    int reached = s.peer.requests;
    static const char *const hops[] = {
        "http://127.0.0.1:#/",
        "http://[::1]:#/",
        "//127.0.0.1:#/",
        "http://169.254.169.254/",
        "http://localhost:1/",
        "file:///etc/passwd",
        "gopher://localhost:#/",
        "ftp://localhost:#/",
        "http://2130706433:#/",
        "http://x@127.0.0.1:#/",
        "dict://localhost:#/",
        "http://api.example.com:#/", /* allowed, but it leads to a private address */
    };
    for (size_t i = 0; i < sizeof hops / sizeof *hops; i++) {
        char *url = mem_printf("http://localhost:#/to?%s", hops[i]);
        CHECK_EQ(fetch(&s, allow, url), FETCH_FORBIDDEN);
        mem_free(url);
    }
    CHECK_EQ(s.peer.requests, reached + (int)(sizeof hops / sizeof *hops));
    side_close(&s);
}

TEST(other_schemes_are_refused)
{
    static const char *const urls[] = {"file:///etc/passwd",    "ftp://localhost:#/",
                                       "gopher://localhost:#/", "dict://localhost:#/",
                                       "ws://localhost:#/",     "smtp://localhost:#/",
                                       "ldap://localhost:#/",   "scp://localhost:#/x"};
    struct side s;
    REQUIRE(side_open(&s));
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        CHECK_EQ(fetch(&s, "localhost:#", urls[i]), FETCH_FORBIDDEN);
        CHECK(strstr(s.message, "is not http or https"));
    }
    CHECK_EQ(s.peer.connections, 0);
    side_close(&s);
}

TEST(secrets_stay_with_the_origin_they_were_meant_for)
{
    struct side s;
    REQUIRE(side_open(&s));
    s.header = (struct fetch_header){STR("authorization"), STR("Bearer abc")};
    CHECK_EQ(fetch(&s, "localhost:#", "http://localhost:#/to?/there"), FETCH_OK);
    CHECK(strstr(s.body, "Bearer abc"));
    CHECK_EQ(fetch(&s, "localhost:# 127.0.0.1:#", "http://localhost:#/to?http://127.0.0.1:#/x"),
             FETCH_OK);
    CHECK(strstr(s.body, "GET /x") && !strstr(s.body, "Bearer abc"));
    s.header = (struct fetch_header){STR("Host"), STR("other.example")};
    fetch(&s, "localhost:#", "http://localhost:#/");
    CHECK(strstr(s.err.message, "header host: the URL says which host is meant"));
    side_close(&s);
}

TEST(proxies_of_the_environment_are_not_asked)
{
    struct side s;
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    setenv("ALL_PROXY", "socks5://127.0.0.1:9", 1);
    REQUIRE(side_open(&s));
    CHECK_EQ(fetch(&s, "localhost:#", "http://localhost:#/"), FETCH_OK);
    side_close(&s);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}
