#include "model/model.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "config/config.h"
#include "model/private.h"
#include "observe/drivers.h"

/* Behind a set, from its '[' on; NULL: it has no end. */
static const char *pass_set(const char *p)
{
    p += p[1] == '^' ? 2 : 1;
    do {
        if (!*p || (*p == '%' && !*++p))
            return NULL;
        p++;
    } while (*p != ']');
    return p + 1;
}

/* Whether Lua would take it as a pattern, wherever its matcher gets to. */
static bool is_pattern(const char *p)
{
    int open = 0;
    while (p && *p) {
        if (p[0] == '%' && p[1] == 'b') {
            p = p[2] && p[3] ? p + 4 : NULL;
        } else if (p[0] == '%' && p[1] == 'f') {
            p = p[2] == '[' ? pass_set(p + 2) : NULL;
        } else if (p[0] == '%') {
            p = p[1] ? p + 2 : NULL;
        } else if (p[0] == '[') {
            p = pass_set(p);
        } else {
            open += (p[0] == '(') - (p[0] == ')');
            p = open < 0 ? NULL : p + 1;
        }
    }
    return p && open == 0;
}

static bool read_redact(struct model *model, const struct config *config, struct err *err)
{
    const char *const *items;
    int count = config_list(config, "model.redact", &items);
    model->redact = mem_zero((size_t)count + 1, sizeof *model->redact);
    for (int i = 0; i < count; i++)
        model->redact[model->redact_count++] = mem_strdup(items[i]);
    for (int i = 0; i < count; i++)
        if (!is_pattern(items[i]))
            return err_set(err, ERR_INVALID, "model.redact: \"%.100s\" is no pattern of Lua",
                           items[i]);
    return true;
}

struct model *model_create(const struct config *config, struct sqlite *db, struct err *err)
{
    struct model *model = mem_zero(1, sizeof *model);
    model->db = db;
    model->currency = mem_strdup(config_text(config, "model.currency"));
    model->timeout_ns = config_ns(config, "model.timeout");
    model->cache_ns = config_ns(config, "model.cache_ttl");
    model->aside = map_create();
    pthread_mutex_init(&model->lock, NULL);
    if (read_redact(model, config, err) && providers_read(model, config, err) &&
        budgets_read(model, config, err) && spend_open(model, err))
        return model;
    model->db = NULL;
    model_destroy(model);
    return NULL;
}

void model_destroy(struct model *model)
{
    if (!model)
        return;
    spend_close(model);
    providers_free(model);
    budgets_free(model);
    for (int i = 0; i < model->redact_count; i++)
        mem_free(model->redact[i]);
    mem_free(model->redact);
    mem_free(model->currency);
    pthread_mutex_destroy(&model->lock);
    mem_free(model);
}

int model_provider_count(const struct model *model)
{
    return model->count;
}

const struct model_provider *model_provider(const struct model *model, int index)
{
    return &model->providers[index].shown;
}

static void seconds(struct json *w, const char *key, int64_t ns)
{
    json_key(w, key);
    json_num(w, (double)ns / 1e9);
}

static void text(struct json *w, const char *key, const char *value)
{
    json_key(w, key);
    json_cstr(w, value);
}

static void number(struct json *w, const char *key, double value)
{
    json_key(w, key);
    json_num(w, value);
}

static void describe_provider(struct json *w, const struct provider *p)
{
    json_open(w, '{');
    text(w, "name", p->shown.name);
    text(w, "model", p->model);
    text(w, "embed_model", p->embed_model);
    text(w, "output", p->output);
    text(w, "tokens_field", p->tokens_field);
    number(w, "retries", p->retries);
    seconds(w, "timeout", p->timeout_ns);
    seconds(w, "silence", p->silence_ns);
    json_close(w, '}');
}

void model_describe(const struct model *model, struct buf *out)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    text(&w, "currency", model->currency);
    seconds(&w, "timeout", model->timeout_ns);
    seconds(&w, "cache_ttl", model->cache_ns);
    json_key(&w, "redact");
    json_open(&w, '[');
    for (int i = 0; i < model->redact_count; i++)
        json_cstr(&w, model->redact[i]);
    json_close(&w, ']');
    json_key(&w, "providers");
    json_open(&w, '[');
    for (int i = 0; i < model->count; i++)
        describe_provider(&w, &model->providers[i]);
    json_close(&w, ']');
    json_close(&w, '}');
}

void model_hide_keys(const struct model *model, struct str from, struct buf *out)
{
    while (from.n > 0) {
        size_t skip = 0;
        for (int i = 0; i < model->count && skip == 0; i++) {
            struct str key = str_c(model->providers[i].shown.key);
            skip = key.n > 0 && str_starts(from, key) ? key.n : 0;
        }
        if (skip > 0)
            buf_add_c(out, "***");
        else
            buf_add_char(out, *from.p);
        skip = skip > 0 ? skip : 1;
        from = str_n(from.p + skip, from.n - skip);
    }
}

/* -- for the operator ----------------------------------------------------------------------- */

static void write_providers(struct model *model, struct json *w)
{
    json_key(w, "providers");
    json_open(w, '[');
    for (int i = 0; i < model->count; i++) {
        const struct provider *p = &model->providers[i];
        json_open(w, '{');
        text(w, "name", p->shown.name);
        text(w, "url", p->shown.url);
        text(w, "model", p->model);
        json_key(w, "has_key");
        json_bool(w, *p->shown.key != 0);
        number(w, "requests_now", p->inside);
        number(w, "concurrency", p->concurrency);
        json_key(w, "resting");
        json_bool(w, p->rests_until > clock_ns());
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void write_budgets(const struct model *model, struct json *w)
{
    json_key(w, "budgets");
    json_open(w, '[');
    for (int i = 0; i < model->budget_count; i++) {
        json_open(w, '{');
        text(w, "plugin", model->budgets[i].plugin);
        number(w, "cost", model->budgets[i].cost);
        number(w, "tokens", (double)model->budgets[i].tokens);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void write_row(const struct model *model, const struct spent *row, struct json *w)
{
    const struct budget *budget = budget_of(model, row->plugin);
    json_open(w, '{');
    text(w, "plugin", row->plugin);
    text(w, "provider", row->source);
    number(w, "requests", (double)row->requests);
    number(w, "failures", (double)row->failures);
    number(w, "tokens_in", (double)row->tokens_in);
    number(w, "tokens_out", (double)row->tokens_out);
    number(w, "cost", row->cost);
    number(w, "budget", budget ? budget->cost : 0);
    json_close(w, '}');
}

void model_write(struct model *model, struct json *w)
{
    size_t at = 0;
    struct str key;
    void *row;
    pthread_mutex_lock(&model->lock);
    budget_follow_day(model);
    text(w, "currency", model->currency);
    write_providers(model, w);
    write_budgets(model, w);
    json_key(w, "today");
    json_open(w, '[');
    while (map_next(model->spent, &at, &key, &row))
        write_row(model, row, w);
    json_close(w, ']');
    pthread_mutex_unlock(&model->lock);
}
