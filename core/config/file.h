/* file.h -- the configuration file and the pieces of config.c it fills; private to config/. */
#pragma once

#include "config/config.h"

struct map;

/* ORDER config_source: later wins. */
enum config_source { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_SET };

struct entry {
    const struct config_key *key;
    char *text;
    int64_t number; /* INTEGER, BOOLEAN, DURATION (ns), SIZE (bytes) */
    char **items;   /* LIST */
    int item_count;
    enum config_source source;
    char *origin; /* "maru.lua:7", "environment MARU_X", "--set", with the secret's file; NULL */
    bool by_file; /* given as key_file */
};

struct config {
    struct entry *entries; /* in the order of config_keys */
    int count;
    struct map *plugins; /* plugin -> struct map of key -> struct plugin_value */
    char **warnings;
    int warning_count;
};

struct plugin_value {
    char *json, *origin;
};

/* Who gives a value. */
struct giver {
    enum config_source source;
    const char *origin;
};

/* Runs the file and assigns what it returns.  False with *err naming file and
 * line, or file and key. */
bool config_file(struct config *config, const char *path, struct err *err);

/* config.c.  The next item of a list's text.  What --set and the environment say is cut at commas;
 * the file has a mark behind each item, so that items may have commas. */
enum { LIST_MARK = '\x1f' };
struct str config_list_item(struct str *rest);
/* text is what --set would give. */
bool config_assign(struct config *config, const char *name, struct str text, const struct giver *by,
                   struct err *err);
void config_assign_plugin(struct config *config, struct str plugin, struct str key, struct str json,
                          const char *origin);
/* The declared key, or NULL; also for a key_file of one that may be given so, then with *by_file.
 */
struct entry *config_find(const struct config *config, const char *name, bool *by_file);

/* Edits that turn a into b (Levenshtein), for "did you mean": at most CONFIG_NEAR. */
enum { CONFIG_NEAR = 3 };
int config_edits(const char *a, const char *b);

/* secret.c.  For config_warning(); takes text. */
void config_warn(struct config *config, char *text);

/* environment.c.  Whether text is one JSON value. */
bool config_is_json(struct str text);
/* False with *err naming the variable. */
bool config_environment(struct config *config, struct err *err);
/* "plugins.<name>.<key>=value" in pieces: the value is JSON when it reads as JSON, else text. */
void config_plugin_text(struct config *config, struct str plugin, struct str key, struct str value,
                        const char *origin);

/* secret.c.  Appends what stands in the file, without the line's end behind it; at most
 * SECRET_BYTES.  False with *err when it cannot be read, is empty or has a NUL.  Warns when
 * everybody may read it. */
enum { SECRET_BYTES = 64 << 10 };
bool config_secret(struct config *config, const char *path, struct buf *out, struct err *err);

/* reference.c.  As a literal of Lua. */
void config_print_text(struct str text, struct buf *out);
/* tables.c.  JSON as a table of Lua; what is called key, secret, password or token is "***". */
void config_print_tables(struct str json, struct buf *out);

/* line.c.  The line of a file's text that gives the key "http.listen" its value,
 * as ["http.listen"] = … or as listen = … behind http = …; 0 when none does.  A
 * guess from the text, for messages: Lua tables do not know their lines. */
int config_line(struct str source, struct str key);
