/* reference.c -- the configuration reference, printed from the schema. */
#include "config/config.h"

static bool quoted(enum config_type type)
{
    return type == CONFIG_TEXT || type == CONFIG_DURATION || type == CONFIG_SIZE;
}

static void print_default(const struct config_key *key, struct buf *out)
{
    if (key->type == CONFIG_LIST) {
        struct str rest = str_c(key->otherwise);
        buf_add_c(out, "{");
        while (rest.n > 0) {
            struct str item = str_split(&rest, ',');
            buf_printf(out, " \"%.*s\"%s", (int)item.n, item.p, rest.n > 0 ? "," : " ");
        }
        buf_add_c(out, "}");
    } else if (quoted(key->type)) {
        buf_printf(out, "\"%s\"", key->otherwise);
    } else {
        buf_add_c(out, key->otherwise);
    }
}

void config_print_reference(struct buf *out)
{
    buf_add_c(out, "-- Every key with its default. Later wins: this file, MARU_<KEY> in the\n"
                   "-- environment (MARU_HTTP_LISTEN), --set key=value. Plugins take theirs from\n"
                   "-- [\"plugins.<name>\"] = { key = value }.\n"
                   "return {\n");
    for (const struct config_key *key = config_keys; key->name; key++) {
        buf_printf(out, "  -- %s\n  -- [\"%s\"] = ", key->help, key->name);
        print_default(key, out);
        buf_add_c(out, ",\n\n");
    }
    out->n--; /* no empty line before the brace */
    buf_add_c(out, "}\n");
}
