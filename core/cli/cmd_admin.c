/* cmd_admin.c -- what commands share that ask a running server, and reload. */

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

void cli_print_json(const struct buf *body)
{
    printf("%.*s\n", (int)body->n, body->p);
}

void cli_add_encoded(struct buf *out, const char *text)
{
    for (; *text; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9') || strchr("-._", *text);
        if (plain)
            buf_add_char(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

int cli_fail_by_problem(const struct flat *answer, int status)
{
    const char *detail = flat_get(answer, "detail");
    return cli_fail(EXIT_FAILED, "%s (%d)", detail ? detail : "the server refused", status);
}

/* code: of cli_ask() or cli_send(). */
static int print_answer(const struct cli_options *o, int code, int status, const struct buf *body,
                        void (*print)(const struct flat *answer))
{
    struct flat answer = {0};
    struct err err = {0};
    if (status && !flat_read(buf_str(body), &answer, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else if (status >= 400)
        code = cli_fail_by_problem(&answer, status);
    else if (status && o->json)
        cli_print_json(body);
    else if (status && print)
        print(&answer);
    flat_free(&answer);
    return code;
}

int cli_look(const struct cli_options *o, const char *path,
             void (*print)(const struct flat *answer))
{
    struct buf body = {0};
    int status, code = cli_ask(o, "GET", path, &body, &status);
    code = print_answer(o, code, status, &body, print);
    buf_free(&body);
    return code;
}

int cli_change(const struct cli_options *o, const char *path, struct str content,
               void (*print)(const struct flat *answer))
{
    struct buf body = {0};
    int status, code = cli_send(o, "POST", path, content, &body, &status);
    code = print_answer(o, code, status, &body, print);
    buf_free(&body);
    return code;
}

int cli_show(const struct cli_options *o, const char *path, const char *prefix,
             const char *const *columns)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status, code = cli_ask(o, "GET", path, &body, &status);
    if (status && status < 400 && o->json)
        cli_print_json(&body);
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
        cli_print_json(&body);
    flat_free(&answer);
    buf_free(&body);
    mem_free(path);
    return code;
}
