/* cmd_admin.c -- commands that ask a running server: reload, jobs. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/flat.h"
#include "config/config.h"
#include "reload/plan.h"

int cli_send(const struct cli_options *o, const char *method, const char *path, struct str content,
             struct buf *body, int *status)
{
    struct err err = {0};
    struct config *config = cli_config(o);
    *status = 0;
    if (!config)
        return EXIT_CONFIG;
    *status = admin_send(config_text(config, "state.dir"), method, path, content, body, &err);
    config_free(config);
    if (*status)
        return EXIT_OK;
    return cli_fail(err.code == ERR_NOT_FOUND ? EXIT_NO_SERVER : EXIT_FAILED, "%s", err.message);
}

int cli_ask(const struct cli_options *o, const char *method, const char *path, struct buf *body,
            int *status)
{
    return cli_send(o, method, path, (struct str){"", 0}, body, status);
}

static void print_json(const struct buf *body)
{
    printf("%.*s\n", (int)body->n, body->p);
}

int cli_fail_by_problem(const struct flat *answer, int status)
{
    const char *detail = flat_get(answer, "detail");
    return cli_fail(EXIT_FAILED, "%s (%d)", detail ? detail : "the server refused", status);
}

int cli_show(const struct cli_options *o, const char *path, const char *prefix,
             const char *const *columns)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status, code = cli_ask(o, "GET", path, &body, &status);
    if (status && o->json)
        print_json(&body);
    else if (status && !flat_read(buf_str(&body), &answer, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else if (status >= 400)
        code = cli_fail_by_problem(&answer, status);
    else if (status)
        flat_print_table(&answer, prefix, columns);
    flat_free(&answer);
    buf_free(&body);
    return code;
}

/* -- reload --------------------------------------------------------------------------------- */

static enum plan_action action_of(const char *name)
{
    enum plan_action action = PLAN_KEEP;
    while (action < PLAN_STOP && strcmp(plan_action_name(action), name))
        action++;
    return action;
}

/* What stands at path.0, path.1, …; owned by the caller, its texts by the answer. */
static char **texts_at(const struct flat *answer, int step, const char *side, int *count)
{
    char **list = NULL;
    const char *text;
    *count = 0;
    while ((text = flat_get(answer, "plan.%d.permissions.%s.%d", step, side, *count))) {
        list = mem_realloc(list, (size_t)(*count + 1) * sizeof *list);
        list[(*count)++] = (char *)(uintptr_t)text;
    }
    return list;
}

/* The answer's plan as `maru check --plan` prints one. */
static void print_plan(const struct flat *answer)
{
    struct plan_step step;
    struct plan plan = {.steps = &step, .count = 1};
    struct buf out = {0};
    const char *plugin;
    for (int i = 0; (plugin = flat_get(answer, "plan.%d.plugin", i)); i++) {
        struct capability_diff *p = &step.permissions;
        step = (struct plan_step){.plugin = plugin,
                                  .action = action_of(flat_get(answer, "plan.%d.action", i)),
                                  .reason = flat_get(answer, "plan.%d.reason", i),
                                  .from = flat_get(answer, "plan.%d.from", i),
                                  .to = flat_get(answer, "plan.%d.to", i)};
        p->added = texts_at(answer, i, "added", &p->added_count);
        p->removed = texts_at(answer, i, "removed", &p->removed_count);
        plan_print(&plan, &out);
        mem_free(p->added);
        mem_free(p->removed);
    }
    fwrite(out.n ? out.p : "", 1, out.n, stdout);
    buf_free(&out);
}

/* An answer's text that is there and not null. */
static bool is_said(const char *text)
{
    return text && strcmp(text, "-");
}

int cli_print_change(const struct flat *answer, int status)
{
    const char *took = flat_get(answer, "took_ms"), *message;
    const char *warning = flat_get(answer, "warning");
    if (status == 200) {
        print_plan(answer);
        printf("done in %s ms\n", took ? took : "?");
        if (is_said(warning))
            fprintf(stderr, "maru: %s\n", warning);
        return EXIT_OK;
    }
    if (status != 422)
        return cli_fail_by_problem(answer, status);
    for (int i = 0; (message = flat_get(answer, "errors.%d.message", i)); i++) {
        const char *kept = flat_get(answer, "errors.%d.kept", i);
        const char *refused = flat_get(answer, "errors.%d.generation", i);
        fprintf(stderr, "maru: %s", message);
        if (is_said(refused))
            fprintf(stderr, " -- %s is refused", refused);
        if (is_said(kept))
            fprintf(stderr, "%s %s keeps serving", is_said(refused) ? "," : " --", kept);
        fputc('\n', stderr);
    }
    return EXIT_PLUGIN;
}

bool cli_is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return n && !name[n];
}

int cmd_reload(const struct cli_options *o)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status;
    if (o->word_count > 1 || (o->word_count && !cli_is_name(o->words[0])))
        return cli_fail(EXIT_USAGE, "reload takes at most one plugin's name");
    const char *allow = o->allow ? "?allow=true" : "";
    char *path = o->word_count ? mem_printf("/plugins/%s/reload%s", o->words[0], allow)
                               : mem_printf("/reload%s", allow);
    int code = cli_ask(o, "POST", path, &body, &status);
    if (status && !flat_read(buf_str(&body), &answer, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else if (status)
        code = cli_print_change(&answer, status);
    if (status && o->json)
        print_json(&body);
    flat_free(&answer);
    buf_free(&body);
    mem_free(path);
    return code;
}

/* -- jobs ----------------------------------------------------------------------------------- */

static int jobs_list(const struct cli_options *o)
{
    static const char *const columns[] = {"id",      "kind",       "queue", "state",
                                          "attempt", "created_at", "error", NULL};
    const char *state = o->word_count > 1 ? o->words[1] : "";
    if (*state && !cli_is_name(state))
        return cli_fail(EXIT_USAGE, "'%s' is no state", state);
    char *path = mem_printf("/jobs%s%s", *state ? "?state=" : "", state);
    int code = cli_show(o, path, "jobs", columns);
    mem_free(path);
    return code;
}

static int jobs_one(const struct cli_options *o, const char *method, const char *verb)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    long long id;
    int status;
    if (o->word_count != 2 || !str_int64(str_c(o->words[1]), &id))
        return cli_fail(EXIT_USAGE, "jobs %s takes a job's number", o->words[0]);
    char *path = mem_printf("/jobs/%lld%s", id, verb);
    int code = cli_ask(o, method, path, &body, &status);
    if (status && status < 400)
        print_json(&body);
    else if (status && flat_read(buf_str(&body), &answer, &err))
        code = cli_fail_by_problem(&answer, status);
    flat_free(&answer);
    buf_free(&body);
    mem_free(path);
    return code;
}

int cmd_jobs(const struct cli_options *o)
{
    static const char *const columns[] = {"queue", "ready",      "delayed",      "running",
                                          "dead",  "done_total", "failed_total", NULL};
    const char *verb = o->word_count ? o->words[0] : "";
    if (!*verb)
        return cli_show(o, "/queues", "", columns);
    if (!strcmp(verb, "list") && o->word_count <= 2)
        return jobs_list(o);
    if (!strcmp(verb, "show"))
        return jobs_one(o, "GET", "");
    if (!strcmp(verb, "retry"))
        return jobs_one(o, "POST", "/retry");
    if (!strcmp(verb, "cancel"))
        return jobs_one(o, "POST", "/cancel");
    return cli_fail(EXIT_USAGE, "jobs: list, show, retry or cancel, not '%s'", verb);
}
