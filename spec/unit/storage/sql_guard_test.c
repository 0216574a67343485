/* The words of questions that people write: spec/contract/series_query_spec.lua has what is refused
 * end to end. */
#include "storage/sql_guard.h"

#include "test.h"

static enum err_code asked(const char *text, struct err *err)
{
    struct str sql = str_c(text);
    err_clear(err);
    return sql_question(&sql, STR("public,maru_series"), err) ? ERR_NONE : err->code;
}

TEST(a_question_may_select_and_compute)
{
    static const char *const good[] = {
        "select 1",
        "SELECT Avg(v) FROM t WHERE k IN ('a', 'b''c') -- the end",
        "/* a */ with x as (select 1) select \"a\"\"b\", t.pg from x t",
        "(values (1), (2))",
        "select 'pg_sleep(1); drop table x' as text, \"public\" from t",
        "select count (*) filter (where a > 1) over (partition by b) from t",
        "select 'E'||'\\', a[1], a::numeric(10, 2), \xed\x95\x9c from t",
    };
    struct err err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_EQ(asked(good[i], &err), ERR_NONE);
}

TEST(the_semicolon_at_its_end_is_cut_off)
{
    struct str sql = STR("select ';' ; -- done");
    struct err err;
    CHECK(sql_question(&sql, STR(""), &err));
    CHECK(str_eq_c(sql, "select ';' "));
}

TEST(what_else_it_may_be_is_named_with_its_place)
{
    struct err err;
    CHECK_EQ(asked("select a,\n  pg_sleep(1)", &err), ERR_FORBIDDEN);
    CHECK(strstr(err.message, "line 2 column 3: \"pg_sleep\""));
    CHECK_EQ(asked("select \xed\x95\x9c, system('x')", &err), ERR_FORBIDDEN);
    CHECK(strstr(err.message, "line 1 column 11: \"system\""));
    CHECK_EQ(asked("select * from Public . t", &err), ERR_FORBIDDEN);
    CHECK_EQ(asked("select \"avg\"\"\"(1)", &err), ERR_FORBIDDEN);
    CHECK_EQ(asked("delete from t", &err), ERR_READONLY);
    CHECK_EQ(asked("select 1; select 2", &err), ERR_READONLY);
    CHECK_EQ(asked("", &err), ERR_READONLY);
}

TEST(what_databases_read_differently_is_refused)
{
    static const char *const bad[] = {
        "select e'\\''",        "select U&'a'", "select $$a$$", "select $t$a$t$",
        "select /* /* */ */ 1", "select `a`",   "select 'a",    "select \"a",
        "select /* a",          "select 1)",    "select (1",    "select a$b$ from t",
        "select a ? b",         "select \xff",  "select \\ 1",
    };
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(asked(bad[i], &err), ERR_SQL);
}
