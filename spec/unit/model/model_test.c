#include "model/model.h"

#include <semaphore.h>

#include "base/clock.h"
#include "base/json.h"
#include "config/config.h"
#include "test.h"

static struct config *config;

static struct model *make(const char *providers, const char *budget, struct err *err)
{
    char first[1024], second[256];
    snprintf(first, sizeof first, "model.providers=%s", providers);
    snprintf(second, sizeof second, "model.budget=%s", budget);
    const char *sets[] = {first, second};
    config = config_load(NULL, sets, 2, err);
    return config ? model_create(config, NULL, err) : NULL;
}

static void end(struct model *model)
{
    model_destroy(model);
    config_free(config);
}

#define ONE                                                                                        \
    "[{\"name\":\"a\",\"model\":\"m\",\"concurrency\":1,\"price\":{\"input\":1,\"output\":2}}]"

/* A lane, and tickets taken and ended on it, one step at a time. */
struct stage {
    struct model *model;
    struct lane *lane;
    struct model_ticket *tickets[3];
    bool at_once[3];
    struct err errs[3];
    struct model_usage usage;
    sem_t entered, written;
    int chosen;
};

static void on_entered(void *arg)
{
    sem_post(&((struct stage *)arg)->entered);
}

static void on_written(void *arg)
{
    sem_post(&((struct stage *)arg)->written);
}

static void enter(void *arg)
{
    struct stage *s = arg;
    struct model_estimate estimate = {.tokens_in = 10, .tokens_out = 10};
    s->tickets[s->chosen] = model_enter(s->model, 0, "shop", &estimate, s->lane, on_entered, s,
                                        &s->at_once[s->chosen], &s->errs[s->chosen]);
}

static void leave(void *arg)
{
    struct stage *s = arg;
    model_leave(s->tickets[s->chosen], &s->usage, on_written, s);
}

static void abandon(void *arg)
{
    struct stage *s = arg;
    model_abandon(s->tickets[s->chosen], false);
}

static void abandon_sent(void *arg)
{
    struct stage *s = arg;
    model_abandon(s->tickets[s->chosen], true);
}

/* The second is told that it may go in while it already leaves. */
static void abandon_two(void *arg)
{
    struct stage *s = arg;
    model_abandon(s->tickets[0], false);
    model_abandon(s->tickets[1], false);
}

static void step(struct stage *s, int ticket, lane_fn *fn)
{
    s->chosen = ticket;
    lane_call_wait(s->lane, fn, s);
}

static bool begin(struct stage *s, const char *budget)
{
    struct err err = {0};
    s->model = make(ONE, budget, &err);
    CHECK_STR(err.message, "");
    s->lane = lane_create(0, LANE_WEB, "test", &err);
    lane_start(s->lane, NULL, NULL, &err);
    sem_init(&s->entered, 0, 0);
    sem_init(&s->written, 0, 0);
    return s->model != NULL;
}

static void finish(struct stage *s)
{
    lane_stop(s->lane);
    lane_join(s->lane);
    lane_destroy(s->lane);
    sem_destroy(&s->entered);
    sem_destroy(&s->written);
    end(s->model);
}

TEST(a_full_provider_is_waited_for_in_order)
{
    struct stage s = {.usage = {.tokens_in = 3, .tokens_out = 4}};
    REQUIRE(begin(&s, ""));
    step(&s, 0, enter);
    step(&s, 1, enter);
    step(&s, 2, enter);
    CHECK(s.at_once[0] && !s.at_once[1] && !s.at_once[2]);
    CHECK_EQ(sem_trywait(&s.entered), -1);
    step(&s, 1, abandon); /* while it waits */
    step(&s, 0, leave);
    sem_wait(&s.written);
    sem_wait(&s.entered);
    CHECK_EQ((int64_t)(s.usage.cost * 1e6 + 0.5), 3 * 1 + 4 * 2);
    step(&s, 2, leave);
    sem_wait(&s.written);
    CHECK_EQ(sem_trywait(&s.entered), -1);
    finish(&s);
}

TEST(a_place_given_to_one_that_left_goes_to_the_next)
{
    struct stage s = {.usage = {.tokens_in = 1}};
    REQUIRE(begin(&s, ""));
    step(&s, 0, enter);
    step(&s, 1, enter);
    step(&s, 0, abandon_sent); /* lets 1 in: its lane is told, or will be */
    sem_wait(&s.entered);
    step(&s, 1, abandon);
    step(&s, 2, enter);
    CHECK(s.at_once[2]);
    step(&s, 2, abandon);
    step(&s, 0, enter);
    step(&s, 1, enter);
    step(&s, 0, abandon_two);
    step(&s, 2, enter);
    CHECK_EQ(sem_trywait(&s.entered), -1);
    CHECK(s.at_once[2]);
    step(&s, 2, leave);
    sem_wait(&s.written);
    finish(&s);
}

TEST(a_budget_counts_what_is_set_aside_and_what_was_spent)
{
    struct stage s = {.usage = {.tokens_in = 5, .tokens_out = 5}};
    struct buf out = {0};
    struct json w = json_to(&out);
    REQUIRE(begin(&s, "[{\"plugin\":\"other\",\"tokens\":1},{\"tokens\":45}]"));
    step(&s, 0, enter);
    step(&s, 1, enter);
    step(&s, 2, enter); /* 60 of 45 */
    CHECK(s.tickets[1] && !s.tickets[2]);
    CHECK_EQ(s.errs[2].code, ERR_LIMIT);
    CHECK(strstr(s.errs[2].message, "45 tokens a day"));
    step(&s, 0, leave); /* 10 in the place of 20 */
    sem_wait(&s.written);
    sem_wait(&s.entered);
    step(&s, 1, abandon_sent); /* counts as the 20 that were set aside */
    step(&s, 2, enter);
    CHECK(!s.tickets[2]);
    json_open(&w, '{');
    model_write(s.model, &w);
    json_close(&w, '}');
    CHECK(strstr(out.p, "\"tokens_in\":25,\"tokens_out\":5"));
    buf_free(&out);
    finish(&s);
}

TEST(a_provider_rests_until_it_answers)
{
    struct err err = {0}, down = {.code = ERR_IO, .message = "refused"};
    struct model *model = make(ONE, "", &err);
    REQUIRE(model);
    CHECK(!model_provider_rests(model, 0));
    model_provider_failed(model, 0, &down);
    CHECK(model_provider_rests(model, 0));
    model_provider_answered(model, 0);
    CHECK(!model_provider_rests(model, 0));
    end(model);
}

static const char *wrong(const char *providers, const char *budget)
{
    static struct err err;
    err = (struct err){0};
    struct model *model = make(providers, budget, &err);
    if (model)
        model_destroy(model);
    config_free(config);
    return err.message;
}

TEST(settings_are_checked)
{
    CHECK_STR(wrong("[]", "[]"), "");
    CHECK(strstr(wrong("[1]", ""), "must be a list of tables"));
    CHECK(strstr(wrong("[{\"name\":[1]}]", ""), "no list stands here"));
    CHECK(strstr(wrong("[{\"name\":\"rules\",\"model\":\"m\"}]", ""), "words of the host's own"));
    CHECK(strstr(wrong("[{\"name\":\"a\",\"model\":\"m\",\"url\":\"http://u:p@h/\"}]", ""),
                 "[1].url"));
    CHECK(strstr(wrong("[{\"name\":\"a\",\"model\":\"m\",\"concurrency\":0}]", ""),
                 "[1].concurrency"));
    CHECK(strstr(wrong("", "[{\"cost\":-1}]"), "model.budget: [1].cost"));
    CHECK(strstr(wrong("", "[{\"prize\":1}]"), "[1].prize: no such setting"));
}

static bool takes(const char *redact)
{
    char text[100];
    struct err err = {0};
    snprintf(text, sizeof text, "model.redact=%s", redact);
    const char *sets[] = {text};
    config = config_load(NULL, sets, 1, &err);
    struct model *model = config ? model_create(config, NULL, &err) : NULL;
    CHECK(model || strstr(err.message, "model.redact"));
    model_destroy(model);
    config_free(config);
    return model != NULL;
}

TEST(what_is_redacted_is_a_pattern_that_lua_takes)
{
    static const char *const good[] = {"keys",           "%d+%-%d", "[%]%d]", "[]]",
                                       "a(b)%f[%w]%bxy", "[^]]+$",  "",       "100%%"};
    static const char *const bad[] = {"[%d", "a%", "%f", "%bx", "(a", "a)", "[]", "[%", "[^"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(takes(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!takes(bad[i]));
}

TEST(addresses_become_the_only_host_that_is_reached)
{
    struct err err = {0};
    struct model *model = make("[{\"name\":\"a\",\"model\":\"m\",\"url\":\"http://[::1]:81/v1/\"},"
                               "{\"name\":\"b\",\"model\":\"m\"}]",
                               "", &err);
    REQUIRE(model);
    CHECK_STR(model_provider(model, 0)->allow, "private:[::1]:81");
    CHECK_STR(model_provider(model, 0)->url, "http://[::1]:81/v1");
    CHECK_STR(model_provider(model, 1)->allow, "private:api.openai.com:443");
    end(model);
}
