/* environment.c -- what the environment says: MARU_<KEY>, MARU_<KEY>_FILE,
 * MARU_PLUGINS_<NAME>__<KEY>. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "config/file.h"

static bool see(void *arg, struct err *err)
{
    (void)arg;
    (void)err;
    return true;
}
static bool see_boolean(void *arg, bool value, struct err *err)
{
    (void)value;
    return see(arg, err);
}
static bool see_number(void *arg, double value, struct str text, struct err *err)
{
    (void)value;
    (void)text;
    return see(arg, err);
}
static bool see_text(void *arg, struct str text, struct err *err)
{
    (void)text;
    return see(arg, err);
}

bool config_is_json(struct str text)
{
    static const struct json_events events = {see, see_boolean, see_number, see_text, see_text,
                                              see, see,         see,        see};
    struct err err = {0};
    return json_read(text, JSON_DEPTH_DEFAULT, &events, NULL, &err);
}

void config_plugin_text(struct config *config, struct str plugin, struct str key, struct str value,
                        const char *origin)
{
    struct buf json = {0};
    if (config_is_json(value))
        buf_add_str(&json, value);
    else
        json_write_string(&json, value);
    config_assign_plugin(config, plugin, key, buf_str(&json), origin);
    buf_free(&json);
}

static bool from_variable(struct config *config, const char *key, struct err *err)
{
    char name[160];
    int n = snprintf(name, sizeof name, "MARU_%s", key);
    for (int j = 0; j < n; j++)
        name[j] = name[j] == '.' ? '_' : (char)toupper((unsigned char)name[j]);
    const char *value = getenv(name);
    if (!value)
        return true;
    char *origin = mem_printf("environment %s", name);
    const struct giver by = {FROM_ENVIRONMENT, origin};
    bool ok = config_assign(config, key, str_c(value), &by, err) || err_wrap(err, "%s", origin);
    mem_free(origin);
    return ok;
}

static bool of_key(struct config *config, const struct entry *entry, struct err *err)
{
    char *file = mem_printf("%s_file", entry->key->name);
    bool by_file, ok = from_variable(config, entry->key->name, err);
    ok = ok &&
         (!config_find(config, file, &by_file) || !by_file || from_variable(config, file, err));
    mem_free(file);
    return ok;
}

static char *lower(struct str text)
{
    char *out = str_dup(text);
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return out;
}

/* Where "__" stands from `from` on, or text.n. */
static size_t double_bar(struct str text, size_t from)
{
    for (size_t i = from; i + 1 < text.n; i++)
        if (text.p[i] == '_' && text.p[i + 1] == '_')
            return i;
    return text.n;
}

static bool plugin_file(struct config *config, struct str plugin, struct str key, const char *path,
                        const char *origin, struct err *err)
{
    struct buf text = {0}, json = {0};
    bool ok = config_secret(config, path, &text, err);
    if (ok) {
        char *both = mem_printf("%s, in %s", origin, path);
        json_write_string(&json, buf_str(&text));
        config_assign_plugin(config, plugin, key, buf_str(&json), both);
        mem_free(both);
    }
    buf_free(&text);
    buf_free(&json);
    return ok;
}

/* name is <NAME>__<KEY> or <NAME>__<KEY>__FILE. */
static bool of_plugin(struct config *config, struct str name, const char *value, const char *origin,
                      struct err *err)
{
    size_t bar = double_bar(name, 1), end = double_bar(name, bar + 2);
    bool by_file = end < name.n && str_eq_c(str_n(name.p + end, name.n - end), "__FILE");
    if (bar + 2 >= name.n || (end < name.n && !by_file))
        return err_set(err, ERR_INVALID, "write MARU_PLUGINS_<NAME>__<KEY>");
    char *plugin = lower(str_n(name.p, bar)), *key = lower(str_n(name.p + bar + 2, end - bar - 2));
    bool ok = true;
    if (by_file)
        ok = plugin_file(config, str_c(plugin), str_c(key), value, origin, err);
    else
        config_plugin_text(config, str_c(plugin), str_c(key), str_c(value), origin);
    mem_free(plugin);
    mem_free(key);
    return ok;
}

static bool is_of_plugin(struct str name)
{
    const struct str head = STR("MARU_PLUGINS_");
    return str_starts(name, head) && double_bar(name, head.n) < name.n;
}

bool config_environment(struct config *config, struct err *err)
{
    const size_t head = strlen("MARU_PLUGINS_");
    for (int i = 0; i < config->count; i++)
        if (!of_key(config, &config->entries[i], err))
            return false;
    for (char **at = environ; *at; at++) {
        struct str value = str_c(*at), name = str_split(&value, '=');
        if (!is_of_plugin(name))
            continue;
        char *origin = mem_printf("environment %.*s", (int)name.n, name.p);
        bool ok = of_plugin(config, str_n(name.p + head, name.n - head), value.p, origin, err) ||
                  err_wrap(err, "%s", origin);
        mem_free(origin);
        if (!ok)
            return false;
    }
    return true;
}
