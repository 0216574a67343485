#include "config/config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "config/file.h"

int config_edits(const char *a, const char *b)
{
    int row[65], n = (int)strlen(b);
    if (n > 64)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            int best = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < best ? change : best;
        }
    }
    return row[n];
}

static bool no_such_key(const char *name, struct err *err)
{
    const char *near = NULL;
    int best = CONFIG_NEAR + 1;
    for (const struct config_key *key = config_keys; key->name; key++) {
        int d = config_edits(name, key->name);
        if (d < best) {
            best = d;
            near = key->name;
        }
    }
    if (near)
        return err_set(err, ERR_INVALID, "%s: no such key; did you mean %s?", name, near);
    return err_set(err, ERR_INVALID, "%s: no such key; `maru config` lists them all", name);
}

static struct entry *find(const struct config *config, struct str name)
{
    for (int i = 0; i < config->count; i++)
        if (str_eq_c(name, config->entries[i].key->name))
            return &config->entries[i];
    return NULL;
}

struct entry *config_find(const struct config *config, const char *name, bool *by_file)
{
    const struct str suffix = STR("_file");
    struct str text = str_c(name);
    struct entry *entry = find(config, text);
    *by_file = false;
    if (entry || text.n <= suffix.n || !str_eq(str_n(text.p + text.n - suffix.n, suffix.n), suffix))
        return entry;
    entry = find(config, str_n(text.p, text.n - suffix.n));
    *by_file = entry && (entry->key->type == CONFIG_ADDRESS || entry->key->type == CONFIG_SECRET);
    return *by_file ? entry : NULL;
}

static void clear_items(struct entry *entry)
{
    for (int i = 0; i < entry->item_count; i++)
        mem_free(entry->items[i]);
    mem_free(entry->items);
    entry->items = NULL;
    entry->item_count = 0;
}

struct str config_list_item(struct str *rest)
{
    bool marked = rest->n > 0 && memchr(rest->p, LIST_MARK, rest->n);
    return str_trim(str_split(rest, marked ? LIST_MARK : ','));
}

static void split_items(struct entry *entry)
{
    struct str rest = str_c(entry->text);
    clear_items(entry);
    while (rest.n > 0) {
        struct str item = config_list_item(&rest);
        if (item.n == 0)
            continue;
        size_t n = (size_t)entry->item_count;
        entry->items = mem_realloc(entry->items, (n + 1) * sizeof *entry->items);
        entry->items[entry->item_count++] = str_dup(item);
    }
}

/* Kept in billionths. */
static bool parse_ratio(struct entry *entry, struct err *err)
{
    char *end;
    double ratio = strtod(entry->text, &end);
    if (end == entry->text || *end || !(ratio >= 0 && ratio <= 1))
        return err_set(err, ERR_INVALID, "must be a number from 0 to 1, got \"%.60s\"",
                       entry->text);
    entry->number = (int64_t)(ratio * 1e9 + 0.5);
    return true;
}

static bool parse_number(struct entry *entry, struct err *err)
{
    struct str text = str_c(entry->text);
    long long whole;
    switch (entry->key->type) {
    case CONFIG_INTEGER:
        if (!str_int64(text, &whole))
            return err_set(err, ERR_INVALID, "must be a whole number, got \"%.60s\"", entry->text);
        entry->number = whole;
        return true;
    case CONFIG_BOOLEAN:
        if (!str_eq_c(text, "true") && !str_eq_c(text, "false"))
            return err_set(err, ERR_INVALID, "must be true or false, got \"%.60s\"", entry->text);
        entry->number = str_eq_c(text, "true");
        return true;
    case CONFIG_DURATION:
        return duration_parse(text, &entry->number, err);
    case CONFIG_SIZE:
        return size_parse(text, &entry->number, err);
    case CONFIG_LIST:
        split_items(entry);
        return true;
    case CONFIG_RATIO:
        return parse_ratio(entry, err);
    case CONFIG_TABLES:
        if (text.n > 0 && (text.p[0] != '[' || !config_is_json(text)))
            return err_set(err, ERR_INVALID, "must be a list of tables, in JSON [{ … }]");
        return true;
    case CONFIG_TEXT:
    case CONFIG_ADDRESS:
    case CONFIG_SECRET:
        break;
    }
    return true;
}

static bool in_range(const struct entry *entry, struct err *err)
{
    const struct config_key *key = entry->key;
    if ((key->least == 0 && key->most == 0) ||
        (entry->number >= key->least && entry->number <= key->most))
        return true;
    if (key->type == CONFIG_DURATION)
        return err_set(err, ERR_INVALID, "must be from %.3gs to %.6gs", (double)key->least / 1e9,
                       (double)key->most / 1e9);
    return err_set(err, ERR_INVALID, "must be from %lld to %lld", (long long)key->least,
                   (long long)key->most);
}

/* One place that gives both the value and its file does not say which it means. */
static bool given_once(const struct entry *entry, bool by_file, const struct giver *by,
                       struct err *err)
{
    if (by->source == FROM_SET || entry->source != by->source || entry->by_file == by_file)
        return true;
    return err_set(err, ERR_INVALID, "%s: given as it is and by %s_file; choose one",
                   entry->key->name, entry->key->name);
}

static bool put(struct entry *entry, struct str text, struct err *err)
{
    char *before = entry->text;
    entry->text = str_dup(text);
    mem_free(before);
    return parse_number(entry, err) && in_range(entry, err);
}

bool config_assign(struct config *config, const char *name, struct str text, const struct giver *by,
                   struct err *err)
{
    bool by_file;
    struct buf secret = {0};
    struct entry *entry = config_find(config, name, &by_file);
    if (!entry)
        return no_such_key(name, err);
    if (!given_once(entry, by_file, by, err))
        return false;
    char *path = by_file ? str_dup(text) : NULL;
    bool ok = (!path || config_secret(config, path, &secret, err)) &&
              put(entry, path ? buf_str(&secret) : text, err);
    if (ok) {
        mem_free(entry->origin);
        entry->origin = path         ? mem_printf("%s, in %s", by->origin, path)
                        : by->origin ? mem_strdup(by->origin)
                                     : NULL;
        entry->source = by->source;
        entry->by_file = by_file;
    }
    mem_free(path);
    buf_free(&secret);
    return ok || err_wrap(err, "%s", name);
}

static void free_value(struct plugin_value *value)
{
    if (!value)
        return;
    mem_free(value->json);
    mem_free(value->origin);
    mem_free(value);
}

void config_assign_plugin(struct config *config, struct str plugin, struct str key, struct str json,
                          const char *origin)
{
    struct map *values = map_get(config->plugins, plugin);
    struct plugin_value *value = mem_zero(1, sizeof *value);
    if (!values) {
        values = map_create();
        map_set(config->plugins, plugin, values);
    }
    *value = (struct plugin_value){str_dup(json), mem_strdup(origin)};
    free_value(map_set(values, key, value));
}

static struct config *with_defaults(void)
{
    struct config *config = mem_zero(1, sizeof *config);
    struct err err = {0};
    while (config_keys[config->count].name)
        config->count++;
    config->entries = mem_zero((size_t)config->count, sizeof *config->entries);
    config->plugins = map_create();
    for (int i = 0; i < config->count; i++)
        config->entries[i].key = &config_keys[i];
    for (int i = 0; i < config->count; i++)
        invariant(put(&config->entries[i], str_c(config_keys[i].otherwise), &err));
    return config;
}

/* "plugins.<name>.<key>=value". */
static bool set_plugin_key(struct config *config, struct str key, struct str value, struct err *err)
{
    struct str rest = str_n(key.p + strlen("plugins."), key.n - strlen("plugins."));
    struct str plugin = str_split(&rest, '.');
    if (plugin.n == 0 || rest.n == 0)
        return err_set(err, ERR_INVALID, "write plugins.NAME.KEY=VALUE");
    config_plugin_text(config, plugin, rest, value, "--set");
    return true;
}

static bool from_set(struct config *config, const char *set, struct err *err)
{
    const struct giver by = {FROM_SET, "--set"};
    struct str value = str_c(set);
    bool complete = strchr(set, '=') != NULL, ok, by_file;
    struct str key = str_split(&value, '=');
    if (!complete)
        return err_set(err, ERR_INVALID, "--set %s: write key=value", set);
    char *name = str_dup(key);
    if (str_starts(key, STR("plugins.")) && !config_find(config, name, &by_file))
        ok = set_plugin_key(config, key, value, err);
    else
        ok = config_assign(config, name, value, &by, err);
    mem_free(name);
    return ok || err_wrap(err, "--set");
}

struct config *config_load(const char *path, const char *const *sets, int set_count,
                           struct err *err)
{
    struct config *config = with_defaults();
    bool ok = (!path || config_file(config, path, err)) && config_environment(config, err);
    for (int i = 0; ok && i < set_count; i++)
        ok = from_set(config, sets[i], err);
    if (ok)
        return config;
    config_free(config);
    return NULL;
}

static void free_values(struct map *values)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(values, &at, &key, &value))
        free_value(value);
    map_destroy(values);
}

void config_free(struct config *config)
{
    size_t at = 0;
    struct str name;
    void *values;
    if (!config)
        return;
    for (int i = 0; i < config->count; i++) {
        clear_items(&config->entries[i]);
        mem_free(config->entries[i].text);
        mem_free(config->entries[i].origin);
    }
    for (int i = 0; i < config->warning_count; i++)
        mem_free(config->warnings[i]);
    mem_free(config->warnings);
    while (map_next(config->plugins, &at, &name, &values))
        free_values(values);
    map_destroy(config->plugins);
    mem_free(config->entries);
    mem_free(config);
}

static const struct entry *need(const struct config *config, const char *key, enum config_type type)
{
    const struct entry *entry = find(config, str_c(key));
    invariant(entry && entry->key->type == type);
    return entry;
}

const char *config_text(const struct config *config, const char *key)
{
    const struct entry *entry = find(config, str_c(key));
    invariant(entry && (entry->key->type == CONFIG_TEXT || entry->key->type == CONFIG_ADDRESS ||
                        entry->key->type == CONFIG_SECRET || entry->key->type == CONFIG_TABLES));
    return entry->text;
}

const char *config_warning(const struct config *config, int i)
{
    return i < config->warning_count ? config->warnings[i] : NULL;
}

int64_t config_integer(const struct config *config, const char *key)
{
    return need(config, key, CONFIG_INTEGER)->number;
}

bool config_boolean(const struct config *config, const char *key)
{
    return need(config, key, CONFIG_BOOLEAN)->number != 0;
}

int64_t config_ns(const struct config *config, const char *key)
{
    return need(config, key, CONFIG_DURATION)->number;
}

int64_t config_bytes(const struct config *config, const char *key)
{
    return need(config, key, CONFIG_SIZE)->number;
}

double config_ratio(const struct config *config, const char *key)
{
    return (double)need(config, key, CONFIG_RATIO)->number / 1e9;
}

int config_list(const struct config *config, const char *key, const char *const **items)
{
    const struct entry *entry = need(config, key, CONFIG_LIST);
    *items = (const char *const *)entry->items;
    return entry->item_count;
}

void config_plugin(const struct config *config, const char *plugin, struct buf *out)
{
    const struct map *values = map_get(config->plugins, str_c(plugin));
    struct json w = json_to(out);
    size_t at = 0;
    struct str key;
    void *value;
    json_open(&w, '{');
    while (values && map_next(values, &at, &key, &value)) {
        char *name = str_dup(key);
        json_key(&w, name);
        json_raw(&w, str_c(((const struct plugin_value *)value)->json));
        mem_free(name);
    }
    json_close(&w, '}');
}
