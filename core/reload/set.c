#include "reload/set.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "reload/generation.h"
#include "vm/bundle.h"

static void add_route(struct set *s, int *n, struct generation *g, const struct route_decl *d)
{
    s->routes[(*n)++] = (struct http_route){
        .kind = HTTP_ROUTE_LUA,
        .method = d->method,
        .pattern = d->pattern,
        .owner = g->name,
        .label = g->label,
        .auth = !d->auth || !strcmp(d->auth, "none") ? HTTP_AUTH_NONE
                : !strcmp(d->auth, "admin")          ? HTTP_AUTH_ADMIN
                                                     : HTTP_AUTH_USER,
        .max_body = d->max_body,
        .timeout_ns = d->timeout_ns,
        .rate = d->rate,
        .rate_burst = d->rate_burst,
        .cache_ns = d->cache_ns,
        .target = g->vms,
        .arg = g,
        .handler = d->handler,
        .open = -1,
        .message = -1,
        .close = -1,
    };
}

static void add_socket(struct set *s, int *n, struct generation *g, const struct socket_decl *d)
{
    s->routes[(*n)++] = (struct http_route){
        .kind = HTTP_ROUTE_SOCKET,
        .method = "GET",
        .pattern = d->path,
        .owner = g->name,
        .label = g->label,
        .target = g->vms,
        .arg = g,
        .handler = -1,
        .open = d->open,
        .message = d->message,
        .close = d->close,
    };
}

static bool build_router(struct set *s, const struct set_fixed *fixed, struct err *err)
{
    int total = fixed->route_count, n = 0;
    for (int i = 0; i < s->count; i++)
        total += s->generations[i]->decl->route_count + s->generations[i]->decl->socket_count;
    s->routes = mem_zero((size_t)total + 1, sizeof *s->routes);
    for (; n < fixed->route_count; n++)
        s->routes[n] = fixed->routes[n];
    for (int i = 0; i < s->count; i++) {
        struct generation *g = s->generations[i];
        for (int k = 0; k < g->decl->route_count; k++)
            add_route(s, &n, g, &g->decl->routes[k]);
        for (int k = 0; k < g->decl->socket_count; k++)
            add_socket(s, &n, g, &g->decl->sockets[k]);
    }
    s->http.router = router_create(s->routes, n, err);
    return s->http.router != NULL;
}

/* The files below public/ of one bundle; they are neighbours because a bundle is sorted. */
static struct files_mount plugin_mount(struct set *s, const struct generation *g, int *entry)
{
    static const char folder[] = "public/";
    char *prefix = mem_printf("/plugins/%s/", g->name);
    struct files_mount mount = {
        .prefix = prefix, .entries = s->entries + *entry, .version = g->bundle->hash};
    s->prefixes[s->prefix_count++] = prefix;
    for (int i = 0; i < g->bundle->count; i++) {
        const struct bundle_file *f = &g->bundle->files[i];
        if (strncmp(f->name, folder, sizeof folder - 1))
            continue;
        s->entries[(*entry)++] = (struct files_entry){f->name + sizeof folder - 1, f->bytes, f->n};
        mount.count++;
    }
    return mount;
}

static bool build_files(struct set *s, const struct set_fixed *fixed, struct err *err)
{
    size_t files = 0;
    int n = 0, entry = 0;
    for (int i = 0; i < s->count; i++)
        files += (size_t)s->generations[i]->bundle->count;
    s->entries = mem_zero(files + 1, sizeof *s->entries);
    s->prefixes = mem_zero((size_t)s->count + 1, sizeof *s->prefixes);
    struct files_mount *mounts = mem_zero((size_t)s->count + 2, sizeof *mounts);
    if (fixed->public_dir)
        mounts[n++] = (struct files_mount){.prefix = "/", .dir = fixed->public_dir};
    if (fixed->vendor_dir)
        mounts[n++] = (struct files_mount){.prefix = "/vendor/", .dir = fixed->vendor_dir};
    for (int i = 0; i < s->count; i++) {
        struct files_mount mount = plugin_mount(s, s->generations[i], &entry);
        if (mount.count)
            mounts[n++] = mount;
    }
    s->http.files = files_create(mounts, n, fixed->development, err);
    mem_free(mounts);
    return s->http.files != NULL;
}

static void index_jobs(struct set *s)
{
    for (int i = 0; i < s->count; i++) {
        struct generation *g = s->generations[i];
        for (int k = 0; k < g->decl->job_count; k++) {
            struct set_job *job = mem_zero(1, sizeof *job);
            *job = (struct set_job){g, &g->decl->jobs[k]};
            mem_free(map_set(s->jobs, str_c(job->decl->kind), job));
        }
    }
}

static bool check_pages(const struct set *s, struct err *err)
{
    struct map *owners = map_create();
    bool ok = true;
    for (int i = 0; ok && i < s->count; i++) {
        const struct generation *g = s->generations[i];
        for (int k = 0; ok && k < g->decl->page_count; k++) {
            const char *path = g->decl->pages[k].path;
            const struct generation *other = map_set(owners, str_c(path), (void *)(uintptr_t)g);
            if (other)
                ok = err_set(err, ERR_CONFLICT, "page %s of plugin %s clashes with the one of %s",
                             path, g->name, other->name);
        }
    }
    map_destroy(owners);
    return ok;
}

static bool check_queues(const struct set *s, struct err *err)
{
    struct map *owners = map_create();
    bool ok = true;
    for (int i = 0; ok && i < s->count; i++) {
        const struct generation *g = s->generations[i];
        for (int k = 0; ok && k < g->decl->queue_count; k++) {
            const char *name = g->decl->queues[k].name;
            const struct generation *other = map_set(owners, str_c(name), (void *)(uintptr_t)g);
            if (other)
                ok = err_set(err, ERR_CONFLICT,
                             "M.queues[\"%s\"] of plugin %s clashes with the one of %s", name,
                             g->name, other->name);
        }
    }
    map_destroy(owners);
    return ok;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct generation *const *)a)->name, (*(struct generation *const *)b)->name);
}

struct set *set_create(struct generation *const *generations, int count,
                       const struct set_fixed *fixed, int lane_count, struct err *err)
{
    struct set *s = mem_zero(1, sizeof *s);
    s->count = count;
    s->generations = mem_zero((size_t)count + 1, sizeof *s->generations);
    if (count)
        memcpy(s->generations, generations, (size_t)count * sizeof *generations);
    qsort(s->generations, (size_t)count, sizeof *generations, by_name);
    s->lane_count = lane_count;
    s->pins = mem_zero((size_t)lane_count, sizeof *s->pins);
    s->by_name = map_create();
    s->jobs = map_create();
    for (int i = 0; i < count; i++) {
        generation_ref(s->generations[i]);
        map_set(s->by_name, str_c(s->generations[i]->name), s->generations[i]);
    }
    index_jobs(s);
    if (build_router(s, fixed, err) && build_files(s, fixed, err) && check_pages(s, err) &&
        check_queues(s, err))
        return s;
    set_free(s);
    return NULL;
}

void set_free(struct set *s)
{
    if (!s)
        return;
    if (s->http.router)
        router_destroy((struct router *)(uintptr_t)s->http.router);
    if (s->http.files)
        files_destroy((struct files *)(uintptr_t)s->http.files);
    for (int i = 0; i < s->prefix_count; i++)
        mem_free(s->prefixes[i]);
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(s->jobs, &at, &key, &value))
        mem_free(value);
    map_destroy(s->jobs);
    map_destroy(s->by_name);
    for (int i = 0; i < s->count; i++)
        generation_unref(s->generations[i]);
    mem_free(s->generations);
    mem_free(s->routes);
    mem_free(s->entries);
    mem_free(s->prefixes);
    mem_free(s->pins);
    mem_free(s);
}

struct generation *set_plugin(const struct set *s, struct str name)
{
    return map_get(s->by_name, name);
}

const struct set_job *set_job(const struct set *s, struct str kind)
{
    return map_get(s->jobs, kind);
}

void set_pages_json(const struct set *s, struct buf *out)
{
    struct json w = json_to(out);
    json_open(&w, '[');
    for (int i = 0; i < s->count; i++) {
        const struct generation *g = s->generations[i];
        for (int k = 0; k < g->decl->page_count; k++) {
            const struct page_decl *p = &g->decl->pages[k];
            json_open(&w, '{');
            json_key(&w, "plugin");
            json_cstr(&w, g->name);
            json_key(&w, "path");
            json_cstr(&w, p->path);
            json_key(&w, "title");
            json_open(&w, '{');
            json_key(&w, "ko");
            json_cstr(&w, p->title_ko);
            json_key(&w, "en");
            json_cstr(&w, p->title_en);
            json_close(&w, '}');
            char *module = mem_printf("/plugins/%s/%s", g->name, p->module);
            json_key(&w, "module");
            json_cstr(&w, module);
            mem_free(module);
            json_close(&w, '}');
        }
    }
    json_close(&w, ']');
}
