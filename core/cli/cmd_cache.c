/* cmd_cache.c -- maru cache: what plugins keep there, how often it is found, one entry, deleting
 * one. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

static void print_figures(const struct flat *f)
{
    static const char *const lines[] = {"driver",    "away",  "entries", "bytes",
                                        "max_bytes", "hits",  "misses",  "evicted",
                                        "locks",     "redis", NULL};
    for (int i = 0; lines[i]; i++)
        flat_print_below(f, lines[i], 18);
}

static const char *said(const struct flat *f, int i, const char *name)
{
    const char *text = flat_get(f, "entries.%d.%s", i, name);
    return text ? text : "-";
}

static void print_ttl(const char *ms)
{
    if (!strcmp(ms, "-"))
        printf(" %10s", "-");
    else
        printf(" %9.1fs", strtod(ms, NULL) / 1000);
}

/* Returns how many. */
static int print_entries(const struct flat *f, int most)
{
    int n = 0;
    for (; n < most && flat_get(f, "entries.%d.key", n); n++) {
        printf("%-8s %10s %10s", said(f, n, "type"), said(f, n, "bytes"),
               said(f, n, "memory_bytes"));
        print_ttl(said(f, n, "ttl_ms"));
        printf("  %s\n", said(f, n, "key"));
    }
    return n;
}

static void add(struct buf *path, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    buf_printf(path, "%c%s=", memchr(path->p, '?', path->n) ? '&' : '?', name);
    cli_add_encoded(path, value);
}

static char *page_path(const struct cli_options *o, const char *after)
{
    struct buf path = {0};
    buf_add_c(&path, "/cache/entries");
    add(&path, "match", o->word_count > 1 ? o->words[1] : "");
    add(&path, "plugin", o->plugin);
    add(&path, "limit", o->limit);
    add(&path, "after", after);
    return buf_take(&path, NULL);
}

/* One page; *after becomes the next one's cursor, NULL at the end. */
static int print_page(const struct cli_options *o, char **after, int *left)
{
    char *path = page_path(o, *after);
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status, code = cli_ask(o, "GET", path, &body, &status);
    mem_free(path);
    mem_free(*after);
    *after = NULL;
    if (status && !flat_read(buf_str(&body), &answer, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else if (status >= 400)
        code = cli_fail_by_problem(&answer, status);
    else if (status) {
        const char *next = flat_get(&answer, "next");
        *left -= print_entries(&answer, *left);
        if (next && strcmp(next, "-") != 0)
            *after = mem_strdup(next);
    }
    flat_free(&answer);
    buf_free(&body);
    return code;
}

static int list(const struct cli_options *o)
{
    int left = o->limit ? atoi(o->limit) : 100, code;
    char *after = NULL;
    if (o->json) {
        char *path = page_path(o, NULL);
        code = cli_look(o, path, NULL);
        mem_free(path);
        return code;
    }
    printf("%-8s %10s %10s %10s  %s\n", "type", "bytes", "memory", "ttl", "key");
    do
        code = print_page(o, &after, &left);
    while (!code && after && left > 0);
    if (!code && after)
        printf("\nthere are more; --limit N shows N, a pattern fewer\n");
    mem_free(after);
    return code;
}

static void print_entry(const struct flat *f)
{
    static const char *const lines[] = {"key",      "key_hex", "plugin",       "type",
                                        "ttl_ms",   "bytes",   "memory_bytes", "hidden",
                                        "encoding", "value",   "cut",          NULL};
    for (int i = 0; lines[i]; i++)
        flat_print_below(f, lines[i], 14);
}

static char *entry_path(const struct cli_options *o)
{
    struct buf path = {0};
    buf_add_c(&path, "/cache/entry");
    add(&path, "key", o->words[1]);
    return buf_take(&path, NULL);
}

static int get(const struct cli_options *o)
{
    char *path = entry_path(o);
    int code = cli_look(o, path, print_entry);
    mem_free(path);
    return code;
}

static int delete (const struct cli_options *o)
{
    char *path = entry_path(o);
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status, code = cli_ask(o, "DELETE", path, &body, &status);
    if (status >= 400 && flat_read(buf_str(&body), &answer, &err))
        code = cli_fail_by_problem(&answer, status);
    else if (status && o->json)
        cli_print_json(&body);
    flat_free(&answer);
    buf_free(&body);
    mem_free(path);
    return code;
}

int cmd_cache(const struct cli_options *o)
{
    const char *verb = o->word_count ? o->words[0] : "show";
    if (!strcmp(verb, "show") && o->word_count <= 1)
        return cli_look(o, "/cache", print_figures);
    if (!strcmp(verb, "keys") && o->word_count <= 2)
        return list(o);
    if (!strcmp(verb, "get") && o->word_count == 2)
        return get(o);
    if (!strcmp(verb, "delete") && o->word_count == 2)
        return delete (o);
    return cli_fail(EXIT_USAGE,
                    "cache takes nothing, keys [PATTERN], get PLUGIN:KEY or delete PLUGIN:KEY");
}
