/* cmd_jobs.c -- maru jobs: find them, look at one, change one or all that match. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

static void add_param(struct buf *path, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    buf_printf(path, "%c%s=", strchr(path->p, '?') ? '&' : '?', name);
    cli_add_encoded(path, value);
}

/* maru jobs, maru jobs list [STATE] */
static int list(const struct cli_options *o)
{
    static const char *const columns[] = {"id",      "kind",       "queue", "state",
                                          "attempt", "created_at", "error", NULL};
    struct buf path = {0};
    const char *state = o->word_count > 1 ? o->words[1] : o->state;
    long long limit;
    if (o->word_count > 2)
        return cli_fail(EXIT_USAGE, "jobs list takes at most a state");
    if (o->word_count > 1 && o->state && strcmp(o->words[1], o->state) != 0)
        return cli_fail(EXIT_USAGE, "jobs list: '%s' or --state '%s', not both", o->words[1],
                        o->state);
    if (o->limit && (!str_int64(str_c(o->limit), &limit) || limit < 1 || limit > 500))
        return cli_fail(EXIT_USAGE, "--limit is a number from 1 to 500, not '%s'", o->limit);
    buf_add_c(&path, "/jobs");
    add_param(&path, "state", state);
    add_param(&path, "queue", o->queue);
    add_param(&path, "kind", o->kind);
    add_param(&path, "q", o->search);
    add_param(&path, "limit", o->limit);
    int code = cli_show(o, path.p, "jobs", columns);
    buf_free(&path);
    return code;
}

static const char *said(const struct flat *f, const char *key)
{
    const char *text = flat_get(f, "%s", key);
    return text && strcmp(text, "-") != 0 ? text : NULL;
}

/* Everything below a key, "args.to.0  kim" a line. */
static void print_below(const struct flat *f, const char *key)
{
    size_t n = strlen(key);
    for (int i = 0; i < f->count; i++) {
        const char *path = f->values[i].path;
        if (!strncmp(path, key, n) && (path[n] == '.' || !path[n]))
            printf("%-13s %s\n", path, f->values[i].text);
    }
}

static void print_attempts(const struct flat *f)
{
    const char *attempt;
    for (int i = 0; (attempt = flat_get(f, "attempts.%d.attempt", i)); i++) {
        const char *error = flat_get(f, "attempts.%d.error", i);
        const char *traceback = flat_get(f, "attempts.%d.traceback", i);
        const char *node = flat_get(f, "attempts.%d.node", i);
        printf("\nattempt %s, %s to %s on %s%s%s\n", attempt,
               flat_get(f, "attempts.%d.started_at", i), flat_get(f, "attempts.%d.ended_at", i),
               node ? node : "", node ? " " : "", flat_get(f, "attempts.%d.lane", i));
        if (error && strcmp(error, "-") != 0)
            printf("  %s\n", error);
        if (traceback && strcmp(traceback, "-") != 0)
            printf("  %s\n", traceback);
    }
}

static void print_job(const struct flat *f)
{
    static const char *const keys[] = {
        "id",           "kind",       "state",      "queue",      "priority",    "attempt",
        "max_attempts", "created_at", "run_at",     "started_at", "finished_at", "crashes",
        "key",          "unique",     "expires_at", "schedule",   "error",       NULL};
    for (int i = 0; keys[i]; i++)
        if (said(f, keys[i]))
            printf("%-13s %s\n", keys[i], said(f, keys[i]));
    static const char *const trees[] = {"progress", "why",    "batch", "workflow",
                                        "args",     "result", NULL};
    for (int i = 0; trees[i]; i++)
        if (!flat_get(f, "%s", trees[i]) || said(f, trees[i]))
            print_below(f, trees[i]);
    print_attempts(f);
}

static int show(const struct cli_options *o)
{
    long long id;
    if (o->word_count != 2 || !str_int64(str_c(o->words[1]), &id))
        return cli_fail(EXIT_USAGE, "jobs show takes a job's number");
    char *path = mem_printf("/jobs/%lld", id);
    int code = cli_look(o, path, print_job);
    mem_free(path);
    return code;
}

/* -- changes -------------------------------------------------------------------------------- */

static void add_text(struct json *w, const char *key, const char *value)
{
    if (!value)
        return;
    json_key(w, key);
    json_cstr(w, value);
}

static void write_bulk(struct buf *out, const struct cli_options *o)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    add_text(&w, "action", o->words[0]);
    json_key(&w, "dry");
    json_bool(&w, o->dry);
    json_key(&w, "filter");
    json_open(&w, '{');
    add_text(&w, "state", o->state);
    add_text(&w, "queue", o->queue);
    add_text(&w, "kind", o->kind);
    add_text(&w, "q", o->search);
    json_close(&w, '}');
    json_close(&w, '}');
}

static void print_found(const struct flat *answer)
{
    printf("%s match\n", flat_get(answer, "matched"));
}

static void print_changed(const struct flat *answer)
{
    printf("%s match, %s changed\n", flat_get(answer, "matched"), flat_get(answer, "changed"));
}

static int change_all(const struct cli_options *o)
{
    struct buf content = {0};
    if (o->word_count > 1)
        return cli_fail(EXIT_USAGE,
                        "jobs %s takes numbers or --all with what to search for, not both",
                        o->words[0]);
    write_bulk(&content, o);
    int code = cli_change(o, "/jobs/bulk", buf_str(&content), o->dry ? print_found : print_changed);
    buf_free(&content);
    return code;
}

static int change_one(const struct cli_options *o, const char *id)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status;
    char *path = mem_printf("/jobs/%s/%s", id, o->words[0]);
    int code = cli_ask(o, "POST", path, &body, &status);
    if (status && status < 400)
        printf("%s: %s\n", id, o->json ? body.p : "done");
    else if (status && flat_read(buf_str(&body), &answer, &err))
        code = cli_fail_by_problem(&answer, status);
    flat_free(&answer);
    buf_free(&body);
    mem_free(path);
    return code;
}

static int change(const struct cli_options *o)
{
    int code = EXIT_OK;
    long long id;
    if (o->all)
        return change_all(o);
    if (o->dry)
        return cli_fail(EXIT_USAGE, "--dry goes with --all: nothing was changed");
    for (int i = 1; i < o->word_count; i++)
        if (!str_int64(str_c(o->words[i]), &id))
            return cli_fail(EXIT_USAGE, "jobs %s takes jobs' numbers, not '%s'", o->words[0],
                            o->words[i]);
    if (o->word_count < 2)
        return cli_fail(EXIT_USAGE, "jobs %s takes jobs' numbers, or --all with what to search for",
                        o->words[0]);
    for (int i = 1; i < o->word_count; i++) {
        int one = change_one(o, o->words[i]);
        code = one ? one : code;
        if (one == EXIT_NO_SERVER || one == EXIT_CONFIG)
            break;
    }
    return code;
}

int cmd_jobs(const struct cli_options *o)
{
    const char *verb = o->word_count ? o->words[0] : "list";
    if (!strcmp(verb, "list"))
        return list(o);
    if (!strcmp(verb, "show"))
        return show(o);
    if (!strcmp(verb, "retry") || !strcmp(verb, "cancel") || !strcmp(verb, "discard"))
        return change(o);
    return cli_fail(EXIT_USAGE, "jobs: list, show, retry, cancel or discard, not '%s'", verb);
}
