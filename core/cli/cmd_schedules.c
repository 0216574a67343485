/* cmd_schedules.c -- maru schedules: what fires when, and changes of one. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

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

static const char *said(const struct flat *f, const char *key)
{
    const char *text = flat_get(f, "%s", key);
    return text && strcmp(text, "-") ? text : "";
}

static void print_changes(const struct flat *f, int run)
{
    for (int i = 0; flat_get(f, "changes.%d.at", i); i++)
        if (atoi(flat_get(f, "changes.%d.run", i)) == run)
            printf("            the clock changes from %s to %s at %s\n",
                   flat_get(f, "changes.%d.before", i), flat_get(f, "changes.%d.after", i),
                   flat_get(f, "changes.%d.at", i));
}

static void print_one(const struct flat *f)
{
    static const char *const keys[] = {"pattern",     "tz",      "job",      "last_at",
                                       "last_status", "enabled", "paused",   "missed",
                                       "overlap",     "jitter",  "deadline", NULL};
    static const char *const reasons[] = {"missed", "overlap", "deadline", "failed", NULL};
    const char *next;
    for (int i = 0; keys[i]; i++)
        printf("%-11s %s\n", keys[i], said(f, keys[i]));
    printf("%-11s", "dropped");
    for (int i = 0; reasons[i]; i++)
        printf(" %s %s", reasons[i], flat_get(f, "dropped.%s", reasons[i]));
    printf("\nnext\n");
    for (int i = 0; (next = flat_get(f, "next.%d", i)); i++) {
        print_changes(f, i);
        printf("            %s\n", next);
    }
}

/* /schedules/PLUGIN/ID, or false: the word is not of the form PLUGIN/ID. */
static bool add_path(struct buf *out, const char *word)
{
    char *plugin;
    const char *id;
    if (!split(word, &plugin, &id))
        return false;
    buf_add_c(out, "/schedules/");
    cli_add_encoded(out, plugin);
    buf_add_c(out, "/");
    cli_add_encoded(out, id);
    mem_free(plugin);
    return true;
}

static int show(const struct cli_options *o)
{
    struct buf path = {0};
    if (o->word_count != 2 || !add_path(&path, o->words[1]))
        return cli_fail(EXIT_USAGE, "schedules show takes PLUGIN/ID");
    int code = cli_look(o, path.p, print_one);
    buf_free(&path);
    return code;
}

static int change(const struct cli_options *o)
{
    struct buf body = {0}, path = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status;
    if (o->word_count != 2 || !add_path(&path, o->words[1]))
        return cli_fail(EXIT_USAGE, "schedules %s takes PLUGIN/ID", o->words[0]);
    buf_printf(&path, "/%s", o->words[0]);
    int code = cli_ask(o, "POST", path.p, &body, &status);
    if (status && status < 400)
        printf("%.*s\n", (int)body.n, body.p);
    else if (status && flat_read(buf_str(&body), &answer, &err))
        code = cli_fail_by_problem(&answer, status);
    flat_free(&answer);
    buf_free(&path);
    buf_free(&body);
    return code;
}

int cmd_schedules(const struct cli_options *o)
{
    static const char *const columns[] = {"plugin",  "id",          "pattern", "tz",     "next_at",
                                          "last_at", "last_status", "enabled", "paused", NULL};
    const char *verb = o->word_count ? o->words[0] : "";
    if (!*verb || (!strcmp(verb, "list") && o->word_count == 1))
        return cli_show(o, "/schedules", "", columns);
    if (!strcmp(verb, "show"))
        return show(o);
    if (!strcmp(verb, "pause") || !strcmp(verb, "resume") || !strcmp(verb, "run"))
        return change(o);
    return cli_fail(EXIT_USAGE, "schedules: show, pause, resume or run, not '%s'", verb);
}
