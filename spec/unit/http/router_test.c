#include "http/router.h"

#include <stdio.h>

#include "test.h"

static struct http_route route(const char *method, const char *pattern, const char *owner)
{
    return (struct http_route){.method = method, .pattern = pattern, .owner = owner};
}

static struct router *make(const struct http_route *routes, int count)
{
    struct err err = {0};
    struct router *router = router_create(routes, count, &err);
    if (!router)
        printf("# %s\n", err.message);
    return router;
}

/* Pattern of the match, or "404", "405". */
static const char *matched(const struct router *router, const char *method, const char *path)
{
    static struct router_match match;
    switch (router_match(router, str_c(method), str_c(path), false, &match)) {
    case ROUTER_FOUND:
        return match.route->pattern;
    case ROUTER_METHOD:
        return "405";
    case ROUTER_NOT_FOUND:
        return "404";
    }
    return "?";
}

static const char *refusal(const struct http_route *routes, int count)
{
    static struct err err;
    struct router *router = router_create(routes, count, &err);
    router_destroy(router);
    return router ? "accepted" : err.message;
}

TEST(prefers_static_text_to_a_parameter_to_the_rest)
{
    const struct http_route routes[] = {
        route("GET", "/a/{rest...}", "p"), route("GET", "/a/{id}", "p"), route("GET", "/a/b", "p"),
        route("GET", "/a/{id}/c", "p"),    route("GET", "/", "p"),
    };
    struct router *r = make(routes, 5);
    REQUIRE(r);
    CHECK_STR(matched(r, "GET", "/a/b"), "/a/b");
    CHECK_STR(matched(r, "GET", "/a/x"), "/a/{id}");
    CHECK_STR(matched(r, "GET", "/a/b/c"), "/a/{id}/c");
    CHECK_STR(matched(r, "GET", "/a/b/d"), "/a/{rest...}");
    CHECK_STR(matched(r, "GET", "/a/x/y/z"), "/a/{rest...}");
    CHECK_STR(matched(r, "GET", "/"), "/");
    CHECK_STR(matched(r, "GET", "/a"), "404");
    CHECK_STR(matched(r, "GET", "/a/"), "404");
    CHECK_STR(matched(r, "GET", ""), "404");
    CHECK_STR(matched(r, "GET", "a/b"), "404");
    router_destroy(r);
}

TEST(gives_the_values_of_parameters)
{
    const struct http_route routes[] = {route("GET", "/u/{user}/f/{path...}", "p")};
    struct router *r = make(routes, 1);
    REQUIRE(r);
    struct router_match m;
    CHECK_EQ(router_match(r, STR("GET"), STR("/u/kim%20a/f/x/y"), false, &m), ROUTER_FOUND);
    CHECK_EQ(m.count, 2);
    CHECK(str_eq_c(m.values[0], "kim%20a") && str_eq_c(m.values[1], "x/y"));
    CHECK(str_eq_c(m.route->names[0], "user") && str_eq_c(m.route->names[1], "path"));
    router_destroy(r);
}

TEST(backs_out_of_a_branch_that_has_the_path_but_not_the_method)
{
    const struct http_route routes[] = {route("GET", "/a/b", "p"), route("POST", "/a/{id}", "p")};
    struct router *r = make(routes, 2);
    REQUIRE(r);
    CHECK_STR(matched(r, "POST", "/a/b"), "/a/{id}");
    CHECK_STR(matched(r, "PUT", "/a/b"), "405");
    struct buf allowed = {0};
    router_allowed(r, STR("/a/b"), false, &allowed);
    CHECK_STR(allowed.p, "GET, HEAD, POST, OPTIONS");
    buf_clear(&allowed);
    router_allowed(r, STR("/none"), false, &allowed);
    CHECK_EQ(allowed.n, 0);
    buf_free(&allowed);
    router_destroy(r);
}

TEST(answers_HEAD_from_GET_unless_HEAD_is_declared)
{
    const struct http_route routes[] = {route("GET", "/a", "p"), route("GET", "/b", "p"),
                                        route("HEAD", "/b", "p")};
    struct router *r = make(routes, 3);
    REQUIRE(r);
    struct router_match m;
    CHECK_STR(matched(r, "HEAD", "/a"), "/a");
    router_match(r, STR("HEAD"), STR("/b"), false, &m);
    CHECK_STR(m.route->method, "HEAD");
    router_destroy(r);
}

TEST(hides_admin_routes_from_the_public_listener)
{
    struct http_route routes[] = {route("GET", "/admin/v1/status", "host")};
    routes[0].admin = true;
    struct router *r = make(routes, 1);
    REQUIRE(r);
    struct router_match m;
    CHECK_STR(matched(r, "GET", "/admin/v1/status"), "404");
    CHECK_STR(matched(r, "POST", "/admin/v1/status"), "404");
    CHECK_EQ(router_match(r, STR("GET"), STR("/admin/v1/status"), true, &m), ROUTER_FOUND);
    router_destroy(r);
}

TEST(compares_encoded_paths_by_what_they_mean)
{
    const struct http_route routes[] = {route("GET", "/a b/\xed\x95\x9c", "p"),
                                        route("GET", "/x/{id}", "p")};
    struct router *r = make(routes, 2);
    REQUIRE(r);
    CHECK_STR(matched(r, "GET", "/a%20b/%ED%95%9c"), "/a b/\xed\x95\x9c");
    CHECK_STR(matched(r, "GET", "/x/a%2Fb"), "/x/{id}");
    CHECK_STR(matched(r, "GET", "/a%2"), "404");
    router_destroy(r);
}

TEST(names_both_owners_of_a_clash)
{
    const struct http_route routes[] = {route("GET", "/a/{id}", "one"),
                                        route("GET", "/a/{name}", "two")};
    CHECK_STR(refusal(routes, 2),
              "route GET /a/{name} of plugin two clashes with GET /a/{id} of plugin one");
    const struct http_route fine[] = {route("GET", "/a/{id}", "one"),
                                      route("POST", "/a/{name}", "two")};
    CHECK_STR(refusal(fine, 2), "accepted");
}

TEST(refuses_malformed_patterns)
{
    static const char *const bad[] = {"",          "a",     "/{}",  "/{1a}",  "/{a}/{a}",
                                      "/{a...}/b", "/x{a}", "/a?b", "/{a b}", "/%41"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct http_route r = route("GET", bad[i], "p");
        CHECK(strncmp(refusal(&r, 1), "route GET", 9) == 0);
    }
}

TEST(keeps_an_id_over_compilations)
{
    const struct http_route routes[] = {route("GET", "/a", "p"), route("GET", "/b", "p")};
    struct router *one = make(routes, 2), *two = make(routes + 1, 1);
    REQUIRE(one && two);
    CHECK(router_at(one, 1)->id == router_at(two, 0)->id);
    CHECK(router_at(one, 0)->id != router_at(one, 1)->id);
    router_destroy(one);
    router_destroy(two);
}

TEST(survives_deep_paths)
{
    const struct http_route routes[] = {route("GET", "/{a}/{b}/{c}/x", "p"),
                                        route("GET", "/{r...}", "p")};
    struct router *r = make(routes, 2);
    REQUIRE(r);
    static char path[8000];
    memset(path, '/', sizeof path - 1);
    CHECK_STR(matched(r, "GET", path), "/{r...}");
    router_destroy(r);
}
