#include "reload/plan.h"

#include "reload/set.h"
#include "test.h"

static const struct plan_plugin a1 = {"a", "hash-a1", "c1", false, NULL};
static const struct plan_plugin a2 = {"a", "hash-a2", "c1", false, NULL};
static const struct plan_plugin b1 = {"b", "hash-b1", "c1", false, NULL};
static const struct plan_plugin b1_other_config = {"b", "hash-b1", "c2", false, NULL};
static const struct plan_plugin c_disabled = {"c", "hash-c1", "c1", true, NULL};

static void check_step(const struct plan *plan, int i, const char *plugin, enum plan_action action,
                       const char *reason)
{
    REQUIRE(i < plan->count);
    CHECK(!strcmp(plan->steps[i].plugin, plugin));
    CHECK(plan->steps[i].action == action);
    CHECK(!strcmp(plan->steps[i].reason, reason));
}

TEST(starts_what_is_new_and_leaves_out_what_is_disabled)
{
    struct plan_plugin found[] = {b1, a1, c_disabled};
    struct plan plan = plan_make(NULL, 0, found, 3, NULL, false);
    CHECK(plan.count == 2 && plan.changes == 2);
    check_step(&plan, 0, "a", PLAN_START, "new");
    check_step(&plan, 1, "b", PLAN_START, "new");
    CHECK(plan.steps[0].found == 1 && plan.steps[0].serving == -1);
    CHECK(plan.steps[0].from == NULL);
    plan_free(&plan);
}

TEST(replaces_by_content_and_by_configuration)
{
    struct plan_plugin serving[] = {a1, b1}, found[] = {a2, b1_other_config};
    struct plan plan = plan_make(serving, 2, found, 2, NULL, false);
    CHECK(plan.changes == 2);
    check_step(&plan, 0, "a", PLAN_REPLACE, "files changed");
    check_step(&plan, 1, "b", PLAN_REPLACE, "configuration changed");
    CHECK(!strcmp(plan.steps[0].from, "hash-a1") && !strcmp(plan.steps[0].to, "hash-a2"));
    plan_free(&plan);
}

TEST(stops_what_is_gone_or_disabled)
{
    struct plan_plugin c_serving = {"c", "hash-c1", "c1", false, NULL};
    struct plan_plugin serving[] = {a1, c_serving}, found[] = {c_disabled};
    struct plan plan = plan_make(serving, 2, found, 1, NULL, false);
    check_step(&plan, 0, "a", PLAN_STOP, "its folder is gone");
    check_step(&plan, 1, "c", PLAN_STOP, "disabled in the configuration");
    plan_free(&plan);
}

TEST(keeps_what_was_not_asked_for)
{
    const char *const only[] = {"b", NULL};
    struct plan_plugin serving[] = {a1, b1}, found[] = {a2, b1};
    struct plan plan = plan_make(serving, 2, found, 2, only, false);
    CHECK(plan.changes == 0);
    check_step(&plan, 0, "a", PLAN_KEEP, "not asked for");
    check_step(&plan, 1, "b", PLAN_KEEP, "unchanged");
    plan_free(&plan);
    plan = plan_make(serving, 2, found, 2, only, true);
    CHECK(plan.changes == 1);
    check_step(&plan, 1, "b", PLAN_REPLACE, "asked for");
    plan_free(&plan);
}

TEST(prints_the_same_list_as_text_and_json)
{
    struct plan_plugin serving[] = {a1}, found[] = {a2};
    struct plan plan = plan_make(serving, 1, found, 1, NULL, false);
    struct buf text = {0}, json = {0};
    plan_print(&plan, &text);
    plan_json(&plan, &json);
    CHECK(strstr(text.p, "replace  a") == text.p);
    CHECK(strstr(text.p, "files changed") != NULL);
    CHECK(!strcmp(json.p, "[{\"plugin\":\"a\",\"action\":\"replace\",\"reason\":\"files changed\","
                          "\"from\":\"hash-a1\",\"to\":\"hash-a2\","
                          "\"permissions\":{\"added\":[],\"removed\":[]}}]"));
    buf_free(&text);
    buf_free(&json);
    plan_free(&plan);
}

TEST(a_step_says_what_its_plugin_may_reach_from_then_on)
{
    struct plan_plugin serving[] = {a1}, found[] = {a2};
    struct plan plan = plan_make(serving, 1, found, 1, NULL, false);
    struct buf text = {0}, json = {0};
    struct capability_list before, after;
    capability_read(STR("env KEY\nnet b.example:443\n"), &before);
    capability_read(STR("net a.example:443\nnet b.example:443\n"), &after);
    plan_permissions(&plan.steps[0], &(struct capability_list){0}, &before);
    CHECK_EQ(plan.steps[0].permissions.added_count, 2);
    plan_permissions(&plan.steps[0], &before, &after);
    plan_print(&plan, &text);
    plan_json(&plan, &json);
    CHECK(strstr(text.p, "files changed  + net a.example:443  - env KEY\n"));
    CHECK(strstr(json.p, "\"permissions\":{\"added\":[\"net a.example:443\"],"
                         "\"removed\":[\"env KEY\"]}"));
    capability_list_free(&before);
    capability_list_free(&after);
    buf_free(&text);
    buf_free(&json);
    plan_free(&plan);
}

TEST(compares_versions_number_by_number)
{
    CHECK(version_compare(STR("1.10.0"), STR("1.9")) > 0);
    CHECK(version_compare(STR("1"), STR("1.0.0")) == 0);
    CHECK(version_compare(STR("0.9.9"), STR("1")) < 0);
}

TEST(says_why_something_else_than_the_folder_serves)
{
    struct plan_plugin serving[] = {a1, b1}, found[] = {a1, b1};
    found[0].note = "rolled back from x to y: why";
    struct plan plan = plan_make(serving, 2, found, 2, NULL, false);
    CHECK(plan.changes == 0);
    check_step(&plan, 0, "a", PLAN_KEEP, "rolled back from x to y: why");
    check_step(&plan, 1, "b", PLAN_KEEP, "unchanged");
    plan_free(&plan);
    plan = plan_make(serving + 1, 1, found, 2, NULL, false);
    check_step(&plan, 0, "a", PLAN_START, "rolled back from x to y: why");
    plan_free(&plan);
}
