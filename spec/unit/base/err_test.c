#include "test.h"

#include <errno.h>

#include "base/err.h"

TEST(levels_put_their_context_in_front)
{
    struct err err = {0};
    CHECK(!err_sys(&err, EACCES, "open %s", "/var/x"));
    CHECK(!err_wrap(&err, "jobs"));
    CHECK_STR(err.message, "jobs: open /var/x: Permission denied");
    CHECK_EQ(err.sys, EACCES);
    CHECK_STR(err_code_name(err.code), "io");
}

TEST(a_message_may_quote_itself)
{
    struct err err = {0};
    err_set(&err, ERR_SQL, "near x");
    err_set(&err, ERR_INVALID, "statement: %s", err.message);
    CHECK_STR(err.message, "statement: near x");
}

TEST(a_long_message_is_cut_between_characters)
{
    struct err err = {0};
    char text[700] = "";
    for (int i = 0; i < 200; i++)
        strcat(text, "마");
    err_set(&err, ERR_INVALID, "%s", text);
    CHECK_EQ(strlen(err.message), 510);
    err_set(&err, ERR_INVALID, "a%s", text);
    CHECK_EQ(strlen(err.message), 511);
    err_set(&err, ERR_INVALID, "ab%s", text);
    CHECK_EQ(strlen(err.message), 509);
}

TEST(every_code_has_a_name)
{
    CHECK_STR(err_code_name(ERR_FORBIDDEN), "forbidden");
    CHECK_STR(err_code_name(ERR_BUSY), "busy");
    CHECK_STR(err_code_name(ERR_QUARANTINED), "quarantined");
    for (int code = ERR_NONE; code <= ERR_BUSY; code++)
        CHECK(strcmp(err_code_name((enum err_code)code), "unknown") != 0);
}
