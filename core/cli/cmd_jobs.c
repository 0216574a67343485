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
    if (o->all || o->dry)
        return cli_fail(EXIT_USAGE, "--all and --dry go with retry, cancel or discard");
    if (o->all || o->dry)
        return cli_fail(EXIT_USAGE, "--all and --dry go with retry, cancel or discard");
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

/* Why a job waits, in words: what stands before and behind its queue's or its kind's name. */
static const struct {
    const char *code, *before, *name, *behind;
} reasons[] = {
    {"held", "no plugin that serves now has a handler of ", "kind", ""},
    {"paused", "queue ", "queue", " is paused"},
    {"not_due", "it is not due", NULL, ""},
    {"no_workers", "no worker takes jobs now", NULL, ""},
    {"workers_busy", "all workers are busy", NULL, ""},
    {"behind", "other jobs stand before it", NULL, ""},
    {"crashed", "it ran when a server died; such jobs run one at a time", NULL, ""},
    {"stopping", "the server is stopping", NULL, ""},
    {"gathering", "it waits for others that its handler takes together", NULL, ""},
    {"queue_full", "as many of queue ", "queue", " run as may"},
    {"kind_full", "as many of ", "kind", " run as may"},
    {"queue_key_full", "as many with its key run in queue ", "queue", " as may"},
    {"key_full", "as many with its key run of ", "kind", " as may"},
    {"queue_rate", "the rate of queue ", "queue", " is used up"},
    {"kind_rate", "the rate of ", "kind", " is used up"},
    {"queue_key_rate", "the rate of its key in queue ", "queue", " is used up"},
    {"key_rate", "the rate of its key is used up", NULL, ""},
};

static void print_why(const struct flat *f)
{
    const char *code;
    for (int i = 0; (code = flat_get(f, "why.%d.code", i)); i++) {
        const char *limit = flat_get(f, "why.%d.limit", i), *until = flat_get(f, "why.%d.until", i);
        size_t n = sizeof reasons / sizeof *reasons, k = 0;
        while (k < n && strcmp(reasons[k].code, code) != 0)
            k++;
        printf("%-13s %s", i ? "" : "waits", k < n ? reasons[k].before : code);
        if (k < n)
            printf("%s%s", reasons[k].name ? flat_get(f, "%s", reasons[k].name) : "",
                   reasons[k].behind);
        if (limit)
            printf(" (%s of %s)", flat_get(f, "why.%d.running", i), limit);
        if (until && strcmp(until, "-") != 0)
            printf(strcmp(code, "held") ? " until %s" : "; it is dead at %s", until);
        putchar('\n');
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
    static const char *const trees[] = {"progress", "message", "batch", "workflow",
                                        "args",     "result",  NULL};
    print_why(f);
    for (int i = 0; trees[i]; i++)
        if (!flat_get(f, "%s", trees[i]) || said(f, trees[i]))
            flat_print_below(f, trees[i], 13);
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
    if (!o->state && !o->queue && !o->kind && !o->search)
        return cli_fail(EXIT_USAGE, "jobs %s --all takes --state, --queue, --kind or --search",
                        o->words[0]);
    write_bulk(&content, o);
    int code = cli_change(o, "/jobs/bulk", buf_str(&content), o->dry ? print_found : print_changed);
    buf_free(&content);
    return code;
}

/* A running one is only asked to end. */
static const char *changed_to(const char *verb)
{
    static const char *const verbs[][2] = {{"retry", "to run again"},
                                           {"cancel", "cancelled, or asked to end"},
                                           {"discard", "discarded"}};
    int i = 0;
    while (strcmp(verbs[i][0], verb) != 0)
        i++;
    return verbs[i][1];
}

static int change_one(const struct cli_options *o, const char *id)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status;
    char *path = mem_printf("/jobs/%s/%s", id, o->words[0]);
    int code = cli_ask(o, "POST", path, &body, &status);
    if (status && status < 400 && o->json)
        cli_print_json(&body);
    else if (status && status < 400)
        printf("%s: %s\n", id, changed_to(o->words[0]));
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

/* -- push ----------------------------------------------------------------------------------- */

static void print_pushed(const struct flat *answer)
{
    printf("%s\n", flat_get(answer, "job"));
}

static int push(const struct cli_options *o)
{
    static const struct json_events silent = {0};
    struct buf content = {0};
    struct err err = {0};
    if (o->word_count < 2 || o->word_count > 3)
        return cli_fail(EXIT_USAGE, "jobs push takes KIND [JSON]");
    struct str args = o->word_count == 3 ? str_c(o->words[2]) : STR("{}");
    if (!json_read(args, JSON_DEPTH_DEFAULT, &silent, NULL, &err))
        return cli_fail(EXIT_USAGE, "'%s' is not JSON: %s", o->words[2], err.message);
    struct json w = json_to(&content);
    json_open(&w, '{');
    add_text(&w, "kind", o->words[1]);
    json_key(&w, "args");
    json_raw(&w, args);
    json_close(&w, '}');
    int code = cli_change(o, "/jobs", buf_str(&content), print_pushed);
    buf_free(&content);
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
    if (!strcmp(verb, "push"))
        return push(o);
    return cli_fail(EXIT_USAGE, "jobs: list, show, retry, cancel, discard or push, not '%s'", verb);
}
