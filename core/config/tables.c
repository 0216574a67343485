/* tables.c -- a list of tables (CONFIG_TABLES, kept as JSON) printed as the file has it, without
 * secrets. */
#include "base/address.h"
#include "base/json_pick.h"
#include "config/file.h"

static bool ends(struct str name, struct str end)
{
    return name.n >= end.n && str_eq(str_n(name.p + name.n - end.n, end.n), end);
}

/* Names of what is a secret when it is text. */
static bool is_secret(struct str name)
{
    return ends(name, STR("key")) || ends(name, STR("secret")) || ends(name, STR("password")) ||
           ends(name, STR("token"));
}

static void print_text(struct str name, struct str value, struct buf *out)
{
    struct buf text = {0}, shown = {0};
    json_pick_text(value, &text);
    if (is_secret(name) && text.n > 0)
        buf_add_c(&shown, "***");
    else
        address_mask(buf_str(&text), &shown);
    config_print_text(buf_str(&shown), out);
    buf_free(&text);
    buf_free(&shown);
}

static void print(struct str name, struct str value, struct buf *out)
{
    struct json_pick p;
    struct str key, inner;
    bool first = true;
    if (value.n > 0 && value.p[0] == '"') {
        print_text(name, value, out);
    } else if (json_pick_open(&p, value, '[')) {
        buf_add_c(out, "{");
        for (; json_pick_item(&p, &inner); first = false) {
            buf_add_c(out, first ? " " : ", ");
            print(name, inner, out);
        }
        buf_add_c(out, first ? "}" : " }");
    } else if (json_pick_open(&p, value, '{')) {
        buf_add_c(out, "{");
        for (; json_pick_pair(&p, &key, &inner); first = false) {
            buf_printf(out, "%s[\"%.*s\"] = ", first ? " " : ", ", (int)key.n, key.p);
            print(key, inner, out);
        }
        buf_add_c(out, first ? "}" : " }");
    } else {
        buf_add_str(out, value); /* a number, true, false */
    }
}

void config_print_tables(struct str json, struct buf *out)
{
    print(STR(""), json, out);
}
