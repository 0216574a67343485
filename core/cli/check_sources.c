/* check_sources.c -- migrations and sources of every plugin, read without running them. */

#include <string.h>

#include "base/mem.h"
#include "cli/check.h"
#include "config/config.h"
#include "storage/scratch.h"
#include "vm/inspect.h"

static int list_migrations(const struct bundle *bundle, struct migration *out)
{
    int n = 0;
    for (int i = 0; i < bundle->count; i++) {
        const struct bundle_file *f = &bundle->files[i];
        size_t length = strlen(f->name);
        if (!strncmp(f->name, "migrations/", 11) && length > 4 &&
            !strcmp(f->name + length - 4, ".sql"))
            out[n++] = (struct migration){f->name, str_n(f->bytes, f->n)};
    }
    return n;
}

static void complain_in(struct check *c, int index, const struct err *err)
{
    char *message = mem_printf("%s/%s", c->bundles[index]->dir, err->message);
    check_complain(c, index, "migration", message);
    mem_free(message);
}

/* All of them in memory for the plugin's own statements; and those that are pending after what
 * the database of this state.dir has, as a reload would apply them. */
static bool check_migrations(struct check *c, int index)
{
    const struct bundle *bundle = c->bundles[index];
    struct migration *list = mem_zero((size_t)bundle->count + 1, sizeof *list);
    char *path = mem_printf("%s/maru.db", config_text(c->config, "state.dir"));
    struct err err = {0};
    int n = list_migrations(bundle, list);
    bool ok = !n || scratch_migrate(c->scratch, bundle->name, list, n, &err);
    if (!ok || (n && !migrate_check_file(path, bundle->name, list, n, &err)))
        complain_in(c, index, &err);
    mem_free(path);
    mem_free(list);
    return ok;
}

static void add_all(struct check *c, const struct bundle *bundle, const struct inspection *found)
{
    for (int i = 0; i < found->count; i++) {
        const struct finding *f = &found->findings[i];
        char *path = mem_printf("%s/%s", bundle->dir, f->file);
        findings_add(&c->findings,
                     &(struct finding_row){.plugin = (char *)(uintptr_t)bundle->name,
                                           .path = path,
                                           .source = bundle_find(bundle, str_c(f->file)),
                                           .line = f->line,
                                           .column = f->column,
                                           .length = f->length,
                                           .warning = f->warning,
                                           .code = f->code,
                                           .message = f->message});
        mem_free(path);
    }
}

void check_sources(struct check *c)
{
    for (int i = 0; i < c->scan.count; i++) {
        const struct bundle *bundle = c->bundles[i];
        struct inspection found = {0};
        struct err err = {0};
        if (!bundle || (c->only && strcmp(c->only, bundle->name)))
            continue;
        bool migrated = check_migrations(c, i);
        if (inspector_run(c->author.inspector, bundle, migrated ? c->scratch : NULL, &found, &err))
            add_all(c, bundle, &found);
        else
            check_complain(c, i, "inspect", err.message);
        c->plugins++;
        c->statements += found.statements;
        c->unchecked += found.unchecked;
        inspection_free(&found);
    }
}
