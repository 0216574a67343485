/* openapi.c -- the OpenAPI 3.1 document of a set, derived from what routes declare. */

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "reload/generation.h"
#include "reload/set.h"

/* One route and its plugin, to be grouped by path. */
struct entry {
    const struct generation *generation;
    const struct route_decl *route;
};

static int by_path(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->route->pattern, y->route->pattern);
    return order ? order : strcmp(x->route->method, y->route->method);
}

/* "/files/{rest...}" → "/files/{rest}" */
static void write_path(struct json *w, const char *pattern)
{
    struct buf path = {0};
    for (const char *c = pattern; *c; c++) {
        if (!strncmp(c, "...}", 4))
            c += 3;
        buf_add_char(&path, *c);
    }
    json_key(w, path.p ? path.p : "");
    buf_free(&path);
}

static void write_lower(struct json *w, const char *method)
{
    char lower[16];
    size_t n = 0;
    for (; method[n] && n < sizeof lower - 1; n++)
        lower[n] = (char)(method[n] | 0x20);
    lower[n] = 0;
    json_key(w, lower);
}

static void write_response(struct json *w, const char *status, const char *description,
                           bool problem)
{
    json_key(w, status);
    json_open(w, '{');
    json_key(w, "description");
    json_cstr(w, description);
    if (problem) {
        json_key(w, "content");
        json_raw(w, STR("{\"application/problem+json\":{\"schema\":"
                        "{\"$ref\":\"#/components/schemas/Problem\"}}}"));
    }
    json_close(w, '}');
}

static void write_operation(struct json *w, const struct entry *e)
{
    const struct route_decl *r = e->route;
    write_lower(w, r->method);
    json_open(w, '{');
    json_key(w, "tags");
    json_open(w, '[');
    json_cstr(w, e->generation->name);
    json_close(w, ']');
    if (r->summary) {
        json_key(w, "summary");
        json_cstr(w, r->summary);
    }
    if (r->schema_json && *r->schema_json) {
        /* The host library writes {"parameters":[…],"requestBody":{…}} or its own shape; the
         * members stand beside the others either way. */
        struct str inner = str_trim(str_c(r->schema_json));
        if (inner.n > 2) {
            json_key(w, "x-maru-fields");
            json_raw(w, inner);
        }
    }
    if (r->auth && strcmp(r->auth, "none")) {
        json_key(w, "security");
        json_raw(w, STR("[{\"session\":[]}]"));
    }
    json_key(w, "responses");
    json_open(w, '{');
    write_response(w, "200", "The answer", false);
    write_response(w, "default", "Problem (RFC 9457)", true);
    json_close(w, '}');
    json_close(w, '}');
}

static struct entry *collect(const struct set *set, int *count)
{
    int total = 0, n = 0;
    for (int i = 0; i < set->count; i++)
        total += set->generations[i]->decl->route_count;
    struct entry *list = calloc((size_t)total + 1, sizeof *list);
    for (int i = 0; list && i < set->count; i++) {
        const struct generation *g = set->generations[i];
        for (int k = 0; k < g->decl->route_count; k++)
            list[n++] = (struct entry){g, &g->decl->routes[k]};
    }
    qsort(list, (size_t)n, sizeof *list, by_path);
    *count = n;
    return list;
}

static const char problem_schema[] =
    "{\"schemas\":{\"Problem\":{\"type\":\"object\",\"required\":[\"title\",\"status\"],"
    "\"properties\":{\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},"
    "\"status\":{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"},"
    "\"code\":{\"type\":\"string\"},\"errors\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
    "\"properties\":{\"field\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"}}}}}}},"
    "\"securitySchemes\":{\"session\":{\"type\":\"http\",\"scheme\":\"bearer\"}}}";

void set_openapi_json(const struct set *set, struct buf *out)
{
    struct json w = json_to(out);
    int count;
    struct entry *list = collect(set, &count);
    json_open(&w, '{');
    json_key(&w, "openapi");
    json_cstr(&w, "3.1.0");
    json_key(&w, "info");
    json_raw(&w, STR("{\"title\":\"maru\",\"version\":\"" MARU_VERSION "\"}"));
    json_key(&w, "paths");
    json_open(&w, '{');
    for (int i = 0; i < count; i++) {
        if (!i || strcmp(list[i].route->pattern, list[i - 1].route->pattern)) {
            write_path(&w, list[i].route->pattern);
            json_open(&w, '{');
        }
        write_operation(&w, &list[i]);
        if (i + 1 == count || strcmp(list[i].route->pattern, list[i + 1].route->pattern))
            json_close(&w, '}');
    }
    json_close(&w, '}');
    json_key(&w, "components");
    json_raw(&w, str_n(problem_schema, sizeof problem_schema - 1));
    json_close(&w, '}');
    free(list);
}
