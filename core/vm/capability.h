/* capability.h -- what a plugin may reach outside of itself, as a list to show, keep and compare.
 *
 * A capability is one line of text: "net host:port", "fs /path", "env NAME",
 * "exec /bin/x", "call plugin.fn", "job plugin.name", "event topic", "hear topic" or "model *". One
 * that came from "config:KEY" also has a reference, "net config:KEY": who accepted the reference
 * accepted whatever the operator writes into that config value, but not another default of the
 * plugin's.
 *
 * Threads: plain data, any.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "vm/plugin.h"

struct capability {
    enum capability_kind kind;
    char *text;      /* "net api.example.com:443" */
    char *reference; /* "net config:base", or NULL */
    bool configured; /* the operator's configuration gave it */
};

/* Sorted by text; a text stands there once for each way it came (itself, a reference). */
struct capability_list {
    struct capability *items;
    int count;
};

/* What a declaration asks for; the caller frees it. */
void capability_list(const struct plugin_decl *decl, struct capability_list *out);
void capability_list_free(struct capability_list *list);
/* Appends one, given as the text of its entry: "api.example.com:443". */
void capability_add(struct capability_list *list, enum capability_kind kind, struct str entry,
                    const char *from);
void capability_sort(struct capability_list *list);

/* As lines: every text, then every reference, each once. */
void capability_print(const struct capability_list *list, struct buf *out);
/* Reads such lines (references become texts); what is no capability is passed over. */
void capability_read(struct str lines, struct capability_list *out);

/* Texts on one side only; sorted, owned. */
struct capability_diff {
    char **added, **removed;
    int added_count, removed_count;
};
void capability_compare(const struct capability_list *before, const struct capability_list *after,
                        struct capability_diff *out);
void capability_diff_free(struct capability_diff *diff);

/* Appends "net a:1, env B" with what `now` reaches and `accepted` does not cover; false
 * when there is nothing.  "*.host" covers names below host, a folder what is in it,
 * "plugin.*" its functions or jobs and "private:host" also the host. */
bool capability_widens(const struct capability_list *accepted, const struct capability_list *now,
                       struct buf *out);

/* Whether an entry of this list, "plugin.name" or "plugin.*", names it. */
bool capability_names(const struct allow_decl *allow, struct str plugin, struct str name);

/* "net" "fs" "env" "exec" "exports" "jobs" "events" "mail" "model": the keys of M.allow; and "on",
 * of M.on. */
const char *capability_key(enum capability_kind kind);
