/* A queue that works while its disk loses power, again and again, beside a model of what it
 * promised: nothing acknowledged is lost, nothing reported as ended runs again, a unique key has
 * one holder, an instant of a schedule one job, and a run of a workflow stands where the ends of
 * its steps put it.
 *
 * POWER_ROUNDS cuts (60) from seed POWER_SEED.  The seed fixes the work and what the disk keeps,
 * not how the threads take turns: a failure may need a few repetitions.  POWER_WRITES (100) is the
 * most that is written between two cuts. */
#include "jobs/host.h"
#include "jobs/power_course.h"
#include "jobs/power_model.h"
#include "jobs/power_vfs.h"
#include "jobs/workflow/workflow.h"
#include "test.h"

enum {
    ROUNDS = 60,
    WRITES = 100,
    LIFE = 25,
    KEYS = 6,
    INSTANTS = 5,
    HANGING = 4,
    RESULT_BYTES = 48
};

#define HOUR_NS (3600 * NS_PER_SECOND)

static int number(const char *name, int otherwise)
{
    return getenv(name) ? atoi(getenv(name)) : otherwise;
}

static struct host host;
static bool calm; /* every handler ends well and at once */
static struct job_run *hanging[HANGING];

/* -- handlers -- */

static void finish(struct job_run *run, enum job_end end, const char *result)
{
    jobs_finish(run, &(struct job_outcome){.end = end,
                                           .result = str_c(result),
                                           .error = str_c(end == JOB_END_FAILED ? "no" : "")});
}

/* Model held: where a run that does not end now is kept, or NULL. */
static struct job_run **hang(struct job_run *run)
{
    for (int i = 0; i < HANGING && !calm; i++)
        if (!hanging[i]) {
            hanging[i] = run;
            return &hanging[i];
        }
    return NULL;
}

static enum job_end outcome_of(const struct entry *e, int attempt)
{
    if (calm || e->tame)
        return JOB_END_DONE;
    switch (e->script) {
    case FLAKY:
        return attempt == 1 ? JOB_END_FAILED : JOB_END_DONE;
    case DYING:
        return JOB_END_FAILED;
    case ASKING:
        return attempt == 1 ? JOB_END_RETRY : JOB_END_DONE;
    case GIVING_UP:
        return JOB_END_DISCARDED;
    default:
        return JOB_END_DONE;
    }
}

static void run_step(struct job_run *run)
{
    char result[COURSE_MOVE_BYTES] = "";
    int n;
    model_lock();
    const struct course_run *r = course_runs(run, &n);
    enum job_end end = r ? course_outcome(r, n, run->attempt, result, sizeof result) : JOB_END_DONE;
    model_unlock();
    finish(run, end, end == JOB_END_DONE ? result : "");
}

static void on_run(struct job_run *run, void *arg)
{
    (void)arg;
    char result[RESULT_BYTES] = "";
    if (course_is_kind(run->kind)) {
        run_step(run);
        return;
    }
    model_lock();
    struct entry *e = model_started(run->id, run->args);
    enum job_end end = e ? outcome_of(e, run->attempt) : JOB_END_DONE;
    bool hangs = e && e->script == HANGS && !e->tame && hang(run);
    if (e && e->script != PLAIN && end == JOB_END_DONE)
        snprintf(result, sizeof result, "{\"m\":%d}", model_index(e));
    model_unlock();
    if (!hangs)
        finish(run, end, result);
}

static void on_cancel(struct job_run *run, enum job_end why, void *arg)
{
    (void)arg;
    model_lock();
    bool mine = false;
    for (int i = 0; i < HANGING; i++)
        if (hanging[i] == run) {
            hanging[i] = NULL;
            mine = true;
        }
    model_unlock();
    if (mine)
        finish(run, why, "");
}

static void end_hanging(void *arg)
{
    model_lock();
    struct job_run **slot = arg, *run = *slot;
    if (run && run->lane != lane_current())
        run = NULL; /* another one by now */
    if (run)
        *slot = NULL;
    char result[RESULT_BYTES];
    struct entry *e = run ? model_of_args(run->args) : NULL;
    snprintf(result, sizeof result, "{\"m\":%d}", e ? model_index(e) : -1);
    model_unlock();
    if (run)
        finish(run, JOB_END_DONE, result);
}

/* -- what is asked of the queue -- */

struct push_call {
    struct jobs_push push; /* first */
    int first, count;
};

static void on_pushed(struct jobs_push *push)
{
    struct push_call *c = (struct push_call *)(void *)push;
    model_ids(c->first, c->count, push->first_id);
    model_pushed(c->first, c->count, push->err.code);
    mem_free(c);
}

/* Pushes `count` jobs of a script; key and instant 0 = none. */
static void push(enum script script, int count, int key, int instant, int64_t delay_ns)
{
    struct err err = {0};
    struct push_call *c = mem_zero(1, sizeof *c);
    struct str *args = mem_alloc((size_t)count * sizeof *args);
    char(*texts)[24] = mem_alloc((size_t)count * sizeof *texts), unique[16] = "";
    c->push.done = on_pushed;
    c->count = count;
    c->first = model_pushing(script, count, key, instant, delay_ns >= HOUR_NS);
    for (int i = 0; i < count; i++)
        args[i] = str_n(texts[i], (size_t)snprintf(texts[i], 24, "{\"m\":%d}", c->first + i));
    if (key)
        snprintf(unique, sizeof unique, "key%d", key);
    struct job_spec spec = {.kind = str_c(script_names[script]),
                            .unique = str_c(unique),
                            .schedule = str_c(instant ? "p/s" : ""),
                            .scheduled_at_wall = instant ? model_instant_wall(instant) : 0,
                            .run_at_wall = delay_ns ? clock_wall_ns() + delay_ns : 0};
    int first = c->first;
    if (!jobs_push(host.jobs, &c->push, &spec, args, count, &err)) {
        model_pushed(first, count, err.code);
        mem_free(c);
    }
    mem_free(texts);
    mem_free(args);
}

/* Jobs that are counted together, and one after them. */
static void push_batch(int count)
{
    struct err err = {0};
    struct push_call *c = mem_zero(1, sizeof *c);
    struct job_spec specs[8];
    struct str args[9];
    char texts[9][24];
    c->push.done = on_pushed;
    c->count = count;
    int first = c->first = model_pushing(DONE, count, 0, 0, false);
    model_follower(first, count);
    for (int i = 0; i <= count; i++)
        args[i] = str_n(texts[i], (size_t)snprintf(texts[i], 24, "{\"m\":%d}", first + i));
    for (int i = 0; i < count; i++)
        specs[i] = (struct job_spec){.kind = STR("p.done")};
    struct jobs_batch batch = {.done_kind = STR("p.done"), .done_args = args[count]};
    if (!jobs_push_batch(host.jobs, &c->push, &batch, specs, args, count, &err)) {
        model_pushed(first, count, err.code);
        mem_free(c);
    }
}

struct chord_call {
    struct workflow_change change; /* first */
    int first, count;
};

static void on_chord(struct workflow_change *change)
{
    struct chord_call *c = (struct chord_call *)(void *)change;
    model_chord(c->first, c->count, change->err.code);
    mem_free(c);
}

static void push_chord(int count)
{
    struct err err = {0};
    struct chord_call *c = mem_zero(1, sizeof *c);
    struct workflow_member members[9];
    char texts[9][24];
    int first = model_pushing(DONE, count, 0, 0, false);
    model_follower(first, count);
    for (int i = 0; i <= count; i++) {
        size_t n = (size_t)snprintf(texts[i], 24, "{\"m\":%d}", first + i);
        members[i] = (struct workflow_member){.kind = STR("p.done"), .args = str_n(texts[i], n)};
    }
    struct workflow_start start = {.plugin = STR("p"),
                                   .shape = WORKFLOW_CHORD,
                                   .members = members,
                                   .count = count,
                                   .body = &members[count]};
    *c = (struct chord_call){.change = {.done = on_chord}, .first = first, .count = count};
    if (!workflow_start(host.jobs, &c->change, &start, &err)) {
        model_chord(first, count, err.code);
        mem_free(c);
    }
}

struct change_call {
    struct jobs_change change; /* first */
    int at;
    bool is_cancel;
};

static void on_changed(struct jobs_change *change)
{
    struct change_call *c = (struct change_call *)(void *)change;
    model_changed(c->at, c->is_cancel, change->err.code);
    mem_free(c);
}

static void change(int at, bool is_cancel)
{
    struct change_call *c = mem_zero(1, sizeof *c);
    c->change.done = on_changed;
    c->at = at;
    c->is_cancel = is_cancel;
    int64_t id = model_changing(at, is_cancel);
    (is_cancel ? jobs_cancel : jobs_retry)(host.jobs, &c->change, id);
}

struct look_call {
    struct jobs_query query; /* first */
    int at;
    enum job_state seen;
};

static void on_looked(struct jobs_query *query)
{
    struct look_call *c = (struct look_call *)(void *)query;
    buf_add_c(&query->out, "");
    model_looked(c->at, query->out.p, query->err.code, c->seen);
    buf_free(&query->out);
    mem_free(c);
}

static void look(int at, int64_t id)
{
    struct look_call *c = mem_zero(1, sizeof *c);
    c->query.id = id;
    c->query.done = on_looked;
    c->query.lane = host.control;
    c->at = at;
    c->seen = model_looking(at);
    jobs_query(host.jobs, &c->query);
}

/* -- opening and closing on a disk that may fail at any moment -- */

static void make_lane(int i)
{
    struct err err = {0};
    struct lane **lane = i ? &host.lanes[i - 1] : &host.control;
    *lane = lane_create(i, i ? LANE_JOB : LANE_CONTROL, i ? "job" : "control", &err);
    if (!*lane || !lane_start(*lane, NULL, NULL, &err))
        host_die("lane", &err);
}

static void close_queue(void)
{
    for (int i = 0; i < HOST_LANES; i++)
        if (host.lanes[i]) {
            lane_stop(host.lanes[i]);
            lane_join(host.lanes[i]);
        }
    jobs_close(host.jobs);
    lane_stop(host.control);
    lane_join(host.control);
    for (int i = 0; i < HOST_LANES; i++)
        if (host.lanes[i])
            lane_destroy(host.lanes[i]);
    lane_destroy(host.control);
    store_close(host.store);
    pool_destroy(host.pool);
    host.jobs = NULL;
    host.store = NULL;
    memset(host.lanes, 0, sizeof host.lanes);
}

static bool open_queue(struct err *err)
{
    err_clear(err);
    host.pool = pool_create("pool", 2, err);
    struct sqlite_options so = {.path = host.db, .pool = host.pool};
    make_lane(0);
    host.store = sqlite_open(&so, err);
    struct jobs_options jo = {.store = host.store,
                              .lane = host.control,
                              .flight_path = host.flight,
                              .run = on_run,
                              .cancel = on_cancel};
    if (host.store)
        host.jobs = jobs_open(&jo, err);
    if (host.jobs)
        return true;
    lane_stop(host.control);
    lane_join(host.control);
    lane_destroy(host.control);
    if (host.store)
        store_close(host.store);
    pool_destroy(host.pool);
    host.store = NULL;
    return false;
}

static void start_queue(void)
{
    const struct workflow_decl *decl = &course_decl;
    struct job_kind_options kinds[SCRIPTS + COURSE_KINDS];
    struct err err = {0};
    for (int i = 0; i < COURSE_KINDS; i++)
        kinds[SCRIPTS + i] = (struct job_kind_options){.kind = course_kinds[i],
                                                       .queue = "flows",
                                                       .priority = JOB_NORMAL,
                                                       .retries = 3,
                                                       .backoff_ns = NS_PER_MS,
                                                       .target = &host};
    for (int i = 0; i < SCRIPTS; i++)
        kinds[i] = (struct job_kind_options){.kind = script_names[i],
                                             .queue = i % 2 ? "odd" : "even",
                                             .priority = JOB_NORMAL,
                                             .retries = i == DYING ? 1 : 3,
                                             .backoff_ns = NS_PER_MS,
                                             .concurrency = i == KEYED ? 2 : 0,
                                             .target = &host};
    for (int i = 0; i < HOST_LANES; i++) {
        make_lane(i + 1);
        if (!jobs_add_worker(host.jobs, host.lanes[i], 8, &err))
            host_die("worker", &err);
    }
    jobs_set_kinds(host.jobs, kinds, SCRIPTS + COURSE_KINDS);
    workflow_set(host.jobs, &decl, 1);
    jobs_start(host.jobs);
}

/* The flight recorder is mapped: what was in its pages at the cut, or less. */
static void restore_flight(bool all)
{
    size_t n = power.mapped_n;
    if (!n)
        return;
    for (size_t at = 0; at < n && !all; at += POWER_SECTOR)
        if (power_random(2))
            memset(power.mapped + at, 0, n - at < POWER_SECTOR ? n - at : POWER_SECTOR);
    if (!all && n > 40)
        memcpy(power.mapped + 8, "another-boot", 12); /* magic, then the boot's id */
    power_put(host.flight, power.mapped, n);
}

/* -- the work -- */

static void random_push(void)
{
    int n = model_chance(100), bulk = model_chance(12) ? 2 + model_chance(30) : 1500;
    if (n < 40)
        push((enum script)model_chance(KEYED), 1, 0, 0, model_chance(4) ? 0 : 5 * NS_PER_MS);
    else if (n < 60)
        push(model_chance(2) ? DONE : PLAIN, bulk, 0, 0, 0);
    else if (n < 75)
        push(KEYED, 1, 1 + model_chance(KEYS), 0, model_chance(3) ? 0 : HOUR_NS);
    else if (n < 80)
        push_batch(2 + model_chance(6));
    else if (n < 85)
        push_chord(2 + model_chance(6));
    else if (n < 92)
        push(FIRED, 1, 0, model.instant + model_chance(INSTANTS), 0);
    else
        push(FAR, 1, 0, 0, HOUR_NS);
}

static void random_look(void)
{
    int64_t id;
    int at = model_pick(0, &id);
    if (at >= 0)
        look(at, id);
}

static void random_end(void)
{
    int slot = model_chance(HANGING);
    model_lock();
    struct lane *lane = hanging[slot] ? hanging[slot]->lane : NULL;
    model_unlock();
    if (lane)
        lane_call(lane, end_hanging, &hanging[slot]);
}

static void step(void)
{
    int64_t id;
    int n = model_chance(20), at;
    if (n < 4)
        course_step(host.jobs, host.control);
    else if (n < 12)
        random_push();
    else if (n < 14 && (at = model_pick(FAR, &id)) >= 0)
        change(at, model_chance(2));
    else if (n < 16 && (at = model_pick_dead()) >= 0)
        change(at, false);
    else if (n < 17)
        random_end();
    else
        random_look();
    if (model_chance(3) == 0)
        usleep((useconds_t)model_chance(300));
}

static void wait_answers(const char *when)
{
    for (int i = 0; model_waiting(); i++) {
        if (i == 10000) {
            model_problem("%d calls are not answered %s", model_waiting(), when);
            return;
        }
        host_sleep(1);
    }
}

/* -- after the cut -- */

static bool check_integrity(struct sqlite_conn *conn, void *arg, struct err *err)
{
    (void)arg;
    sqlite3_stmt *s = sqlite_prepared(conn, "pragma integrity_check", err);
    bool ok = s && sqlite_step(conn, s, err) == SQLITE_ROW &&
              strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
    if (!ok)
        model_problem("integrity: %s", s ? (const char *)sqlite3_column_text(s, 0) : err->message);
    if (s)
        sqlite3_reset(s);
    return true;
}

/* Runs of workflows, first those that only their keys can find. */
static void verify_courses(bool whole)
{
    int64_t id;
    for (int i = 0, n = 0; i < courses.count; i++)
        if (course_wants_look(i, false, &id) && !id) {
            course_look_for(host.jobs, host.control, i);
            if (++n % 512 == 0)
                wait_answers("to looks for runs");
        }
    wait_answers("to looks for runs");
    for (int i = 0, n = 0; i < courses.count; i++)
        if (course_wants_look(i, whole, &id) && id) {
            course_look_at(host.jobs, host.control, i, id, true);
            if (++n % 512 == 0)
                wait_answers("to looks at runs");
        }
    wait_answers("to looks at runs");
    course_check();
}

static void verify(bool whole)
{
    struct err err = {0};
    int64_t id;
    if (!sqlite_read_wait(store_sqlite(host.store), check_integrity, NULL, &err))
        model_problem("integrity: %s", err.message);
    for (int i = 0, n = 0; i < model_count(); i++)
        if (model_wants_look(i, whole, &id)) {
            look(i, id);
            if (++n % 512 == 0)
                wait_answers("to looks");
        }
    wait_answers("to looks");
    verify_courses(whole);
    model_check();
    /* What is held is refused, what is not is free. */
    for (int key = 1; key <= KEYS; key++)
        push(KEYED, 1, key, 0, HOUR_NS);
    for (int i = 0; i < INSTANTS; i++)
        push(FIRED, 1, 0, model.instant + i, 0);
    wait_answers("to pushes");
    model_check_refusals();
}

static void close_at_cut(void)
{
    host_stop(&host, 0);
    wait_answers("after the cut");
    close_queue();
}

/* One life of the queue: opened, checked, worked with, cut.  False when it did not open. */
static bool live(bool by_kill)
{
    struct err err = {0};
    bool at_open = model_chance(6) == 0;
    power_plan(at_open ? 1 + model_chance(60) : 0);
    model_session();
    bool open = open_queue(&err);
    if (!open && !power_is_off()) {
        model_problem("it does not open: %s", err.message);
        return false;
    }
    if (open && !power_is_off()) {
        power_plan(0);
        verify(false);
        start_queue();
        int most = number("POWER_WRITES", WRITES); /* a commit is one */
        power_plan(1 + model_chance(model_chance(2) ? most / 10 : most));
        for (int i = 0; i < 3000 && !power_is_off(); i++)
            step();
    }
    power_cut();
    model_cut(by_kill);
    course_cut(by_kill);
    if (open && host.lanes[0])
        close_at_cut();
    else if (open)
        close_queue();
    power_restore(by_kill);
    restore_flight(by_kill);
    return true;
}

/* What waits for a signal gets one; waits that end by time hold no job, so they are asked for. */
static void drain_courses(void)
{
    for (int i = 0; i < courses.count; i++)
        if (course_is_open(i) && courses.runs[i].shape == WORKFLOW_GRAPH)
            course_send_signal(host.jobs, i);
    for (int tries = 0; tries < 500 && course_open(); tries++, host_sleep(10)) {
        for (int i = 0; i < courses.count; i++)
            if (course_is_open(i))
                course_look_at(host.jobs, host.control, i, courses.runs[i].id, false);
        wait_answers("to looks at open runs");
    }
}

/* Everything that is queued runs to its end. */
static void drain(void)
{
    struct err err = {0};
    calm = true;
    model_session();
    if (open_queue(&err)) {
        verify(true);
        start_queue();
        drain_courses();
        for (int i = 0; i < 20000 && !model_is_drained(jobs_counts(host.jobs)); i++)
            host_sleep(1);
        host_stop(&host, NS_PER_SECOND);
        model_check_drained();
        course_check_drained();
        wait_answers("at the end");
        close_queue();
    } else
        model_problem("it does not open at the end: %s", err.message);
    calm = false;
}

/* Cuts one database `rounds` times. */
static void run_life(uint64_t seed, int rounds)
{
    memset(&host, 0, sizeof host);
    memset(hanging, 0, sizeof hanging);
    host_make_dir(&host);
    log_setup(-1, LOG_ERROR);
    model_begin((unsigned)seed);
    course_begin();
    power_begin(seed, host.flight);
    for (int i = 0; i < rounds && !model_problems(); i++)
        if (!live(model_chance(4) == 0))
            break;
    if (!model_problems())
        drain();
    host_remove(&host);
}

TEST(power_cuts_lose_nothing_that_was_acknowledged)
{
    int rounds = number("POWER_ROUNDS", ROUNDS), acknowledged = 0, ended = 0, runs = 0, over = 0;
    unsigned seed = (unsigned)number("POWER_SEED", (int)(clock_wall_ns() % 1000000));
    power_setup();
    for (int done = 0; done < rounds && !test_failures; done += LIFE, seed++) {
        run_life(seed, rounds - done < LIFE ? rounds - done : LIFE);
        acknowledged += model_acknowledged();
        ended += model_ended();
        runs += courses.count;
        over += courses.ended;
        if (model_problems())
            TEST_FAIL("POWER_SEED=%u: %s", seed, model_first_problem());
    }
    printf("# %d cuts, %d jobs, runs and signals acknowledged, %d jobs ended, %d of %d runs over "
           "at a cut\n",
           rounds, acknowledged, ended, over, runs);
    CHECK(acknowledged > rounds * 10);
    CHECK(over > rounds);
}

TEST(a_disk_that_lies_about_syncs_is_found_out)
{
    int found = 0;
    power_setup();
    power.lies = true;
    for (unsigned seed = 1; seed <= 10; seed++) {
        run_life(seed, 4);
        found += model_problems() > 0;
    }
    power.lies = false;
    printf("# 10 lives on a lying disk, losses noticed in %d\n", found);
    CHECK(found > 3);
}
