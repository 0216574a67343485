/* cmd_config.c -- `maru config`, `maru version`, `maru admin-url`. */

#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "cli/cli.h"
#include "config/config.h"

int cmd_config(const struct cli_options *o)
{
    struct buf out = {0};
    (void)o;
    config_print_reference(&out);
    fwrite(out.p, 1, out.n, stdout);
    buf_free(&out);
    return EXIT_OK;
}

int cmd_version(const struct cli_options *o)
{
    (void)o;
    puts("maru " MARU_VERSION);
    return EXIT_OK;
}

static int print_url(const struct config *config)
{
    const char *listen = config_text(config, "admin.listen");
    struct buf token = {0};
    struct err err = {0};
    if (!*listen)
        return cli_fail(EXIT_CONFIG, "admin.listen is not set; the operations page needs a port "
                                     "of its own, e.g. --set admin.listen=127.0.0.1:8081");
    char *path = mem_printf("%s/admin.token", config_text(config, "state.dir"));
    bool ok = file_read(path, 4096, &token, &err);
    mem_free(path);
    if (!ok)
        return cli_fail(EXIT_NO_SERVER, "%s; the first start makes it", err.message);
    struct str text = str_trim(buf_str(&token));
    printf("http://%s%s/admin/login?token=%.*s\n", *listen == ':' ? "127.0.0.1" : "", listen,
           (int)text.n, text.p);
    buf_free(&token);
    return EXIT_OK;
}

int cmd_admin_url(const struct cli_options *o)
{
    struct config *config = cli_config(o);
    if (!config)
        return EXIT_CONFIG;
    int code = print_url(config);
    config_free(config);
    return code;
}
