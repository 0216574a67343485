/* The client of PostgreSQL against a real server, from a lane of its own. */
#include "test.h"

#include <math.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pg_server.h"
#include "storage/pg.h"

static struct pg_server server;

static void stop_server(void)
{
    if (server.pid)
        pg_server_stop(&server);
}

struct bench {
    struct lane *lane;
    struct pgsql *db;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int left; /* calls without an answer */
};

static struct bench bench_of(struct pgsql_options options)
{
    struct err err = {0};
    struct bench b = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    if (!server.pid) {
        pg_server_start(&server);
        atexit(stop_server);
    }
    options.what = "test";
    options.url = options.url ? options.url : server.url;
    b.lane = lane_create(0, LANE_WEB, "test", &err);
    b.db = pgsql_open(&options, &err);
    if (!b.lane || !b.db || !lane_start(b.lane, NULL, NULL, &err)) {
        printf("# %s\n", err.message);
        abort();
    }
    return b;
}

static void close_lane(void *lane)
{
    pgsql_close_lane(lane);
}

static void bench_end(struct bench *b)
{
    lane_call_wait(b->lane, close_lane, b->lane);
    lane_stop(b->lane);
    lane_join(b->lane);
    lane_destroy(b->lane);
    pgsql_close(b->db);
}

struct asked {
    struct store_call call; /* first */
    struct bench *bench;
    struct str copy;
};

static void on_done(struct store_call *call)
{
    struct bench *b = ((struct asked *)call)->bench;
    pthread_mutex_lock(&b->lock);
    b->left--;
    pthread_cond_signal(&b->cond);
    pthread_mutex_unlock(&b->lock);
}

static void run_on_lane(void *arg)
{
    struct asked *a = arg;
    if (a->copy.p)
        pgsql_copy(a->bench->db, &a->call, a->copy);
    else
        pgsql_run(a->bench->db, &a->call);
}

static void start(struct bench *b, struct asked *a)
{
    a->bench = b;
    a->call.done = on_done;
    a->call.lane = b->lane;
    pthread_mutex_lock(&b->lock);
    b->left++;
    pthread_mutex_unlock(&b->lock);
    lane_call(b->lane, run_on_lane, a);
}

static void await(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    while (b->left)
        pthread_cond_wait(&b->cond, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static struct store_call ask(struct bench *b, enum store_mode mode, const char *sql,
                             const struct value *params, int count)
{
    struct asked a = {
        .call = {.sql = str_c(sql), .mode = mode, .params = params, .param_count = count}};
    start(b, &a);
    await(b);
    if (a.call.err.code)
        printf("# %s: %s\n", err_code_name(a.call.err.code), a.call.err.message);
    return a.call;
}

static void run(struct bench *b, const char *sql)
{
    struct store_call call = ask(b, STORE_EXEC, sql, NULL, 0);
    CHECK_EQ(call.err.code, ERR_NONE);
}

static void await_left(struct bench *b, int left)
{
    pthread_mutex_lock(&b->lock);
    while (b->left > left)
        pthread_cond_wait(&b->cond, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

/* How many statements of the bench wait for a lock. */
static void await_waiting(const char *n)
{
    while (strcmp(pg_server_sql(&server, "select count(*) from pg_locks where not granted"), n) !=
           0)
        usleep(10000);
}

static void hold(PGconn *c, const char *sql)
{
    PQclear(PQexec(c, sql));
}

#define INT(n)    ((struct value){.type = VALUE_INT, .i = (n)})
#define DOUBLE(n) ((struct value){.type = VALUE_DOUBLE, .d = (n)})
#define BOOL(n)   ((struct value){.type = VALUE_BOOL, .b = (n)})
#define TEXT(t)   ((struct value){.type = VALUE_TEXT, .s = STR(t)})
#define NOTHING   ((struct value){.type = VALUE_NULL})

TEST(values_come_as_they_are)
{
    struct bench b = bench_of((struct pgsql_options){0});
    struct store_call call =
        ask(&b, STORE_ALL,
            "select 9007199254740993::bigint a, 0.1::numeric n, 12345678901234567890::numeric big,"
            " true t, 1.5::float8 d, 'x'::text s, '\\x00ff'::bytea y, null::int z,"
            " '2026-11-21 17:51:29.25+00'::timestamptz at, '2026-11-21'::date as d2,"
            " '{\"a\": 1}'::jsonb j, array[1,null,3] i, array['a\"b','c,d',null] w,"
            " array[[1,2],[3,4]] m, 'infinity'::timestamptz inf, 3::numeric three",
            NULL, 0);
    REQUIRE(call.rows && call.rows->row_count == 1);
    struct value *v = call.rows->values;
    CHECK(v[0].type == VALUE_INT && v[0].i == INT64_C(9007199254740993));
    CHECK(v[1].type == VALUE_DOUBLE && v[1].d == 0.1);
    CHECK(v[2].type == VALUE_TEXT && str_eq_c(v[2].s, "12345678901234567890"));
    CHECK(v[3].type == VALUE_BOOL && v[3].b);
    CHECK(v[4].type == VALUE_DOUBLE && v[4].d == 1.5);
    CHECK(v[5].type == VALUE_TEXT && str_eq_c(v[5].s, "x"));
    CHECK(v[6].type == VALUE_BLOB && v[6].s.n == 2 && !memcmp(v[6].s.p, "\0\xff", 2));
    CHECK(v[7].type == VALUE_NULL);
    CHECK(v[8].type == VALUE_DOUBLE && v[8].d == 1795283489.25);
    CHECK(v[9].type == VALUE_TEXT && str_eq_c(v[9].s, "2026-11-21"));
    CHECK(v[10].type == VALUE_TEXT && str_eq_c(v[10].s, "{\"a\": 1}"));
    CHECK(v[11].type == VALUE_TEXT && str_eq_c(v[11].s, "[1,null,3]"));
    CHECK(v[12].type == VALUE_TEXT && str_eq_c(v[12].s, "[\"a\\\"b\",\"c,d\",null]"));
    CHECK(v[13].type == VALUE_TEXT && str_eq_c(v[13].s, "[[1,2],[3,4]]"));
    CHECK(v[14].type == VALUE_TEXT && str_eq_c(v[14].s, "infinity"));
    CHECK(v[15].type == VALUE_INT && v[15].i == 3);
    CHECK_STR(call.rows->columns[8], "at");
    rows_free(call.rows);
    bench_end(&b);
}

TEST(values_go_into_columns_of_every_type)
{
    struct bench b = bench_of((struct pgsql_options){0});
    run(&b,
        "create table kinds(i int, g bigint, d float8, n numeric, t text, b bool, at timestamptz,"
        " j jsonb, a int[], y bytea, u uuid, day date)");
    const struct value in[] = {BOOL(true),
                               INT(5),
                               DOUBLE(2.25),
                               DOUBLE(0.1),
                               INT(7),
                               INT(1),
                               DOUBLE(1.5),
                               TEXT("{\"k\":[1]}"),
                               TEXT("[1,null,2]"),
                               {.type = VALUE_BLOB, .s = {"\0\xff\x80", 3}},
                               TEXT("01234567-89ab-cdef-0123-456789abcdef"),
                               TEXT("2024-02-29")};
    struct store_call call = ask(
        &b, STORE_ONE,
        "insert into kinds values ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12) returning *", in, 12);
    REQUIRE(call.rows && call.rows->row_count == 1);
    CHECK_EQ(call.changed, 1);
    struct value *v = call.rows->values;
    CHECK(v[0].type == VALUE_INT && v[0].i == 1);
    CHECK(v[1].i == 5 && v[2].d == 2.25 && v[3].d == 0.1);
    CHECK(v[4].type == VALUE_TEXT && str_eq_c(v[4].s, "7"));
    CHECK(v[5].type == VALUE_BOOL && v[5].b);
    CHECK(v[6].d == 1.5);
    CHECK(str_eq_c(v[7].s, "{\"k\": [1]}"));
    CHECK(str_eq_c(v[8].s, "[1,null,2]"));
    CHECK(v[9].type == VALUE_BLOB && v[9].s.n == 3 && !memcmp(v[9].s.p, "\0\xff\x80", 3));
    CHECK(str_eq_c(v[11].s, "2024-02-29"));
    rows_free(call.rows);
    const struct value nothing[] = {NOTHING};
    call =
        ask(&b, STORE_ONE, "select count(*) n from kinds where i is distinct from $1", nothing, 1);
    REQUIRE(call.rows);
    CHECK_EQ(call.rows->values[0].i, 1);
    rows_free(call.rows);
    run(&b, "drop table kinds");
    bench_end(&b);
}

TEST(refusals_have_their_codes)
{
    struct bench b = bench_of((struct pgsql_options){.timeout_ns = 300 * NS_PER_MS});
    run(&b, "create table t(id int primary key check (id < 100))");
    const struct value one[] = {INT(1)}, many[] = {INT(100)}, two[] = {INT(1), INT(2)};
    static const char insert[] = "insert into t values ($1)";
    CHECK_EQ(ask(&b, STORE_EXEC, insert, one, 1).changed, 1);
    CHECK_EQ(ask(&b, STORE_EXEC, insert, one, 1).err.code, ERR_UNIQUE);
    CHECK_EQ(ask(&b, STORE_EXEC, insert, many, 1).err.code, ERR_CONSTRAINT);
    struct store_call call = ask(&b, STORE_EXEC, "select nothing from t", NULL, 0);
    CHECK_EQ(call.err.code, ERR_SQL);
    CHECK(strstr(call.err.message, "\"nothing\" does not exist at character 8"));
    CHECK_EQ(ask(&b, STORE_EXEC, insert, two, 2).err.code, ERR_SQL);
    CHECK_EQ(ask(&b, STORE_EXEC, "select 1; select 2", NULL, 0).err.code, ERR_SQL);
    CHECK_EQ(ask(&b, STORE_ALL, "select pg_sleep(5)", NULL, 0).err.code, ERR_TIMEOUT);
    CHECK_EQ(ask(&b, STORE_EXEC, "select 1/0", NULL, 0).err.code, ERR_SQL);
    run(&b, "drop table t");
    bench_end(&b);
}

TEST(limits_hold_while_rows_arrive)
{
    struct bench b = bench_of((struct pgsql_options){0});
    struct asked a = {.call = {.sql = STR("select generate_series(1, 100000000)"),
                               .mode = STORE_ALL,
                               .max_rows = 1000}};
    start(&b, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_LIMIT);
    a = (struct asked){
        .call = {.sql = STR("select repeat('x', 1000) from generate_series(1, 5000)"),
                 .mode = STORE_ALL,
                 .max_bytes = 100000}};
    start(&b, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_LIMIT);
    struct store_call call = ask(&b, STORE_ONE, "select * from generate_series(1, 1000)", NULL, 0);
    REQUIRE(call.rows);
    CHECK_EQ(call.rows->row_count, 1);
    rows_free(call.rows);
    bench_end(&b);
}

TEST(many_rows_are_all_there_or_none)
{
    enum { ROWS = 5000 };
    struct bench b = bench_of((struct pgsql_options){0});
    struct value *values = mem_zero(ROWS * 2, sizeof *values);
    run(&b, "create table m(id bigint primary key, t text)");
    for (int i = 0; i < ROWS; i++) {
        values[2 * i] = INT(i);
        values[2 * i + 1] = TEXT("text");
    }
    struct asked a = {.call = {.sql = STR("insert into m values ($1, $2)"),
                               .mode = STORE_MANY,
                               .params = values,
                               .param_count = 2,
                               .param_rows = ROWS}};
    start(&b, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_NONE);
    CHECK_EQ(a.call.changed, ROWS);
    for (int i = 0; i < ROWS; i++)
        values[2 * i].i += ROWS;
    values[2 * 3210].i = 7;
    a.call.mode = STORE_MANY;
    start(&b, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_UNIQUE);
    CHECK(strstr(a.call.err.message, "row 3211: "));
    CHECK_STR(pg_server_sql(&server, "select count(*) from m"), "5000");
    a.call.param_rows = 0;
    start(&b, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_NONE);
    mem_free(values);
    run(&b, "drop table m");
    bench_end(&b);
}

TEST(calls_share_connections)
{
    enum { CALLS = 2000 };
    struct bench b = bench_of((struct pgsql_options){.connections = 3});
    struct asked *list = mem_zero(CALLS, sizeof *list);
    struct value *values = mem_zero(CALLS, sizeof *values);
    for (int i = 0; i < CALLS; i++) {
        values[i] = INT(i);
        list[i].call = (struct store_call){.sql = i % 7 ? STR("select $1::bigint + 1")
                                                        : STR("select 1 / ($1::bigint * 0)"),
                                           .mode = STORE_ONE,
                                           .params = &values[i],
                                           .param_count = 1};
        start(&b, &list[i]);
    }
    await(&b);
    int wrong = 0;
    for (int i = 0; i < CALLS; i++) {
        struct store_call *call = &list[i].call;
        wrong +=
            i % 7 ? !call->rows || call->rows->values[0].i != i + 1 : call->err.code != ERR_SQL;
        rows_free(call->rows);
    }
    CHECK_EQ(wrong, 0);
    CHECK(atoi(pg_server_sql(&server, "select count(*) from pg_stat_activity"
                                      " where application_name = 'maru test'")) <= 3);
    mem_free(list);
    mem_free(values);
    bench_end(&b);
}

TEST(a_changed_table_is_prepared_for_again)
{
    struct bench b = bench_of((struct pgsql_options){0});
    run(&b, "create table c(a int)");
    run(&b, "insert into c values (1)");
    for (int i = 0; i < 3; i++) {
        struct store_call call = ask(&b, STORE_ONE, "select * from c", NULL, 0);
        REQUIRE(call.rows);
        CHECK_EQ(call.rows->column_count, i + 1);
        rows_free(call.rows);
        pg_server_sql(&server, i == 0   ? "alter table c add b int"
                               : i == 1 ? "alter table c add d text"
                                        : "alter table c drop d");
    }
    pg_server_sql(&server, "alter table c alter a type text");
    const struct value one[] = {INT(1)};
    CHECK_EQ(ask(&b, STORE_EXEC, "update c set a = $1", one, 1).changed, 1);
    run(&b, "drop table c");
    bench_end(&b);
}

TEST(a_statement_over_its_time_is_cancelled_and_others_go_on)
{
    struct bench b = bench_of((struct pgsql_options){.connections = 1});
    struct asked slow = {.call = {.sql = STR("select pg_sleep(30)"),
                                  .mode = STORE_ALL,
                                  .timeout_ns = 200 * NS_PER_MS}};
    struct asked next[5];
    start(&b, &slow);
    for (int i = 0; i < 5; i++) {
        next[i] = (struct asked){.call = {.sql = STR("select 5"), .mode = STORE_ONE}};
        start(&b, &next[i]);
    }
    await(&b);
    CHECK_EQ(slow.call.err.code, ERR_TIMEOUT);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(next[i].call.err.code, ERR_NONE);
        rows_free(next[i].call.rows);
    }
    bench_end(&b);
}

TEST(what_is_behind_a_long_statement_has_its_own_time)
{
    struct bench b =
        bench_of((struct pgsql_options){.connections = 1, .most_ns = 600 * NS_PER_SECOND});
    run(&b, "create table q(a int)");
    run(&b, "insert into q values (0)");
    PGconn *c = pg_server_connect(&server);
    hold(c, "select pg_advisory_lock(4)");
    struct asked head = {.call = {.sql = STR("select pg_advisory_xact_lock(4)"),
                                  .mode = STORE_EXEC,
                                  .timeout_ns = 600 * NS_PER_SECOND}};
    struct asked behind[5] = {{.call = {.sql = STR("insert into q values (0)")}},
                              {.call = {.sql = STR("select count(*) from q")}},
                              {.call = {.sql = STR("select count(*) from q"), .mode = STORE_ALL}},
                              {.call = {.sql = STR("insert into q values (1)")}},
                              {.call = {.sql = STR("insert into q values (1)")}}};
    rows_free(ask(&b, STORE_ALL, "select count(*) from q", NULL, 0).rows);
    start(&b, &head);
    await_waiting("1");
    for (int i = 0; i < 5; i++) {
        behind[i].call.timeout_ns = 100 * NS_PER_MS;
        start(&b, &behind[i]);
    }
    await_left(&b, 1); /* while the lock is held */
    CHECK_EQ(behind[0].call.err.code, ERR_IO);
    CHECK(strstr(behind[0].call.err.message, "it is not known whether the statement was done"));
    for (int i = 1; i < 5; i++)
        CHECK_EQ(behind[i].call.err.code, ERR_TIMEOUT);
    hold(c, "select pg_advisory_unlock(4)");
    await(&b);
    CHECK_EQ(head.call.err.code, ERR_NONE);
    run(&b, "delete from q where a = 9"); /* behind all of them */
    CHECK_STR(pg_server_sql(&server, "select string_agg(a::text, ' ') from q"), "0 0");
    PQfinish(c);
    run(&b, "drop table q");
    bench_end(&b);
}

TEST(rows_are_copied)
{
    struct bench b = bench_of((struct pgsql_options){0});
    struct buf data = {0};
    run(&b, "create table p(id int primary key, t text)");
    for (int i = 0; i < 100000; i++)
        buf_printf(&data, "%d\tline %d\n", i, i);
    struct asked a = {.call = {.sql = STR("copy p from stdin")}, .copy = buf_str(&data)};
    start(&b, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_NONE);
    CHECK_EQ(a.call.changed, 100000);
    start(&b, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_UNIQUE);
    CHECK_STR(pg_server_sql(&server, "select count(*) from p"), "100000");
    CHECK_EQ(ask(&b, STORE_EXEC, "delete from p", NULL, 0).changed, 100000);
    buf_free(&data);
    run(&b, "drop table p");
    bench_end(&b);
}

struct heard {
    struct bench *bench;
    struct pgsql_listen *listen;
    int count;
    char last[32];
};

static void on_heard(const char *payload, void *arg)
{
    struct heard *h = arg;
    pthread_mutex_lock(&h->bench->lock);
    snprintf(h->last, sizeof h->last, "%s", payload ? payload : "(connected)");
    h->count++;
    pthread_cond_signal(&h->bench->cond);
    pthread_mutex_unlock(&h->bench->lock);
}

static void listen_on_lane(void *arg)
{
    struct heard *h = arg;
    h->listen = pgsql_listen(h->bench->db, h->bench->lane, "news", on_heard, h);
}

static void unlisten_on_lane(void *arg)
{
    pgsql_unlisten(((struct heard *)arg)->listen);
}

static void await_heard(struct heard *h, int count)
{
    pthread_mutex_lock(&h->bench->lock);
    while (h->count < count)
        pthread_cond_wait(&h->bench->cond, &h->bench->lock);
    pthread_mutex_unlock(&h->bench->lock);
}

TEST(notifications_are_heard_also_after_a_lost_connection)
{
    struct bench b = bench_of((struct pgsql_options){0});
    struct heard h = {.bench = &b};
    lane_call_wait(b.lane, listen_on_lane, &h);
    await_heard(&h, 1);
    pg_server_sql(&server, "notify news, 'one'");
    await_heard(&h, 2);
    CHECK_STR(h.last, "one");
    pg_server_sql(&server, "select pg_terminate_backend(pid) from pg_stat_activity"
                           " where application_name = 'maru test'");
    await_heard(&h, 3);
    CHECK_STR(h.last, "(connected)");
    lane_call_wait(b.lane, unlisten_on_lane, &h);
    bench_end(&b);
}

TEST(a_server_that_comes_back_is_found_and_reads_are_run_again)
{
    struct bench b = bench_of((struct pgsql_options){.patience_ns = 20 * NS_PER_SECOND});
    run(&b, "create table k(a int)");
    pg_server_halt(&server, SIGQUIT);
    struct asked a = {.call = {.sql = STR("select count(*) from k"), .mode = STORE_ONE}};
    start(&b, &a);
    pg_server_start(&server);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_NONE);
    rows_free(a.call.rows);
    run(&b, "drop table k");
    bench_end(&b);
}

/* The sequence counts the runs that may write: no roll-back takes it back. */
TEST(what_may_have_written_does_not_write_again)
{
    struct bench b = bench_of((struct pgsql_options){0});
    run(&b, "create sequence paid");
    run(&b, "create table payments(a int)");
    run(&b, "create function pay() returns bigint language plpgsql as $$begin"
            " perform nextval('paid'); perform pg_advisory_xact_lock(9);"
            " insert into payments values (1); return 1; end$$");
    PGconn *c = pg_server_connect(&server);
    hold(c, "select pg_advisory_lock(9)");
    struct asked a = {.call = {.sql = STR("select pay()"), .mode = STORE_ONE}};
    start(&b, &a);
    await_waiting("1");
    pg_server_sql(&server,
                  "select pg_terminate_backend(pid, 10000) from pg_locks where not granted");
    hold(c, "select pg_advisory_unlock(9)");
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_IO);
    CHECK(strstr(a.call.err.message, "it is not known whether the statement was done"));
    CHECK_STR(pg_server_sql(&server, "select count(*) from payments"), "0");
    CHECK_STR(pg_server_sql(&server, "select last_value from paid"), "1");
    rows_free(a.call.rows);
    PQfinish(c);
    run(&b, "drop function pay()");
    run(&b, "drop table payments");
    run(&b, "drop sequence paid");
    bench_end(&b);
}

TEST(a_server_that_is_away_is_said_in_time)
{
    struct bench b = bench_of((struct pgsql_options){
        .url = "postgresql://maru@127.0.0.1:1/postgres", .patience_ns = 100 * NS_PER_MS});
    struct store_call call = ask(&b, STORE_ALL, "select 1", NULL, 0);
    CHECK_EQ(call.err.code, ERR_IO);
    CHECK(strstr(call.err.message, "refused"));
    bench_end(&b);
}

/* Takes connections and says nothing; how many came. */
struct hole {
    pthread_t thread;
    int fd, port, count;
    char url[96];
};

static void *hole_main(void *arg)
{
    struct hole *h = arg;
    while (accept(h->fd, NULL, NULL) >= 0)
        h->count++;
    return NULL;
}

static void hole_open(struct hole *h)
{
    int port = loopback_free_port();
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    *h = (struct hole){.fd = socket(AF_INET, SOCK_STREAM, 0), .port = port};
    REQUIRE(bind(h->fd, (struct sockaddr *)(void *)&a, sizeof a) == 0 && listen(h->fd, 64) == 0);
    snprintf(h->url, sizeof h->url, "postgresql://maru@127.0.0.1:%d/postgres", port);
    pthread_create(&h->thread, NULL, hole_main, h);
}

static void hole_close(struct hole *h)
{
    shutdown(h->fd, SHUT_RDWR);
    pthread_join(h->thread, NULL);
    close(h->fd);
}

enum { IDENTITIES = 8 };

TEST(those_who_wait_for_a_silent_address_take_one_answer)
{
    struct hole hole;
    hole_open(&hole);
    struct bench real = bench_of((struct pgsql_options){.patience_ns = 60 * NS_PER_SECOND});
    struct pgsql *others[IDENTITIES];
    struct asked calls[IDENTITIES];
    struct bench benches[IDENTITIES];
    struct err err = {0};
    for (int i = 0; i < IDENTITIES; i++) {
        struct pgsql_options o = {.what = "test", .url = hole.url, .patience_ns = 100 * NS_PER_MS};
        others[i] = pgsql_open(&o, &err);
        benches[i] = (struct bench){
            .lane = real.lane, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
        benches[i].db = others[i];
        calls[i] = (struct asked){.call = {.sql = STR("select 1"), .mode = STORE_EXEC}};
        start(&benches[i], &calls[i]);
    }
    run(&real, "select 1");
    for (int i = 0; i < IDENTITIES; i++) {
        await(&benches[i]);
        CHECK_EQ(calls[i].call.err.code, ERR_IO);
    }
    bench_end(&real);
    for (int i = 0; i < IDENTITIES; i++)
        pgsql_close(others[i]);
    hole_close(&hole);
    CHECK(hole.count >= 1 && hole.count <= 2);
}

TEST(a_host_that_answered_behind_a_silent_one_is_asked_first)
{
    struct hole hole;
    struct bench real = bench_of((struct pgsql_options){0});
    struct pgsql *others[3];
    struct err err = {0};
    char url[160];
    hole_open(&hole);
    snprintf(url, sizeof url, "postgresql://maru@127.0.0.1:%d,127.0.0.1:%d/postgres", hole.port,
             server.port);
    for (int i = 0; i < 3; i++) {
        struct pgsql_options o = {.what = "test", .url = url, .patience_ns = 60 * NS_PER_SECOND};
        struct bench b = {.lane = real.lane,
                          .db = pgsql_open(&o, &err),
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .cond = PTHREAD_COND_INITIALIZER};
        REQUIRE(b.db);
        run(&b, "select 1");
        others[i] = b.db;
    }
    bench_end(&real);
    for (int i = 0; i < 3; i++)
        pgsql_close(others[i]);
    hole_close(&hole);
    CHECK(hole.count >= 1 && hole.count <= 2);
}

TEST(a_server_that_stands_still_is_given_up)
{
    struct bench b = bench_of((struct pgsql_options){.timeout_ns = 200 * NS_PER_MS});
    run(&b, "create table f(a int)");
    run(&b, "insert into f values (1)");
    char pids[256], command[600];
    snprintf(pids, sizeof pids, "%s",
             pg_server_sql(&server, "select string_agg(pid::text, ' ') from pg_stat_activity"
                                    " where application_name = 'maru test'"));
    snprintf(command, sizeof command, "kill -STOP %s", pids);
    REQUIRE(system(command) == 0);
    struct asked a = {.call = {.sql = STR("insert into f values (1)"), .mode = STORE_EXEC}};
    start(&b, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_IO); /* the server may do it once it goes on */
    CHECK(strstr(a.call.err.message, "it is not known whether the statement was done"));
    snprintf(command, sizeof command, "kill -CONT %s", pids);
    CHECK(system(command) == 0);
    run(&b, "drop table f");
    bench_end(&b);
}

/* Asks and then holds its lane until the connection has been made and waits in the mailbox. */
static void ask_and_close(void *arg)
{
    struct asked *a = arg;
    pgsql_run(a->bench->db, &a->call);
    while (strcmp(pg_server_sql(&server, "select count(*) from pg_stat_activity where"
                                         " application_name = 'maru test' and state = 'idle'"),
                  "1") != 0)
        usleep(10000);
    usleep(100000);
    pgsql_close_lane(a->bench->lane);
}

TEST(a_connection_that_comes_when_its_lane_is_closed_is_closed_too)
{
    struct bench b = bench_of((struct pgsql_options){0});
    while (strcmp(pg_server_sql(&server, "select count(*) from pg_stat_activity where"
                                         " application_name = 'maru test'"),
                  "0") != 0)
        usleep(10000);
    struct asked a = {.bench = &b, .call = {.sql = STR("select 1"), .mode = STORE_EXEC}};
    a.call.done = on_done;
    a.call.lane = b.lane;
    b.left = 1;
    lane_call(b.lane, ask_and_close, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_CLOSED);
    bench_end(&b);
}

TEST(a_lane_that_was_closed_is_refused)
{
    struct bench b = bench_of((struct pgsql_options){0});
    lane_call_wait(b.lane, close_lane, b.lane);
    CHECK_EQ(ask(&b, STORE_EXEC, "select 1", NULL, 0).err.code, ERR_CLOSED);
    struct asked a = {.call = {.sql = STR("copy x from stdin")}, .copy = STR("1")};
    start(&b, &a);
    await(&b);
    CHECK_EQ(a.call.err.code, ERR_CLOSED);
    bench_end(&b);
}

/* -- sessions -- */

struct story {                    /* of a transaction, on the lane */
    struct pgsql_session session; /* first */
    struct store_call call;
    struct bench *bench;
    const char *const *steps; /* NULL-terminated; the last is commit or rollback */
    enum err_code codes[8];
    int at;
};

static void story_step(struct story *s);

static void on_step(struct store_call *call)
{
    struct story *s = list_entry(call, struct story, call);
    rows_free(call->rows);
    s->codes[s->at++] = call->err.code;
    story_step(s);
}

static void story_step(struct story *s)
{
    const char *step = s->steps[s->at];
    s->call = (struct store_call){.done = on_step, .lane = s->bench->lane, .mode = STORE_ALL};
    if (!step) {
        pgsql_give(&s->session);
        pthread_mutex_lock(&s->bench->lock);
        s->bench->left--;
        pthread_cond_signal(&s->bench->cond);
        pthread_mutex_unlock(&s->bench->lock);
        return;
    }
    s->call.sql = str_c(step);
    if (!strcmp(step, "commit") || !strcmp(step, "rollback"))
        pgsql_finish(&s->session, step, &s->call);
    else
        pgsql_step(&s->session, "begin isolation level serializable", &s->call);
}

static void on_session(struct pgsql_session *s)
{
    story_step((struct story *)s);
}

static void tell(void *arg)
{
    struct story *s = arg;
    s->session.ready = on_session;
    pgsql_take(s->bench->db, &s->session, s->bench->lane);
}

/* A session waits for one of two connections, and the other one is free first: both go on. */
TEST(a_connection_that_was_kept_for_a_session_takes_statements_again)
{
    static const char *const steps[] = {"select pg_advisory_xact_lock(3)", "commit", NULL};
    struct bench b = bench_of((struct pgsql_options){.connections = 2});
    struct asked calls[4] = {{.call.sql = STR("select pg_advisory_xact_lock(1)")},
                             {.call.sql = STR("select 'behind it'")},
                             {.call.sql = STR("select pg_advisory_xact_lock(2)")},
                             {.call = {.sql = STR("select 1"), .timeout_ns = 3 * NS_PER_SECOND}}};
    struct story s = {.bench = &b, .steps = steps};
    PGconn *c = pg_server_connect(&server);
    hold(c, "select pg_advisory_lock(1), pg_advisory_lock(2), pg_advisory_lock(3)");
    start(&b, &calls[0]);
    await_waiting("1");
    start(&b, &calls[1]); /* so that a second connection is made */
    while (strcmp(pg_server_sql(&server, "select count(*) from pg_stat_activity where"
                                         " application_name = 'maru test' and state = 'idle'"),
                  "1") != 0)
        usleep(10000);
    usleep(100000);
    start(&b, &calls[2]);
    await_waiting("2");
    b.left++;
    lane_call_wait(b.lane, tell, &s); /* it will have the second one */
    hold(c, "select pg_advisory_unlock(1)");
    await_waiting("2"); /* calls[2], and the session's step on the first one */
    hold(c, "select pg_advisory_unlock(2)");
    await_left(&b, 1);
    start(&b, &calls[3]);
    await_left(&b, 1);
    CHECK_EQ(calls[3].call.err.code, ERR_NONE);
    hold(c, "select pg_advisory_unlock(3)");
    await(&b);
    for (int i = 0; i < 4; i++)
        rows_free(calls[i].call.rows);
    PQfinish(c);
    bench_end(&b);
}

static struct story tell_story(struct bench *b, const char *const *steps)
{
    struct story s = {.bench = b, .steps = steps};
    b->left++;
    lane_call(b->lane, tell, &s);
    await(b);
    return s;
}

TEST(a_failed_step_leaves_the_others)
{
    struct bench b = bench_of((struct pgsql_options){0});
    run(&b, "create table s(a int primary key)");
    struct story s = tell_story(
        &b, (const char *const[]){"insert into s values (1)", "insert into s values (1)",
                                  "select nothing", "insert into s values (2)", "commit", NULL});
    CHECK_EQ(s.codes[0], ERR_NONE);
    CHECK_EQ(s.codes[1], ERR_UNIQUE);
    CHECK_EQ(s.codes[2], ERR_SQL);
    CHECK_EQ(s.codes[3], ERR_NONE);
    CHECK_EQ(s.codes[4], ERR_NONE);
    CHECK_STR(pg_server_sql(&server, "select sum(a) from s"), "3");
    s = tell_story(&b, (const char *const[]){"insert into s values (9)", "rollback", NULL});
    CHECK_STR(pg_server_sql(&server, "select sum(a) from s"), "3");
    s = tell_story(&b, (const char *const[]){"commit", NULL});
    CHECK_EQ(s.codes[0], ERR_NONE);
    run(&b, "drop table s");
    bench_end(&b);
}

TEST(what_is_left_open_is_rolled_back)
{
    struct bench b = bench_of((struct pgsql_options){0});
    run(&b, "create table o(a int)");
    tell_story(&b, (const char *const[]){"insert into o values (1)", NULL});
    run(&b, "drop table o"); /* waits for its lock */
    bench_end(&b);
}
