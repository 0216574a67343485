/* Statements, values, limits, and who may touch which table. */
#include "storage_test.h"

static const char lines[] = "create table lines(id integer primary key, text text not null unique,"
                            " seen boolean, weight real, raw blob);";

TEST(values_come_back_with_their_types)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    REQUIRE(migrate_text(f.store, "book", "0001_lines.sql", lines, &f.err));
    struct value params[] = {TEXT("안녕"),
                             {.type = VALUE_BOOL, .b = true},
                             {.type = VALUE_DOUBLE, .d = 2.5},
                             {.type = VALUE_BLOB, .s = {"\0\xff", 2}}};
    struct store_call call =
        ask(f.store, "book", STORE_ONE,
            "insert into lines(text, seen, weight, raw) values ($1, $2, $3, $4) returning *",
            params, 4);
    CHECK_STR(call.err.message, "");
    REQUIRE(call.rows);
    CHECK_EQ(call.changed, 1);
    CHECK_EQ(call.rows->column_count, 5);
    CHECK_STR(call.rows->columns[1], "text");
    struct value *v = call.rows->values;
    CHECK(v[0].type == VALUE_INT && v[0].i == 1);
    CHECK(v[1].type == VALUE_TEXT && str_eq_c(v[1].s, "안녕"));
    CHECK(v[2].type == VALUE_BOOL && v[2].b);
    CHECK(v[3].type == VALUE_DOUBLE && v[3].d == 2.5);
    CHECK(v[4].type == VALUE_BLOB && v[4].s.n == 2 && memcmp(v[4].s.p, "\0\xff", 2) == 0);
    rows_free(call.rows);
    call = ask(f.store, "book", STORE_ALL, "select text, null as n from lines where id = $1",
               (struct value[]){INT(1)}, 1);
    REQUIRE(call.rows);
    CHECK_EQ(call.rows->row_count, 1);
    CHECK_EQ(call.rows->values[1].type, VALUE_NULL);
    rows_free(call.rows);
    fixture_fini(&f);
}

TEST(a_parameter_may_stand_twice_and_in_any_order)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    struct store_call call = ask(f.store, NULL, STORE_ONE, "select $2 || $1 || $2 as x",
                                 (struct value[]){TEXT("b"), TEXT("a")}, 2);
    REQUIRE(call.rows);
    CHECK(str_eq_c(call.rows->values[0].s, "aba"));
    rows_free(call.rows);
    call = ask(f.store, NULL, STORE_ONE, "select $1", NULL, 0);
    CHECK_EQ(call.err.code, ERR_SQL);
    CHECK_STR(call.err.message, "the statement takes 1 value, got 0");
    call = ask(f.store, NULL, STORE_ONE, "select ?", (struct value[]){INT(1)}, 1);
    CHECK_EQ(call.err.code, ERR_SQL);
    fixture_fini(&f);
}

TEST(failures_have_their_words)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    REQUIRE(migrate_text(f.store, "book", "0001_lines.sql", lines, &f.err));
    CHECK_EQ(exec(f.store, "book", "insert into lines(text) values ('a')").changed, 1);
    CHECK_EQ(exec(f.store, "book", "insert into lines(text) values ('a')").err.code, ERR_UNIQUE);
    CHECK_EQ(exec(f.store, "book", "insert into lines(text) values (null)").err.code,
             ERR_CONSTRAINT);
    CHECK_EQ(exec(f.store, "book", "insert into nowhere values (1)").err.code, ERR_SQL);
    CHECK_EQ(exec(f.store, "book", "select 1; select 2").err.code, ERR_SQL);
    CHECK_EQ(exec(f.store, "book", "-- nothing").err.code, ERR_SQL);
    CHECK_EQ(exec(f.store, "book", "insert or rollback into lines(text) values ('a')").err.code,
             ERR_SQL);
    CHECK_EQ(number(f.store, "select count(*) from lines"), 1);
    fixture_fini(&f);
}

TEST(limits_are_named)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    static const char series[] =
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)"
        " select i from n";
    struct store_call call = run_wait(
        f.store, (struct store_call){
                     .sql = {series, sizeof series - 1}, .mode = STORE_ALL, .max_rows = 999});
    CHECK_EQ(call.err.code, ERR_LIMIT);
    CHECK(strstr(call.err.message, "999 rows"));
    call = run_wait(f.store, (struct store_call){.sql = {series, sizeof series - 1},
                                                 .mode = STORE_ALL,
                                                 .max_rows = 1000});
    REQUIRE(call.rows);
    CHECK_EQ(call.rows->row_count, 1000);
    rows_free(call.rows);
    call = run_wait(f.store, (struct store_call){.sql = {series, sizeof series - 1},
                                                 .mode = STORE_ALL,
                                                 .max_bytes = 5000});
    CHECK_EQ(call.err.code, ERR_LIMIT);
    static const char endless[] =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    call = run_wait(f.store, (struct store_call){.sql = {endless, sizeof endless - 1},
                                                 .mode = STORE_ONE,
                                                 .timeout_ns = 30000000});
    CHECK_EQ(call.err.code, ERR_TIMEOUT);
    fixture_fini(&f);
}

TEST(many_is_all_or_nothing)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    REQUIRE(migrate_text(f.store, "book", "0001_lines.sql", lines, &f.err));
    struct value params[] = {TEXT("a"), TEXT("b"), TEXT("a")};
    struct store_call call = {.plugin = "book",
                              .sql = STR("insert into lines(text) values ($1)"),
                              .mode = STORE_MANY,
                              .params = params,
                              .param_count = 1,
                              .param_rows = 3};
    call = run_wait(f.store, call);
    CHECK_EQ(call.err.code, ERR_UNIQUE);
    CHECK(strstr(call.err.message, "row 3"));
    CHECK_EQ(number(f.store, "select count(*) from lines"), 0);
    call.param_rows = 2;
    call = run_wait(f.store, call);
    CHECK_EQ(call.err.code, ERR_NONE);
    CHECK_EQ(call.changed, 2);
    fixture_fini(&f);
}

static void check_refused(struct fixture *f, const char *sql, const char *message)
{
    struct store_call call = ask(f->store, "thief", STORE_ALL, sql, NULL, 0);
    rows_free(call.rows);
    CHECK_EQ(call.err.code, ERR_SQL);
    if (!strstr(call.err.message, message))
        TEST_FAIL("%s: %s", sql, call.err.message);
}

TEST(a_plugin_sees_its_own_tables_only)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    REQUIRE(migrate_text(f.store, "book", "0001_lines.sql", lines, &f.err));
    REQUIRE(migrate_text(f.store, "thief", "0001_mine.sql", "create table mine(a);", &f.err));
    REQUIRE(sqlite_exec_wait(f.db, "create table job(id integer primary key)", &f.err));
    static const char owner[] = "table \"lines\" belongs to plugin \"book\"";
    check_refused(&f, "select * from lines", owner);
    check_refused(&f, "select count(*) from lines", owner);
    check_refused(&f, "select (select text from LINES limit 1) from mine", "belongs to plugin");
    check_refused(&f, "with x as (select * from lines) select 1 from x", owner);
    check_refused(&f, "insert into lines(text) values ('x')", owner);
    check_refused(&f, "update lines set text = ''", owner);
    check_refused(&f, "delete from lines", owner);
    check_refused(&f, "insert into mine select text from lines", owner);
    check_refused(&f, "select * from job", "table \"job\" belongs to the host");
    check_refused(&f, "select * from maru_tables", "belongs to the host");
    check_refused(&f, "select * from sqlite_master", "belongs to the host");
    check_refused(&f, "delete from sqlite_master", "may not be modified");
    check_refused(&f, "update sqlite_master set name = 'x'", "");
    check_refused(&f, "delete from sqlite_sequence", "");
    check_refused(&f, "select * from pragma_table_info('mine')", "");
    check_refused(&f, "pragma table_info(mine)", "");
    check_refused(&f, "attach 'x.db' as x", "");
    check_refused(&f, "vacuum into '/tmp/x'", "");
    check_refused(&f, "create table more(a)", "migrations");
    check_refused(&f, "drop table mine", "migrations");
    check_refused(&f, "begin", "store:tx");
    check_refused(&f, "commit", "store:tx");
    check_refused(&f, "explain select * from lines", "");
    check_refused(&f, "select load_extension('x')", "");
    check_refused(&f, "select fts3_tokenizer('simple')", "not available to plugins");
    CHECK_EQ(exec(f.store, "thief", "insert into mine values (1)").changed, 1);
    struct store_call call = ask(f.store, "thief", STORE_ONE,
                                 "with x as (select a from mine) select count(*) from x", NULL, 0);
    CHECK_EQ(call.err.code, ERR_NONE);
    rows_free(call.rows);
    call = ask(f.store, "thief", STORE_ALL, "select value from json_each('[1,2]')", NULL, 0);
    CHECK_EQ(call.err.code, ERR_NONE);
    rows_free(call.rows);
    fixture_fini(&f);
}

TEST(a_cached_statement_does_not_pass_to_another_plugin)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    REQUIRE(migrate_text(f.store, "book", "0001_lines.sql", lines, &f.err));
    for (int i = 0; i < 8; i++) {
        struct store_call call = ask(f.store, "book", STORE_ALL, "select text from lines", NULL, 0);
        CHECK_EQ(call.err.code, ERR_NONE);
        rows_free(call.rows);
        check_refused(&f, "select text from lines", "belongs to plugin");
    }
    fixture_fini(&f);
}

TEST(a_second_process_is_kept_out_and_a_successor_waits)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    struct err err;
    struct sqlite_options options = f.options;
    CHECK(!sqlite_open(&options, &err));
    CHECK_EQ(err.code, ERR_BUSY);
    char expected[64];
    snprintf(expected, sizeof expected, "held by process %d", (int)getpid());
    CHECK(strstr(err.message, expected));
    options.lock_wait_ns = 50000000;
    CHECK(!sqlite_open(&options, &err));
    fixture_fini(&f);
}
