/* cmd_schedules.c -- maru schedules: what fires when, and changes of one. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

static const char *text_at(const struct flat *f, int row, const char *key)
{
    const char *text = flat_get(f, "%d.%s", row, key);
    return text && strcmp(text, "-") ? text : "";
}

/* "plugin/id" in two; false when it is not of that form.  *plugin is the caller's. */
static bool split(const char *word, char **plugin, const char **id)
{
    const char *slash = strchr(word, '/');
    if (!slash || slash == word || !slash[1])
        return false;
    *plugin = mem_printf("%.*s", (int)(slash - word), word);
    *id = slash + 1;
    return true;
}

/* The row of "plugin/id", or -1. */
static int row_of(const struct flat *f, const char *plugin, const char *id)
{
    for (int i = 0; flat_get(f, "%d.plugin", i); i++)
        if (!strcmp(text_at(f, i, "plugin"), plugin) && !strcmp(text_at(f, i, "id"), id))
            return i;
    return -1;
}

static void print_changes(const struct flat *f, int row, int run)
{
    for (int i = 0; flat_get(f, "%d.changes.%d.at", row, i); i++)
        if (atoi(flat_get(f, "%d.changes.%d.run", row, i)) == run)
            printf("            the clock changes from %s to %s at %s\n",
                   flat_get(f, "%d.changes.%d.before", row, i),
                   flat_get(f, "%d.changes.%d.after", row, i),
                   flat_get(f, "%d.changes.%d.at", row, i));
}

static void print_one(const struct flat *f, int row)
{
    static const char *const keys[] = {"pattern",     "tz",      "job",      "last_at",
                                       "last_status", "enabled", "paused",   "missed",
                                       "overlap",     "jitter",  "deadline", NULL};
    static const char *const reasons[] = {"missed", "overlap", "deadline", "failed", NULL};
    const char *next;
    for (int i = 0; keys[i]; i++)
        printf("%-11s %s\n", keys[i], text_at(f, row, keys[i]));
    printf("%-11s", "dropped");
    for (int i = 0; reasons[i]; i++)
        printf(" %s %s", reasons[i], flat_get(f, "%d.dropped.%s", row, reasons[i]));
    printf("\nnext\n");
    for (int i = 0; (next = flat_get(f, "%d.next.%d", row, i)); i++) {
        print_changes(f, row, i);
        printf("            %s\n", next);
    }
}

static int show(const struct cli_options *o)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    char *plugin;
    const char *id;
    int row = -1, status;
    if (o->word_count != 2 || !split(o->words[1], &plugin, &id))
        return cli_fail(EXIT_USAGE, "schedules show takes PLUGIN/ID");
    int code = cli_ask(o, "GET", "/schedules", &body, &status);
    if (status && !flat_read(buf_str(&body), &answer, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else if (status >= 400)
        code = cli_fail_by_problem(&answer, status);
    else if (status && (row = row_of(&answer, plugin, id)) < 0)
        code = cli_fail(EXIT_FAILED, "there is no schedule %s", o->words[1]);
    if (row >= 0)
        print_one(&answer, row);
    mem_free(plugin);
    flat_free(&answer);
    buf_free(&body);
    return code;
}

static int change(const struct cli_options *o)
{
    struct buf body = {0}, path = {0};
    struct flat answer = {0};
    struct err err = {0};
    char *plugin;
    const char *id;
    int status;
    if (o->word_count != 2 || !split(o->words[1], &plugin, &id))
        return cli_fail(EXIT_USAGE, "schedules %s takes PLUGIN/ID", o->words[0]);
    buf_add_c(&path, "/schedules/");
    cli_add_encoded(&path, plugin);
    buf_add_c(&path, "/");
    cli_add_encoded(&path, id);
    buf_printf(&path, "/%s", o->words[0]);
    int code = cli_ask(o, "POST", path.p, &body, &status);
    if (status && status < 400)
        printf("%.*s\n", (int)body.n, body.p);
    else if (status && flat_read(buf_str(&body), &answer, &err))
        code = cli_fail_by_problem(&answer, status);
    mem_free(plugin);
    flat_free(&answer);
    buf_free(&path);
    buf_free(&body);
    return code;
}

int cmd_schedules(const struct cli_options *o)
{
    static const char *const columns[] = {"plugin",  "id",          "pattern", "tz", "next_at",
                                          "last_at", "last_status", "paused",  NULL};
    const char *verb = o->word_count ? o->words[0] : "";
    if (!*verb || (!strcmp(verb, "list") && o->word_count == 1))
        return cli_show(o, "/schedules", "", columns);
    if (!strcmp(verb, "show"))
        return show(o);
    if (!strcmp(verb, "pause") || !strcmp(verb, "resume") || !strcmp(verb, "run"))
        return change(o);
    return cli_fail(EXIT_USAGE, "schedules: show, pause, resume or run, not '%s'", verb);
}
