/* Any lines as routes, any line as a path: what the table takes it also finds, and nothing else. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/router.h"

enum { ROUTES = 12 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next line of *in as text of its own. */
static char *take_line(struct str *in)
{
    size_t n = str_find(*in, '\n');
    char *line = str_dup(str_n(in->p, n));
    *in = n < in->n ? str_n(in->p + n + 1, in->n - n - 1) : str_n("", 0);
    return line;
}

static void check_match(const struct router *router, struct str path)
{
    static const char *const methods[] = {"GET", "POST", "HEAD", "?"};
    for (int i = 0; i < 4; i++) {
        struct router_match match = {0};
        if (router_match(router, str_c(methods[i]), path, i & 1, &match) != ROUTER_FOUND)
            continue;
        if (!match.route || match.count != match.route->name_count || match.count > ROUTER_PARAMS)
            abort();
        for (int k = 0; k < match.count; k++) {
            struct str value = match.values[k];
            if (value.n > 0 && (value.p < path.p || value.p + value.n > path.p + path.n))
                abort();
        }
    }
}

/* A path made of a route's own pattern, where it has no parameters, is found. */
static void check_own(const struct router *router)
{
    for (int i = 0; i < router_count(router); i++) {
        const struct http_route *route = router_at(router, i);
        struct router_match match;
        if (route->name_count == 0 &&
            router_match(router, str_c(route->method), str_c(route->pattern), true, &match) !=
                ROUTER_FOUND)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n((const char *)data, size);
    struct http_route routes[ROUTES] = {0};
    char *lines[ROUTES];
    int count = 0;
    char *path = take_line(&in);
    while (in.n > 0 && count < ROUTES) {
        lines[count] = take_line(&in);
        routes[count] = (struct http_route){.method = count & 1 ? "POST" : "GET",
                                            .pattern = lines[count],
                                            .owner = "p",
                                            .admin = count % 3 == 2};
        count++;
    }
    struct err err = {0};
    struct router *router = router_create(routes, count, &err);
    if (router) {
        check_match(router, str_c(path));
        check_own(router);
        struct buf out = {0};
        router_allowed(router, str_c(path), true, &out);
        buf_free(&out);
        router_destroy(router);
    } else if (!err.message[0]) {
        abort();
    }
    for (int i = 0; i < count; i++)
        mem_free(lines[i]);
    mem_free(path);
    return 0;
}
