#include "jobs/flow_host.h"
#include "test.h"

/* What each step of the graph below returns: moves as lua/maru/workflow_run.lua makes them. */
static const struct {
    const char *step, *move;
} moves[] = {
    {"split", "{\"set\":{\"a\":1,\"gone\":2},\"next\":[\"left\",\"right\"]}"},
    {"left", "{\"set\":{\"left\":[\"l\",{}]},\"remove\":[\"gone\"],\"next\":[\"both\"]}"},
    {"right", "{\"set\":{\"right\":\"}],\\\"\"},\"next\":[\"both\"]}"},
    {"both", "{\"next\":[\"ask\"]}"},
    {"ask", "{\"wait\":{\"signal\":\"go\",\"next\":\"last\"}}"},
    {"hurry",
     "{\"wait\":{\"signal\":\"go\",\"next\":\"last\",\"otherwise\":\"late\",\"timeout\":0.05}}"},
    {"sleepy", "{\"wait\":{\"next\":\"last\",\"otherwise\":\"last\",\"timeout\":0.05}}"},
    {"never", "{\"wait\":{\"signal\":\"go\",\"next\":\"last\",\"timeout\":0.05}}"},
    {"last", "{\"set\":{\"last\":true}}"},
    {"late", "{\"set\":{\"late\":true}}"},
    {"again", "{\"next\":[\"again\"]}"},
    {"lost", "{\"next\":[\"nowhere\"]}"},
    {"half", "{\"next\":[\"left\"]}"},
    {"stray", "{\"next\":[\"both\"]}"},
};

static _Atomic int runs;
static _Atomic bool broken = true;

static void on_run(struct job_run *run, void *arg)
{
    const char *step = strrchr(run->kind, '.') + 1;
    struct job_outcome outcome = {.end = JOB_END_DONE};
    (void)arg;
    atomic_fetch_add(&runs, 1);
    if (!strcmp(step, "bad") || (!strcmp(step, "weak") && atomic_load(&broken))) {
        jobs_finish(run, &(struct job_outcome){.end = JOB_END_DISCARDED, .error = STR("no good")});
        return;
    }
    if (!strcmp(step, "echo")) /* [args, previous] */
        outcome.result = run->args;
    if (!strcmp(step, "prev"))
        outcome.result = run->previous;
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
        if (!strcmp(step, moves[i].step))
            outcome.result = str_c(moves[i].move);
    jobs_finish(run, &outcome);
}

static char *both_join[] = {"left other", "right"};
static struct workflow_step_decl steps[] = {
    {.name = "split"},
    {.name = "left"},
    {.name = "right"},
    {.name = "both", .join = both_join, .join_count = 2},
    {.name = "ask"},
    {.name = "hurry"},
    {.name = "never"},
    {.name = "last"},
    {.name = "late"},
    {.name = "again"},
    {.name = "lost"},
    {.name = "half"},
    {.name = "stray"},
    {.name = "sleepy"},
    {.name = "bad", .on_error = "late"},
    {.name = "weak"},
};
static const char *const kinds[] = {
    "p.flow:g.split", "p.flow:g.left",  "p.flow:g.right", "p.flow:g.both",   "p.flow:g.ask",
    "p.flow:g.hurry", "p.flow:g.never", "p.flow:g.last",  "p.flow:g.late",   "p.flow:g.again",
    "p.flow:g.lost",  "p.flow:g.half",  "p.flow:g.stray", "p.flow:g.sleepy", "p.flow:g.bad",
    "p.flow:g.weak",  "p.echo",         "p.prev",         "p.bad",           NULL};

static void declare(struct host *h, const char *start)
{
    struct workflow_decl decl = {.plugin = "p",
                                 .name = "g",
                                 .start = (char *)(uintptr_t)start,
                                 .version = 3,
                                 .max_steps = 20,
                                 .steps = steps,
                                 .step_count = sizeof steps / sizeof *steps};
    flow_set_decl(h, &decl, kinds);
}

static void open_started(struct host *h)
{
    h->run = on_run;
    host_open(h);
    declare(h, "split");
    host_start(h, 2, 8);
}

static void close_all(struct host *h)
{
    host_stop(h, NS_PER_SECOND);
    host_close(h);
    host_remove(h);
}

TEST(a_graph_branches_joins_waits_and_checkpoints)
{
    struct host h = {0};
    bool woke;
    open_started(&h);
    int64_t id = flow_graph(&h, "g", "");
    CHECK(id > 0);
    CHECK(flow_is(&h, id, "waiting"));
    CHECK(flow_has(&h, id, "\"a\":1"));
    CHECK(flow_has(&h, id, "\"left\":[\"l\",{}]"));
    CHECK(flow_has(&h, id, "\"right\":\"}],\\\"\""));
    CHECK(!flow_has(&h, id, "\"gone\":2,\"right\""));
    CHECK_EQ(flow_signal(&h, id, "go", "{\"ok\":true}", &woke), ERR_NONE);
    CHECK(woke);
    CHECK(flow_is(&h, id, "done"));
    CHECK(flow_has(&h, id, "\"last\":true}"));
    CHECK_EQ(flow_signal(&h, id, "go", "null", &woke), ERR_CONFLICT);
    CHECK_EQ(flow_signal(&h, 999, "go", "null", &woke), ERR_NOT_FOUND);
    close_all(&h);
}

TEST(a_signal_before_the_wait_is_kept)
{
    struct host h = {.run = on_run};
    bool woke = true;
    host_open(&h);
    declare(&h, "split");
    int64_t id = flow_graph(&h, "g", "");
    CHECK_EQ(flow_signal(&h, id, "go", "{\"first\":1}", &woke), ERR_NONE);
    CHECK(!woke);
    CHECK(flow_has(&h, id, "\"signals\":[{\"name\":\"go\",\"data\":{\"first\":1},\"by\":\"me\""));
    host_start(&h, 2, 8);
    CHECK(flow_is(&h, id, "done"));
    close_all(&h);
}

static void check_end(struct host *h, const char *start, const char *state, const char *text)
{
    declare(h, start);
    int64_t id = flow_graph(h, "g", "");
    CHECK(flow_is(h, id, state));
    CHECK(flow_becomes(h, id, text));
}

TEST(what_goes_wrong_in_a_graph_has_a_reason)
{
    struct host h = {0};
    open_started(&h);
    check_end(&h, "again", "failed", "more than 20 steps (max_steps), the next would be 'again'");
    check_end(&h, "lost", "failed", "there is no step 'nowhere' in version 3");
    check_end(&h, "half", "failed", "the join 'both' waits for 'right', which led elsewhere");
    check_end(&h, "stray", "failed",
              "step 'stray' leads to the join 'both', which does not name it");
    check_end(&h, "weak", "failed", "step 'weak': no good");
    check_end(&h, "never", "failed", "step 'never': no signal 'go' came in time");
    check_end(&h, "bad", "done", "\"data\":{\"late\":true}");
    check_end(&h, "hurry", "done", "\"data\":{\"late\":true}");
    check_end(&h, "sleepy", "done", "\"data\":{\"last\":true}");
    close_all(&h);
}

TEST(a_run_has_one_key_and_can_be_cancelled)
{
    struct host h = {0};
    open_started(&h);
    int64_t id = flow_graph(&h, "g", "one");
    CHECK(id > 0);
    CHECK_EQ(flow_graph(&h, "g", "one"), -ERR_EXISTS);
    CHECK_EQ(flow_graph(&h, "none", ""), -ERR_NOT_FOUND);
    CHECK(flow_is(&h, id, "waiting"));
    CHECK_EQ(flow_cancel(&h, id), ERR_NONE);
    CHECK(flow_is(&h, id, "cancelled"));
    CHECK_EQ(flow_cancel(&h, id), ERR_CONFLICT);
    CHECK(flow_graph(&h, "g", "one") > id);
    close_all(&h);
}

static int64_t start_list(struct host *h, enum workflow_shape shape, const char *member, int count,
                          const char *body, const char *on_error)
{
    struct workflow_member list[8], end = {.kind = str_c(body), .args = STR("{}")};
    struct workflow_member wrong = {.kind = str_c(on_error), .args = STR("{}")};
    for (int i = 0; i < count; i++)
        list[i] = (struct workflow_member){.kind = i == 1 ? str_c(member) : STR("p.echo"),
                                           .args = i == 0   ? STR("{\"i\":0}")
                                                   : i == 1 ? STR("{\"i\":1}")
                                                            : STR("{\"i\":2}")};
    return flow_start(h, &(struct workflow_start){.plugin = STR("p"),
                                                  .shape = shape,
                                                  .members = list,
                                                  .count = count,
                                                  .body = body ? &end : NULL,
                                                  .on_error = on_error ? &wrong : NULL});
}

TEST(chain_group_and_chord_hand_results_on)
{
    struct host h = {0};
    open_started(&h);
    int64_t id = start_list(&h, WORKFLOW_CHAIN, "p.prev", 2, NULL, NULL);
    CHECK(flow_is(&h, id, "done"));
    CHECK(flow_has(&h, id, "\"data\":null,\"result\":{\"i\":0}"));
    id = start_list(&h, WORKFLOW_GROUP, "p.echo", 3, NULL, NULL);
    CHECK(flow_is(&h, id, "done"));
    CHECK(flow_has(&h, id, "\"result\":[{\"i\":0},{\"i\":1},{\"i\":2}]"));
    id = start_list(&h, WORKFLOW_CHORD, "p.echo", 3, "p.prev", NULL);
    CHECK(flow_is(&h, id, "done"));
    CHECK(flow_has(&h, id, "\"data\":null,\"result\":[{\"i\":0},{\"i\":1},{\"i\":2}]"));
    id = start_list(&h, WORKFLOW_CHAIN, "p.bad", 3, NULL, "p.prev");
    CHECK(flow_is(&h, id, "failed"));
    CHECK(flow_has(&h, id, "member 2, p.bad: no good"));
    CHECK(flow_becomes(&h, id, "{\"error\":\"member 2, p.bad: no good\",\"workflow\":"));
    id = start_list(&h, WORKFLOW_GROUP, "p.bad", 3, NULL, NULL);
    CHECK(flow_is(&h, id, "failed"));
    CHECK_EQ(start_list(&h, WORKFLOW_GROUP, "p.bad", 0, NULL, NULL), -ERR_LIMIT);
    close_all(&h);
}

static int64_t job_of(struct host *h, int64_t id, const char *name)
{
    char want[64];
    char *json = flow_show(h, id);
    snprintf(want, sizeof want, "\"name\":\"%s\",\"state\":", name);
    const char *at = json ? strstr(json, want) : NULL;
    at = at ? strstr(at, "\"job\":") : NULL;
    int64_t job = at ? atoll(at + 6) : 0;
    mem_free(json);
    return job;
}

TEST(a_dead_step_that_is_retried_takes_its_run_along)
{
    struct host h = {0};
    open_started(&h);
    atomic_store(&broken, true);
    declare(&h, "weak");
    int64_t id = flow_graph(&h, "g", "");
    CHECK(flow_is(&h, id, "failed"));
    atomic_store(&broken, false);
    CHECK_EQ(host_change(&h, jobs_retry, job_of(&h, id, "weak")), ERR_NONE);
    CHECK(flow_is(&h, id, "done"));
    close_all(&h);
}

TEST(a_restart_finds_runs_where_they_were)
{
    struct host h = {.run = on_run};
    bool woke;
    host_open(&h);
    declare(&h, "split");
    int64_t queued = flow_graph(&h, "g", ""), cancelled = flow_graph(&h, "g", "");
    host_close(&h);
    host_open(&h);
    declare(&h, "split");
    CHECK_EQ(flow_cancel(&h, cancelled), ERR_NONE);
    host_start(&h, 2, 8);
    CHECK(flow_is(&h, queued, "waiting"));
    host_stop(&h, NS_PER_SECOND);
    host_close(&h);
    open_started(&h);
    CHECK(flow_is(&h, queued, "waiting"));
    CHECK(flow_is(&h, cancelled, "cancelled"));
    CHECK_EQ(flow_signal(&h, queued, "go", "null", &woke), ERR_NONE);
    CHECK(woke);
    CHECK(flow_is(&h, queued, "done"));
    close_all(&h);
}

TEST(a_wait_that_ends_while_nothing_runs_ends_after_the_start)
{
    struct host h = {0};
    open_started(&h);
    declare(&h, "hurry");
    int64_t id = flow_graph(&h, "g", "");
    CHECK(flow_is(&h, id, "waiting") || flow_is(&h, id, "done"));
    host_stop(&h, NS_PER_SECOND);
    host_close(&h);
    host_sleep(60);
    open_started(&h);
    CHECK(flow_is(&h, id, "done"));
    CHECK(flow_has(&h, id, "\"data\":{\"late\":true}"));
    close_all(&h);
}
