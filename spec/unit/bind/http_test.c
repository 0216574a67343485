/* Routes and sockets of a plugin, from the bytes of a request to the bytes of its answer. */
#include "../http/talk.h"
#include "../loopback.h"
#include "bind/bind.h"
#include "bind/http_lua.h"
#include "channels/channel.h"
#include "http/server.h"
#include "loop/lane.h"
#include "observe/log.h"
#include "test.h"
#include "vm/bundle.h"
#include "vm/host.h"
#include "vm/vm.h"

static char state_dir[] = "/tmp/maru-bind-test.XXXXXX";
static struct lane *lane;
static struct http_server *server;
static struct http_lane *web;
static struct host host;
static struct bundle *bundle;
static struct vm *vms[1];
static struct plugin_decl *decl; /* the routes point into it */
static struct http_route routes[100];
static struct http_set set;
static int bound_port;

static const struct http_set *acquire(void *arg, struct lane *l)
{
    (void)arg;
    (void)l;
    return &set;
}

static void release(void *arg, struct lane *l, const struct http_set *s)
{
    (void)arg;
    (void)l;
    (void)s;
}

static void dispatch(void *arg, struct http_request *request, const struct http_route *route)
{
    (void)arg;
    http_dispatch_lua(request, route);
}

static void on_socket(void *arg, struct socket *socket, const struct http_route *route,
                      enum socket_event event, struct http_request *request, struct str data)
{
    (void)arg;
    http_socket_lua(socket, route, event, request, data);
}

static void add_routes(void)
{
    int n = 0;
    for (int i = 0; i < decl->route_count; i++)
        routes[n++] = (struct http_route){.kind = HTTP_ROUTE_LUA,
                                          .method = decl->routes[i].method,
                                          .pattern = decl->routes[i].pattern,
                                          .owner = decl->name,
                                          .cache_ns = decl->routes[i].cache_ns,
                                          .target = vms,
                                          .handler = decl->routes[i].handler};
    for (int i = 0; i < decl->socket_count; i++)
        routes[n++] = (struct http_route){.kind = HTTP_ROUTE_SOCKET,
                                          .method = "GET",
                                          .pattern = decl->sockets[i].path,
                                          .owner = decl->name,
                                          .target = vms,
                                          .open = decl->sockets[i].open,
                                          .message = decl->sockets[i].message,
                                          .close = decl->sockets[i].close};
    struct err err;
    set.router = router_create(routes, n, &err);
}

static void begin(void *arg)
{
    struct err err = {0};
    struct vm_options options = {
        .lane = lane, .host = &host, .bundle = bundle, .label = "probe@0123456789ab"};
    vms[0] = vm_create(&options, &decl, &err);
    if (!vms[0]) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    add_routes();
    const struct http_listener listener = {.fd = *(int *)arg};
    web = http_lane_start(server, lane, &listener, 1, &err);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void on_closed(void *arg)
{
    (void)arg;
    vm_destroy(vms[0]);
    lane_stop(lane);
}

static void end(void *arg)
{
    (void)arg;
    vm_retire(vms[0]);
    http_lane_close(web, on_closed, NULL);
    vm_cancel_tasks(vms[0]);
}

static void close_all(void)
{
    lane_call(lane, end, NULL);
    lane_join(lane);
    lane_destroy(lane);
    http_server_destroy(server);
    router_destroy((struct router *)(uintptr_t)set.router);
    channel_hub_destroy(host.channels);
    plugin_decl_free(decl);
    bundle_free(bundle);
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", state_dir);
    if (system(command) != 0)
        perror(command);
}

static void open_all(void)
{
    struct err err = {0};
    if (!mkdtemp(state_dir))
        abort();
    log_setup(-1, LOG_DEBUG);
    struct http_options options = {
        .limits = http_limits_default,
        .app = {.acquire = acquire, .release = release, .dispatch = dispatch, .socket = on_socket},
        .state_dir = state_dir,
        .access_log_fd = -1};
    bundle = bundle_read("spec/support/probe", &err);
    server = bundle ? http_server_create(&options, &err) : NULL;
    host = (struct host){.bind = bind_all, .development = true, .channels = channel_hub_create()};
    lane = lane_create(0, LANE_WEB, "web", &err);
    int fd = loopback_listen(0);
    if (!server) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    bound_port = loopback_port(fd);
    if (!lane_start(lane, nothing, NULL, &err))
        exit(1);
    lane_call_wait(lane, begin, &fd);
    atexit(close_all);
}

/* The port; the server starts when it is first asked for. */
static int ready(void)
{
    static bool opened;
    if (!opened)
        open_all();
    opened = true;
    return bound_port;
}
#define port ready()

/* "200 type body" */
static const char *seen(const char *answer)
{
    static char text[4096];
    const char *type = talk_header(answer, "content-type");
    snprintf(text, sizeof text, "%d %s %s", talk_status(answer), type ? type : "-",
             talk_body(answer));
    return text;
}

static const char *post(const char *path, const char *body)
{
    char text[4096];
    int n = snprintf(text, sizeof text,
                     "POST %s HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-request-id: r1\r\n"
                     "content-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                     path, strlen(body), body);
    return seen(talk_ask(port, text, (size_t)n));
}

static const char *get(const char *path)
{
    char what[300];
    snprintf(what, sizeof what, "GET %s", path);
    return seen(talk_get(port, what, "x-request-id: r1\r\n"));
}

#define PROBLEM(status, title, detail, code)                                                       \
#status " application/problem+json {\"type\":\"about:blank\",\"title\":\"" title               \
            "\",\"status\":" #status ",\"detail\":\"" detail "\",\"code\":\"" code                 \
            "\",\"instance\":\"r1\"}"

TEST(turns_results_into_answers)
{
    CHECK_STR(get("/hello"), "200 application/json {\"message\":\"hello\"}");
    CHECK_STR(get("/text"), "200 text/plain; charset=utf-8 plain");
    CHECK_STR(get("/html"), "200 text/html <p>");
    CHECK_STR(get("/nothing"), "204 - ");
    CHECK_STR(get("/empty"), "204 - ");
    CHECK_STR(get("/wait"), "200 text/plain; charset=utf-8 waited");
    const char *a = talk_get(port, "GET /cookies", NULL);
    CHECK(strstr(a, "set-cookie: a=1\r\n") && strstr(a, "set-cookie: b=2\r\n"));
    CHECK_STR(talk_header(a, "location"), "/x");
    a = talk_get(port, "HEAD /hello", NULL);
    CHECK_STR(talk_header(a, "content-length"), "19");
}

TEST(shows_the_request)
{
    const char *a = talk_body(talk_get(port, "GET /describe/a%20b?x=1&x=2&y=%EA%B0%80",
                                       "accept: me\r\nx-request-id: r1\r\n"));
    static const char *const parts[] = {"\"params\":{\"id\":\"a b\"}",
                                        "\"path\":\"/describe/a b\"",
                                        "\"x\":[\"1\",\"2\"]",
                                        "\"y\":\"\xea\xb0\x80\"",
                                        "\"accept\":\"me\"",
                                        "\"host\":\"test\"",
                                        "\"id\":\"r1\"",
                                        "\"client\":\"127.0.0.1\"",
                                        "\"method\":\"GET\""};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!strstr(a, parts[i]))
            printf("# no %s in %s\n", parts[i], a);
        CHECK(strstr(a, parts[i]));
    }
    CHECK_STR(
        get("/describe/1?x=%zz"),
        PROBLEM(400, "Bad Request", "the query string is not percent-encoded UTF-8", "bad_query"));
}

TEST(reads_json_bodies)
{
    CHECK_STR(post("/json", "{\"a\":[1,2]}"), "200 application/json {\"got\":{\"a\":[1,2]}}");
    CHECK(strncmp(post("/json", "{\"a\":"), "400 application/problem+json", 28) == 0);
    CHECK(strncmp(post("/json", ""), "400 application/problem+json", 28) == 0);
    CHECK_STR(post("/raw", "12345"), "200 application/json {\"n\":5}");
}

TEST(answers_wrong_fields_all_at_once)
{
    CHECK(strncmp(post("/checked", "{\"name\":\"kim\",\"age\":3}"), "201 ", 4) == 0);
    const char *a = post("/checked", "{\"name\":\"toolong\",\"age\":200,\"z\":1}");
    CHECK(strncmp(a, "422 application/problem+json", 28) == 0);
    CHECK(strstr(a, "body.age") && strstr(a, "body.name") && strstr(a, "body.z"));
    CHECK(strncmp(get("/items/x?z=1"), "422 ", 4) == 0);
}

TEST(turns_failures_into_problems)
{
    const char *a = get("/fail");
    CHECK(strncmp(a, "404 application/problem+json", 28) == 0);
    CHECK(strstr(a, "\"errors\":[{") && strstr(a, "\"code\":\"not_found\""));
    a = get("/raise");
    CHECK(strncmp(a, "500 ", 4) == 0 && strstr(a, "plugin.lua:") && strstr(a, "it broke"));
    host.development = false;
    CHECK(!strstr(get("/raise"), "it broke"));
    host.development = true;
    CHECK(strncmp(get("/slow"), "504 ", 4) == 0);
    CHECK(strstr(get("/status"), "the status must be from 200 to 599"));
    CHECK(strstr(get("/mistake"), "a handler returns status, body, headers"));
    CHECK(strstr(get("/function"), "a function has no JSON form"));
    CHECK(strstr(get("/inject"), "a header has a name or value that is not allowed"));
}

TEST(a_request_kept_after_its_end_raises)
{
    CHECK(strncmp(get("/kept"), "200 ", 4) == 0);
    CHECK(strstr(get("/stale"), "the request is over"));
}

TEST(runs_a_cached_handler_once_for_those_who_wait)
{
    char first[200];
    snprintf(first, sizeof first, "%s", get("/cached"));
    CHECK(strncmp(first, "200 ", 4) == 0);
    CHECK_STR(get("/cached"), first);
}

TEST(streams_events)
{
    const char *a = talk_get(port, "GET /stream", NULL);
    CHECK_STR(talk_header(a, "content-type"), "text/event-stream");
    CHECK(strstr(a, "retry: 3000\nevent: hello\nid: 7\ndata: {\"n\":1}\n\n"));
    CHECK(strstr(a, "event: text\ndata: two\ndata: lines\n\n"));
}

TEST(follows_a_channel_until_the_client_leaves)
{
    struct buf in = {0};
    int fd = talk_open(port);
    talk_say(fd, "GET /follow HTTP/1.1\r\nhost: a\r\n\r\n");
    REQUIRE(talk_until(fd, "event: hello", 2000, &in));
    usleep(20000);
    CHECK_STR(post("/news", "{\"a\":1}"), "200 application/json {\"listeners\":1}");
    CHECK(talk_until(fd, "event: news\ndata: {\"a\":1}\n\n", 2000, &in));
    close(fd);
    usleep(100000);
    CHECK_STR(post("/news", "{\"a\":2}"), "200 application/json {\"listeners\":0}");
    buf_free(&in);
}

TEST(waits_for_a_slow_reader_and_ends_with_it)
{
    struct buf in = {0};
    int fd = talk_open(port);
    talk_say(fd, "GET /endless HTTP/1.1\r\nhost: a\r\n\r\n");
    usleep(200000);
    for (int i = 0; i < 50; i++)
        talk_hear(fd, 100, &in);
    CHECK(in.n > 100000);
    close(fd);
    buf_free(&in);
    CHECK_STR(get("/hello"), "200 application/json {\"message\":\"hello\"}");
    for (int i = 0; i < 100 && vm_usage(vms[0]).tasks > 0; i++)
        usleep(10000);
    CHECK_EQ(vm_usage(vms[0]).tasks, 0);
}

TEST(cancels_the_task_of_a_client_that_left)
{
    int fd = talk_open(port);
    talk_say(fd, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n");
    usleep(50000);
    CHECK_EQ(vm_usage(vms[0]).tasks, 1);
    close(fd);
    for (int i = 0; i < 50 && vm_usage(vms[0]).tasks > 0; i++)
        usleep(10000);
    CHECK_EQ(vm_usage(vms[0]).tasks, 0);
}

/* A masked text frame of at most 125 bytes. */
static void send_text(int fd, const char *text)
{
    unsigned char out[140] = {0x81, (unsigned char)(0x80 | strlen(text)), 0, 0, 0, 0};
    memcpy(out + 6, text, strlen(text));
    talk_send(fd, out, 6 + strlen(text));
}

static int open_socket(struct buf *in)
{
    int fd = talk_open(port);
    talk_say(fd,
             "GET /ws/echo HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
             "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n");
    talk_until(fd, "{\"hello\":\"/ws/echo\"}", 2000, in);
    return fd;
}

TEST(hands_messages_to_the_socket_handlers_one_by_one)
{
    struct buf in = {0};
    int fd = open_socket(&in);
    buf_clear(&in);
    send_text(fd, "wait");
    send_text(fd, "after");
    CHECK(talk_until(fd, "after", 2000, &in));
    CHECK(strstr(in.p, "waited"));
    send_text(fd, "bye");
    CHECK(talk_until(fd,
                     "\x0f\xa0"
                     "bye",
                     2000, &in));
    close(fd);
    buf_clear(&in);
    fd = open_socket(&in);
    send_text(fd, "raise");
    CHECK(talk_until(fd, "\x03\xf3", 2000, &in));
    close(fd);
    buf_free(&in);
}
