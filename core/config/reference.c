/* reference.c -- the configuration printed as a file: the reference from the schema, and what holds
 * now. */
#include <ctype.h>

#include "base/address.h"
#include "base/json.h"
#include "base/map.h"
#include "config/file.h"

static bool quoted(enum config_type type)
{
    return type != CONFIG_INTEGER && type != CONFIG_BOOLEAN && type != CONFIG_RATIO;
}

/* As a literal of Lua; lines and quotes in it do not end it. */
void config_print_text(struct str text, struct buf *out)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < ' ' || c == 127)
            buf_printf(out, "\\%03u", c);
        else
            buf_add_char(out, (char)c);
    }
    buf_add_char(out, '"');
}

static void print_value(const struct config_key *key, struct str text, struct buf *out)
{
    if (key->type == CONFIG_LIST) {
        struct str rest = text;
        buf_add_c(out, "{");
        while (rest.n > 0) {
            buf_add_char(out, ' ');
            config_print_text(config_list_item(&rest), out);
            buf_add_c(out, rest.n > 0 ? "," : " ");
        }
        buf_add_c(out, "}");
    } else if (key->type == CONFIG_TABLES && text.n == 0) {
        buf_add_c(out, "{}");
    } else if (quoted(key->type)) {
        config_print_text(text, out);
    } else {
        buf_add_str(out, text);
    }
}

/* What is set, without secrets; a list of options may have a password, too. */
static void show(const struct entry *entry, struct buf *out)
{
    if (entry->key->type == CONFIG_SECRET && *entry->text)
        buf_add_c(out, "***");
    else if (entry->key->type != CONFIG_LIST)
        address_mask(str_c(entry->text), out);
    for (int i = 0; i < entry->item_count; i++) {
        address_mask(str_c(entry->items[i]), out);
        buf_add_char(out, LIST_MARK);
    }
}

static void print_set(const struct entry *entry, struct buf *out)
{
    struct buf shown = {0};
    if (entry->key->type == CONFIG_TABLES && *entry->text) {
        buf_printf(out, "  [\"%s\"] = ", entry->key->name);
        config_print_tables(str_c(entry->text), out);
        buf_printf(out, ", -- %s\n\n", entry->origin);
        return;
    }
    show(entry, &shown);
    buf_printf(out, "  [\"%s\"] = ", entry->key->name);
    print_value(entry->key, buf_str(&shown), out);
    buf_printf(out, ", -- %s\n\n", entry->origin);
    buf_free(&shown);
}

static void print_plugins(const struct config *config, struct buf *out)
{
    size_t at = 0;
    struct str plugin, key;
    void *values, *value;
    while (config && map_next(config->plugins, &at, &plugin, &values)) {
        size_t inner = 0;
        buf_printf(out, "\n  -- [\"plugins.%.*s\"]:", (int)plugin.n, plugin.p);
        while (map_next(values, &inner, &key, &value))
            buf_printf(out, "\n  --   %.*s: %s", (int)key.n, key.p,
                       ((const struct plugin_value *)value)->origin);
        buf_add_char(out, '\n');
    }
}

void config_print(const struct config *config, struct buf *out)
{
    buf_add_c(
        out,
        "-- Every key with its default. Later wins: this file, MARU_<KEY> in the\n"
        "-- environment (MARU_HTTP_LISTEN), --set key=value. Addresses of servers and\n"
        "-- secrets can stand in files of their own: [\"jobs.url_file\"], MARU_JOBS_URL_FILE,\n"
        "-- or secret(\"/run/secrets/x\") for any value here. Plugins take theirs from\n"
        "-- [\"plugins.<name>\"] = { key = value }, MARU_PLUGINS_<NAME>__<KEY>, and from the\n"
        "-- file that MARU_PLUGINS_<NAME>__<KEY>__FILE names.\n"
        "return {\n");
    for (int i = 0; config_keys[i].name; i++) {
        const struct config_key *key = &config_keys[i];
        buf_printf(out, "  -- %s\n", key->help);
        if (config && config->entries[i].origin) {
            print_set(&config->entries[i], out);
            continue;
        }
        buf_printf(out, "  -- [\"%s\"] = ", key->name);
        print_value(key, str_c(key->otherwise), out);
        buf_add_c(out, ",\n\n");
    }
    out->n--; /* no empty line before the brace */
    print_plugins(config, out);
    buf_add_c(out, "}\n");
}

void config_print_reference(struct buf *out)
{
    config_print(NULL, out);
}
