/* The address of a Redis server. */
#include "storage/redis_url.h"

#include "test.h"

static struct err err;
static struct redis_url u;

TEST(a_url_is_read)
{
    REQUIRE(redis_url_parse(STR("redis://me:p%40ss@db.example:6390/3"), &u, &err));
    CHECK_STR(u.host, "db.example");
    CHECK_STR(u.user, "me");
    CHECK_STR(u.password, "p@ss");
    CHECK(u.port == 6390 && u.db == 3 && !u.tls);
    redis_url_fini(&u);
    REQUIRE(redis_url_parse(STR("redis://:only@[::1]"), &u, &err));
    CHECK_STR(u.host, "::1");
    CHECK_STR(u.user, NULL);
    CHECK_STR(u.password, "only");
    CHECK(u.port == 6379 && u.db == 0);
    redis_url_fini(&u);
    REQUIRE(redis_url_parse(STR("redis://"), &u, &err));
    CHECK_STR(u.host, "127.0.0.1");
    redis_url_fini(&u);
}

TEST(tls_sockets_and_options_are_read)
{
    REQUIRE(redis_url_parse(STR("rediss://:a@h:1/2?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=none"),
                            &u, &err));
    CHECK(u.tls && u.unchecked && u.port == 1 && u.db == 2);
    CHECK_STR(u.ca_file, "/etc/ca.pem");
    redis_url_fini(&u);
    REQUIRE(redis_url_parse(STR("unix://me:b@/run/redis/server.sock?db=4"), &u, &err));
    CHECK_STR(u.path, "/run/redis/server.sock");
    CHECK_STR(u.host, NULL);
    CHECK_STR(u.user, "me");
    CHECK_EQ(u.db, 4);
    redis_url_fini(&u);
}

TEST(what_is_wrong_is_said_and_no_password_with_it)
{
    static const char *const wrong[] = {"redis://:secret@host:port/x", "http://:secret@host",
                                        "redis://:secret@h/x",         "redis://:secret@h?db=x",
                                        "redis://:secret@h:70000",     "redis://:secret@h?no=1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(!redis_url_parse(str_c(wrong[i]), &u, &err));
        CHECK(!strstr(err.message, "secret"));
        CHECK_EQ(err.code, ERR_INVALID);
    }
}
