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

/* The members of an object that our own writer made: names without escapes,
 * values as they stand.  False at the end. */
static bool next_member(struct str *inside, struct str *name, struct str *value)
{
    const char *p = inside->p, *end = inside->p + inside->n;
    while (p < end && *p != '"')
        p++;
    if (p == end)
        return false;
    *name = str_n(p + 1, str_find(str_n(p + 1, (size_t)(end - p - 1)), '"'));
    p = name->p + name->n + 2; /* behind the quote and the colon */
    const char *from = p;
    int depth = 0;
    for (bool quoted = false; p < end && (quoted || depth || *p != ','); p++) {
        if (quoted && *p == '\\')
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
    }
    *value = str_n(from, (size_t)(p - from));
    *inside = p < end ? str_n(p + 1, (size_t)(end - p - 1)) : str_n(end, 0);
    return true;
}

static struct str inside_of(struct str object)
{
    return object.n >= 2 ? str_n(object.p + 1, object.n - 2) : str_n("", 0);
}

static struct str member(struct str object, const char *wanted)
{
    struct str inside = inside_of(object), name, value;
    while (next_member(&inside, &name, &value)) {
        if (str_eq_c(name, wanted))
            return value;
    }
    return str_n("", 0);
}

static bool is_required(struct str required, struct str name)
{
    struct str inside = inside_of(required);
    while (inside.n) {
        struct str item = str_split(&inside, ',');
        if (str_eq(inside_of(item), name))
            return true;
    }
    return false;
}

/* The properties of one part of the request, each as a parameter. */
static void write_parameters(struct json *w, struct str schema, const char *part, const char *in)
{
    struct str object = member(schema, part), name, value;
    struct str inside = inside_of(member(object, "properties"));
    struct str required = member(object, "required");
    while (next_member(&inside, &name, &value)) {
        json_open(w, '{');
        json_key(w, "name");
        json_str(w, name);
        json_key(w, "in");
        json_cstr(w, in);
        json_key(w, "required");
        json_bool(w, !strcmp(in, "path") || is_required(required, name));
        json_key(w, "schema");
        json_raw(w, value);
        json_close(w, '}');
    }
}

/* schema_json: {"path":…,"query":…,"headers":…,"body":…}, each an object schema. */
static void write_schema(struct json *w, const char *schema_json)
{
    struct str schema = str_c(schema_json), body = member(schema, "body");
    if (!schema.n)
        return;
    json_key(w, "parameters");
    json_open(w, '[');
    write_parameters(w, schema, "path", "path");
    write_parameters(w, schema, "query", "query");
    write_parameters(w, schema, "headers", "header");
    json_close(w, ']');
    if (!body.n)
        return;
    json_key(w, "requestBody");
    json_open(w, '{');
    json_key(w, "required");
    json_bool(w, true);
    json_key(w, "content");
    json_open(w, '{');
    json_key(w, "application/json");
    json_open(w, '{');
    json_key(w, "schema");
    json_raw(w, body);
    json_close(w, '}');
    json_close(w, '}');
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
    write_schema(w, r->schema_json);
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
