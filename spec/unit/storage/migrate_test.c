/* Migrations: once each, in order, unchanged, owned. */
#include "storage_test.h"

TEST(sections_choose_the_driver_and_keep_line_numbers)
{
    struct buf out = {0};
    migration_section(STR("a\n-- sqlite:\nb\n-- postgres:\nc\n-- all:\nd -- sqlite: x\n"), "sqlite",
                      &out);
    CHECK_STR(out.p, "a\n\nb\n\n\n\nd -- sqlite: x\n");
    buf_free(&out);
    migration_section(STR("-- sqlite:\nb\n-- postgres:\nc"), "postgres", &out);
    CHECK_STR(out.p, "\n\n\nc");
    buf_free(&out);
}

TEST(each_is_applied_once)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    struct migration list[] = {
        {"migrations/0001_a.sql", STR("create table a(x); insert into a values (1);")},
        {"migrations/0002_b.sql",
         STR("-- comment\nalter table a add column y default 2;\n"
             "create index a_x on a(x);\ncreate view v as select * from a;")},
    };
    CHECK(store_migrate(f.store, "p", list, 1, &f.err));
    CHECK(store_migrate(f.store, "p", list, 2, &f.err));
    CHECK(store_migrate(f.store, "p", list, 2, &f.err));
    CHECK_EQ(number(f.store, "select count(*) from a"), 1);
    CHECK_EQ(number(f.store, "select y from v"), 2);
    CHECK_EQ(number(f.store, "select count(*) from maru_tables where plugin = 'p'"), 2);
    store_close(f.store);
    REQUIRE(fixture_open(&f));
    CHECK(store_migrate(f.store, "p", list, 2, &f.err));
    CHECK_EQ(exec(f.store, "q", "delete from a").err.code, ERR_SQL);
    fixture_fini(&f);
}

TEST(an_older_bundle_is_told_what_it_lacks)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    struct migration list[] = {{"migrations/0001_a.sql", STR("create table a(x);")},
                               {"migrations/0002_b.sql", STR("create table b(x);")},
                               {"migrations/0003_c.sql", STR("create table c(x);")}};
    struct buf names = {0};
    CHECK(store_migrate(f.store, "p", list, 3, &f.err));
    CHECK(store_migrations_ahead(f.store, "p", list, 3, &names, &f.err));
    CHECK_EQ(names.n, 0);
    CHECK(store_migrations_ahead(f.store, "p", list, 1, &names, &f.err));
    CHECK_STR(names.p, "0002_b.sql, 0003_c.sql");
    buf_clear(&names);
    CHECK(store_migrations_ahead(f.store, "q", NULL, 0, &names, &f.err));
    CHECK_EQ(names.n, 0);
    buf_free(&names);
    fixture_fini(&f);
}

TEST(a_changed_or_late_one_is_refused_by_name)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    CHECK(migrate_text(f.store, "p", "migrations/0002_a.sql", "create table a(x);", &f.err));
    CHECK(!migrate_text(f.store, "p", "migrations/0002_a.sql", "create table a(y);", &f.err));
    CHECK(strstr(f.err.message, "migrations/0002_a.sql: changed after it was applied"));
    CHECK(!migrate_text(f.store, "p", "migrations/0001_b.sql", "create table b(y);", &f.err));
    CHECK(strstr(f.err.message, "migrations/0001_b.sql: is new but comes before"));
    CHECK(!migrate_text(f.store, "p", "migrations/first.sql", "create table b(y);", &f.err));
    CHECK(strstr(f.err.message, "migrations/first.sql: the name must be like"));
    fixture_fini(&f);
}

TEST(a_failing_one_leaves_nothing_and_names_its_line)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    CHECK(!migrate_text(f.store, "p", "m/0001_a.sql",
                        "create table a(x);\n\n-- why\ncreate tabel b(y);\n", &f.err));
    if (!strstr(f.err.message, "m/0001_a.sql:4: near \"tabel\""))
        TEST_FAIL("%s", f.err.message);
    CHECK_EQ(number(f.store, "select count(*) from sqlite_master where name = 'a'"), 0);
    CHECK_EQ(number(f.store, "select count(*) from maru_migrations"), 0);
    fixture_fini(&f);
}

static void check_refused(struct fixture *f, const char *sql, const char *message)
{
    CHECK(!migrate_text(f->store, "q", "0001_q.sql", sql, &f->err));
    if (!strstr(f->err.message, message))
        TEST_FAIL("%s: %s", sql, f->err.message);
}

TEST(a_migration_cannot_touch_what_is_not_its_plugins)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    CHECK(migrate_text(f.store, "p", "0001_a.sql", "create table a(x);", &f.err));
    check_refused(&f, "drop table a;", "belongs to plugin \"p\"");
    check_refused(&f, "alter table a add column z;", "belongs to plugin \"p\"");
    check_refused(&f, "create index i on a(x);", "belongs to plugin \"p\"");
    check_refused(&f, "create table b as select * from a;", "belongs to plugin \"p\"");
    check_refused(&f, "create trigger t after insert on a begin select 1; end;", "belongs to");
    check_refused(&f, "create table a(x);", "");
    check_refused(&f, "create table maru_x(x);", "belongs to the host");
    check_refused(&f, "create temp table t(x);", "temporary");
    check_refused(&f, "attach 'x' as y;", "not available");
    check_refused(&f, "pragma writable_schema = on;", "pragma");
    check_refused(&f, "delete from maru_migrations;", "belongs to the host");
    check_refused(&f, "commit;", "store:tx");
    check_refused(&f, "rollback;", "rollback");
    check_refused(&f, "create virtual table t using dbstat;", "fts5");
    fixture_fini(&f);
}

TEST(full_text_search_belongs_to_its_plugin)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    CHECK(migrate_text(f.store, "p", "0001_a.sql", "create virtual table t using fts5(body);",
                       &f.err));
    CHECK_STR(f.err.message, "");
    CHECK_EQ(exec(f.store, "p", "insert into t(body) values ('hello world')").err.code, ERR_NONE);
    struct store_call call =
        ask(f.store, "p", STORE_ALL, "select body from t where t match 'hello'", NULL, 0);
    CHECK_STR(call.err.message, "");
    CHECK_EQ(call.rows ? call.rows->row_count : -1, 1);
    rows_free(call.rows);
    CHECK_EQ(exec(f.store, "q", "select * from t_content").err.code, ERR_SQL);
    fixture_fini(&f);
}

TEST(every_usual_change_of_a_table_works)
{
    static const char *const changes[] = {
        "create table a(id integer primary key autoincrement, x text, y);"
        "create table c(id integer primary key, a integer references a(id));",
        "alter table a rename to b;",
        "alter table b rename column x to z;",
        "alter table b drop column y;",
        "alter table b add column w integer not null default 0;",
        "create unique index b_z on b(z) where z is not null;",
        "create trigger t after insert on b begin update b set w = w + 1 where id = new.id; end;",
        "create view v as select z, w from b;",
        "insert into b(z) select 'x' union select 'y'; update b set z = z || '!' where w = 1;",
        "create table b2 as select * from b; drop table b2; reindex b; analyze b;",
        "drop view v; drop trigger t; drop index b_z;",
        "create table n(k primary key, v) without rowid; delete from n; drop table n;",
        "create virtual table f using fts5(z, content=''); drop table f;",
    };
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    for (int i = 0; i < (int)(sizeof changes / sizeof *changes); i++) {
        char name[32];
        snprintf(name, sizeof name, "%04d_x.sql", i + 1);
        if (!migrate_text(f.store, "p", name, changes[i], &f.err))
            TEST_FAIL("%s: %s", changes[i], f.err.message);
    }
    CHECK_EQ(exec(f.store, "p", "insert into b(z) values ('v')").err.code, ERR_NONE);
    CHECK_EQ(number(f.store, "select count(*) from b"), 3);
    CHECK_EQ(number(f.store, "select count(*) from maru_tables"), 2);
    fixture_fini(&f);
}

TEST(a_dry_run_changes_nothing)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    CHECK(migrate_text(f.store, "p", "0001_a.sql", "create table a(x);", &f.err));
    struct migration list[] = {{"0001_a.sql", STR("create table a(x);")},
                               {"0002_b.sql", STR("alter table a add column y;")},
                               {"0003_c.sql", STR("insert into a(x, z) values (1, 2);")}};
    CHECK(store_migrate_check(f.store, "p", list, 2, &f.err));
    CHECK(!store_migrate_check(f.store, "p", list, 3, &f.err));
    CHECK(strstr(f.err.message, "0003_c.sql:1:"));
    CHECK_EQ(number(f.store, "select count(*) from maru_migrations"), 1);
    CHECK(migrate_check_file("/nonexistent/maru.db", "p", list, 2, &f.err));
    list[1].text = STR("drop table a; create table b(x);");
    CHECK(store_migrate_check(f.store, "p", list, 2, &f.err));
    CHECK(!store_migrate_check(f.store, "q", list + 1, 1, &f.err));
    CHECK(strstr(f.err.message, "belongs to plugin \"p\""));
    fixture_fini(&f);
}
