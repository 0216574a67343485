#include "storage/migrate.h"

#include <sodium.h>

bool migration_marker(struct str line, struct str *section)
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
        bool marker = migration_marker(line, &section);
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

static void checksum(struct str text, char out[MIGRATION_CHECKSUM])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)text.p, text.n);
    sodium_bin2hex(out, MIGRATION_CHECKSUM, hash, sizeof hash);
}

/* "migrations/0012_lines.sql" → 12. */
static bool parse_number(const char *name, int64_t *number, struct err *err)
{
    const char *slash = strrchr(name, '/');
    struct str rest = str_c(slash ? slash + 1 : name);
    struct str digits = str_split(&rest, '_');
    long long n;
    bool sql = rest.n > 4 && memcmp(rest.p + rest.n - 4, ".sql", 4) == 0;
    if (!sql || !str_int64(digits, &n) || n < 1)
        return err_set(err, ERR_INVALID, "%s: the name must be like 0001_what_it_does.sql", name);
    *number = n;
    return true;
}

bool migration_read(struct migration_file *file, int64_t previous, struct err *err)
{
    const struct migration *m = file->migration;
    if (!parse_number(m->name, &file->number, err))
        return false;
    if (m->text.n > MIGRATION_BYTES)
        return err_set(err, ERR_LIMIT, "%s: more than %d bytes", m->name, MIGRATION_BYTES);
    if (file->number <= previous)
        return err_set(err, ERR_CONFLICT, "%s: number %lld is used twice or out of order", m->name,
                       (long long)file->number);
    checksum(m->text, file->checksum);
    return true;
}

int migration_standing(const struct migration_file *file, int64_t number, const char *sum,
                       const char *name, struct err *err)
{
    if (number == file->number && strcmp(sum, file->checksum) == 0)
        return 1;
    if (number == file->number)
        err_set(err, ERR_CONFLICT,
                "%s: changed after it was applied; put it back and write a "
                "new migration",
                file->migration->name);
    else
        err_set(err, ERR_CONFLICT,
                "%s: is new but comes before %s, which is applied; "
                "give it a higher number",
                file->migration->name, name);
    return -1;
}

void migration_note_ahead(const char *name, const struct migration *migrations, int count,
                          struct buf *names)
{
    const char *slash = strrchr(name, '/');
    for (int i = 0; i < count; i++)
        if (!strcmp(migrations[i].name, name))
            return;
    buf_printf(names, "%s%s", names->n ? ", " : "", slash ? slash + 1 : name);
}
