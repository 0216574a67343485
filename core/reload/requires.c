/* requires.c -- which plugins a plugin needs, and the order they start in. */

#include "base/mem.h"
#include "reload/generation.h"
#include "reload/set.h"
#include "vm/bundle.h"

int version_compare(struct str a, struct str b)
{
    while (a.n || b.n) {
        long long x = 0, y = 0;
        str_int64(str_split(&a, '.'), &x);
        str_int64(str_split(&b, '.'), &y);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

static int find(struct generation *const *list, int count, struct str name)
{
    for (int i = 0; i < count; i++) {
        if (str_eq_c(name, list[i]->name))
            return i;
    }
    return -1;
}

/* "accounts >= 1.2" → name, and the least version (empty = any). */
static struct str parse(const char *text, struct str *least)
{
    struct str rest = str_c(text);
    struct str name = str_trim(str_split(&rest, '>'));
    if (rest.n && rest.p[0] == '=')
        rest = str_n(rest.p + 1, rest.n - 1);
    *least = str_trim(rest);
    return name;
}

struct walk {
    struct generation *const *list;
    int count;
    int *order, placed;
    char *mark; /* 1 = being visited, 2 = placed */
};

static bool visit(struct walk *w, int i, struct err *err);

static bool visit_required(struct walk *w, const struct generation *g, const char *text,
                           struct err *err)
{
    struct str least, name = parse(text, &least);
    int needed = find(w->list, w->count, name);
    const char *dir = g->bundle->dir;
    if (needed < 0)
        return err_set(err, ERR_NOT_FOUND, "%s/plugin.lua: requires \"%s\", which is not there",
                       dir, text);
    const char *has = w->list[needed]->decl->version;
    if (least.n && version_compare(str_c(has), least) < 0)
        return err_set(err, ERR_CONFLICT, "%s/plugin.lua: requires \"%s\", but %.*s is %s", dir,
                       text, (int)name.n, name.p, has ? has : "without a version");
    if (w->mark[needed] == 1)
        return err_set(err, ERR_CONFLICT, "%s/plugin.lua: requires \"%s\", which requires it too",
                       dir, text);
    return visit(w, needed, err);
}

static bool visit(struct walk *w, int i, struct err *err)
{
    const struct generation *g = w->list[i];
    if (w->mark[i])
        return true;
    w->mark[i] = 1;
    for (int k = 0; k < g->decl->require_count; k++) {
        if (!visit_required(w, g, g->decl->requires[k], err))
            return false;
    }
    w->mark[i] = 2;
    w->order[w->placed++] = i;
    return true;
}

bool set_requirements(struct generation *const *generations, int count, int **order,
                      struct err *err)
{
    struct walk w = {.list = generations, .count = count};
    w.order = mem_zero((size_t)count + 1, sizeof *w.order);
    w.mark = mem_zero((size_t)count + 1, 1);
    bool ok = true;
    for (int i = 0; ok && i < count; i++)
        ok = visit(&w, i, err);
    mem_free(w.mark);
    *order = w.order;
    if (!ok) {
        mem_free(w.order);
        *order = NULL;
    }
    return ok;
}
