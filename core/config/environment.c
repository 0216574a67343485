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

enum { NAME_BYTES = 160 };

/* MARU_HTTP_LISTEN for http.listen. */
static void variable_of(const char *key, char name[NAME_BYTES])
{
    int n = snprintf(name, NAME_BYTES, "MARU_%s", key);
    for (int j = 0; j < n; j++)
        name[j] = name[j] == '.' ? '_' : (char)toupper((unsigned char)name[j]);
}

static bool from_variable(struct config *config, const char *key, struct err *err)
{
    char name[NAME_BYTES];
    variable_of(key, name);
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

/* What the command line reads, what the supervisor tells its server, and what Kubernetes and Docker
 * make of a service or container that is called maru. */
static bool is_of_others(struct str name)
{
    static const char *const whole[] = {"MARU_CONFIG", "MARU_SERVER", "MARU_LAST_DEATH",
                                        "MARU_PORT",   "MARU_NAME",   "MARU_SERVICE_HOST"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (str_eq_c(name, whole[i]))
            return true;
    return str_starts(name, STR("MARU_SERVICE_PORT")) || str_starts(name, STR("MARU_PORT_")) ||
           str_starts(name, STR("MARU_ENV_"));
}

/* The variable of a key that has this name, or the nearest, or "". */
static void nearest(const struct config *config, const char *name, char near[NAME_BYTES])
{
    int best = CONFIG_NEAR + 1;
    near[0] = '\0';
    for (int i = 0; i < 2 * config->count; i++) {
        bool by_file = i % 2;
        char *key = mem_printf("%s%s", config->entries[i / 2].key->name, by_file ? "_file" : "");
        char variable[NAME_BYTES];
        variable_of(key, variable);
        int edits = config_find(config, key, &by_file) ? config_edits(name, variable) : best;
        if (edits < best) {
            best = edits;
            memcpy(near, variable, sizeof variable);
        }
        mem_free(key);
    }
}

/* A misspelt one would be passed over; no error, for others set variables too. */
static void check_known(struct config *config, struct str text)
{
    char near[NAME_BYTES], *name = str_dup(text);
    const char *hint = "`maru config` lists them all";
    nearest(config, name, near);
    if (str_starts(text, STR("MARU_PLUGINS_")))
        hint = "a plugin's are MARU_PLUGINS_<NAME>__<KEY>";
    if (strcmp(name, near) != 0 && !is_of_others(text))
        config_warn(config, mem_printf("environment %s: no such key; %s%s%s", name,
                                       *near ? "did you mean " : "", *near ? near : hint,
                                       *near ? "?" : ""));
    mem_free(name);
}

bool config_environment(struct config *config, struct err *err)
{
    const size_t head = strlen("MARU_PLUGINS_");
    for (int i = 0; i < config->count; i++)
        if (!of_key(config, &config->entries[i], err))
            return false;
    for (char **at = environ; *at; at++) {
        struct str value = str_c(*at), name = str_split(&value, '=');
        if (!is_of_plugin(name)) {
            if (str_starts(name, STR("MARU_")))
                check_known(config, name);
            continue;
        }
        char *origin = mem_printf("environment %.*s", (int)name.n, name.p);
        bool ok = of_plugin(config, str_n(name.p + head, name.n - head), value.p, origin, err) ||
                  err_wrap(err, "%s", origin);
        mem_free(origin);
        if (!ok)
            return false;
    }
    return true;
}
