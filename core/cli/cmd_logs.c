/* cmd_logs.c -- maru logs: the newest lines of the log, or those with some words. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

static const char *said(const struct flat *f, const char *list, int i, const char *key)
{
    const char *text = flat_get(f, "%s.%d.%s", list, i, key);
    return text && strcmp(text, "-") ? text : "";
}

/* An instant of the ring is text already, one of the index seconds. */
static void print_line(const struct flat *f, const char *list, int i)
{
    char time[32];
    const char *at = said(f, list, i, "at"), *plugin = said(f, list, i, "plugin");
    if (!strchr(at, 'T')) {
        clock_format_utc((int64_t)(strtod(at, NULL) * 1000 + 0.5) * NS_PER_MS, time);
        at = time;
    }
    printf("%s %-5s %s  %s", at, said(f, list, i, "level"),
           *plugin ? plugin : said(f, list, i, "area"), said(f, list, i, "message"));
    if (*said(f, list, i, "fields"))
        printf("  %s", said(f, list, i, "fields"));
    putchar('\n');
}

static int count_of(const struct flat *f, const char *list)
{
    int n = 0;
    while (flat_get(f, "%s.%d.message", list, n))
        n++;
    return n;
}

static void print_newest(const struct flat *f)
{
    int n = count_of(f, "lines");
    for (int i = 0; i < n; i++)
        print_line(f, "lines", i);
}

/* The newest come first, and are read last. */
static void print_found(const struct flat *f)
{
    int n = count_of(f, "hits");
    for (int i = n - 1; i >= 0; i--)
        print_line(f, "hits", i);
    if (flat_get(f, "next"))
        printf("%d of %s lines; --limit N or a shorter --since shows others\n", n,
               flat_get(f, "total"));
}

static void add(struct buf *path, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(path, "%c%s=", memchr(path->p, '?', path->n) ? '&' : '?', name);
    cli_add_encoded(path, value);
}

int cmd_logs(const struct cli_options *o)
{
    struct buf path = {0};
    bool finds = o->search || o->since;
    if (o->word_count > 0)
        return cli_fail(EXIT_USAGE, "logs takes no words; --search WORDS looks for some");
    buf_add_c(&path, finds ? "/logs/search" : "/logs");
    if (finds) {
        add(&path, "q", o->search);
        add(&path, "since", o->since);
    }
    add(&path, "level", o->level);
    add(&path, "plugin", o->plugin);
    add(&path, "limit", o->limit);
    int code = cli_look(o, path.p, finds ? print_found : print_newest);
    buf_free(&path);
    return code;
}
