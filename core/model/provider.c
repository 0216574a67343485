/* provider.c -- model.providers: who answers. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "config/config.h"
#include "model/private.h"
#include "observe/drivers.h"
#include "observe/metrics.h"

enum { PROVIDERS_MOST = 16, KEY_BYTES = 16 << 10 };

static bool is_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return n > 0 && n <= 40 && !s[n];
}

/* "https://host:8443/v1" -> "private:host:8443".  Whoever writes the configuration may name a
 * server of the house. */
static char *allow_of(const char *url)
{
    bool tls = strncmp(url, "https://", 8) == 0;
    if (!tls && strncmp(url, "http://", 7) != 0)
        return NULL;
    const char *host = url + (tls ? 8 : 7);
    size_t n = strcspn(host, "/?#");
    const char *bracket = *host == '[' ? memchr(host, ']', n) : NULL;
    const char *from = bracket ? bracket : host;
    bool port = memchr(from, ':', n - (size_t)(from - host)) != NULL;
    if (n == 0 || memchr(host, '@', n))
        return NULL;
    return mem_printf("private:%.*s%s", (int)n, host, port ? "" : tls ? ":443" : ":80");
}

static bool wrong(struct err *err, int item, const char *path, const char *why)
{
    return err_set(err, ERR_INVALID, "[%d].%s: %s", item + 1, path, why);
}

static bool read_address(struct provider *p, struct table_list *list, int item, struct err *err)
{
    const char *name = tables_text(list, item, "name", "");
    const char *url = tables_text(list, item, "url", "https://api.openai.com/v1");
    size_t n = strlen(url);
    if (!is_name(name))
        return wrong(err, item, "name", "1 to 40 of a-z, 0-9, _ and -");
    if (!strcmp(name, "rules") || !strcmp(name, "cache"))
        return wrong(err, item, "name", "rules and cache are words of the host's own");
    p->shown.allow = allow_of(url);
    if (!p->shown.allow)
        return wrong(err, item, "url", "must be a URL such as \"https://api.openai.com/v1\"");
    p->shown.name = mem_strdup(name);
    p->shown.url = str_dup(str_n(url, n > 0 && url[n - 1] == '/' ? n - 1 : n));
    return true;
}

static bool read_key(struct provider *p, struct table_list *list, int item, struct err *err)
{
    const char *variable = tables_text(list, item, "key_env", NULL);
    const char *path = tables_text(list, item, "key_file", NULL);
    struct buf text = {0};
    if (variable && path)
        return wrong(err, item, "key_env", "and key_file: choose one");
    if (variable && !getenv(variable))
        return err_set(err, ERR_INVALID, "[%d].key_env: the environment has no %s", item + 1,
                       variable);
    if (path && !file_read(path, KEY_BYTES, &text, err))
        return err_wrap(err, "[%d].key_file", item + 1);
    struct str key = path ? buf_str(&text) : str_c(variable ? getenv(variable) : "");
    p->shown.key = str_dup(str_trim(key));
    buf_free(&text);
    if (strpbrk(p->shown.key, "\r\n"))
        return wrong(err, item, "key_file", "a key is one line");
    return true;
}

static bool one_of(const char *word, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return true;
    return false;
}

static bool read_manners(struct provider *p, struct table_list *list, int item, struct err *err)
{
    static const char *const outputs[] = {"json_schema", "json_object", "text", NULL};
    static const char *const fields[] = {"max_tokens", "max_completion_tokens", NULL};
    const char *official = strstr(p->shown.url, "api.openai.com") ? fields[1] : fields[0];
    const char *output = tables_text(list, item, "output", outputs[0]);
    const char *field = tables_text(list, item, "tokens_field", official);
    const char *model = tables_text(list, item, "model", NULL);
    if (!model)
        return wrong(err, item, "model", "say which model it is asked for");
    if (!one_of(output, outputs))
        return wrong(err, item, "output", "must be json_schema, json_object or text");
    if (!one_of(field, fields))
        return wrong(err, item, "tokens_field", "must be max_tokens or max_completion_tokens");
    p->model = mem_strdup(model);
    p->embed_model = mem_strdup(tables_text(list, item, "embed_model", ""));
    p->output = mem_strdup(output);
    p->tokens_field = mem_strdup(field);
    return true;
}

static bool read_numbers(struct provider *p, struct table_list *list, int item, struct err *err)
{
    double retries = 2, concurrency = 8;
    p->timeout_ns = 30 * NS_PER_SECOND;
    p->silence_ns = 20 * NS_PER_SECOND;
    p->rest_ns = 15 * NS_PER_SECOND;
    bool ok = tables_number(list, item, "price.input", 0, 1e6, &p->price_in, err) &&
              tables_number(list, item, "price.output", 0, 1e6, &p->price_out, err);
    p->price_cached = p->price_embed = p->price_in;
    ok = ok && tables_number(list, item, "price.cached", 0, 1e6, &p->price_cached, err) &&
         tables_number(list, item, "price.embed", 0, 1e6, &p->price_embed, err) &&
         tables_number(list, item, "retries", 0, 10, &retries, err) &&
         tables_number(list, item, "concurrency", 1, 1000, &concurrency, err) &&
         tables_duration(list, item, "timeout", &p->timeout_ns, err) &&
         tables_duration(list, item, "silence", &p->silence_ns, err) &&
         tables_duration(list, item, "rest", &p->rest_ns, err);
    p->retries = (int)retries;
    p->concurrency = (int)concurrency;
    return ok;
}

static void begin(struct provider *p)
{
    struct buf labels = {0};
    list_init(&p->waiting);
    p->health = driver_health_register("model", p->shown.name, false);
    driver_health_address(p->health, p->shown.url);
    metrics_label(&labels, "provider", str_c(p->shown.name));
    p->seconds = metrics_histogram(
        "maru_model_seconds", "Time of a request to a language model, to its last byte.", labels.p);
    buf_free(&labels);
}

static bool names_differ(const struct model *model, int item, struct err *err)
{
    for (int i = 0; i < item; i++)
        if (!strcmp(model->providers[i].shown.name, model->providers[item].shown.name))
            return wrong(err, item, "name", "another provider has it already");
    return true;
}

bool providers_read(struct model *model, const struct config *config, struct err *err)
{
    struct table_list list = {0};
    bool ok = tables_read(str_c(config_text(config, "model.providers")), &list, err);
    if (ok && list.items > PROVIDERS_MOST)
        ok = err_set(err, ERR_INVALID, " has more than %d entries", PROVIDERS_MOST);
    model->providers = mem_zero((size_t)list.items + 1, sizeof *model->providers);
    for (int i = 0; ok && i < list.items; i++) {
        struct provider *p = &model->providers[i];
        model->count = i + 1;
        list_init(&p->waiting);
        ok = read_address(p, &list, i, err) && names_differ(model, i, err) &&
             read_key(p, &list, i, err) && read_manners(p, &list, i, err) &&
             read_numbers(p, &list, i, err);
    }
    ok = ok && tables_all_seen(&list, err);
    for (int i = 0; ok && i < model->count; i++)
        begin(&model->providers[i]);
    tables_free(&list);
    return ok || (err_wrap(err, "model.providers"), false);
}

void providers_free(struct model *model)
{
    for (int i = 0; i < model->count; i++) {
        struct provider *p = &model->providers[i];
        driver_health_unregister(p->health);
        mem_free(p->shown.name);
        mem_free(p->shown.url);
        mem_free(p->shown.key);
        mem_free(p->shown.allow);
        mem_free(p->model);
        mem_free(p->embed_model);
        mem_free(p->tokens_field);
        mem_free(p->output);
    }
    mem_free(model->providers);
}

/* -- whether it answers --------------------------------------------------------------------- */

bool model_provider_rests(struct model *model, int index)
{
    pthread_mutex_lock(&model->lock);
    bool rests = model->providers[index].rests_until > clock_ns();
    pthread_mutex_unlock(&model->lock);
    return rests;
}

static void rest_until(struct model *model, int index, int64_t until)
{
    pthread_mutex_lock(&model->lock);
    model->providers[index].rests_until = until;
    pthread_mutex_unlock(&model->lock);
}

void model_provider_answered(struct model *model, int index)
{
    rest_until(model, index, 0);
    driver_health_up(model->providers[index].health);
}

void model_provider_failed(struct model *model, int index, const struct err *err)
{
    struct provider *p = &model->providers[index];
    rest_until(model, index, clock_ns() + p->rest_ns);
    driver_health_down(p->health, err);
}
