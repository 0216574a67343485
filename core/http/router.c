#include "http/router.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "http/stats.h"

/* DESIGN: a tree of path segments.  A node has its static children sorted by
 * text, at most one child for "any one segment" and one for "all the rest",
 * and the routes whose pattern ends there.  A walk that fails in a static
 * child tries the parameter, then the rest: patterns are few and shallow, so
 * the worst case (2^depth) is bounded by ROUTER_SEGMENTS only in theory and by
 * the patterns that exist in practice. */
struct node {
    struct str text; /* of the segment that leads here */
    struct node **children;
    int child_count;
    struct node *param, *rest;
    struct http_route **ends;
    int end_count;
};

struct router {
    struct node root;
    struct http_route *routes;
    int count;
    int64_t max_body;
    struct str *names; /* of all routes' parameters */
};

struct walk {
    struct str method;
    bool admin;
    bool head;      /* HEAD, which a GET route answers */
    bool path_seen; /* some route has this path */
    struct router_match *out;
};

static int compare_text(struct str a, struct str b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    return memcmp(a.p, b.p, a.n);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether the percent-encoded segment means `text`. */
static bool decodes_to(struct str encoded, struct str text)
{
    size_t at = 0;
    for (size_t i = 0; i < encoded.n; i++, at++) {
        int c = (unsigned char)encoded.p[i];
        if (c == '%') {
            if (encoded.n - i < 3 || hex(encoded.p[i + 1]) < 0 || hex(encoded.p[i + 2]) < 0)
                return false;
            c = hex(encoded.p[i + 1]) * 16 + hex(encoded.p[i + 2]);
            i += 2;
        }
        if (at >= text.n || (unsigned char)text.p[at] != c)
            return false;
    }
    return at == text.n;
}

static struct node *find_child(const struct node *node, struct str segment)
{
    if (segment.n > 0 && memchr(segment.p, '%', segment.n)) {
        for (int i = 0; i < node->child_count; i++)
            if (decodes_to(segment, node->children[i]->text))
                return node->children[i];
        return NULL;
    }
    int low = 0, high = node->child_count;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = compare_text(node->children[middle]->text, segment);
        if (order == 0)
            return node->children[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static struct node *add_child(struct node *node, struct str text)
{
    struct node *child = find_child(node, text);
    if (child)
        return child;
    child = mem_zero(1, sizeof *child);
    child->text = text;
    node->children =
        mem_realloc(node->children, (size_t)(node->child_count + 1) * sizeof *node->children);
    int at = node->child_count++;
    while (at > 0 && compare_text(node->children[at - 1]->text, text) > 0) {
        node->children[at] = node->children[at - 1];
        at--;
    }
    node->children[at] = child;
    return child;
}

static void free_node(struct node *node)
{
    for (int i = 0; i < node->child_count; i++) {
        free_node(node->children[i]);
        mem_free(node->children[i]);
    }
    if (node->param)
        free_node(node->param);
    if (node->rest)
        free_node(node->rest);
    mem_free(node->param);
    mem_free(node->rest);
    mem_free(node->children);
    mem_free(node->ends);
}

static bool is_name(struct str s)
{
    if (s.n == 0 || (s.p[0] >= '0' && s.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", s.p[i]))
            return false;
    return true;
}

static bool bad_pattern(const struct http_route *route, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID, "route %s %s of plugin %s: %s", route->method, route->pattern,
                   route->owner, why);
}

/* Adds a parameter's name to the route's. */
static bool add_name(struct http_route *route, struct str *names, struct str name, struct err *err)
{
    if (!is_name(name))
        return bad_pattern(route, "a parameter is written {name}, [A-Za-z_][A-Za-z0-9_]*", err);
    if (route->name_count == ROUTER_PARAMS)
        return bad_pattern(route, "more than 16 parameters", err);
    for (int i = 0; i < route->name_count; i++)
        if (str_eq(names[i], name))
            return bad_pattern(route, "a parameter's name is used twice", err);
    names[route->name_count++] = name;
    return true;
}

/* The node of one pattern segment, made if needed; NULL with *err. */
static struct node *add_segment(struct node *node, struct str segment, bool last,
                                struct http_route *route, struct str *names, struct err *err)
{
    if (segment.n < 2 || segment.p[0] != '{' || segment.p[segment.n - 1] != '}') {
        for (size_t i = 0; i < segment.n; i++)
            if (strchr("{}?#%", segment.p[i])) {
                bad_pattern(route, "{ } ? # % cannot stand inside static text", err);
                return NULL;
            }
        return add_child(node, segment);
    }
    struct str name = str_n(segment.p + 1, segment.n - 2);
    bool rest = name.n > 3 && memcmp(name.p + name.n - 3, "...", 3) == 0;
    if (rest)
        name.n -= 3;
    if (!add_name(route, names, name, err))
        return NULL;
    if (rest && !last) {
        bad_pattern(route, "{name...} must come last", err);
        return NULL;
    }
    struct node **slot = rest ? &node->rest : &node->param;
    if (!*slot)
        *slot = mem_zero(1, sizeof **slot);
    return *slot;
}

static bool add_end(struct node *node, struct http_route *route, struct err *err)
{
    for (int i = 0; i < node->end_count; i++) {
        const struct http_route *other = node->ends[i];
        if (strcmp(other->method, route->method) == 0)
            return err_set(err, ERR_CONFLICT,
                           "route %s %s of plugin %s clashes with %s %s of plugin %s",
                           route->method, route->pattern, route->owner, other->method,
                           other->pattern, other->owner);
    }
    node->ends = mem_realloc(node->ends, (size_t)(node->end_count + 1) * sizeof *node->ends);
    node->ends[node->end_count++] = route;
    return true;
}

static uint64_t identify(const struct http_route *route)
{
    struct buf text = {0};
    buf_printf(&text, "%s\n%s\n%s", route->owner, route->method, route->pattern);
    uint64_t id = hash_bytes(text.p, text.n);
    buf_free(&text);
    return id;
}

static bool add_route(struct router *router, struct http_route *route, struct str *names,
                      struct err *err)
{
    struct str rest = str_c(route->pattern);
    if (rest.n == 0 || rest.p[0] != '/' || rest.n > ROUTER_PATTERN_BYTES)
        return bad_pattern(route, "a path begins with / and has at most 512 bytes", err);
    struct node *node = &router->root;
    route->names = names;
    route->name_count = 0;
    int depth = 0;
    rest = str_n(rest.p + 1, rest.n - 1);
    for (;;) {
        size_t slash = str_find(rest, '/');
        bool last = slash == rest.n;
        if (++depth > ROUTER_SEGMENTS)
            return bad_pattern(route, "more than 32 segments", err);
        node = add_segment(node, str_n(rest.p, slash), last, route, names, err);
        if (!node)
            return false;
        if (last)
            break;
        rest = str_n(rest.p + slash + 1, rest.n - slash - 1);
    }
    route->id = identify(route);
    route->stats = http_stats_of(route->owner);
    if (route->max_body > router->max_body)
        router->max_body = route->max_body;
    return add_end(node, route, err);
}

struct router *router_create(const struct http_route *routes, int count, struct err *err)
{
    if (count < 0 || count > ROUTER_ROUTES) {
        err_set(err, ERR_LIMIT, "%d routes; the limit is %d", count, ROUTER_ROUTES);
        return NULL;
    }
    struct router *router = mem_zero(1, sizeof *router);
    router->count = count;
    router->routes = mem_dup(routes, (size_t)count * sizeof *routes);
    router->names = mem_zero((size_t)count * ROUTER_PARAMS + 1, sizeof *router->names);
    for (int i = 0; i < count; i++) {
        struct str *names = router->names + (size_t)i * ROUTER_PARAMS;
        if (!add_route(router, &router->routes[i], names, err)) {
            router_destroy(router);
            return NULL;
        }
    }
    return router;
}

void router_destroy(struct router *router)
{
    if (!router)
        return;
    free_node(&router->root);
    mem_free(router->routes);
    mem_free(router->names);
    mem_free(router);
}

/* The route of this node for the walk's method; notes that the path exists. */
static bool take_end(const struct node *node, struct walk *walk)
{
    const struct http_route *get = NULL;
    for (int i = 0; i < node->end_count; i++) {
        const struct http_route *route = node->ends[i];
        if (route->admin && !walk->admin)
            continue;
        walk->path_seen = true;
        if (str_eq_c(walk->method, route->method)) {
            walk->out->route = route;
            return true;
        }
        if (walk->head && strcmp(route->method, "GET") == 0)
            get = route;
    }
    walk->out->route = get;
    return get != NULL;
}

/* Tries what begins at `rest` (behind a slash) under node; count values are taken. */
static bool descend(const struct node *node, struct str rest, int count, int depth,
                    struct walk *walk)
{
    if (depth == ROUTER_SEGMENTS)
        return false;
    size_t slash = str_find(rest, '/');
    struct str segment = str_n(rest.p, slash);
    bool last = slash == rest.n;
    struct str behind = last ? str_n(NULL, 0) : str_n(rest.p + slash + 1, rest.n - slash - 1);
    const struct node *child = find_child(node, segment);
    for (int take = 0; take < 2; take++, child = node->param) {
        if (!child || (take == 1 && segment.n == 0))
            continue;
        if (take == 1)
            walk->out->values[count] = segment;
        walk->out->count = count + take;
        if (last ? take_end(child, walk) : descend(child, behind, count + take, depth + 1, walk))
            return true;
    }
    if (!node->rest || rest.n == 0)
        return false;
    walk->out->values[count] = rest;
    walk->out->count = count + 1;
    return take_end(node->rest, walk);
}

enum router_result router_match(const struct router *router, struct str method, struct str path,
                                bool admin, struct router_match *out)
{
    struct walk walk = {
        .method = method, .admin = admin, .head = str_eq_c(method, "HEAD"), .out = out};
    out->route = NULL;
    out->count = 0;
    if (path.n > 0 && path.p[0] == '/' &&
        descend(&router->root, str_n(path.p + 1, path.n - 1), 0, 0, &walk))
        return ROUTER_FOUND;
    return walk.path_seen ? ROUTER_METHOD : ROUTER_NOT_FOUND;
}

void router_allowed(const struct router *router, struct str path, bool admin, struct buf *out)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    struct router_match match;
    bool any = false;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (router_match(router, str_c(methods[i]), path, admin, &match) == ROUTER_FOUND) {
            buf_printf(out, "%s%s", any ? ", " : "", methods[i]);
            any = true;
        }
    if (any)
        buf_add_c(out, ", OPTIONS");
}

int router_count(const struct router *router)
{
    return router->count;
}

const struct http_route *router_at(const struct router *router, int index)
{
    return &router->routes[index];
}

int64_t router_max_body(const struct router *router)
{
    return router->max_body;
}
