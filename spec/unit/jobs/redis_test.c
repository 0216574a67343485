/* The scripts on a real server: what they keep in kombu's keys and in ours. */
#include "test.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/json_pick.h"
#include "jobs/celery/message.h"
#include "jobs/redis/scripts.h"
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

static char refill[32]; /* ms, of the last claim */

static char *message(const char *task, const char *id, int64_t maru_id, int priority,
                     const char *key, const char *version)
{
    struct buf out = {0};
    celery_message_write(&(struct celery_message){.task = str_c(task),
                                                  .id = str_c(id),
                                                  .delivery_tag = str_c(id),
                                                  .routing_key = STR("q"),
                                                  .group_index = -1,
                                                  .maru_id = maru_id,
                                                  .key = str_c(key),
                                                  .version = version ? atoi(version) : 0,
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

/* What a push may say besides. */
struct more {
    const char *unique, *scope, *period, *replace, *version, *key, *task;
    int seq; /* 0 = the next */
};

/* The code that came back; "0" stands for an empty answer, "-" for one that came before. */
static const char *push_more(const char *id, const char *uuid, const char *list, const char *at,
                             int priority, struct more more)
{
    static char code[64];
    static int seq;
    char number[16];
    struct redis_args *a = begin();
    const char *task = more.task ? more.task : "t.add";
    char *m = message(task, uuid, atoi(id), priority, more.key, more.version);
    snprintf(number, sizeof number, "%d", more.seq ? more.seq : ++seq);
    const char *fields[] = {"me",
                            number,
                            "1",
                            id,
                            uuid,
                            task,
                            "q",
                            list,
                            m,
                            at,
                            more.unique,
                            "",
                            "1000000000000000000",
                            "4",
                            "{}",
                            "1",
                            more.key,
                            "",
                            more.scope,
                            more.period,
                            more.replace,
                            more.version,
                            ""};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        redis_arg_c(a, fields[i]);
    redisReply *reply = redis_eval(r, &redis_push, a, &err);
    snprintf(code, sizeof code, "%s",
             !reply                             ? "error"
             : reply->type != REDIS_REPLY_ARRAY ? "-"
             : reply->elements == 0             ? "0"
                                                : redis_item(reply, 0).p);
    if (reply)
        freeReplyObject(reply);
    free(m);
    return code;
}

static int push(const char *id, const char *uuid, const char *list, const char *at,
                const char *unique, int priority)
{
    const char *code = push_more(id, uuid, list, at, priority, (struct more){.unique = unique});
    return strcmp(code, "error") == 0 ? -1 : atoi(code);
}

/* One claim of queue q, where t.add and t.sub run; the rows. */
static redisReply *claim_as(const char *process, int seq, int want)
{
    static const char *const rest[] = {"1", "q", "2", "t.add", "t.sub"};
    struct redis_args *a = begin();
    redis_arg_int(a, 20);
    redis_arg_int(a, want);
    redis_arg_int(a, 7);
    redis_arg_c(a, "node-1");
    redis_arg_c(a, process);
    redis_arg_int(a, seq);
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        redis_arg_c(a, rest[i]);
    redisReply *reply = redis_eval(r, &redis_claim, a, &err);
    if (!reply)
        TEST_FAIL("claim: %s", err.message);
    snprintf(refill, sizeof refill, "%s", redis_item(reply, 0).p);
    redisReply *rows = reply->element[1];
    reply->element[1] = NULL;
    reply->elements = 1;
    freeReplyObject(reply);
    return rows;
}

static redisReply *claim(int want)
{
    static int seq;
    return claim_as("me", ++seq, want);
}

/* How many there were, and nothing else is kept of it. */
static int claimed(int want)
{
    redisReply *rows = claim(want);
    int n = (int)rows->elements;
    freeReplyObject(rows);
    return n;
}

static void declare(const char *who, const char *bounds)
{
    struct redis_args *a = begin();
    const char *fields[] = {"2", "t.add", "t.sub", who, bounds};
    for (size_t i = 0; i < 5; i++)
        redis_arg_c(a, fields[i]);
    redisReply *reply = redis_eval(r, &redis_declare_script, a, &err);
    if (!reply)
        TEST_FAIL("declare: %s", err.message);
    freeReplyObject(reply);
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
    redisReply *reply = claim(5);
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
    freeReplyObject(claim(1));
    CHECK_STR(ended((struct ending){.id = "1", .fence = "0", .kind = "over", .state = "done"}),
              "stale");
    CHECK_STR(text("HLEN %s", "unacked", NULL), "1");
    CHECK_STR(ended((struct ending){.id = "1", .fence = "1", .kind = "over", .state = "done"}),
              "ok");
    CHECK_STR(ended((struct ending){.id = "1", .fence = "1", .kind = "over", .state = "done"}),
              "ok");
    CHECK_STR(text("HGET maru:total:q %s", "done", NULL), "1"); /* its answer may have been lost */
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
    redisReply *reply = claim(10);
    REQUIRE(reply && reply->elements == 4);
    static const char *const order[] = {"3", "4", "2", "1"};
    for (size_t i = 0; i < 4; i++)
        CHECK(str_eq_c(redis_item(reply->element[i], 0), order[i]));
    freeReplyObject(reply);
}

/* Of [message, exchange, routing key]. */
static struct str message_in(struct str value)
{
    struct json_pick p;
    struct str item = value;
    if (json_pick_open(&p, value, '['))
        json_pick_item(&p, &item);
    return item;
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
        redis_arg(a, message_in(redis_item(found->element[i], 2)));
    }
    redisReply *reply = redis_eval(r, &redis_restore, a, &err);
    int64_t count = redis_int(reply);
    freeReplyObject(found);
    freeReplyObject(reply);
    return count;
}

static void done(const char *id)
{
    const char *fence = text("HGET maru:job:%s fence", id, NULL);
    char copy[32];
    snprintf(copy, sizeof copy, "%s", fence);
    CHECK_STR(ended((struct ending){.id = id, .fence = copy, .kind = "over", .state = "done"}),
              "ok");
}

static const char *member(const char *key, const char *id)
{
    return text("SISMEMBER %s %s", key, id);
}

TEST(a_kind_at_its_limit_is_set_aside_and_holds_up_no_other)
{
    fresh();
    declare("k:t.add", "1 0 0 0 0 0");
    push("1", "u1", "q", "", "", 0);
    push("2", "u2", "q", "", "", 0);
    push_more("3", "u3", "q", "", 0, (struct more){.task = "t.sub"});
    redisReply *rows = claim(10);
    REQUIRE(rows->elements == 2);
    CHECK(str_eq_c(redis_item(rows->element[0], 0), "1"));
    CHECK(str_eq_c(redis_item(rows->element[1], 0), "3"));
    freeReplyObject(rows);
    CHECK_STR(member(P "held:k:t.add", "1"), "1");
    CHECK_STR(text("HGET maru:job:2 %s", "parked", NULL), "k:t.add");
    CHECK_STR(text("HGET maru:count:q %s", "parked", NULL), "1");
    CHECK_EQ(claimed(10), 0);
    CHECK_STR(text("LLEN %s", "q", NULL), "0"); /* and nothing was touched that wakes others */
    done("1");
    rows = claim(10);
    REQUIRE(rows->elements == 1);
    CHECK(str_eq_c(redis_item(rows->element[0], 0), "2"));
    freeReplyObject(rows);
    CHECK_STR(text("HGET maru:count:q %s", "parked", NULL), "0");
}

TEST(parked_jobs_keep_their_order)
{
    char id[16], uuid[16];
    fresh();
    declare("k:t.add", "1 0 0 0 0 0");
    for (int i = 1; i <= 5; i++) {
        snprintf(id, sizeof id, "%d", i);
        snprintf(uuid, sizeof uuid, "u%d", i);
        push(id, uuid, "q", "", "", 0);
    }
    for (int i = 1; i <= 5; i++) {
        redisReply *rows = claim(10);
        snprintf(id, sizeof id, "%d", i);
        REQUIRE(rows->elements == 1);
        CHECK(str_eq_c(redis_item(rows->element[0], 0), id));
        freeReplyObject(rows);
        done(id);
    }
}

TEST(a_key_at_its_limit_waits_by_itself)
{
    fresh();
    declare("k:t.add", "0 0 0 1 0 0");
    push_more("1", "u1", "q", "", 0, (struct more){.key = "a"});
    push_more("2", "u2", "q", "", 0, (struct more){.key = "a"});
    push_more("3", "u3", "q", "", 0, (struct more){.key = "b\nc"});
    push_more("4", "u4", "q", "", 0, (struct more){.key = ""});
    redisReply *rows = claim(10);
    CHECK_EQ(rows->elements, 3);
    freeReplyObject(rows);
    CHECK_STR(text("HGET maru:job:2 %s", "parked", NULL), "K:t.add\na");
    done("3");
    CHECK_EQ(claimed(10), 0);
    done("1");
    CHECK_EQ(claimed(10), 1);
    CHECK_STR(member(P "held:K:t.add\na", "2"), "1");
    CHECK_STR(text("EXISTS %s", P "held:K:t.add\nb\nc", NULL), "0");
}

TEST(a_queue_at_its_limit_keeps_its_messages)
{
    fresh();
    declare("q:q", "2 0 0 0 0 0");
    push("1", "u1", "q", "", "", 0);
    push("2", "u2", "q", "", "", 0);
    push("3", "u3", "q", "", "", 0);
    CHECK_EQ(claimed(10), 2);
    CHECK_STR(text("LLEN %s", "q", NULL), "1");
    done("1");
    CHECK_EQ(claimed(10), 1);
    declare("q:q", "");
    push("4", "u4", "q", "", "", 0);
    CHECK_EQ(claimed(10), 1);
}

TEST(a_rate_is_a_bucket_on_the_servers_clock)
{
    fresh();
    declare("k:t.add", "0 2 3600 0 0 0");
    for (int i = 1; i <= 4; i++) {
        char id[16], uuid[16];
        snprintf(id, sizeof id, "%d", i);
        snprintf(uuid, sizeof uuid, "u%d", i);
        push(id, uuid, "q", "", "", 0);
    }
    CHECK_EQ(claimed(10), 2);
    CHECK(atoi(refill) > 1700000 && atoi(refill) <= 1800000);
    CHECK_EQ(claimed(10), 0);
    text("DEL %s", P "bucket:k:t.add", NULL); /* as if it had refilled */
    text("ZADD %s 0 %s", P "parked", "k:t.add");
    CHECK_EQ(claimed(10), 2);
}

TEST(what_a_dead_node_held_is_free_and_what_ran_before_a_limit_counts)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    push("2", "u2", "q", "", "", 0);
    CHECK_EQ(claimed(1), 1);
    declare("k:t.add", "1 0 0 0 0 0");
    CHECK_STR(member(P "held:k:t.add", "1"), "1");
    CHECK_EQ(claimed(1), 0);
    text("ZADD maru:lease %s %s", "1", "1"); /* its node is gone */
    CHECK_EQ(restore("q", "3600"), 1);
    CHECK_STR(text("SCARD %s", P "held:k:t.add", NULL), "0");
    CHECK_EQ(claimed(10), 1);
    text("SADD %s %s", P "held:k:t.add",
         "99"); /* nobody has it claimed: it does not count for long */
    done("2");
    CHECK_EQ(claimed(10), 1);
}

TEST(a_claim_whose_answer_was_lost_is_given_back_and_no_crash)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    push("2", "u2", "q", "", "", 0);
    freeReplyObject(claim_as("lost", 7, 1));
    struct redis_args *a = begin();
    redis_arg_c(a, "lost");
    redis_arg_c(a, "7");
    redisReply *reply = redis_eval(r, &redis_forgo, a, &err);
    CHECK_EQ(redis_int(reply), 1);
    freeReplyObject(reply);
    CHECK_EQ(restore("q", "3600"), 1);
    CHECK_STR(text("HEXISTS maru:job:1 %s", "crashes", NULL), "0");
    /* The claim itself, should it still arrive, takes nothing. */
    reply = claim_as("lost", 7, 5);
    CHECK_EQ(reply->elements, 0);
    freeReplyObject(reply);
    reply = claim_as("lost", 8, 5);
    CHECK_EQ(reply->elements, 2);
    freeReplyObject(reply);
}

TEST(a_push_that_comes_twice_is_there_once)
{
    fresh();
    CHECK_STR(push_more("1", "u1", "q", "", 0, (struct more){.seq = 1000000}), "0");
    CHECK_STR(push_more("1", "u1", "q", "", 0, (struct more){.seq = 1000000}), "0");
    CHECK_STR(push_more("1", "u1", "q", "", 0, (struct more){.seq = 999999}), "-");
    CHECK_STR(text("LLEN %s", "q", NULL), "1");
    CHECK_STR(push_more("2", "u2", "q", "", 0, (struct more){.seq = 1000001, .unique = "t:k"}),
              "0");
    struct more taken = {.seq = 1000002, .unique = "t:k"};
    CHECK_STR(push_more("3", "u3", "q", "", 0, taken), "1");
    CHECK_STR(push_more("3", "u3", "q", "", 0, taken), "1");
    text("SET %s %s", "other", "text");
    CHECK_STR(push_more("4", "u4", "other", "", 0, (struct more){.seq = 1000003}), "3");
    CHECK_STR(text("EXISTS %s", P "job:4", NULL), "0");
}

TEST(a_key_of_scope_queued_is_free_while_its_job_runs)
{
    struct more queued = {.unique = "t:k", .scope = "queued"};
    fresh();
    CHECK_STR(push_more("1", "u1", "q", "", 0, queued), "0");
    CHECK_STR(push_more("2", "u2", "q", "", 0, queued), "1");
    CHECK_EQ(claimed(1), 1);
    CHECK_STR(push_more("2", "u2", "q", "", 0, queued), "0");
    CHECK_STR(push_more("3", "u3", "q", "", 0, queued), "1");
    done("1"); /* whose key is another's now */
    CHECK_STR(push_more("3", "u3", "q", "", 0, queued), "1");
}

TEST(a_key_with_a_period_is_held_after_its_job)
{
    struct more period = {.unique = "t:k", .period = "3600000"};
    fresh();
    CHECK_STR(push_more("1", "u1", "q", "", 0, period), "0");
    CHECK_EQ(claimed(1), 1);
    done("1");
    CHECK_STR(push_more("2", "u2", "q", "", 0, period), "1");
    text("DEL %s", P "period:t:k", NULL);
    CHECK_STR(push_more("2", "u2", "q", "", 0, period), "0");
}

TEST(a_push_takes_the_place_of_a_queued_job_and_of_no_running_one)
{
    struct more replace = {.unique = "t:k", .replace = "?"};
    fresh();
    CHECK_STR(push_more("1", "u1", "q", "", 0, replace), "0");
    CHECK_STR(push_more("2", "u2", "q", "", 0, replace), "=1");
    replace.replace = "1";
    replace.version = "2";
    CHECK_STR(push_more("1", "u1",
                        "q\x06\x16"
                        "3",
                        "", 3, replace),
              "4");
    redisReply *rows = claim(10); /* what stood there before is passed over */
    REQUIRE(rows->elements == 1);
    CHECK(str_eq_c(redis_item(rows->element[0], 6), "q\x06\x16"
                                                    "3"));
    freeReplyObject(rows);
    CHECK_STR(push_more("3", "u3", "q", "", 0, (struct more){.unique = "t:k", .replace = "?"}),
              "1");
    done("1");
    /* Gone meanwhile: it is one of its own after all. */
    replace.version = "3";
    CHECK_STR(push_more("1", "u1", "q", "", 0, replace), "=");
    CHECK_STR(push_more("3", "u3", "q", "", 0,
                        (struct more){.unique = "t:k", .replace = "3", .version = "3"}),
              "0");
    CHECK_EQ(claimed(10), 1);
}

/* What keeps job `id` of task t.add. */
static const char *why(const char *id)
{
    static char out[512];
    struct redis_args *a = begin();
    redis_arg_c(a, id);
    redis_arg_c(a, "t.add");
    redisReply *reply = redis_eval(r, &redis_why, a, &err);
    snprintf(out, sizeof out, "%.*s", (int)redis_text(reply).n, redis_text(reply).p);
    if (reply)
        freeReplyObject(reply);
    return out;
}

TEST(what_keeps_a_job_from_running_is_said)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    push("2", "u2", "q", "", "", 0);
    push("3", "u3", "q", "4000000000", "", 0);
    CHECK_STR(why("1"), "[{\"code\":\"held\"}]");
    declare("q:q", "1 1 3600 0 0 0");
    CHECK_STR(why("1"), "[{\"code\":\"behind\"}]");
    CHECK(strstr(why("3"), "not_due") && strstr(why("3"), "4000000000"));
    text("SADD %s q", P "paused", NULL);
    CHECK_STR(why("2"), "[{\"code\":\"paused\"}]");
    text("SREM %s q", P "paused", NULL);
    CHECK_EQ(claimed(5), 1);
    CHECK_STR(why("1"), "");
    const char *full = why("2");
    CHECK(strstr(full, "queue_full") && strstr(full, "\"running\":1") &&
          strstr(full, "\"limit\":1"));
    CHECK(strstr(full, "queue_rate") && strstr(full, "until"));
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
    redisReply *reply = claim(10);
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
    freeReplyObject(claim(1));
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

TEST(messages_of_a_dead_node_and_of_a_dead_python_worker_come_back)
{
    fresh();
    push("1", "u1", "q", "", "", 0);
    freeReplyObject(claim(1));
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
    freeReplyObject(claim(1));
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
    freeReplyObject(claim(2));
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
    freeReplyObject(claim(1));
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
    freeReplyObject(claim(1));
    ended((struct ending){.id = "2",
                          .fence = "1",
                          .kind = "over",
                          .state = "done",
                          .push_list = "next",
                          .push_message = "the next of the chain"});
    CHECK_STR(text("LINDEX %s 0", "next", NULL), "the next of the chain");
}

/* What became due. */
static int due(void)
{
    redisReply *reply = redis_eval(r, &redis_due, begin(), &err);
    int n = (int)redis_int(reply);
    if (reply)
        freeReplyObject(reply);
    return n;
}

/* Job 1 is back with its message, of its first claim. */
static const char *back(const char *state, const char *run_at)
{
    char *m = message("t.add", "u1", 1, 0, "", NULL);
    const char *code = ended((struct ending){.id = "1",
                                             .fence = "1",
                                             .kind = "again",
                                             .state = state,
                                             .message = m,
                                             .list = "q",
                                             .run_at = run_at});
    free(m);
    return code;
}

TEST(a_job_that_goes_back_waits_while_something_else_has_its_lists_name)
{
    static const char *const places[] = {"", "front"};
    for (int i = 0; i < 2; i++) {
        fresh();
        push("1", "u1", "q", "", "", 0);
        CHECK_EQ(claimed(1), 1);
        text("SET %s %s", "q", "text");
        CHECK_STR(back("ready", places[i]), "ok");
        CHECK_STR(text("HGET maru:job:1 %s", "state", NULL), "delayed");
        text("DEL %s", "q", NULL);
        CHECK_EQ(due(), 0);
        text("ZADD maru:eta XX %s %s", "1", "1"); /* a minute later */
        CHECK_EQ(due(), 1);
        CHECK_STR(text("HGET maru:job:1 %s", "state", NULL), "ready");
        CHECK_EQ(claimed(1), 1);
    }
}

/* Job 1 is cancelled while it runs, which its node does not hear of. */
static void cancel_unheard(void)
{
    static const char *const fields[] = {"1", "8000000000000000000", "{}", "60"};
    struct redis_args *a = begin();
    for (int i = 0; i < 4; i++)
        redis_arg_c(a, fields[i]);
    redisReply *reply = redis_eval(r, &redis_cancel, a, &err);
    CHECK(str_eq_c(redis_text(reply), "running"));
    freeReplyObject(reply);
}

static void check_cancelled(void)
{
    CHECK_STR(text("HGET maru:job:1 %s", "state", NULL), "cancelled");
    redisReply *rows = claim(1);
    REQUIRE(rows->elements == 1);
    CHECK(str_eq_c(redis_item(rows->element[0], 4), "cancelled"));
    freeReplyObject(rows);
}

TEST(a_job_that_goes_back_after_a_cancel_its_node_never_heard_of_is_cancelled)
{
    static const char *const ways[][2] = {
        {"ready", "front"}, {"ready", ""}, {"delayed", "4000000000.5"}};
    for (int i = 0; i < 3; i++) {
        fresh();
        push("1", "u1", "q", "", "", 0);
        CHECK_EQ(claimed(1), 1);
        cancel_unheard();
        CHECK_STR(back(ways[i][0], ways[i][1]), "ok");
        check_cancelled();
    }
    fresh(); /* also when it has to wait for its list */
    push("1", "u1", "q", "", "", 0);
    CHECK_EQ(claimed(1), 1);
    cancel_unheard();
    text("SET %s %s", "q", "text");
    CHECK_STR(back("delayed", "4000000000.5"), "ok");
    text("DEL %s", "q", NULL);
    text("ZADD maru:eta XX %s %s", "1", "1");
    CHECK_EQ(due(), 1);
    check_cancelled();
}

TEST(a_dead_job_comes_back_and_a_queued_one_is_cancelled)
{
    fresh();
    push("1", "u1", "q", "", "t.add:k", 0);
    freeReplyObject(claim(1));
    ended((struct ending){.id = "1",
                          .fence = "1",
                          .kind = "over",
                          .state = "dead",
                          .error = "boom",
                          .message = "m",
                          .list = "q"});
    CHECK_STR(text("ZCARD %s", P "dead", NULL), "1");
    const char *fields[] = {"1", "m2", "q", "8000000000000000000"};
    text("DEL %s", "q", NULL);
    text("SET %s 1", "q", NULL); /* no list: refused before anything is changed */
    struct redis_args *a = begin();
    for (int i = 0; i < 4; i++)
        redis_arg_c(a, fields[i]);
    CHECK(!redis_eval(r, &redis_retry, a, &err));
    CHECK_STR(text("ZCARD %s", P "dead", NULL), "1");
    CHECK_STR(text("EXISTS %s", P "unique:t.add:k", NULL), "0");
    text("DEL %s", "q", NULL);
    a = begin();
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
    redisReply *reply = claim(10);
    CHECK_EQ(reply->elements, 2);
    freeReplyObject(reply);
}
