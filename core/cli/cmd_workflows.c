/* cmd_workflows.c -- maru workflows: runs of workflows, and changes of one. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

static int list(const struct cli_options *o)
{
    static const char *const columns[] = {"id",    "plugin", "name",       "shape", "key",
                                          "state", "at",     "created_at", "error", NULL};
    const char *state = o->word_count > 1 ? o->words[1] : "";
    if (*state && !cli_is_name(state))
        return cli_fail(EXIT_USAGE, "'%s' is no state", state);
    char *path = mem_printf("/workflows%s%s", *state ? "?state=" : "", state);
    int code = cli_show(o, path, "workflows", columns);
    mem_free(path);
    return code;
}

static void print_one(const struct flat *f)
{
    static const char *const keys[] = {"id",          "plugin", "name",  "shape",
                                       "version",     "key",    "state", "created_at",
                                       "finished_at", "error",  NULL};
    static const char *const columns[] = {"n",       "name",       "state",    "job",
                                          "attempt", "started_at", "ended_at", "waits_for",
                                          "due_at",  "error",      NULL};
    static const char *const bundles[] = {"step",    "total",      "held",     "ready",
                                          "delayed", "running",    "done",     "cancelled",
                                          "failed",  "started_at", "ended_at", NULL};
    static const char *const trees[] = {"input", "data", "result", NULL};
    for (int i = 0; keys[i]; i++)
        printf("%-12s %s\n", keys[i], flat_get(f, "%s", keys[i]));
    for (int i = 0; trees[i]; i++)
        flat_print_below(f, trees[i], 12);
    putchar('\n');
    int shown = flat_print_table(f, "steps", columns);
    const char *total = flat_get(f, "steps_total");
    bool counted = flat_get(f, "bundles.0.step");
    if (total && atoi(total) > shown && !counted)
        printf("%d of %s steps: the first, and where it stands\n", shown, total);
    if (counted) {
        putchar('\n');
        flat_print_table(f, "bundles", bundles);
    }
}

static int show(const struct cli_options *o, long long id)
{
    char *path = mem_printf("/workflows/%lld", id);
    int code = cli_look(o, path, print_one);
    mem_free(path);
    return code;
}

static int change(const struct cli_options *o, long long id, struct str content)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status;
    char *path = mem_printf("/workflows/%lld/%s", id, o->words[0]);
    int code = cli_send(o, "POST", path, content, &body, &status);
    if (status && status < 400)
        printf("%.*s\n", (int)body.n, body.p);
    else if (status && flat_read(buf_str(&body), &answer, &err))
        code = cli_fail_by_problem(&answer, status);
    flat_free(&answer);
    buf_free(&body);
    mem_free(path);
    return code;
}

/* The failed step that ended a graph, the failed members of a group: their jobs run again. */
static int retry_steps(const struct cli_options *o, const struct flat *run)
{
    const char *shape = flat_get(run, "shape"), *state;
    int last = -1, count = 0, code = EXIT_OK;
    if (strcmp(flat_get(run, "state"), "failed") != 0)
        return cli_fail(EXIT_FAILED, "workflow run %s is %s, not failed", o->words[1],
                        flat_get(run, "state"));
    for (int i = 0; (state = flat_get(run, "steps.%d.state", i)); i++)
        last = strcmp(state, "failed") ? last : i;
    for (int i = strcmp(shape, "graph") ? 0 : last; i >= 0 && i <= last && !code; i++) {
        if (strcmp(flat_get(run, "steps.%d.state", i), "failed") != 0)
            continue;
        char *path = mem_printf("/jobs/%s/retry", flat_get(run, "steps.%d.job", i));
        code = cli_change(o, path, (struct str){"", 0}, NULL);
        count += !code;
        mem_free(path);
    }
    if (!code && !count)
        return cli_fail(EXIT_FAILED, "workflow run %s has no failed step to run again",
                        o->words[1]);
    if (!code && !o->json)
        printf("%s: to run again with %d job%s\n", o->words[1], count, count == 1 ? "" : "s");
    return code;
}

static int retry(const struct cli_options *o, long long id)
{
    struct buf body = {0};
    struct flat run = {0};
    struct err err = {0};
    int status;
    char *path = mem_printf("/workflows/%lld", id);
    int code = cli_ask(o, "GET", path, &body, &status);
    if (status && !flat_read(buf_str(&body), &run, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else if (status >= 400)
        code = cli_fail_by_problem(&run, status);
    else if (status)
        code = retry_steps(o, &run);
    flat_free(&run);
    buf_free(&body);
    mem_free(path);
    return code;
}

static int signal_run(const struct cli_options *o, long long id)
{
    static const struct json_events silent = {0};
    struct buf content = {0};
    struct err err = {0};
    if (o->word_count < 3 || o->word_count > 4)
        return cli_fail(EXIT_USAGE, "workflows signal takes ID NAME [JSON]");
    struct str data = o->word_count == 4 ? str_c(o->words[3]) : STR("null");
    if (!json_read(data, JSON_DEPTH_DEFAULT, &silent, NULL, &err))
        return cli_fail(EXIT_USAGE, "'%s' is not JSON: %s", o->words[3], err.message);
    struct json w = json_to(&content);
    json_open(&w, '{');
    json_key(&w, "name");
    json_cstr(&w, o->words[2]);
    json_key(&w, "data");
    json_raw(&w, data);
    json_close(&w, '}');
    int code = change(o, id, buf_str(&content));
    buf_free(&content);
    return code;
}

int cmd_workflows(const struct cli_options *o)
{
    const char *verb = o->word_count ? o->words[0] : "list";
    long long id;
    if (!strcmp(verb, "list") && o->word_count <= 2)
        return list(o);
    if (strcmp(verb, "show") && strcmp(verb, "cancel") && strcmp(verb, "signal") &&
        strcmp(verb, "retry"))
        return cli_fail(EXIT_USAGE, "workflows: list, show, cancel, retry or signal, not '%s'",
                        verb);
    if (o->word_count < 2 || !str_int64(str_c(o->words[1]), &id) || id < 1)
        return cli_fail(EXIT_USAGE, "workflows %s takes a run's number", verb);
    if (!strcmp(verb, "signal"))
        return signal_run(o, id);
    if (!strcmp(verb, "retry"))
        return retry(o, id);
    return !strcmp(verb, "show") ? show(o, id) : change(o, id, STR("{}"));
}
