/* cmd_config.c -- `maru config`, `maru version`, `maru admin-url`. */

#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/flat.h"
#include "config/config.h"

int cmd_config(const struct cli_options *o)
{
    struct buf out = {0};
    struct config *config = cli_config(o);
    if (!config)
        return EXIT_CONFIG;
    config_print(config, &out);
    fwrite(out.p, 1, out.n, stdout);
    for (int i = 0; config_warning(config, i); i++)
        fprintf(stderr, "maru: %s\n", config_warning(config, i));
    buf_free(&out);
    config_free(config);
    return EXIT_OK;
}

int cmd_version(const struct cli_options *o)
{
    (void)o;
    puts("maru " MARU_VERSION);
    return EXIT_OK;
}

/* Where a running server has its admin port, or NULL when it has none; freed by the caller. */
static char *admin_address(const char *state_dir, struct err *err)
{
    struct buf body = {0};
    struct flat status;
    char *url = NULL;
    if (admin_request(state_dir, "GET", "/status", &body, err) == 200 &&
        flat_read(buf_str(&body), &status, err)) {
        const char *text = flat_get(&status, "admin_http");
        if (text && strcmp(text, "-") != 0)
            url = mem_strdup(text);
        flat_free(&status);
    }
    buf_free(&body);
    return url;
}

static int print_url(const char *state_dir, bool viewer)
{
    struct buf token = {0};
    struct err err = {0};
    char *url = admin_address(state_dir, &err);
    if (!url && err.code != ERR_NONE)
        return cli_fail(EXIT_NO_SERVER, "%s", err.message);
    if (!url)
        return cli_fail(EXIT_CONFIG,
                        "the server has no admin.listen; the operations page needs a port "
                        "of its own, e.g. --set admin.listen=127.0.0.1:8081");
    char *path = mem_printf("%s/%s", state_dir, viewer ? "viewer.token" : "admin.token");
    bool ok = file_read(path, 4096, &token, &err);
    struct str text = str_trim(buf_str(&token));
    if (ok)
        printf("%s/admin/login?token=%.*s\n", url, (int)text.n, text.p);
    mem_free(path);
    mem_free(url);
    buf_free(&token);
    return ok ? EXIT_OK : cli_fail(EXIT_STATE, "%s", err.message);
}

int cmd_admin_url(const struct cli_options *o)
{
    struct config *config = cli_config(o);
    if (!config)
        return EXIT_CONFIG;
    int code = print_url(config_text(config, "state.dir"), o->viewer);
    config_free(config);
    return code;
}
