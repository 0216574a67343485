/* budget.c -- what each plugin may spend in a day, and has spent today. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/config.h"
#include "model/private.h"

bool budgets_read(struct model *model, const struct config *config, struct err *err)
{
    struct table_list list = {0};
    bool ok = tables_read(str_c(config_text(config, "model.budget")), &list, err);
    model->budgets = mem_zero((size_t)list.items + 1, sizeof *model->budgets);
    for (int i = 0; ok && i < list.items; i++) {
        struct budget *b = &model->budgets[model->budget_count++];
        double tokens = 0;
        b->plugin = mem_strdup(tables_text(&list, i, "plugin", NULL));
        ok = tables_number(&list, i, "cost", 0, 1e9, &b->cost, err) &&
             tables_number(&list, i, "tokens", 0, 1e15, &tokens, err);
        b->tokens = (int64_t)tokens;
    }
    ok = ok && tables_all_seen(&list, err);
    tables_free(&list);
    return ok || (err_wrap(err, "model.budget"), false);
}

static void free_spent(struct model *model)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (model->spent && map_next(model->spent, &at, &key, &value)) {
        struct spent *row = value;
        mem_free(row->plugin);
        mem_free(row->source);
        mem_free(row);
    }
    map_destroy(model->spent);
}

void budgets_free(struct model *model)
{
    size_t at = 0;
    struct str key;
    void *value;
    for (int i = 0; i < model->budget_count; i++)
        mem_free(model->budgets[i].plugin);
    mem_free(model->budgets);
    while (map_next(model->aside, &at, &key, &value))
        mem_free(value);
    map_destroy(model->aside);
    free_spent(model);
}

const struct budget *budget_of(const struct model *model, const char *plugin)
{
    const struct budget *common = NULL;
    for (int i = 0; i < model->budget_count; i++) {
        const struct budget *b = &model->budgets[i];
        if (b->plugin && !strcmp(b->plugin, plugin))
            return b;
        common = b->plugin ? common : b;
    }
    return common;
}

void budget_follow_day(struct model *model)
{
    int64_t today = clock_wall_ns() / (86400 * NS_PER_SECOND);
    if (model->day == today)
        return;
    free_spent(model);
    model->spent = map_create();
    model->day = today;
}

struct spent *budget_row(struct model *model, struct str plugin, struct str source)
{
    char *key = mem_printf("%.*s\n%.*s", (int)plugin.n, plugin.p, (int)source.n, source.p);
    struct spent *row = map_get(model->spent, str_c(key));
    if (!row) {
        row = mem_zero(1, sizeof *row);
        row->plugin = str_dup(plugin);
        row->source = str_dup(source);
        map_set(model->spent, str_c(key), row);
    }
    mem_free(key);
    return row;
}

static struct aside *aside_of(struct model *model, const char *plugin)
{
    struct aside *aside = map_get(model->aside, str_c(plugin));
    if (!aside) {
        aside = mem_zero(1, sizeof *aside);
        map_set(model->aside, str_c(plugin), aside);
    }
    return aside;
}

static void add_spent(const struct model *model, const char *plugin, int64_t *tokens, double *cost)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(model->spent, &at, &key, &value)) {
        const struct spent *row = value;
        if (strcmp(row->plugin, plugin) != 0)
            continue;
        *tokens += row->tokens_in + row->tokens_out;
        *cost += row->cost;
    }
}

bool budget_set_aside(struct model *model, const char *plugin, int64_t tokens, double cost,
                      struct err *err)
{
    const struct budget *budget = budget_of(model, plugin);
    struct aside *aside = aside_of(model, plugin);
    int64_t all_tokens = aside->tokens + tokens;
    double all_cost = aside->cost + cost;
    budget_follow_day(model);
    add_spent(model, plugin, &all_tokens, &all_cost);
    if (budget && budget->cost > 0 && all_cost > budget->cost)
        return err_set(err, ERR_LIMIT,
                       "the plugin's budget of %g %s a day does not cover this request",
                       budget->cost, model->currency);
    if (budget && budget->tokens > 0 && all_tokens > budget->tokens)
        return err_set(err, ERR_LIMIT,
                       "the plugin's budget of %lld tokens a day does not cover this request",
                       (long long)budget->tokens);
    aside->tokens += tokens;
    aside->cost += cost;
    return true;
}

void budget_give_back(struct model *model, const char *plugin, int64_t tokens, double cost)
{
    struct aside *aside = aside_of(model, plugin);
    aside->tokens -= tokens;
    aside->cost -= cost;
    if (aside->tokens == 0) /* what adding and subtracting left over is not money */
        aside->cost = 0;
}
