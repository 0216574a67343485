#include "reload/rollback.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "observe/log.h"
#include "reload/scan.h"
#include "vm/bundle.h"

static char *path_of(const char *dir, const char *plugin)
{
    return mem_printf("%s/rolled_back/%s", dir, plugin);
}

bool rollback_read(const char *dir, const char *plugin, struct rollback *out)
{
    struct buf text = {0};
    struct err err;
    long long at = 0;
    char *path = path_of(dir, plugin);
    *out = (struct rollback){0};
    snprintf(out->plugin, sizeof out->plugin, "%s", plugin);
    bool ok = file_read(path, 4096, &text, &err);
    buf_add_char(&text, 0);
    ok = ok && sscanf(text.p, "%12[0-9a-f] %12[0-9a-f] %12[0-9a-f-] %lld %199[^\n]", out->from,
                      out->to, out->folder, &at, out->reason) == 5;
    out->at_wall = at;
    if (!strcmp(out->folder, "-"))
        out->folder[0] = '\0';
    buf_free(&text);
    mem_free(path);
    return ok;
}

bool rollback_write(const char *dir, const struct rollback *r, struct err *err)
{
    char *path = path_of(dir, r->plugin), *folder = path_of(dir, "");
    char *text = mem_printf("%s %s %s %lld %s\n", r->from, r->to, r->folder[0] ? r->folder : "-",
                            (long long)r->at_wall, r->reason);
    bool ok = dir_make(folder, 0700, err) && file_write(path, str_c(text), 0600, err);
    mem_free(text);
    mem_free(folder);
    mem_free(path);
    return ok;
}

void rollback_forget(const char *dir, const char *plugin)
{
    char *path = path_of(dir, plugin);
    unlink(path);
    mem_free(path);
}

static bool begins(const char *hash, const char *with)
{
    return with[0] && !strncmp(hash, with, KEEP_HASH);
}

bool rollback_hides(const struct rollback *r, const char *hash)
{
    return begins(hash, r->from) || begins(hash, r->folder);
}

char *rollback_text(const struct rollback *r)
{
    return mem_printf("rolled back from %s to %s: %s", r->from, r->to, r->reason);
}

static void apply(const char *dir, struct scan_entry *e, const struct rollback *r)
{
    struct err err = {0};
    if (begins(e->bundle->hash, r->to) || !rollback_hides(r, e->bundle->hash))
        return;
    struct bundle *kept = keep_read(dir, e->name, r->to, &err);
    if (!kept) {
        log_warn("reload", "%s: its folder is loaded although it was rolled back: %s", e->name,
                 err.message);
        return;
    }
    bundle_free(e->bundle);
    e->bundle = kept;
    e->note = rollback_text(r);
}

void rollback_apply(const char *dir, struct scan *scan, const char *const *except)
{
    for (int i = 0; i < scan->count; i++) {
        struct scan_entry *e = &scan->entries[i];
        struct rollback r;
        bool counts = false;
        for (int k = 0; except && except[k]; k++)
            counts = counts || !strcmp(except[k], e->name);
        if (!counts && e->bundle && rollback_read(dir, e->name, &r))
            apply(dir, e, &r);
    }
}
