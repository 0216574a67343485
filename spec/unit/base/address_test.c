#include "base/address.h"

#include "test.h"

static struct buf out;

static const char *masked(const char *address)
{
    buf_clear(&out);
    address_mask(str_c(address), &out);
    return out.p ? out.p : "";
}

TEST(the_password_of_a_user_is_hidden)
{
    CHECK_STR(masked("postgres://user:secret@host:5432/db"), "postgres://user:***@host:5432/db");
    CHECK_STR(masked("redis://:secret@host/0"), "redis://:***@host/0");
    CHECK_STR(masked("postgres://u:a@b@host,other:1/db"), "postgres://u:***@host,other:1/db");
    CHECK_STR(masked("http://u:a:b@host/p?x=1"), "http://u:***@host/p?x=1");
    CHECK_STR(masked("redis://:half/secret@host/0"), "redis://:***@host/0");
    buf_free(&out);
}

TEST(an_address_without_one_stays_as_it_is)
{
    static const char *const same[] = {"postgres://user@host/db",   "http://host:80/a@b",
                                       "127.0.0.1:9092,other:9092", "host=a user=b",
                                       "http://host/?q=a@b",        ""};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        CHECK_STR(masked(same[i]), same[i]);
    buf_free(&out);
}

TEST(parameters_that_are_secrets_are_hidden)
{
    CHECK_STR(masked("postgres://host/db?user=a&password=x&sslmode=require"),
              "postgres://host/db?user=a&password=***&sslmode=require");
    CHECK_STR(masked("host=a password='x y\\'z' user=b"), "host=a password=*** user=b");
    CHECK_STR(masked("host=a Password = x user=b"), "host=a Password=*** user=b");
    CHECK_STR(masked("https://h/?access_token=abc"), "https://h/?access_token=***");
    CHECK_STR(masked("password="), "password=***");
    CHECK_STR(masked("password='open"), "password=***");
    buf_free(&out);
}
