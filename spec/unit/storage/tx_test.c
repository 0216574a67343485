/* Interactive transactions, step by step on a lane. */
#include "storage_test.h"

/* Runs a script of steps on a lane, each from the callback of the last. */
struct script {
    struct fixture *f;
    struct lane *lane;
    struct store_tx tx;
    struct store_call call;
    const char *const *steps; /* SQL; NULL = end */
    bool commit;
    int64_t pause_ns; /* before each step */
    struct timer timer;
    struct sqlite_write work;
    bool with_work, loses; /* the work loses the transaction, before the steps */
    int committed, works_done, ran;
    struct beside *beside; /* written by the host just before the end */
    int beside_n;
    struct err begin_err, last_err, end_err, work_err;
    int over; /* atomic */
};

/* What the host writes while a transaction is open. */
struct beside {
    struct sqlite_write write; /* first */
    struct fixture *f;
    enum { BESIDE_GOOD, BESIDE_SPOILT, BESIDE_LOSES } what;
    int64_t inside, outside; /* rows of the transaction, as it and as others see them */
    int done;                /* atomic */
};

static bool beside_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct beside *b = (struct beside *)w;
    static const char count[] = "select count(*) from t where body in ('a', 'b')";
    sqlite3_stmt *stmt = sqlite_prepared(conn, count, &w->err);
    b->inside = sqlite_step(conn, stmt, &w->err) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
    sqlite3_reset(stmt);
    b->outside = number(b->f->store, count);
    if (b->what == BESIDE_LOSES)
        sqlite_exec(conn, "rollback", &w->err);
    if (b->what != BESIDE_GOOD)
        return err_set(&w->err, ERR_INVALID, "spoilt");
    return sqlite_exec(conn, "insert into t(body) values (random())", &w->err);
}

static void beside_done(struct sqlite_write *w)
{
    __atomic_store_n(&((struct beside *)w)->done, 1, __ATOMIC_RELEASE);
}

static void next_step(struct script *s);

static void on_timer(struct timer *timer)
{
    struct script *s = list_entry(timer, struct script, timer);
    if (s->with_work && (s->loses || !*s->steps)) {
        s->with_work = false;
        store_tx_work(&s->tx, &s->work);
    } else if (*s->steps) {
        s->call.sql = str_c(*s->steps++);
        s->call.mode = STORE_EXEC;
        store_tx_run(&s->tx, &s->call);
    } else {
        for (int i = 0; i < s->beside_n; i++) {
            s->beside[i].f = s->f;
            s->beside[i].write.work = beside_work;
            s->beside[i].write.done = beside_done;
            sqlite_write(s->f->db, &s->beside[i].write, NULL);
        }
        store_tx_end(&s->tx, s->commit);
    }
}

static void next_step(struct script *s)
{
    s->timer.fire = on_timer;
    if (s->pause_ns)
        timer_start(s->lane, &s->timer, s->pause_ns);
    else
        on_timer(&s->timer);
}

static void on_step(struct store_call *call)
{
    struct script *s = list_entry(call, struct script, call);
    if (call->err.code != ERR_NONE)
        s->last_err = call->err;
    next_step(s);
}

static void on_begun(struct store_tx *tx)
{
    struct script *s = list_entry(tx, struct script, tx);
    s->begin_err = tx->err;
    if (tx->err.code != ERR_NONE)
        __atomic_store_n(&s->over, 1, __ATOMIC_RELEASE);
    else
        next_step(s);
}

static void on_ended(struct store_tx *tx)
{
    struct script *s = list_entry(tx, struct script, tx);
    s->end_err = tx->err;
    __atomic_store_n(&s->over, 1, __ATOMIC_RELEASE);
}

static bool work_insert(struct sqlite_conn *conn, struct sqlite_write *w)
{
    return sqlite_exec(conn, "insert into t(body) values ('work')", &w->err);
}

static bool work_lose(struct sqlite_conn *conn, struct sqlite_write *w)
{
    return sqlite_exec(conn, "rollback", &w->err) && err_set(&w->err, ERR_INVALID, "spoilt");
}

static void work_ran(struct sqlite_write *w)
{
    struct script *s = list_entry(w, struct script, work);
    s->ran++;
    next_step(s);
}

static void work_committed(struct sqlite_write *w)
{
    list_entry(w, struct script, work)->committed++;
}

static void work_done(struct sqlite_write *w)
{
    struct script *s = list_entry(w, struct script, work);
    s->works_done++;
    s->work_err = w->err;
}

static void script_begin(void *arg)
{
    struct script *s = arg;
    s->tx.begun = on_begun;
    s->tx.ended = on_ended;
    s->call.done = on_step;
    s->work.work = s->loses ? work_lose : work_insert;
    s->work.ran = work_ran;
    s->work.committed = work_committed;
    s->work.done = work_done;
    store_tx_begin(s->f->store, &s->tx, s->lane);
}

static void script_start(struct script *s, struct fixture *f, struct lane *lane)
{
    s->f = f;
    s->lane = lane;
    lane_call(lane, script_begin, s);
}

static void script_wait(struct script *s)
{
    while (!__atomic_load_n(&s->over, __ATOMIC_ACQUIRE))
        usleep(200);
}

static struct lane *begin(struct fixture *f)
{
    struct lane *lane = NULL;
    if (fixture_init(f) &&
        sqlite_exec_wait(f->db, "create table t(id integer primary key, body unique)", &f->err))
        lane = lane_create(0, LANE_WEB, "test", &f->err);
    if (lane && !lane_start(lane, NULL, NULL, &f->err))
        lane = NULL;
    return lane;
}

static void end(struct fixture *f, struct lane *lane)
{
    lane_stop(lane);
    lane_join(lane);
    store_close(f->store);
    f->store = NULL;
    lane_destroy(lane);
    fixture_fini(f);
}

static const char *const two[] = {"insert into t(body) values ('a')",
                                  "insert into t(body) values ('b')", NULL};

TEST(commit_keeps_and_rollback_drops_everything)
{
    struct fixture f = {0};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    struct script rolled = {.steps = two, .with_work = true};
    script_start(&rolled, &f, lane);
    script_wait(&rolled);
    CHECK_EQ(number(f.store, "select count(*) from t"), 0);
    CHECK_EQ(rolled.ran, 1);
    CHECK_EQ(rolled.committed, 0);
    CHECK_EQ(rolled.works_done, 1);
    CHECK_EQ(rolled.work_err.code, ERR_CANCELLED);
    struct script kept = {.steps = two, .with_work = true, .commit = true};
    script_start(&kept, &f, lane);
    script_wait(&kept);
    CHECK_EQ(kept.end_err.code, ERR_NONE);
    CHECK_EQ(kept.committed, 1);
    CHECK_EQ(kept.works_done, 1);
    CHECK_EQ(kept.work_err.code, ERR_NONE);
    CHECK_EQ(number(f.store, "select count(*) from t"), 3);
    end(&f, lane);
}

TEST(a_failed_step_leaves_the_others_to_the_caller)
{
    static const char *const steps[] = {"insert into t(body) values ('a')",
                                        "insert into t(body) values ('a')",
                                        "insert into t(body) values ('b')", NULL};
    struct fixture f = {0};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    struct script s = {.steps = steps, .commit = true};
    script_start(&s, &f, lane);
    script_wait(&s);
    CHECK_EQ(s.last_err.code, ERR_UNIQUE);
    CHECK_EQ(s.end_err.code, ERR_NONE);
    CHECK_EQ(number(f.store, "select count(*) from t"), 2);
    end(&f, lane);
}

TEST(others_wait_while_one_is_open)
{
    static const char *const steps[] = {"insert into t(body) select count(*) from t", NULL};
    struct fixture f = {0};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    struct script s[4] = {0};
    for (int i = 0; i < 4; i++) {
        s[i].steps = steps;
        s[i].commit = true;
        s[i].pause_ns = 5000000;
        script_start(&s[i], &f, lane);
    }
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values ('x')").err.code, ERR_NONE);
    for (int i = 0; i < 4; i++) {
        script_wait(&s[i]);
        CHECK_EQ(s[i].last_err.code, ERR_NONE);
        CHECK_EQ(s[i].end_err.code, ERR_NONE);
    }
    CHECK_EQ(number(f.store, "select count(distinct body) from t"), 5);
    end(&f, lane);
}

TEST(an_idle_one_is_rolled_back_and_says_so)
{
    struct fixture f = {.options = {.tx_idle_ns = 20000000}};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    struct script s = {.steps = two, .commit = true, .pause_ns = 60000000};
    script_start(&s, &f, lane);
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values ('other')").err.code, ERR_NONE);
    script_wait(&s);
    CHECK_EQ(s.last_err.code, ERR_TIMEOUT);
    CHECK_EQ(s.end_err.code, ERR_TIMEOUT);
    CHECK_EQ(number(f.store, "select count(*) from t"), 1);
    end(&f, lane);
}

static void beside_wait(struct beside *b, int n)
{
    for (int i = 0; i < n; i++)
        while (!__atomic_load_n(&b[i].done, __ATOMIC_ACQUIRE))
            usleep(200);
}

TEST(what_the_host_writes_meanwhile_is_in_its_commit)
{
    struct fixture f = {0};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    struct beside b[] = {{.what = BESIDE_GOOD}, {.what = BESIDE_SPOILT}, {.what = BESIDE_GOOD}};
    struct script s = {.steps = two, .commit = true, .beside = b, .beside_n = 3};
    script_start(&s, &f, lane);
    script_wait(&s);
    beside_wait(b, 3);
    CHECK_EQ(s.end_err.code, ERR_NONE);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(b[i].inside, 2);
        CHECK_EQ(b[i].outside, 0);
        CHECK_EQ(b[i].write.err.code, b[i].what == BESIDE_GOOD ? ERR_NONE : ERR_INVALID);
    }
    CHECK_EQ(number(f.store, "select count(*) from t"), 4);
    end(&f, lane);
}

TEST(what_the_host_writes_is_kept_when_it_is_rolled_back)
{
    struct fixture f = {0};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    struct beside b[] = {{.what = BESIDE_GOOD}, {.what = BESIDE_GOOD}};
    struct script s = {.steps = two, .beside = b, .beside_n = 2};
    script_start(&s, &f, lane);
    script_wait(&s);
    beside_wait(b, 2);
    CHECK_EQ(b[0].inside, 0);
    CHECK_EQ(b[0].write.err.code, ERR_NONE);
    CHECK_EQ(b[1].write.err.code, ERR_NONE);
    CHECK_EQ(number(f.store, "select count(*) from t"), 2);
    end(&f, lane);
}

TEST(what_the_host_writes_is_written_although_another_lost_the_transaction)
{
    struct fixture f = {0};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    struct beside b[] = {{.what = BESIDE_GOOD}, {.what = BESIDE_LOSES}, {.what = BESIDE_GOOD}};
    struct script s = {.steps = two, .commit = true, .beside = b, .beside_n = 3};
    script_start(&s, &f, lane);
    script_wait(&s);
    beside_wait(b, 3);
    CHECK_EQ(s.end_err.code, ERR_INVALID);
    CHECK(strstr(s.end_err.message, "the transaction was lost"));
    CHECK_EQ(b[0].write.err.code, ERR_NONE);
    CHECK_EQ(b[1].write.err.code, ERR_INVALID);
    CHECK_EQ(b[2].write.err.code, ERR_NONE);
    CHECK_EQ(number(f.store, "select count(*) from t"), 2);
    CHECK_EQ(number(f.store, "select count(*) from t where body in ('a', 'b')"), 0);
    end(&f, lane);
}

static void begin_and_leave(void *arg)
{
    struct script *s = arg;
    script_begin(s);
    store_tx_end(&s->tx, false);
}

TEST(one_that_is_left_before_it_began_only_ends)
{
    struct fixture f = {0};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    for (int i = 0; i < 200; i++) {
        struct script s = {.f = &f, .lane = lane, .steps = two};
        s.begin_err.code = ERR_INVALID;
        lane_call(lane, begin_and_leave, &s);
        script_wait(&s);
        CHECK_EQ(s.begin_err.code, ERR_INVALID); /* begun did not come */
        CHECK_EQ(s.end_err.code, ERR_NONE);
    }
    CHECK_EQ(number(f.store, "select count(*) from t"), 0);
    end(&f, lane);
}

TEST(a_step_that_loses_the_transaction_ends_it)
{
    static const char *const steps[] = {
        "insert into t(body) values ('a')",
        "insert into t(body) with recursive n(i) as (select 1 union all select i + 1 from n)"
        " select i from n",
        "insert into t(body) values ('b')", NULL};
    struct fixture f = {0};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    struct script s = {.steps = steps, .commit = true, .call = {.timeout_ns = 30000000}};
    script_start(&s, &f, lane);
    script_wait(&s);
    CHECK_EQ(s.last_err.code, ERR_TIMEOUT);
    CHECK_EQ(s.end_err.code, ERR_TIMEOUT);
    CHECK_EQ(number(f.store, "select count(*) from t"), 0);
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values ('x')").changed, 1);
    end(&f, lane);
}

TEST(a_step_behind_a_work_that_lost_the_transaction_is_refused)
{
    struct fixture f = {0};
    struct lane *lane = begin(&f);
    REQUIRE(lane);
    struct script s = {.steps = two, .with_work = true, .loses = true, .commit = true};
    script_start(&s, &f, lane);
    script_wait(&s);
    CHECK_EQ(s.last_err.code, ERR_INVALID);
    CHECK_EQ(s.end_err.code, ERR_INVALID);
    CHECK_EQ(s.works_done, 1);
    CHECK_EQ(number(f.store, "select count(*) from t"), 0);
    end(&f, lane);
}
