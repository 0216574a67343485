#include "storage/migrate.h"

static bool is_marker(struct str line, struct str *section)
{
    struct str text = str_trim(line);
    if (!str_starts(text, STR("--")) || text.p[text.n - 1] != ':')
        return false;
    *section = str_trim((struct str){text.p + 2, text.n - 3});
    return str_eq_c(*section, "sqlite") || str_eq_c(*section, "postgres") ||
           str_eq_c(*section, "all");
}

void migration_section(struct str text, const char *driver, struct buf *out)
{
    bool ours = true;
    while (text.n > 0) {
        size_t end = str_find(text, '\n');
        struct str line = {text.p, end};
        struct str section;
        bool marker = is_marker(line, &section);
        if (marker)
            ours = str_eq_c(section, "all") || str_eq_c(section, driver);
        if (ours && !marker)
            buf_add_str(out, line);
        if (end == text.n)
            break;
        buf_add_char(out, '\n');
        text.p += end + 1;
        text.n -= end + 1;
    }
}
