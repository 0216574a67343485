/* openapi.c -- the OpenAPI 3.1 document of a set.  Each route's operation was
 * made from its declaration by lua/maru/operation.lua; here they are put
 * together by path, with what they refer to. */

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "reload/generation.h"
#include "reload/set.h"

/* One route, to be grouped by path. */
struct entry {
    char *path; /* owned */
    const struct route_decl *route;
};

static int by_path(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    return order ? order : strcmp(x->route->method, y->route->method);
}

/* "/files/{rest...}" → "/files/{rest}" */
static char *plain_path(const char *pattern)
{
    struct buf path = {0};
    for (const char *c = pattern; *c; c++) {
        if (!strncmp(c, "...}", 4))
            c += 3;
        buf_add_char(&path, *c);
    }
    char *copy = str_dup(buf_str(&path));
    buf_free(&path);
    return copy;
}

static struct entry *collect(const struct set *set, int *count)
{
    int total = 0, n = 0;
    for (int i = 0; i < set->count; i++)
        total += set->generations[i]->decl->route_count;
    struct entry *list = mem_zero((size_t)total + 1, sizeof *list);
    for (int i = 0; i < set->count; i++) {
        const struct plugin_decl *decl = set->generations[i]->decl;
        for (int k = 0; k < decl->route_count; k++) {
            if (decl->routes[k].operation_json)
                list[n++] = (struct entry){plain_path(decl->routes[k].pattern), &decl->routes[k]};
        }
    }
    qsort(list, (size_t)n, sizeof *list, by_path);
    *count = n;
    return list;
}

static void write_method(struct json *w, const char *method)
{
    char lower[16];
    size_t n = 0;
    for (; method[n] && n < sizeof lower - 1; n++)
        lower[n] = (char)(method[n] | 0x20);
    lower[n] = 0;
    json_key(w, lower);
}

/* "/a/{x}" and "/a/{x...}" are one path to OpenAPI: of two operations with one
 * method the first is told. */
static void write_paths(struct json *w, const struct entry *list, int count)
{
    const struct entry *last = NULL;
    json_open(w, '{');
    for (int i = 0; i < count; i++) {
        const struct entry *e = &list[i];
        if (last && !strcmp(last->path, e->path)) {
            if (!strcmp(last->route->method, e->route->method))
                continue;
        } else {
            if (last)
                json_close(w, '}');
            json_key(w, e->path);
            json_open(w, '{');
        }
        write_method(w, e->route->method);
        json_raw(w, str_c(e->route->operation_json));
        last = e;
    }
    if (last)
        json_close(w, '}');
    json_close(w, '}');
}

static void write_tags(struct json *w, const struct set *set)
{
    json_open(w, '[');
    for (int i = 0; i < set->count; i++) {
        const struct plugin_decl *decl = set->generations[i]->decl;
        if (!decl->route_count)
            continue;
        char *description = mem_printf("The plugin %s %s", decl->name, decl->version);
        json_open(w, '{');
        json_key(w, "name");
        json_cstr(w, decl->name);
        json_key(w, "description");
        json_cstr(w, description);
        json_close(w, '}');
        mem_free(description);
    }
    json_close(w, ']');
}

static const char info[] =
    "{\"title\":\"maru\",\"version\":\"" MARU_VERSION
    "\",\"summary\":\"The routes of all plugins that serve now\",\"description\":"
    "\"Made from what the plugins' route tables declare. Errors are problem documents (RFC 9457); "
    "instance is the request's id, which the log knows.\"}";

static const char schemas[] =
    "{\"Problem\":{\"type\":\"object\",\"description\":\"RFC 9457\",\"required\":[\"type\","
    "\"title\",\"status\",\"instance\"],\"properties\":{"
    "\"type\":{\"type\":\"string\",\"format\":\"uri-reference\",\"examples\":[\"about:blank\"]},"
    "\"title\":{\"type\":\"string\",\"description\":\"The status in words\"},"
    "\"status\":{\"type\":\"integer\",\"minimum\":400,\"maximum\":599},"
    "\"detail\":{\"type\":\"string\",\"description\":\"What is wrong with this request\"},"
    "\"code\":{\"type\":\"string\",\"description\":\"A short stable word\"},"
    "\"instance\":{\"type\":\"string\",\"description\":\"The request's id\"},"
    "\"errors\":{\"type\":\"array\",\"description\":\"Every wrong field, at most 50\","
    "\"items\":{\"$ref\":\"#/components/schemas/FieldError\"}},"
    "\"errors_left_off\":{\"type\":\"integer\",\"minimum\":1,"
    "\"description\":\"How many more fields are wrong\"}}},"
    "\"FieldError\":{\"type\":\"object\",\"required\":[\"in\",\"field\",\"pointer\",\"code\","
    "\"message\"],\"properties\":{"
    "\"in\":{\"type\":\"string\",\"enum\":[\"path\",\"query\",\"headers\",\"body\"]},"
    "\"field\":{\"type\":\"string\",\"description\":\"For people; items are counted from 1\","
    "\"examples\":[\"body.items[3].price\"]},"
    "\"pointer\":{\"type\":\"string\",\"description\":\"JSON Pointer (RFC 6901) inside that part\","
    "\"examples\":[\"/items/2/price\"]},"
    "\"code\":{\"type\":\"string\",\"enum\":[\"required\",\"null\",\"unknown\",\"repeated\","
    "\"type\","
    "\"range\",\"step\",\"length\",\"pattern\",\"format\",\"enum\",\"items\",\"unique\",\"one_of\"]"
    "},"
    "\"message\":{\"type\":\"string\",\"examples\":[\"must be a number of at least 0\"]},"
    "\"expected\":{\"type\":\"object\",\"description\":\"JSON Schema of what belongs there\"}}}}";

/* Name, description and headers of each answer that operations refer to. */
static const struct {
    const char *name, *description, *headers;
} answers[] = {
    {"Problem", "Something else went wrong", NULL},
    {"Malformed", "The request or its JSON is malformed", NULL},
    {"Unauthorized", "The route needs a known caller",
     "{\"WWW-Authenticate\":{\"schema\":{\"type\":\"string\"}}}"},
    {"TooLarge", "The body is over the route's limit", NULL},
    {"NotJson", "The body is not application/json",
     "{\"Accept\":{\"schema\":{\"type\":\"string\"}}}"},
    {"Invalid", "Fields are wrong; errors lists every one of them", NULL},
    {"TooMany", "The client is over the route's rate",
     "{\"Retry-After\":{\"required\":true,\"description\":\"Seconds to wait\","
     "\"schema\":{\"type\":\"integer\",\"minimum\":1}}}"},
};

static const char security[] =
    "{\"user\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"A known caller\"},"
    "\"admin\":{\"type\":\"http\",\"scheme\":\"bearer\","
    "\"description\":\"An operator: the token in admin.token, on the admin port\"}}";

static void write_components(struct json *w)
{
    json_open(w, '{');
    json_key(w, "schemas");
    json_raw(w, str_n(schemas, sizeof schemas - 1));
    json_key(w, "responses");
    json_open(w, '{');
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        json_key(w, answers[i].name);
        json_open(w, '{');
        json_key(w, "description");
        json_cstr(w, answers[i].description);
        if (answers[i].headers) {
            json_key(w, "headers");
            json_raw(w, str_c(answers[i].headers));
        }
        json_key(w, "content");
        json_raw(w, STR("{\"application/problem+json\":{\"schema\":"
                        "{\"$ref\":\"#/components/schemas/Problem\"}}}"));
        json_close(w, '}');
    }
    json_close(w, '}');
    json_key(w, "securitySchemes");
    json_raw(w, str_n(security, sizeof security - 1));
    json_close(w, '}');
}

void set_openapi_json(const struct set *set, struct buf *out)
{
    struct json w = json_to(out);
    int count;
    struct entry *list = collect(set, &count);
    json_open(&w, '{');
    json_key(&w, "openapi");
    json_cstr(&w, "3.1.0");
    json_key(&w, "info");
    json_raw(&w, str_n(info, sizeof info - 1));
    json_key(&w, "servers");
    json_raw(&w, STR("[{\"url\":\"/\"}]"));
    json_key(&w, "tags");
    write_tags(&w, set);
    json_key(&w, "paths");
    write_paths(&w, list, count);
    json_key(&w, "components");
    write_components(&w);
    json_close(&w, '}');
    for (int i = 0; i < count; i++)
        mem_free(list[i].path);
    mem_free(list);
}
