/* Heads, paths, queries, ranges and entity tags as clients may send them. */
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "http/head.h"
#include "http/request.h"
#include "http/router.h"
#include "http/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct router *routes(void)
{
    static struct router *router;
    struct http_route some[] = {
        {.method = "GET", .pattern = "/", .owner = "p"},
        {.method = "GET", .pattern = "/a/b", .owner = "p"},
        {.method = "POST", .pattern = "/a/{id}", .owner = "p"},
        {.method = "GET", .pattern = "/a/{id}/{x}/c", .owner = "p"},
        {.method = "GET", .pattern = "/a/{rest...}", .owner = "p"},
        {.method = "GET", .pattern = "/\xed\x95\x9c/x", .owner = "p"},
    };
    struct err err;
    if (!router)
        router = router_create(some, sizeof some / sizeof *some, &err);
    return router;
}

/* What is found whole at once is found whole in two steps, and in the same way. */
static void check_head(struct str in)
{
    struct head once, twice;
    enum head_result result = head_check(in, 0, 4096, 1024, &once);
    for (size_t cut = 0; cut <= in.n; cut += 1 + in.n / 8) {
        enum head_result first = head_check(str_n(in.p, cut), 0, 4096, 1024, &twice);
        if (first == HEAD_PARTIAL)
            first = head_check(in, cut, 4096, 1024, &twice);
        if (result == HEAD_WHOLE && (first != HEAD_WHOLE || twice.bytes != once.bytes))
            abort();
    }
    if (result == HEAD_WHOLE && (once.target.n == 0 || once.target.p[0] != '/'))
        abort();
}

static void check_path(struct str in)
{
    struct router_match match;
    struct buf out = {0};
    router_match(routes(), STR("GET"), in, false, &match);
    router_match(routes(), STR("POST"), in, true, &match);
    if (match.route && match.count != match.route->name_count)
        abort();
    router_allowed(routes(), in, true, &out);
    buf_clear(&out);
    if (percent_decode(in, false, &out) && (!utf8_valid(buf_str(&out)) || out.n > in.n))
        abort();
    buf_free(&out);
}

static void check_query(struct str in)
{
    struct buf scratch = {0};
    struct str name, value;
    size_t at = 0;
    bool bad;
    while (query_next(in, &at, &scratch, &name, &value, &bad))
        if (!utf8_valid(name) || !utf8_valid(value))
            abort();
    buf_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n((const char *)data, size);
    uint64_t first, last;
    check_head(in);
    check_path(in);
    check_query(in);
    if (range_parse(in, 1000, &first, &last) == RANGE_PART && (first > last || last > 999))
        abort();
    etag_listed(in, STR("\"a\""), true);
    encoding_accepted(in, "gzip");
    http_date_parse(in);
    return 0;
}
