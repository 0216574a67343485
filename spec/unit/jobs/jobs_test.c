#include "jobs/words.h"
#include "test.h"

TEST(a_pushed_job_runs_and_its_result_is_kept)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    int64_t id = push(&h, "\"result\"", (struct job_spec){0}, NULL);
    CHECK(id > 0);
    CHECK(host_drain(&h, 3000));
    char *json = host_query(&h, (struct jobs_query){.id = id});
    CHECK(strstr(json, "\"state\":\"done\""));
    CHECK(strstr(json, "{\"answer\":42}"));
    mem_free(json);
    int64_t plain = push(&h, "\"x\"", (struct job_spec){0}, NULL);
    CHECK(host_drain(&h, 3000));
    CHECK(host_is(&h, plain, "done"));
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h); /* both are still known */
    host_start(&h, 1, 4);
    CHECK(host_is(&h, id, "done"));
    CHECK(host_is(&h, plain, "done"));
    CHECK(host_push(&h, "p.k", "1") > plain);
    close_host(&h);
}

TEST(a_bulk_push_has_ids_in_a_row)
{
    struct host h = open_host();
    struct err err = {0};
    struct str args[500];
    struct job_spec spec = {.kind = STR("p.k")};
    for (int i = 0; i < 500; i++)
        args[i] = STR("1");
    int64_t first = jobs_push_wait(h.jobs, &spec, args, 500, &err);
    CHECK(first > 0);
    CHECK_EQ(jobs_counts(h.jobs).ready, 500);
    char *json = host_query(&h, (struct jobs_query){.id = first + 499});
    (void)json;
    mem_free(json);
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 2, 8);
    CHECK(host_drain(&h, 5000));
    CHECK_EQ(jobs_counts(h.jobs).done_total, 500);
    close_host(&h);
}

TEST(high_goes_first_and_low_does_not_starve)
{
    struct host h = open_host();
    char want[8];
    for (int i = 0; i < 20; i++)
        for (int p = 1; p <= 3; p++) {
            snprintf(want, sizeof want, "%c", "hnl"[p - 1]);
            push(&h, want, (struct job_spec){.priority = p}, NULL);
        }
    host_kind(&h, "p.k", 0, NS_PER_MS, 1);
    host_start(&h, 1, 1);
    CHECK(host_drain(&h, 5000));
    /* 8 high, 4 normal, 1 low, over and over */
    CHECK(strncmp(seen, "h h h h h h h h n n n n l h h h h h h h h n n n n l ", 52) == 0);
    close_host(&h);
}

TEST(queues_take_turns)
{
    struct host h = open_host();
    for (int i = 0; i < 50; i++)
        push(&h, "a", (struct job_spec){.queue = STR("many")}, NULL);
    push(&h, "b", (struct job_spec){.queue = STR("few")}, NULL);
    host_kind(&h, "p.k", 0, NS_PER_MS, 1);
    host_start(&h, 1, 1);
    CHECK(host_drain(&h, 5000));
    CHECK(strchr(seen, 'b') && strchr(seen, 'b') - seen < 6);
    close_host(&h);
}

TEST(delayed_jobs_run_in_the_order_of_their_time)
{
    struct host h = open_host();
    int64_t now = clock_wall_ns();
    host_kind(&h, "p.k", 0, NS_PER_MS, 1);
    host_start(&h, 1, 1);
    push(&h, "3", (struct job_spec){.run_at_wall = now + 150 * NS_PER_MS}, NULL);
    push(&h, "1", (struct job_spec){.run_at_wall = now + 50 * NS_PER_MS}, NULL);
    push(&h, "2", (struct job_spec){.run_at_wall = now + 100 * NS_PER_MS}, NULL);
    int64_t late =
        push(&h, "9", (struct job_spec){.run_at_wall = now + 3600 * NS_PER_SECOND}, NULL);
    push(&h, "0", (struct job_spec){0}, NULL);
    CHECK_EQ(wait_runs(4), 4);
    CHECK_STR(seen, "0 1 2 3 ");
    char *json = host_query(&h, (struct jobs_query){.state = JOB_DELAYED});
    CHECK(strstr(json, "\"state\":\"delayed\""));
    mem_free(json);
    CHECK_EQ(host_change(&h, jobs_retry, late), ERR_NONE); /* now, please */
    CHECK(host_drain(&h, 3000));
    CHECK_STR(seen, "0 1 2 3 9 ");
    close_host(&h);
}

TEST(a_failed_job_is_tried_again_and_then_dead)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 2, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    int64_t id = push(&h, "\"fail\"", (struct job_spec){0}, NULL);
    int64_t once = push(&h, "\"once\"", (struct job_spec){0}, NULL);
    int64_t again = push(&h, "\"again\"", (struct job_spec){0}, NULL);
    int64_t discard = push(&h, "\"discard\"", (struct job_spec){0}, NULL);
    CHECK(host_drain(&h, 5000));
    CHECK_EQ(runs, 3 + 2 + 3 + 1);
    CHECK(host_is(&h, id, "dead"));
    CHECK(host_is(&h, once, "done"));
    CHECK(host_is(&h, again, "done"));
    CHECK(host_is(&h, discard, "dead"));
    char *json = host_query(&h, (struct jobs_query){.state = JOB_DEAD});
    CHECK(strstr(json, "\"error\":\"it broke\"") && strstr(json, "\"error\":\"no use\""));
    mem_free(json);
    CHECK_EQ(jobs_counts(h.jobs).dead, 2);
    CHECK_EQ(jobs_counts(h.jobs).retried_total, 2 + 1 + 2);
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h);
    CHECK_EQ(jobs_counts(h.jobs).dead, 2);
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    CHECK_EQ(host_change(&h, jobs_retry, discard), ERR_NONE);
    CHECK(host_drain(&h, 3000));
    CHECK_EQ(runs, 10);
    CHECK(host_is(&h, discard, "dead"));
    CHECK_EQ(host_change(&h, jobs_retry, 999999), ERR_NOT_FOUND);
    close_host(&h);
}

TEST(a_unique_key_is_free_when_its_job_has_ended)
{
    struct host h = open_host();
    enum err_code code;
    struct job_spec spec = {.unique = STR("u")};
    int64_t id = push(&h, "1", spec, NULL);
    CHECK_EQ(push(&h, "2", spec, &code), 0);
    CHECK_EQ(code, ERR_EXISTS);
    CHECK(push(&h, "3", (struct job_spec){.unique = STR("u"), .kind = STR("p.other")}, NULL) > 0);
    host_close(&h);
    host_open(&h); /* after a restart too */
    CHECK_EQ(push(&h, "2", spec, &code), 0);
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    CHECK_EQ(wait_runs(1), 1);
    for (int i = 0; i < 1000 && !host_is(&h, id, "done"); i++)
        host_sleep(1);
    CHECK(push(&h, "4", spec, NULL) > 0);
    close_host(&h);
}

TEST(a_schedules_instant_is_pushed_once)
{
    struct host h = open_host();
    enum err_code code;
    struct job_spec spec = {.schedule = STR("p/s"),
                            .scheduled_at_wall = 1700000000 * NS_PER_SECOND,
                            .unique = STR("s")};
    int64_t id = push(&h, "1", spec, NULL);
    CHECK(id > 0);
    CHECK_EQ(host_change(&h, jobs_cancel, id), ERR_NONE);
    CHECK_EQ(push(&h, "1", spec, &code), 0);
    CHECK_EQ(code, ERR_EXISTS);
    CHECK_EQ(jobs_counts(h.jobs).ready, 0);
    CHECK_EQ(jobs_counts(h.jobs).pushing, 0);
    spec.scheduled_at_wall += 60 * NS_PER_SECOND;
    CHECK(push(&h, "1", spec, NULL) > 0); /* the key did not stay taken */
    host_close(&h);
    host_remove(&h);
}

TEST(concurrency_of_a_kind_is_never_exceeded)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 0, NS_PER_MS, 3);
    host_start(&h, 2, 16);
    for (int i = 0; i < 60; i++)
        push(&h, "\"slow\"", (struct job_spec){0}, NULL);
    CHECK(host_drain(&h, 10000));
    CHECK_EQ(runs, 60);
    CHECK(most_running <= 3);
    close_host(&h);
}

TEST(a_kind_nobody_runs_is_held_until_somebody_does)
{
    struct host h = open_host();
    host_kind(&h, "p.other", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    for (int i = 0; i < 10; i++)
        push(&h, "1", (struct job_spec){0}, NULL);
    host_sleep(20);
    CHECK_EQ(runs, 0);
    CHECK_EQ(jobs_counts(h.jobs).held, 10);
    struct buf out = {0};
    jobs_print_queues(h.jobs, &out);
    CHECK(strstr(out.p, "\"held\":10"));
    buf_free(&out);
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    CHECK(host_drain(&h, 3000));
    CHECK_EQ(runs, 10);
    CHECK_EQ(jobs_counts(h.jobs).held, 0);
    close_host(&h);
}

TEST(what_nobody_declares_for_long_is_dead_and_what_is_held_back_waits)
{
    struct host h = {.held_ttl_ns = 200 * NS_PER_MS};
    char *json;
    host_open(&h);
    struct job_kind_options back = {.kind = "p.back", .queue = "default"};
    jobs_set_kinds(h.jobs, &back, 1);
    host_start(&h, 1, 4);
    int64_t gone = push(&h, "1", (struct job_spec){.kind = STR("p.gone")}, NULL);
    int64_t waits = push(&h, "1", (struct job_spec){.kind = STR("p.back")}, NULL);
    int64_t later = push(&h, "1",
                         (struct job_spec){.kind = STR("p.gone"),
                                           .run_at_wall = clock_wall_ns() + 600 * NS_PER_SECOND},
                         NULL);
    for (int i = 0; i < 5000 && jobs_counts(h.jobs).dead == 0; i++)
        host_sleep(2);
    CHECK(host_is(&h, gone, "dead"));
    CHECK(host_is(&h, waits, "ready"));
    CHECK(host_is(&h, later, "delayed"));
    json = host_query(&h, (struct jobs_query){.state = JOB_DEAD});
    CHECK(strstr(json, "no plugin has declared p.gone since this job was due"));
    mem_free(json);
    host_stop(&h, 0);
    host_close(&h);
    host_open(&h);
    CHECK(host_is(&h, gone, "dead"));
    CHECK(host_is(&h, waits, "ready"));
    host_close(&h);
    host_remove(&h);
}

TEST(cancel_ends_queued_and_running_jobs)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 3, NS_PER_MS, 1);
    host_start(&h, 1, 4);
    int64_t running_id = push(&h, "\"wait\"", (struct job_spec){0}, NULL);
    int64_t queued = push(&h, "1", (struct job_spec){0}, NULL);
    CHECK_EQ(wait_runs(1), 1);
    CHECK_EQ(host_change(&h, jobs_cancel, queued), ERR_NONE);
    CHECK(host_is(&h, queued, "cancelled"));
    CHECK_EQ(host_change(&h, jobs_cancel, queued), ERR_NOT_FOUND);
    CHECK_EQ(host_change(&h, jobs_cancel, running_id), ERR_NONE);
    CHECK(host_drain(&h, 3000));
    CHECK_EQ(cancelled_with, JOB_END_CANCELLED);
    CHECK(host_is(&h, running_id, "cancelled"));
    CHECK_EQ(runs, 1);
    close_host(&h);
}

static void finish_all(struct host *h)
{
    lane_call_wait(h->lanes[0], end_waiting, NULL);
}

TEST(a_stale_finish_changes_nothing)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 4);
    int64_t id = push(&h, "\"wait\"", (struct job_spec){0}, NULL);
    CHECK_EQ(wait_runs(1), 1);
    CHECK(!jobs_reclaim(h.jobs, id + 1));
    CHECK(jobs_reclaim(h.jobs, id)); /* runs again, beside the first */
    CHECK_EQ(wait_runs(2), 2);
    CHECK_EQ(waiting_n, 2);
    struct job_run *first = waiting[0];
    waiting[0] = waiting[1];
    waiting_n = 1;
    CHECK_EQ(first->attempt, 1);
    CHECK_EQ(waiting[0]->attempt, 1);
    CHECK(first->fence < waiting[0]->fence);
    struct job_run *second = waiting[0];
    waiting[0] = first;
    finish_all(&h); /* the stale one */
    CHECK_EQ(jobs_counts(h.jobs).stale_total, 1);
    CHECK(host_is(&h, id, "running"));
    waiting[waiting_n++] = second;
    finish_all(&h);
    CHECK(host_drain(&h, 3000));
    CHECK(host_is(&h, id, "done"));
    CHECK_EQ(jobs_counts(h.jobs).done_total, 1);
    close_host(&h);
}

/* Those of one lane, on it. */
static void end_waiting_here(void *lane)
{
    for (int i = waiting_n - 1; i >= 0; i--) {
        struct job_run *run = waiting[i];
        if (run->lane != lane)
            continue;
        waiting[i] = waiting[--waiting_n];
        running--;
        jobs_finish(run, &(struct job_outcome){.end = JOB_END_DONE});
    }
}

/* One job is what its lane is stuck in, the other only had the bad luck to wait there. */
TEST(what_a_lost_lane_had_runs_elsewhere)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 3, NS_PER_MS, 0);
    host_start(&h, 2, 2);
    int64_t ids[4];
    for (int i = 0; i < 4; i++)
        ids[i] = push(&h, "\"wait\"", (struct job_spec){0}, NULL);
    CHECK_EQ(wait_runs(4), 4);
    struct job_run *guilty = waiting[0], *other = NULL;
    for (int i = 1; i < 4; i++) {
        if (waiting[i]->lane == guilty->lane)
            other = waiting[i];
    }
    REQUIRE(other);
    struct lane *lost = guilty->lane, *left = h.lanes[h.lanes[0] == lost];
    int64_t guilty_id = guilty->id, other_id = other->id;
    jobs_lane_lost(h.jobs, lost, guilty_id, "stuck");
    lane_call_wait(left, end_waiting_here, left);
    CHECK_EQ(wait_runs(6), 6);
    for (int i = 0; i < waiting_n; i++) {
        if (waiting[i]->lane == lost)
            continue;
        CHECK_EQ(waiting[i]->attempt, waiting[i]->id == guilty_id ? 2 : 1);
        CHECK(waiting[i]->id == guilty_id || waiting[i]->id == other_id);
    }
    lane_call_wait(left, end_waiting_here, left);
    CHECK(host_drain(&h, 3000));
    while (!jobs_is_settled(h.jobs))
        host_sleep(1);
    for (int i = 0; i < 4; i++)
        CHECK(host_is(&h, ids[i], "done"));
    lane_call_wait(lost, end_waiting_here, lost); /* it came back after all */
    CHECK_EQ(jobs_counts(h.jobs).stale_total, 2);
    CHECK_EQ(jobs_counts(h.jobs).done_total, 4);
    close_host(&h);
}

static void set_flag(void *arg)
{
    atomic_store((_Atomic int *)arg, 1);
}

TEST(a_swap_of_kinds_waits_for_what_runs)
{
    struct host h = open_host();
    _Atomic int idle = 0;
    int old_target, new_target;
    struct job_kind_options k = {.kind = "p.k", .queue = "default", .target = &old_target};
    jobs_set_kinds(h.jobs, &k, 1);
    host_start(&h, 1, 4);
    push(&h, "\"wait\"", (struct job_spec){0}, NULL);
    CHECK_EQ(wait_runs(1), 1);
    k.target = &new_target;
    jobs_set_kinds(h.jobs, &k, 1);
    CHECK_EQ(jobs_target_running(h.jobs, &old_target), 1);
    jobs_when_idle(h.jobs, &old_target, h.control, set_flag, &idle);
    host_sleep(10);
    CHECK(!atomic_load(&idle));
    CHECK(waiting[0]->target == &old_target);
    jobs_interrupt(h.jobs, &old_target);
    CHECK_EQ(wait_runs(2), 2); /* interrupted, so it runs anew, in the new generation */
    CHECK(waiting[0]->target == &new_target);
    CHECK_EQ(waiting[0]->attempt, 1);
    for (int i = 0; i < 1000 && !atomic_load(&idle); i++)
        host_sleep(1);
    CHECK(atomic_load(&idle));
    finish_all(&h);
    CHECK(host_drain(&h, 3000));
    close_host(&h);
}

TEST(stopping_interrupts_what_does_not_end_and_keeps_it)
{
    struct host h = open_host();
    host_kind(&h, "p.k", 0, NS_PER_MS, 0);
    host_start(&h, 1, 2);
    int64_t id = push(&h, "\"wait\"", (struct job_spec){0}, NULL);
    for (int i = 0; i < 5; i++)
        push(&h, "1", (struct job_spec){.run_at_wall = clock_wall_ns() + NS_PER_SECOND}, NULL);
    CHECK_EQ(wait_runs(1), 1);
    host_stop(&h, 20 * NS_PER_MS);
    CHECK_EQ(cancelled_with, JOB_END_INTERRUPTED);
    host_close(&h);
    host_open(&h);
    CHECK_EQ(jobs_counts(h.jobs).ready, 1);
    CHECK_EQ(jobs_counts(h.jobs).delayed, 5);
    CHECK(host_is(&h, id, "ready"));
    host_close(&h);
    host_remove(&h);
}

TEST(a_push_is_checked)
{
    struct host h = open_host();
    enum err_code code;
    CHECK_EQ(push(&h, "1", (struct job_spec){.priority = 4}, &code), 0);
    CHECK_EQ(code, ERR_INVALID);
    char long_name[JOBS_NAME_BYTES + 2];
    memset(long_name, 'a', sizeof long_name);
    CHECK_EQ(push(&h, "1", (struct job_spec){.kind = str_n(long_name, sizeof long_name)}, &code),
             0);
    CHECK_EQ(code, ERR_INVALID);
    char *big = mem_zero(1, JOBS_ARGS_BYTES + 1);
    struct err err = {0};
    struct str args = str_n(big, JOBS_ARGS_BYTES + 1);
    struct job_spec spec = {.kind = STR("p.k")};
    CHECK_EQ(jobs_push_wait(h.jobs, &spec, &args, 1, &err), 0);
    CHECK_EQ(err.code, ERR_LIMIT);
    mem_free(big);
    host_close(&h);
    host_remove(&h);
}
