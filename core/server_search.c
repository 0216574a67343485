/* server_search.c -- indexes of plugins, declared as their set says. */
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "observe/log.h"
#include "search/search.h"
#include "server_parts.h"
#include "vm/bundle.h"

bool search_start(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    struct search_options options = {
        .driver = s->guest ? "fts" : config_text(c, "search.driver"),
        .state_dir = s->state_dir,
        .pool = s->pool,
        .url = config_text(c, "search.url"),
        .user = config_text(c, "search.user"),
        .password = config_text(c, "search.password"),
        .api_key = config_text(c, "search.api_key"),
        .ca_file = config_text(c, "search.ca_file"),
        .prefix = config_text(c, "search.prefix"),
        .spool_bytes = config_bytes(c, "search.spool"),
        .timeout_ns = config_ns(c, "search.timeout"),
        .lock_wait_ns = server_lock_wait_ns,
        .logs = !s->guest && config_boolean(c, "logs.search"),
        .logs_ttl_ns = config_ns(c, "logs.search_ttl"),
        .logs_bytes = config_bytes(c, "logs.search_bytes"),
        .node = s->node.name,
        .failed = server_store_failed,
    };
    s->search = search_create(&options, err);
    return s->search != NULL;
}

void search_stop(struct server *s)
{
    search_destroy(s->search);
}

static enum search_type type_of(const char *name)
{
    enum search_type type = SEARCH_TEXT;
    while (type < SEARCH_BOOLEAN && strcmp(name, search_type_name(type)) != 0)
        type++;
    return type;
}

static bool declare_indexes(struct server *s, const struct generation *g, bool check_only,
                            struct err *err)
{
    int count = g->decl->index_count;
    struct search_schema *list = mem_zero((size_t)count + 1, sizeof *list);
    struct search_field *fields = mem_zero((size_t)count + 1, SEARCH_FIELDS * sizeof *fields);
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        const struct index_decl *d = &g->decl->indexes[i];
        struct search_field *to = fields + i * SEARCH_FIELDS;
        list[i] = (struct search_schema){d->name, to, d->field_count};
        ok = d->field_count <= SEARCH_FIELDS ||
             err_set(err, ERR_LIMIT, "search.%s: more than %d fields", d->name, SEARCH_FIELDS);
        for (int k = 0; ok && k < d->field_count; k++)
            to[k] = (struct search_field){.name = d->fields[k], .type = type_of(d->types[k])};
    }
    ok = ok && search_declare(s->search, g->name, list, count, check_only, err);
    mem_free(fields);
    mem_free(list);
    return ok;
}

bool search_check(struct server *s, const struct set *set, struct err *err)
{
    for (int i = 0; i < set->count; i++) {
        if (!declare_indexes(s, set->generations[i], true, err))
            return err_wrap(err, "%s/plugin.lua", set->generations[i]->bundle->dir);
    }
    return true;
}

void search_follow(struct server *s, const struct set *set)
{
    struct err err = {0};
    for (int i = 0; i < set->count; i++) {
        if (!declare_indexes(s, set->generations[i], false, &err))
            log_error("search", "%s: %s", set->generations[i]->label, err.message);
    }
}
