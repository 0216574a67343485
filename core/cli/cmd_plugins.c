/* cmd_plugins.c -- commands about single plugins: plugins, rollback. */

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

static const char *text_at(const struct flat *f, int row, const char *key)
{
    const char *text = row < 0 ? flat_get(f, "%s", key) : flat_get(f, "%d.%s", row, key);
    return text && strcmp(text, "-") ? text : NULL;
}

/* What an operator must not overlook, below the table or the list. */
static void print_notes(const struct flat *f, int row)
{
    const char *name = text_at(f, row, "name"), *from = text_at(f, row, "rolled_back.from");
    if (from)
        printf("%s: rolled back from %s to %s: %s\n", name, from, text_at(f, row, "rolled_back.to"),
               text_at(f, row, "rolled_back.reason"));
    if (text_at(f, row, "quarantine.since"))
        printf("%s: quarantined since %s, after %s kills: %s (maru plugins release %s)\n", name,
               text_at(f, row, "quarantine.since"), text_at(f, row, "quarantine.kills"),
               text_at(f, row, "quarantine.reason"), name);
}

static void print_all(const struct flat *f)
{
    static const char *const columns[] = {
        "name",     "version",      "generation",         "state", "tasks", "faults",
        "requests", "memory_bytes", "last_error.message", NULL};
    int rows = flat_print_table(f, "", columns);
    for (int i = 0; i < rows; i++)
        print_notes(f, i);
}

static void print_one(const struct flat *f)
{
    static const char *const keys[] = {
        "name",  "version",     "generation", "state",        "loaded_at",   "generations",
        "tasks", "requests",    "faults",     "memory_bytes", "cpu_seconds", "last_error.message",
        "kills", "interpreted", NULL};
    static const char *const kept[] = {"hash", "version", "at", "serving", "failed", NULL};
    static const char *const events[] = {"at", "kind", "generation", "text", NULL};
    for (int i = 0; keys[i]; i++) {
        if (text_at(f, -1, keys[i]))
            printf("%-20s %s\n", keys[i], text_at(f, -1, keys[i]));
    }
    print_notes(f, -1);
    printf("\nKept generations, the newest first (maru rollback NAME HASH)\n");
    flat_print_table(f, "kept", kept);
    printf("\nWhat happened, the newest first\n");
    flat_print_table(f, "events", events);
}

static int plugins_release(const struct cli_options *o)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status;
    char *path = mem_printf("/plugins/%s/release", o->words[1]);
    int code = cli_ask(o, "POST", path, &body, &status);
    if (status && !flat_read(buf_str(&body), &answer, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else if (status >= 400)
        code = cli_fail_by_problem(&answer, status);
    else if (status)
        printf("%s is released\n", o->words[1]);
    flat_free(&answer);
    buf_free(&body);
    mem_free(path);
    return code;
}

int cmd_plugins(const struct cli_options *o)
{
    if (!o->word_count)
        return cli_look(o, "/plugins", print_all);
    bool release = o->word_count == 2 && !strcmp(o->words[0], "release");
    if (o->word_count != 2 || (!release && strcmp(o->words[0], "show")) ||
        !cli_is_name(o->words[1]))
        return cli_fail(EXIT_USAGE, "plugins takes nothing, or: show NAME, release NAME");
    if (release)
        return plugins_release(o);
    char *path = mem_printf("/plugins/%s", o->words[1]);
    int code = cli_look(o, path, print_one);
    mem_free(path);
    return code;
}

static bool is_hash(const char *text)
{
    size_t n = strspn(text, "0123456789abcdef");
    return n && !text[n];
}

int cmd_rollback(const struct cli_options *o)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    const char *hash = o->word_count > 1 ? o->words[1] : "";
    int status;
    if (o->word_count < 1 || o->word_count > 2 || !cli_is_name(o->words[0]) ||
        (*hash && !is_hash(hash)))
        return cli_fail(EXIT_USAGE, "rollback takes a plugin's name and, if you like, the content "
                                    "hash of a kept generation");
    char *path = mem_printf("/plugins/%s/rollback%s%s", o->words[0], *hash ? "?hash=" : "", hash);
    int code = cli_ask(o, "POST", path, &body, &status);
    if (status && !flat_read(buf_str(&body), &answer, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else if (status && o->json)
        printf("%.*s\n", (int)body.n, body.p);
    else if (status)
        code = cli_print_change(&answer, status);
    if (status >= 400 && o->json)
        code = EXIT_PLUGIN;
    flat_free(&answer);
    buf_free(&body);
    mem_free(path);
    return code;
}
