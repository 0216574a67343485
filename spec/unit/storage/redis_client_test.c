/* The client of Redis on a lane, against a real server. */
#include "storage/redis_client.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "jobs/redis_server.h"
#include "loop/lane.h"
#include "test.h"

enum { ANSWER_MS = 1500 };

static struct redis_server server;

struct guest {
    struct lane *lane;
    struct redis_url url;
    struct redis_client *client;
    atomic_int ups, downs, answers, errors, messages;
    struct err down, last; /* written on the lane, read after a call there */
    char text[64], message[64];
    int64_t number, next, sent;
    struct err refused;
    bool in_order;
};

static void on_changed(void *arg, const struct err *err)
{
    struct guest *g = arg;
    if (err)
        g->down = *err;
    atomic_fetch_add(err ? &g->downs : &g->ups, 1);
}

static void on_message(void *arg, struct str channel, struct str bytes)
{
    struct guest *g = arg;
    snprintf(g->message, sizeof g->message, "%.*s=%.*s", (int)channel.n, channel.p, (int)bytes.n,
             bytes.p);
    atomic_fetch_add(&g->messages, 1);
}

static void create_on_lane(void *arg)
{
    struct guest *g = arg;
    struct redis_client_options options = {.url = &g->url,
                                           .name = "test",
                                           .probe = "probe",
                                           .connect_ns = ANSWER_MS * NS_PER_MS,
                                           .answer_ns = ANSWER_MS * NS_PER_MS,
                                           .changed = on_changed,
                                           .message = on_message,
                                           .arg = g};
    g->client = redis_client_create(g->lane, &options, &g->last);
}

static void destroy_on_lane(void *arg)
{
    struct guest *g = arg;
    redis_client_destroy(g->client);
}

static void await(const atomic_int *what, int least)
{
    for (int i = 0; i < 2000 && atomic_load(what) < least; i++)
        usleep(10000);
    CHECK(atomic_load(what) >= least);
}

static struct guest *enter(const char *url)
{
    struct err err = {0};
    struct guest *g = mem_zero(1, sizeof *g);
    if (!redis_url_parse(str_c(url), &g->url, &err))
        abort();
    g->lane = lane_create(0, LANE_WEB, "test", &err);
    if (!g->lane || !lane_start(g->lane, NULL, NULL, &err))
        abort();
    lane_call_wait(g->lane, create_on_lane, g);
    return g;
}

static struct guest *enter_server(void)
{
    if (!server.pid)
        redis_server_start(&server);
    struct guest *g = enter(server.url);
    await(&g->ups, 1);
    return g;
}

static void leave(struct guest *g)
{
    if (g->client)
        lane_call_wait(g->lane, destroy_on_lane, g);
    lane_stop(g->lane);
    lane_join(g->lane);
    lane_destroy(g->lane);
    redis_url_fini(&g->url);
    mem_free(g);
}

static void on_answer(void *arg, const redisReply *reply, const struct err *err)
{
    struct guest *g = arg;
    if (reply) {
        struct str text = redis_reply_text(reply);
        snprintf(g->text, sizeof g->text, "%.*s", (int)text.n, text.p ? text.p : "");
        g->number = redis_reply_int(reply);
    } else {
        g->last = *err;
        atomic_fetch_add(&g->errors, 1);
    }
    atomic_fetch_add(&g->answers, 1);
}

struct sent {
    struct guest *g;
    struct str words[6];
    int count;
    const struct redis_program *program;
    struct err refused;
    bool ok;
};

static void send_on_lane(void *arg)
{
    struct sent *s = arg;
    struct redis_client *c = s->g->client;
    s->ok = s->program
                ? redis_run(c, s->program, 1, s->words, s->count, on_answer, s->g, &s->refused)
                : redis_send(c, s->words, s->count, on_answer, s->g, &s->refused);
}

/* One command; waits for its answer.  Whether the server did it. */
static bool ask(struct guest *g, struct sent s)
{
    int errors = atomic_load(&g->errors), answers = atomic_load(&g->answers);
    s.g = g;
    while (s.count < 6 && s.words[s.count].p)
        s.count++;
    lane_call_wait(g->lane, send_on_lane, &s);
    if (!s.ok) {
        g->last = s.refused;
        return false;
    }
    await(&g->answers, answers + 1);
    return atomic_load(&g->errors) == errors;
}

#define ASK(g, ...) ask((g), (struct sent){.words = {__VA_ARGS__}})
#define W(text)     STR(text)

TEST(commands_and_their_answers)
{
    struct guest *g = enter_server();
    CHECK(ASK(g, W("SET"), W("a"), W("one")));
    CHECK(ASK(g, W("GET"), W("a")));
    CHECK_STR(g->text, "one");
    CHECK(ASK(g, W("INCR"), W("n")));
    CHECK_EQ(g->number, 1);
    CHECK(!ASK(g, W("INCR"), W("a")));
    CHECK_EQ(g->last.code, ERR_INVALID);
    CHECK(strstr(g->last.message, "not an integer"));
    leave(g);
}

static void on_number(void *arg, const redisReply *reply, const struct err *err)
{
    struct guest *g = arg;
    g->in_order = g->in_order && !err && redis_reply_int(reply) == ++g->next;
    atomic_fetch_add(&g->answers, 1);
}

enum { MANY = 20000 };

static void send_many(void *arg)
{
    struct guest *g = arg;
    struct str words[] = {STR("INCR"), STR("many")};
    g->in_order = true;
    for (int i = 0; i < MANY; i++)
        g->in_order = redis_send(g->client, words, 2, on_number, g, &g->last) && g->in_order;
}

TEST(many_at_once_are_answered_in_their_order)
{
    struct guest *g = enter_server();
    lane_call_wait(g->lane, send_many, g);
    await(&g->answers, MANY);
    CHECK(g->in_order);
    CHECK_EQ(g->next, MANY);
    leave(g);
}

static void send_too_many(void *arg)
{
    struct guest *g = arg;
    struct str words[] = {STR("GET"), STR("x")};
    int sent = 0;
    while (sent <= REDIS_CLIENT_CALLS && redis_send(g->client, words, 2, on_answer, g, &g->refused))
        sent++;
    g->sent = sent;
}

TEST(what_waits_is_bounded)
{
    struct guest *g = enter_server();
    lane_call_wait(g->lane, send_too_many, g);
    CHECK_EQ(g->sent, REDIS_CLIENT_CALLS);
    CHECK_EQ(g->refused.code, ERR_BUSY);
    await(&g->answers, REDIS_CLIENT_CALLS);
    CHECK_EQ(atomic_load(&g->errors), 0);
    leave(g);
}

TEST(a_script_is_sent_whole_when_the_server_does_not_know_it)
{
    static struct redis_program p = {.text = "return redis.call('INCRBY', KEYS[1], ARGV[1])"};
    redis_program_init(&p);
    struct guest *g = enter_server();
    struct sent s = {.words = {W("counted"), W("2")}, .program = &p};
    CHECK(ask(g, s));
    CHECK_EQ(g->number, 2);
    CHECK(ask(g, s));
    CHECK_EQ(g->number, 4);
    CHECK(ASK(g, W("SCRIPT"), W("FLUSH")));
    CHECK(ask(g, s));
    CHECK_EQ(g->number, 6);
    leave(g);
}

TEST(a_killed_server_is_refused_at_once_until_it_is_back)
{
    struct guest *g = enter_server();
    int downs = atomic_load(&g->downs);
    redis_server_kill(&server);
    await(&g->downs, downs + 1);
    CHECK(!ASK(g, W("GET"), W("a")));
    CHECK_EQ(g->last.code, ERR_UNAVAILABLE);
    CHECK_EQ(atomic_load(&g->answers), 0);
    redis_server_start(&server);
    await(&g->ups, 2);
    CHECK(ASK(g, W("GET"), W("a")));
    leave(g);
}

TEST(a_frozen_server_is_given_up_and_found_again)
{
    struct guest *g = enter_server();
    kill(server.pid, SIGSTOP);
    CHECK(!ASK(g, W("GET"), W("a")));
    CHECK_EQ(g->last.code, ERR_TIMEOUT);
    CHECK(!ASK(g, W("GET"), W("a")));
    CHECK_EQ(g->last.code, ERR_UNAVAILABLE);
    kill(server.pid, SIGCONT);
    await(&g->ups, 2);
    CHECK(ASK(g, W("GET"), W("a")));
    leave(g);
}

/* A handler that holds its lane for longer than the patience with an answer. */
static void send_and_hold(void *arg)
{
    struct sent *s = arg;
    send_on_lane(s);
    usleep(ANSWER_MS * 1200);
}

TEST(a_lane_that_was_busy_does_not_blame_the_server)
{
    struct guest *g = enter_server();
    for (int i = 0; i < 2; i++) {
        struct sent s = {.g = g, .words = {W("GET"), W("a")}, .count = 2};
        lane_call_wait(g->lane, send_and_hold, &s);
        await(&g->answers, i + 1);
    }
    CHECK_EQ(atomic_load(&g->errors), 0);
    CHECK_EQ(atomic_load(&g->downs), 0);
    leave(g);
}

TEST(a_silent_server_is_noticed_by_an_idle_connection)
{
    struct guest *g = enter_server();
    kill(server.pid, SIGSTOP);
    await(&g->downs, 1);
    CHECK_EQ(g->down.code, ERR_UNAVAILABLE);
    kill(server.pid, SIGCONT);
    await(&g->ups, 2);
    leave(g);
}

TEST(a_replica_is_not_used_until_it_is_the_master)
{
    struct guest *g = enter_server();
    CHECK(ASK(g, W("REPLICAOF"), W("127.0.0.1"), W("1")));
    CHECK(!ASK(g, W("SET"), W("a"), W("two")));
    CHECK_EQ(g->last.code, ERR_UNAVAILABLE);
    CHECK(strstr(g->last.message, "READONLY"));
    CHECK(!ASK(g, W("GET"), W("a")));
    struct err err = {0};
    struct redis *other = redis_server_open(&server, &err);
    freeReplyObject(redis_command(other, &err, "REPLICAOF NO ONE"));
    redis_close(other);
    await(&g->ups, 2);
    CHECK(ASK(g, W("SET"), W("a"), W("two")));
    leave(g);
}

TEST(a_full_server_serves_what_it_can)
{
    struct guest *g = enter_server();
    CHECK(ASK(g, W("CONFIG"), W("SET"), W("maxmemory"), W("1")));
    CHECK(!ASK(g, W("SET"), W("b"), W("x")));
    CHECK_EQ(g->last.code, ERR_FULL);
    CHECK(ASK(g, W("GET"), W("a")));
    struct guest *late = enter(server.url);
    await(&late->ups, 1);
    leave(late);
    CHECK(ASK(g, W("CONFIG"), W("SET"), W("maxmemory"), W("0")));
    CHECK_EQ(atomic_load(&g->downs), 0);
    leave(g);
}

TEST(who_may_not_enter_is_told_and_no_password_shown)
{
    struct guest *g = enter_server();
    char url[128];
    CHECK(ASK(g, W("ACL"), W("SETUSER"), W("me"), W("on"), W(">right"), W("allkeys")));
    CHECK(ASK(g, W("ACL"), W("SETUSER"), W("me"), W("+@all"), W("-flushall")));
    snprintf(url, sizeof url, "redis://me:wrong@127.0.0.1:%d", server.port);
    struct guest *wrong = enter(url);
    await(&wrong->downs, 1);
    CHECK_EQ(wrong->down.code, ERR_FORBIDDEN);
    CHECK(!strstr(wrong->down.message, "wrong@") && strstr(wrong->down.message, "WRONGPASS"));
    leave(wrong);
    snprintf(url, sizeof url, "redis://me:right@127.0.0.1:%d/2", server.port);
    struct guest *right = enter(url);
    await(&right->ups, 1);
    CHECK(ASK(right, W("CLIENT"), W("INFO")));
    CHECK(!ASK(right, W("FLUSHALL")));
    CHECK_EQ(right->last.code, ERR_FORBIDDEN);
    CHECK_EQ(atomic_load(&right->downs), 0);
    leave(right);
    leave(g);
}

TEST(messages_come_beside_answers)
{
    struct guest *g = enter_server(), *other = enter_server();
    lane_call_wait(g->lane, destroy_on_lane, g);
    g->client = NULL;
    struct guest *sub = enter(server.url);
    CHECK(ASK(sub, W("SUBSCRIBE"), W("news")));
    CHECK(ASK(other, W("PUBLISH"), W("news"), W("hello")));
    CHECK_EQ(other->number, 1);
    await(&sub->messages, 1);
    CHECK_STR(sub->message, "news=hello");
    CHECK(ASK(sub, W("UNSUBSCRIBE"), W("news")));
    leave(sub);
    leave(other);
    leave(g);
}

TEST(a_name_that_does_not_exist_and_a_port_where_nobody_is)
{
    char url[64];
    struct guest *g = enter("redis://no-such-host.invalid");
    await(&g->downs, 1);
    CHECK_EQ(g->down.code, ERR_UNAVAILABLE);
    leave(g);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", loopback_free_port());
    g = enter(url);
    await(&g->downs, 1);
    CHECK_STR(g->down.message, "redis: Connection refused");
    leave(g);
    g = enter("unix:///no/such/socket");
    await(&g->downs, 1);
    leave(g);
}

/* A certificate of its own, which is its own authority. */
static pid_t start_tls(const char *dir, int port)
{
    char command[512], cert[128], key[128], text[16];
    snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    snprintf(key, sizeof key, "%s/key.pem", dir);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "
             "/CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
             key, cert);
    if (system(command) != 0)
        abort();
    snprintf(text, sizeof text, "%d", port);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("redis-server", "redis-server", "--port", "0", "--tls-port", text, "--bind",
               "127.0.0.1", "--dir", dir, "--save", "", "--logfile", "log", "--tls-cert-file", cert,
               "--tls-key-file", key, "--tls-auth-clients", "no", (char *)NULL);
        _exit(127);
    }
    return pid;
}

TEST(tls_with_a_server_that_is_known_and_with_one_that_is_not)
{
    char dir[] = "/tmp/maru-redis-XXXXXX", url[256];
    REQUIRE(mkdtemp(dir));
    int port = loopback_free_port();
    pid_t pid = start_tls(dir, port);
    snprintf(url, sizeof url, "rediss://127.0.0.1:%d?ssl_ca_certs=%s/cert.pem", port, dir);
    struct guest *g = enter(url);
    await(&g->ups, 1);
    CHECK(ASK(g, W("SET"), W("a"), W("sealed")));
    CHECK(ASK(g, W("GET"), W("a")));
    CHECK_STR(g->text, "sealed");
    lane_call_wait(g->lane, send_many, g);
    await(&g->answers, MANY + 2);
    CHECK(g->in_order);
    leave(g);
    snprintf(url, sizeof url, "rediss://127.0.0.1:%d", port);
    g = enter(url);
    await(&g->downs, 1);
    CHECK(strstr(g->down.message, "certificate") && atomic_load(&g->ups) == 0);
    leave(g);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    snprintf(url, sizeof url, "rm -rf '%s'", dir);
    CHECK(system(url) == 0);
}

TEST(what_waits_ends_with_the_client)
{
    struct guest *g = enter_server();
    kill(server.pid, SIGSTOP);
    struct sent s = {.g = g, .words = {W("GET"), W("a")}, .count = 2};
    lane_call_wait(g->lane, send_on_lane, &s);
    lane_call_wait(g->lane, destroy_on_lane, g);
    g->client = NULL;
    CHECK_EQ(atomic_load(&g->answers), 1);
    CHECK_EQ(g->last.code, ERR_CLOSED);
    kill(server.pid, SIGCONT);
    leave(g);
    redis_server_stop(&server);
}
