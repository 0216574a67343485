#include "reload/scan.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "vm/bundle.h"

static bool is_wanted(const char *const *only, const char *name)
{
    for (int i = 0; only && only[i]; i++) {
        if (!strcmp(only[i], name))
            return true;
    }
    return !only;
}

static bool is_known(const struct scan *s, const char *name)
{
    for (int i = 0; i < s->count; i++) {
        if (!strcmp(s->entries[i].name, name))
            return true;
    }
    return false;
}

static void add(struct scan *s, const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    char *file = mem_printf("%s/plugin.lua", path);
    if (!access(file, F_OK)) {
        s->entries = mem_realloc(s->entries, (size_t)(s->count + 1) * sizeof *s->entries);
        struct scan_entry *e = &s->entries[s->count++];
        *e = (struct scan_entry){0};
        memcpy(e->name, name, strlen(name) + 1); /* checked by the caller */
        e->bundle = bundle_read(path, &e->err);
    }
    mem_free(file);
    mem_free(path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct scan_entry *)a)->name, ((const struct scan_entry *)b)->name);
}

struct scan scan_read(const char *const *dirs, const char *const *only)
{
    struct scan s = {0};
    for (int i = 0; dirs[i]; i++) {
        DIR *d = opendir(dirs[i]);
        for (struct dirent *e; d && (e = readdir(d));) {
            if (e->d_name[0] != '.' && strlen(e->d_name) < sizeof s.entries->name &&
                is_wanted(only, e->d_name) && !is_known(&s, e->d_name))
                add(&s, dirs[i], e->d_name);
        }
        if (d)
            closedir(d);
    }
    if (s.count)
        qsort(s.entries, (size_t)s.count, sizeof *s.entries, by_name);
    return s;
}

void scan_free(struct scan *s)
{
    for (int i = 0; i < s->count; i++) {
        if (s->entries[i].bundle)
            bundle_free(s->entries[i].bundle);
        mem_free(s->entries[i].note);
    }
    mem_free(s->entries);
    *s = (struct scan){0};
}
