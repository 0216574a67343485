/* cmd_nodes.c -- maru drivers, maru nodes: what this server uses, and who shares the queue with it.
 */

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

static bool is_true(const char *text)
{
    return text && !strcmp(text, "true");
}

static void print_drivers(const struct flat *f)
{
    static const char *const columns[] = {"kind",       "driver",  "state", "required", "since",
                                          "latency_ms", "address", "error", NULL};
    if (flat_get(f, "0.kind"))
        flat_print_table(f, "", columns);
    else
        puts("every driver is embedded: there is no other server to reach");
}

/* The server is not ready while one that it requires is down. */
static int code_of(const struct flat *f)
{
    const char *kind;
    int code = EXIT_OK;
    for (int i = 0; (kind = flat_get(f, "%d.kind", i)); i++)
        if (is_true(flat_get(f, "%d.required", i)) && !strcmp(flat_get(f, "%d.state", i), "down"))
            code = cli_fail(EXIT_FAILED, "%s (%s) is down, and this server is not ready without it",
                            kind, flat_get(f, "%d.driver", i));
    return code;
}

int cmd_drivers(const struct cli_options *o)
{
    struct buf body = {0};
    struct flat answer = {0};
    struct err err = {0};
    int status;
    if (o->word_count)
        return cli_fail(EXIT_USAGE, "drivers takes no words");
    int code = cli_ask(o, "GET", "/drivers", &body, &status);
    if (status && !flat_read(buf_str(&body), &answer, &err)) {
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    } else if (status >= 400) {
        code = cli_fail_by_problem(&answer, status);
    } else if (status) {
        if (o->json)
            cli_print_json(&body);
        else
            print_drivers(&answer);
        fflush(stdout);
        code = code_of(&answer);
    }
    flat_free(&answer);
    buf_free(&body);
    return code;
}

/* -- nodes ---------------------------------------------------------------------------------- */

static void write_roles(struct json *w, const struct flat *f, int row)
{
    struct buf roles = {0};
    const char *role;
    for (int i = 0; (role = flat_get(f, "%d.roles.%d", row, i)); i++)
        buf_printf(&roles, "%s%s", i ? "," : "", role);
    json_key(w, "roles");
    json_str(w, buf_str(&roles));
    buf_free(&roles);
}

/* "cache redis down", the next; nothing when all answer. */
static void write_ailing(struct json *w, const struct flat *f, int row)
{
    struct buf list = {0};
    const char *state;
    for (int i = 0; (state = flat_get(f, "%d.drivers.%d.state", row, i)); i++)
        if (strcmp(state, "up") != 0)
            buf_printf(&list, "%s%s %s %s", list.n ? ", " : "",
                       flat_get(f, "%d.drivers.%d.kind", row, i),
                       flat_get(f, "%d.drivers.%d.driver", row, i), state);
    json_key(w, "drivers");
    json_cstr(w, list.n ? list.p : "up");
    buf_free(&list);
}

static void write_node(struct json *w, const struct flat *f, int row)
{
    static const char *const plain[] = {"name", "version", "lanes.web", "lanes.job", "seen_at"};
    bool missing = is_true(flat_get(f, "%d.missing", row));
    bool ready = is_true(flat_get(f, "%d.ready", row));
    json_open(w, '{');
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        json_key(w, plain[i]);
        json_cstr(w, flat_get(f, "%d.%s", row, plain[i]));
    }
    json_key(w, "state");
    json_cstr(w, missing ? "missing" : ready ? "ready" : "not ready");
    json_key(w, "leads");
    json_cstr(w, is_true(flat_get(f, "%d.leads", row)) ? "yes" : NULL);
    write_roles(w, f, row);
    write_ailing(w, f, row);
    json_close(w, '}');
}

/* The same table as every other, of rows whose lists are words. */
static void print_nodes(const struct flat *f)
{
    static const char *const columns[] = {"name",  "state",   "roles",   "lanes.web", "lanes.job",
                                          "leads", "version", "seen_at", "drivers",   NULL};
    struct buf rows = {0};
    struct json w = json_to(&rows);
    struct flat table = {0};
    struct err err = {0};
    json_open(&w, '[');
    for (int i = 0; flat_get(f, "%d.name", i); i++)
        write_node(&w, f, i);
    json_close(&w, ']');
    if (flat_read(buf_str(&rows), &table, &err))
        flat_print_table(&table, "", columns);
    flat_free(&table);
    buf_free(&rows);
}

int cmd_nodes(const struct cli_options *o)
{
    if (o->word_count)
        return cli_fail(EXIT_USAGE, "nodes takes no words");
    return cli_look(o, "/nodes", print_nodes);
}
