/* migrate.h -- a plugin's migrations: numbered SQL files, each applied once.
 *
 * "migrations/0001_name.sql" is applied in a transaction and recorded with a
 * checksum; an applied file that changed is an error naming it, and so is a new
 * one numbered below an applied one.  Lines "-- sqlite:" and "-- postgres:"
 * begin a section for that driver only, "-- all:" ends it.  Tables, views and
 * indexes a migration makes belong to the plugin from then on.
 *
 * These functions block: call them where that is allowed (start-up, reload's
 * own thread), never on a lane that serves.
 */
#pragma once

#include "storage/store.h"

enum { MIGRATION_BYTES = 1 << 20, MIGRATION_CHECKSUM = 65 };

struct migration {
    const char *name; /* as shown in errors: "migrations/0001_lines.sql" */
    struct str text;
};

/* Applies what is pending, in order of number.  False with *err
 * "migrations/0002_x.sql:7: near "tabel": syntax error"; files before it stay
 * applied. */
bool store_migrate(struct store *store, const char *plugin, const struct migration *migrations,
                   int count, struct err *err);
/* Tries them on a scratch copy of the schema in memory; changes nothing. */
bool store_migrate_check(struct store *store, const char *plugin,
                         const struct migration *migrations, int count, struct err *err);
/* Appends "0003_tags.sql, 0004_…" for the applied ones that are not among them: the database is
 * ahead of an older bundle, for good.  False with *err. */
bool store_migrations_ahead(struct store *store, const char *plugin,
                            const struct migration *migrations, int count, struct buf *names,
                            struct err *err);
/* store_migrate_check without a running store: path is the database file, which need not exist. */
bool migrate_check_file(const char *path, const char *plugin, const struct migration *migrations,
                        int count, struct err *err);

/* The part of text that `driver` runs, appended to out; other sections become
 * empty lines, so that line numbers hold. */
void migration_section(struct str text, const char *driver, struct buf *out);

/* -- for drivers -- */

/* Whether a line begins a section: "sqlite", "postgres" or "all". */
bool migration_marker(struct str line, struct str *section);

struct migration_file {
    const struct migration *migration;
    int64_t number;
    char checksum[MIGRATION_CHECKSUM]; /* SHA-256 in hexadecimal */
};
/* Number and checksum; false with *err: its name, its size, or its number is not over `previous`.
 */
bool migration_read(struct migration_file *file, int64_t previous, struct err *err);
/* What the first record at or above its number says: 1 it is applied, -1 with *err. */
int migration_standing(const struct migration_file *file, int64_t number, const char *checksum,
                       const char *name, struct err *err);
/* Appends the name of an applied one that is not among them. */
void migration_note_ahead(const char *name, const struct migration *migrations, int count,
                          struct buf *names);
