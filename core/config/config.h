/* config.h -- the configuration: a Lua table over declared defaults.
 *
 * Where a value comes from, later wins: the default in schema.c, the file, the
 * environment (MARU_HTTP_LISTEN for http.listen), --set key=value.  Every key
 * is declared in schema.c with its type, default and help; the same table
 * prints etc/maru.lua.  The file runs in a bare Lua state: tables, strings,
 * arithmetic, os.getenv, and secret("/run/secrets/x"), which is what stands in
 * that file.
 *
 * A key that is a SECRET or an ADDRESS can be given by the name of a file as
 * well, at each of these places: mail.password_file, MARU_MAIL_PASSWORD_FILE.
 * Plugins' keys are MARU_PLUGINS_<NAME>__<KEY> in the environment, of a file
 * MARU_PLUGINS_<NAME>__<KEY>__FILE.
 *
 * A configuration never changes once loaded, so any thread may read it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct config;

enum config_type {
    CONFIG_TEXT,
    CONFIG_INTEGER,
    CONFIG_BOOLEAN,
    CONFIG_DURATION, /* "30s" or seconds; read with config_ns */
    CONFIG_SIZE,     /* "64M" or bytes; read with config_bytes */
    CONFIG_LIST,     /* array of text; in --set and the environment comma-separated */
    CONFIG_ADDRESS,  /* text: where another server is, perhaps with a password in it */
    CONFIG_SECRET,   /* text that is never shown */
    CONFIG_RATIO,    /* a number from 0 to 1; read with config_ratio */
    CONFIG_TABLES,   /* array of tables, as JSON ("" when empty), which it is in --set and the
                        environment, too */
};

struct config_key {
    const char *name; /* "http.listen" */
    enum config_type type;
    const char *otherwise; /* as text; lists comma-separated */
    int64_t least, most;   /* INTEGER, and SIZE and DURATION in their units; both 0 = unbounded */
    const char *help;
};
extern const struct config_key config_keys[]; /* ends with name NULL; in printing order */

/* path NULL: defaults only.  sets: "key=value".  NULL with *err:
 * "etc/maru.lua:7: …", "etc/maru.lua: http.lisen: no such key; did you mean
 * http.listen?", "--set http.max_cancels=x: …". */
struct config *config_load(const char *path, const char *const *sets, int set_count,
                           struct err *err);
void config_free(struct config *config);

/* A key that schema.c does not declare, or of another type, is a broken invariant.  config_text is
 * of TEXT, ADDRESS, SECRET and TABLES: "" when empty. */
const char *config_text(const struct config *config, const char *key);
int64_t config_integer(const struct config *config, const char *key);
bool config_boolean(const struct config *config, const char *key);
int64_t config_ns(const struct config *config, const char *key);
int64_t config_bytes(const struct config *config, const char *key);
double config_ratio(const struct config *config, const char *key);
int config_list(const struct config *config, const char *key, const char *const **items);

/* Appends what the configuration says for a plugin, as a JSON object ("{}" when
 * nothing).  Its keys are checked by the plugin's own declaration. */
void config_plugin(const struct config *config, const char *plugin, struct buf *out);

/* What should be said of the configuration although it is valid, such as a secret's file that
 * everybody may read, or a variable MARU_… that is no key's; NULL behind the last.  Borrowed. */
const char *config_warning(const struct config *config, int i);

/* Appends the reference with what holds now in it: a key that somebody set stands there with its
 * value and, behind it, who did.  Secrets are "***", as are passwords in addresses; of plugins'
 * settings, which may be secrets, only the names are shown. */
void config_print(const struct config *config, struct buf *out);

/* Appends the whole reference: a configuration file with every key, its help
 * and its default, commented. */
void config_print_reference(struct buf *out);
