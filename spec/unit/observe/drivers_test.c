#include "test.h"

#include "base/clock.h"
#include "observe/drivers.h"
#include "observe/metrics.h"

static struct driver_state seen;
static char address[256];
static int count;

static void see(const struct driver_state *state, void *arg)
{
    if (strcmp(state->kind, arg) != 0)
        return;
    count++;
    seen = *state;
    snprintf(address, sizeof address, "%s", state->address);
}

static int look(const char *kind)
{
    count = 0;
    driver_health_list(see, (void *)(uintptr_t)kind);
    return count;
}

static bool printed(const char *line)
{
    struct buf out = {0};
    metrics_print(&out);
    bool found = strstr(buf_str(&out).p, line) != NULL;
    buf_free(&out);
    return found;
}

TEST(how_long_an_answer_takes_is_smoothed)
{
    struct driver_health *h = driver_health_register("latency", "x", false);
    look("latency");
    CHECK_EQ(seen.took_ns, 0);
    driver_health_took(h, 800);
    driver_health_took(h, 1600);
    driver_health_took(h, 0);
    look("latency");
    CHECK_EQ(seen.took_ns, 900);
    driver_health_unregister(h);
    driver_health_took(NULL, 1);
}

TEST(a_driver_is_up_until_it_says_otherwise)
{
    struct driver_health *h = driver_health_register("store", "postgres", true);
    CHECK_EQ(look("store"), 1);
    CHECK_EQ(seen.level, DRIVER_UP);
    CHECK(seen.required && seen.since_wall > 0);
    CHECK(printed("maru_driver_up{kind=\"store\",driver=\"postgres\"} 1\n"));
    driver_health_unregister(h);
    CHECK_EQ(look("store"), 0);
}

TEST(only_a_change_is_a_change)
{
    struct driver_health *h = driver_health_register("cache", "redis", false);
    struct err err = {0};
    err_set(&err, ERR_IO, "connection refused");
    CHECK(!driver_health_up(h));
    CHECK(driver_health_down(h, &err));
    CHECK(!driver_health_down(h, &err));
    CHECK_EQ(look("cache"), 1);
    CHECK_EQ(seen.level, DRIVER_DOWN);
    CHECK_STR(seen.err.message, "connection refused");
    CHECK(printed("maru_driver_up{kind=\"cache\",driver=\"redis\"} 0\n"));
    CHECK(driver_health_degraded(h, &err));
    CHECK(printed("maru_driver_up{kind=\"cache\",driver=\"redis\"} 0.5\n"));
    CHECK(driver_health_up(h));
    look("cache");
    CHECK_EQ(seen.err.code, ERR_NONE);
    driver_health_unregister(h);
}

TEST(an_address_has_no_password)
{
    static const char *const pairs[][2] = {
        {"postgresql://maru:se@cr/et@db:5432/app?sslmode=require", "postgresql://maru@db:5432/app"},
        {"redis://:secret@cache:6379/1", "redis://cache:6379/1"},
        {"host=db port=5433 password=secret user=maru", "host=db port=5433 user=maru"},
        {"a:9092,b:9092", "a:9092,b:9092"},
        {"postgresql://db/app?password=secret", "postgresql://db/app"},
        {"postgresql://db/app?password=se@cret", "postgresql://"},
        {"postgresql://maru:what?@db/app", "postgresql://"},
    };
    struct driver_health *h = driver_health_register("x", "y", false);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        driver_health_address(h, pairs[i][0]);
        look("x");
        CHECK_STR(address, pairs[i][1]);
    }
    driver_health_unregister(h);
}

TEST(nobody_reports_to_nothing)
{
    CHECK(!driver_health_up(NULL));
    driver_health_unregister(NULL);
}
