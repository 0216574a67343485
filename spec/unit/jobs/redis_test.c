/* The scripts on a real server: what they keep in kombu's keys and in ours. */
#include "test.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/json_pick.h"
#include "jobs/celery_message.h"
#include "jobs/redis_scripts.h"
#include "redis_server.h"

#define P "maru:"

static struct redis_server server;
static struct redis *r;
static struct redis_args args;
static struct err err;

__attribute__((destructor)) static void stop(void)
{
    redis_close(r);
    if (server.port)
        redis_server_stop(&server);
}

static void fresh(void)
{
    if (!r) {
        redis_server_start(&server);
        r = redis_server_open(&server, &err);
        redis_scripts_init();
    }
    freeReplyObject(redis_command(r, &err, "FLUSHALL"));
    args.count = args.number_count = 0;
}

static struct redis_args *begin(void)
{
    args.count = args.number_count = 0;
    redis_arg_c(&args, P);
    return &args;
}

static char *message(const char *task, const char *id, int64_t maru_id, int priority)
{
    struct buf out = {0};
    celery_message_write(&(struct celery_message){.task = str_c(task),
                                                  .id = str_c(id),
                                                  .delivery_tag = str_c(id),
                                                  .routing_key = STR("q"),
                                                  .group_index = -1,
                                                  .maru_id = maru_id,
                                                  .priority = priority,
                                                  .args = STR("[1]")},
                         &out);
    return buf_take(&out, NULL);
}

/* Text of a reply that one command gives. */
static const char *text(const char *format, const char *a, const char *b)
{
    static char out[4096];
    redisReply *reply = redis_command(r, &err, format, a, b);
    if (!reply)
        return err.message;
    if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(out, sizeof out, "%lld", reply->integer);
    else
        snprintf(out, sizeof out, "%.*s", (int)redis_text(reply).n, redis_text(reply).p);
    freeReplyObject(reply);
    return out;
}

static int push(const char *id, const char *uuid, const char *list, const char *at,
                const char *unique, int priority)
{
    struct redis_args *a = begin();
    char *m = message("t.add", uuid, atoi(id), priority);
    const char *fields[] = {
        "1", id,   uuid, "t.add", "q", list, m, at, unique, "", "1000000000000000000",
        "4", "{}", "1",  ""};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        redis_arg_c(a, fields[i]);
    redisReply *reply = redis_eval(r, &redis_push, a, &err);
    int code = reply && reply->elements == 1 ? (int)reply->element[0]->integer : -1;
    if (reply)
        freeReplyObject(reply);
    free(m);
    return code;
}

/* One claim of queue q: `room` is that of t.add. */
static redisReply *claim(int want, int room)
{
    struct redis_args *a = begin();
    redis_arg_int(a, 20);
    redis_arg_int(a, want);
    redis_arg_int(a, 7);
    redis_arg_c(a, "1");
    redis_arg_c(a, "q");
    redis_arg_c(a, "1");
    redis_arg_c(a, "t.add");
    redis_arg_int(a, room);
    redisReply *reply = redis_eval(r, &redis_claim, a, &err);
    if (!reply)
        TEST_FAIL("claim: %s", err.message);
    return reply;
}

/* Fields that most ends leave empty. */
struct ending {
    const char *id, *fence, *kind, *state, *error, *message, *list, *run_at;
    const char *group, *part, *index, *expected;
    const char *push_list, *push_message;
};

static redisReply *end(struct ending e)
{
    struct redis_args *a = begin();
    const char *fields[] = {"8000000000000000000",
                            "1",
                            e.id,
                            e.fence,
                            e.kind,
                            e.state,
                            "{\"status\":\"SUCCESS\"}",
                            "3600",
                            e.error,
                            "5",
                            e.message,
                            e.list,
                            e.run_at,
                            "1",
                            e.group,
                            e.part,
                            e.index ? e.index : "+inf",
                            e.expected};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        redis_arg_c(a, fields[i]);
    redis_arg_c(a, e.push_list ? "1" : "0");
    if (e.push_list) {
        redis_arg_c(a, e.push_list);
        redis_arg_c(a, e.push_message);
    }
    redis_arg_c(a, "0");
    redisReply *reply = redis_eval(r, &redis_end, a, &err);
    if (!reply)
        TEST_FAIL("end: %s", err.message);
    return reply;
}

static const char *ended(struct ending e)
{
    static char out[32];
    redisReply *reply = end(e);
    snprintf(out, sizeof out, "%s", reply ? redis_item(reply, 0).p : "");
    if (reply)
        freeReplyObject(reply);
    return out;
}

TEST(a_url_is_read_and_its_password_never_shown)
{
    struct redis_url u;
    REQUIRE(redis_url_parse(STR("redis://me:p%40ss@db.example:6390/3"), &u, &err));
    CHECK_STR(u.host, "db.example");
    CHECK_STR(u.user, "me");
    CHECK_STR(u.password, "p@ss");
    CHECK(u.port == 6390 && u.db == 3);
    redis_url_fini(&u);
    REQUIRE(redis_url_parse(STR("redis://:only@[::1]"), &u, &err));
    CHECK_STR(u.host, "::1");
    CHECK_STR(u.user, NULL);
    CHECK_STR(u.password, "only");
    CHECK(u.port == 6379 && u.db == 0);
    redis_url_fini(&u);
    REQUIRE(redis_url_parse(STR("redis://"), &u, &err));
    CHECK_STR(u.host, "127.0.0.1");
    redis_url_fini(&u);
    CHECK(!redis_url_parse(STR("redis://:secret@host:port/x"), &u, &err));
    CHECK(!strstr(err.message, "secret"));
    CHECK(!redis_url_parse(STR("http://:secret@host"), &u, &err));
    CHECK(!strstr(err.message, "secret"));
    CHECK(!redis_url_parse(STR("rediss://host"), &u, &err));
}

TEST(a_password_is_asked_for_and_a_wrong_one_refused)
{
    struct redis_url u;
    struct err refused = {0};
    fresh();
    freeReplyObject(redis_command(r, &err, "CONFIG SET requirepass secret"));
    REQUIRE(redis_url_parse(str_c(server.url), &u, &err));
    u.password = strdup("wrong");
    CHECK(!redis_open(&u, "test", 1000, &refused));
    CHECK(refused.code == ERR_FORBIDDEN && !strstr(refused.message, "wrong"));
    free(u.password);
    u.password = strdup("secret");
    struct redis *good = redis_open(&u, "test", 1000, &err);
    CHECK(good);
    redis_close(good);
    redis_url_fini(&u);
    freeReplyObject(redis_command(r, &err, "CONFIG SET requirepass %s", ""));
}

TEST(a_claimed_message_lies_in_unacked_as_kombu_would_have_it)
{
    fresh();
    CHECK_EQ(push("1", "u1", "q", "", "", 0), 0);
    redisReply *reply = claim(5, -1);
    REQUIRE(reply && reply->elements == 1);
    CHECK(str_eq_c(redis_item(reply->element[0], 0), "1"));
    CHECK(str_eq_c(redis_item(reply->element[0], 1), "1"));
    CHECK(str_eq_c(redis_item(reply->element[0], 4), ""));
    freeReplyObject(reply);
    CHECK_STR(text("LLEN %s", "q", NULL), "0");
    struct str kept = str_c(text("HGET unacked %s", "u1", NULL)), item[3];
    struct json_pick p;
    REQUIRE(json_pick_open(&p, kept, '['));
    for (int i = 0; i < 3; i++)
        CHECK(json_pick_item(&p, &item[i]));
    CHECK(str_eq_c(item[1], "\"\"") && str_eq_c(item[2], "\"q\""));
    struct arena *arena = arena_create();
    struct celery_message m;
    CHECK(celery_message_read(item[0], arena, &m, &err) && str_eq_c(m.id, "u1"));
    arena_destroy(arena);
    CHECK(atof(text("ZSCORE unacked_index %s", "u1", NULL)) > 1e9);
    CHECK_STR(ended((struct ending){.id = "1", .fence = "1", .kind = "over", .state = "done"}),
              "ok");
    CHECK_STR(text("HLEN %s", "unacked", NULL), "0");
    CHECK_STR(text("ZCARD %s", "unacked_index", NULL), "0");
    CHECK_STR(text("HGET maru:job:1 %s", "state", NULL), "done");
    CHECK_STR(text("GET %s", "celery-task-meta-u1", NULL), "{\"status\":\"SUCCESS\"}");
}

TEST(a_stale_fence_changes_nothing)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    freeReplyObject(claim(1, -1));
    CHECK_STR(ended((struct ending){.id = "1", .fence = "0", .kind = "over", .state = "done"}),
              "stale");
    CHECK_STR(text("HLEN %s", "unacked", NULL), "1");
    CHECK_STR(ended((struct ending){.id = "1", .fence = "1", .kind = "over", .state = "done"}),
              "ok");
    CHECK_STR(ended((struct ending){.id = "1", .fence = "1", .kind = "over", .state = "done"}),
              "stale");
    CHECK_STR(text("HGET maru:total:q %s", "done", NULL), "1");
}

TEST(lists_are_emptied_in_the_order_of_their_steps)
{
    fresh();
    push("1", "low",
         "q\x06\x16"
         "9",
         "", "", 9);
    push("2", "mid",
         "q\x06\x16"
         "3",
         "", "", 5);
    push("3", "high", "q", "", "", 0);
    push("4", "high2", "q", "", "", 0);
    redisReply *reply = claim(10, -1);
    REQUIRE(reply && reply->elements == 4);
    static const char *const order[] = {"3", "4", "2", "1"};
    for (size_t i = 0; i < 4; i++)
        CHECK(str_eq_c(redis_item(reply->element[i], 0), order[i]));
    freeReplyObject(reply);
}

TEST(a_kind_without_room_is_passed_over_and_stays_where_it_was)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    push("2", "u2", "q", "", "", 0);
    redisReply *reply = claim(10, 0);
    CHECK_EQ(reply->elements, 0);
    freeReplyObject(reply);
    reply = claim(10, 1);
    REQUIRE(reply->elements == 1);
    CHECK(str_eq_c(redis_item(reply->element[0], 0), "1"));
    freeReplyObject(reply);
    CHECK_STR(text("LLEN %s", "q", NULL), "1");
}

TEST(what_cannot_be_a_message_goes_to_the_quarantine)
{
    static const char *const bad[] = {
        "not json",
        "[]",
        "{\"headers\":{},\"properties\":{}}",
        "{\"headers\":{\"task\":\"t\"},\"properties\":{\"delivery_tag\":\"d\"}}",
        "{\"headers\":{\"task\":\"t\",\"id\":\"i\"},\"properties\":{\"delivery_tag\":\"d\"}}",
        "{\"headers\":{\"task\":\"t\",\"id\":\"i\"},\"properties\":"
        "{\"delivery_info\":{\"exchange\":\"\"}}}"};
    fresh();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        text("LPUSH q %s", bad[i], NULL);
    redisReply *reply = claim(10, -1);
    CHECK_EQ(reply->elements, 0);
    freeReplyObject(reply);
    CHECK_STR(text("LLEN %s", P "quarantine", NULL), "6");
    CHECK(strstr(text("LINDEX %s -1", P "quarantine", NULL), "the message is not JSON"));
    CHECK(strstr(text("LINDEX %s 0", P "quarantine", NULL), "the properties lack delivery_tag"));
}

TEST(a_unique_key_is_held_until_its_job_is_over)
{
    fresh();
    CHECK_EQ(push("1", "u1", "q", "", "t.add:k", 0), 0);
    CHECK_EQ(push("2", "u2", "q", "", "t.add:k", 0), 1);
    CHECK_STR(text("LLEN %s", "q", NULL), "1");
    freeReplyObject(claim(1, -1));
    CHECK_EQ(push("2", "u2", "q", "", "t.add:k", 0), 1);
    ended((struct ending){.id = "1", .fence = "1", .kind = "over", .state = "done"});
    CHECK_EQ(push("2", "u2", "q", "", "t.add:k", 0), 0);
}

TEST(a_delayed_message_waits_in_our_own_set_and_comes_when_due)
{
    fresh();
    CHECK_EQ(push("1", "u1",
                  "q\x06\x16"
                  "3",
                  "4000000000", "", 3),
             0);
    CHECK_STR(text("ZCARD %s", P "eta", NULL), "1");
    CHECK_STR(text("LLEN %s",
                   "q\x06\x16"
                   "3",
                   NULL),
              "0");
    redisReply *reply = redis_eval(r, &redis_due, begin(), &err);
    CHECK_EQ(redis_int(reply), 0);
    freeReplyObject(reply);
    text("ZADD maru:eta %s %s", "1", "1");
    reply = redis_eval(r, &redis_due, begin(), &err);
    CHECK_EQ(redis_int(reply), 1);
    freeReplyObject(reply);
    CHECK_STR(text("LLEN %s",
                   "q\x06\x16"
                   "3",
                   NULL),
              "1");
    CHECK_STR(text("HGET maru:job:1 %s", "state", NULL), "ready");
}

/* What the sweep found, put back; the number of messages. */
static int64_t restore(const char *list, const char *visibility)
{
    struct redis_args *a = begin();
    redis_arg_c(a, visibility);
    redis_arg_c(a, "token");
    redisReply *found = redis_eval(r, &redis_sweep, a, &err);
    if (!found || found->elements == 0) {
        if (found)
            freeReplyObject(found);
        return 0;
    }
    a = begin();
    redis_arg_c(a, visibility);
    redis_arg_c(a, "token");
    for (size_t i = 0; i < found->elements; i++) {
        redis_arg(a, redis_item(found->element[i], 0));
        redis_arg(a, redis_item(found->element[i], 1));
        redis_arg_c(a, list);
        redis_arg(a, redis_item(found->element[i], 2));
    }
    redisReply *reply = redis_eval(r, &redis_restore, a, &err);
    int64_t count = redis_int(reply);
    freeReplyObject(found);
    freeReplyObject(reply);
    return count;
}

TEST(messages_of_a_dead_node_and_of_a_dead_python_worker_come_back)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    freeReplyObject(claim(1, -1));
    CHECK_EQ(restore("q", "3600"), 0);
    text("ZADD maru:lease %s %s", "1", "1"); /* long over */
    CHECK_EQ(restore("q", "3600"), 1);
    CHECK_STR(text("LLEN %s", "q", NULL), "1");
    CHECK_STR(text("HLEN %s", "unacked", NULL), "0");
    CHECK_STR(text("HGET maru:job:1 %s", "crashes", NULL), "1");
    CHECK_STR(text("EXISTS %s", "unacked_mutex", NULL), "0");
    CHECK_STR(ended((struct ending){.id = "1", .fence = "1", .kind = "over", .state = "done"}),
              "stale");
    /* Kombu's: no lease, only an old score. */
    text("HSET unacked tag %s", "[{}, \"\", \"q\"]", NULL);
    text("ZADD unacked_index %s %s", "1000", "tag");
    CHECK_EQ(restore("q\x06\x16"
                     "6",
                     "3600"),
             1);
    CHECK_STR(text("LLEN %s",
                   "q\x06\x16"
                   "6",
                   NULL),
              "1");
    /* While somebody restores, nobody else does. */
    text("HSET unacked tag %s", "[{}, \"\", \"q\"]", NULL);
    text("ZADD unacked_index %s %s", "1000", "tag");
    text("SET unacked_mutex %s", "other", NULL);
    CHECK_EQ(restore("q", "3600"), 0);
}

TEST(a_lease_is_renewed_only_by_who_has_the_fence)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    freeReplyObject(claim(1, -1));
    text("ZADD maru:lease %s %s", "5", "1");
    struct redis_args *a = begin();
    redis_arg_c(a, "20");
    redis_arg_c(a, "1");
    redis_arg_c(a, "1");
    redis_arg_c(a, "1");
    redis_arg_c(a, "9");
    redisReply *reply = redis_eval(r, &redis_renew, a, &err);
    REQUIRE(reply);
    CHECK_EQ(reply->elements, 1);
    freeReplyObject(reply);
    CHECK(atof(text("ZSCORE maru:lease %s", "1", NULL)) > 1e9);
}

TEST(the_last_part_of_a_chord_pushes_its_body_in_the_same_step)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    push("2", "u2", "q", "", "", 0);
    freeReplyObject(claim(2, -1));
    struct ending first = {.id = "1",
                           .fence = "1",
                           .kind = "over",
                           .state = "done",
                           .group = "g",
                           .part = "[1,\"u1\",\"SUCCESS\",3]",
                           .index = "1"};
    CHECK_STR(ended(first), "ok"); /* before its producer, who sends the last part after the size */
    text("SET celery-taskset-meta-g.s %s", "2", NULL);
    struct ending last = {.id = "2",
                          .fence = "1",
                          .kind = "over",
                          .state = "done",
                          .group = "g",
                          .part = "[1,\"u2\",\"SUCCESS\",5]",
                          .index = "0"};
    redisReply *reply = end(last);
    REQUIRE(reply && reply->element[0]->type == REDIS_REPLY_ARRAY);
    CHECK_EQ(reply->element[0]->elements, 2);
    CHECK(str_eq_c(redis_item(reply->element[0], 0), "[1,\"u1\",\"SUCCESS\",3]"));
    freeReplyObject(reply);
    CHECK_STR(text("HGET maru:job:2 %s", "state", NULL), "running");
    last.expected = "1";
    last.push_list = "body";
    last.push_message = "the body";
    CHECK_STR(ended(last), "ok");
    CHECK_STR(text("LINDEX %s 0", "body", NULL), "the body");
    CHECK_STR(text("EXISTS %s", "celery-taskset-meta-g.j", NULL), "0");
}

TEST(a_retry_and_what_follows_a_success_are_pushed_with_the_end)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    freeReplyObject(claim(1, -1));
    CHECK_STR(ended((struct ending){.id = "1",
                                    .fence = "1",
                                    .kind = "again",
                                    .state = "delayed",
                                    .error = "boom",
                                    .message = "again",
                                    .list = "q",
                                    .run_at = "4000000000.5"}),
              "ok");
    CHECK_STR(text("HGET maru:job:1 %s", "run_at", NULL), "4000000000500000000");
    CHECK_STR(text("HGET maru:job:1 %s", "error", NULL), "boom");
    CHECK_STR(text("HLEN %s", "unacked", NULL), "0");
    push("2", "u2", "q", "", "", 0);
    freeReplyObject(claim(1, -1));
    ended((struct ending){.id = "2",
                          .fence = "1",
                          .kind = "over",
                          .state = "done",
                          .push_list = "next",
                          .push_message = "the next of the chain"});
    CHECK_STR(text("LINDEX %s 0", "next", NULL), "the next of the chain");
}

TEST(a_dead_job_comes_back_and_a_queued_one_is_cancelled)
{
    fresh();
    push("1", "u1", "q", "", "t.add:k", 0);
    freeReplyObject(claim(1, -1));
    ended((struct ending){.id = "1",
                          .fence = "1",
                          .kind = "over",
                          .state = "dead",
                          .error = "boom",
                          .message = "m",
                          .list = "q"});
    CHECK_STR(text("ZCARD %s", P "dead", NULL), "1");
    struct redis_args *a = begin();
    const char *fields[] = {"1", "m2", "q", "8000000000000000000"};
    for (int i = 0; i < 4; i++)
        redis_arg_c(a, fields[i]);
    redisReply *reply = redis_eval(r, &redis_retry, a, &err);
    CHECK(str_eq_c(redis_text(reply), "ok"));
    freeReplyObject(reply);
    CHECK_STR(text("LINDEX %s 0", "q", NULL), "m2");
    CHECK_STR(text("GET %s", P "unique:t.add:k", NULL), "1");
    a = begin();
    const char *cancel[] = {"1", "8000000000000000000", "{\"task_id\":\"$uuid\"}", "60"};
    for (int i = 0; i < 4; i++)
        redis_arg_c(a, cancel[i]);
    reply = redis_eval(r, &redis_cancel, a, &err);
    CHECK(str_eq_c(redis_text(reply), "cancelled"));
    freeReplyObject(reply);
    CHECK_STR(text("GET %s", "celery-task-meta-u1", NULL), "{\"task_id\":\"u1\"}");
    CHECK_STR(text("EXISTS %s", P "unique:t.add:k", NULL), "0");
}

TEST(scripts_survive_their_being_forgotten_and_a_restart_of_the_server)
{
    fresh();
    CHECK_EQ(push("1", "u1", "q", "", "", 0), 0);
    text("SCRIPT FLUSH", NULL, NULL);
    CHECK_EQ(push("2", "u2", "q", "", "", 0), 0);
    redis_server_kill(&server);
    CHECK_EQ(push("3", "u3", "q", "", "", 0), -1);
    CHECK(err.code == ERR_IO);
    redis_close(r);
    redis_server_start(&server);
    r = redis_server_open(&server, &err);
    CHECK_STR(text("LLEN %s", "q", NULL), "2");
    redisReply *reply = claim(10, -1);
    CHECK_EQ(reply->elements, 2);
    freeReplyObject(reply);
}
