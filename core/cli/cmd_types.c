/* cmd_types.c -- `maru types`: maru.d.lua, or what this program has registered. */

#include <stdio.h>

#include "base/str.h"
#include "cli/author.h"
#include "cli/cli.h"
#include "vm/inspect.h"

int cmd_types(const struct cli_options *o)
{
    struct err err = {0};
    struct buf out = {0};
    if (!o->json) {
        struct str text = inspect_types();
        fwrite(text.p, 1, text.n, stdout);
        return EXIT_OK;
    }
    struct author author;
    bool ok = author_open(&author, &err) && inspector_surface(author.inspector, &out, &err);
    author_close(&author);
    if (ok)
        puts(out.p);
    buf_free(&out);
    return ok ? EXIT_OK : cli_fail(EXIT_FAILED, "%s", err.message);
}
