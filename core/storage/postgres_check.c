/* postgres_check.c -- which statements a plugin may run: what store.h's SQLite lets it, in the
 * words of PostgreSQL.  The rights of its role hold beside this. */
#include "storage/postgres_private.h"
#include "storage/sql.h"

static bool is_one_of(struct str token, const char *const *words)
{
    for (; *words; words++)
        if (sql_is_word(token, *words))
            return true;
    return false;
}

static bool first_word(struct str token, struct err *err)
{
    static const char *const fine[] = {"select", "insert", "update", "delete",  "with",
                                       "values", "table",  "merge",  "explain", NULL};
    static const char *const schema[] = {"create", "alter",  "drop",    "truncate", "comment",
                                         "grant",  "revoke", "reindex", "security", NULL};
    static const char *const tx[] = {"begin",     "start",   "commit",  "end",  "rollback", "abort",
                                     "savepoint", "release", "prepare", "lock", NULL};
    if (is_one_of(token, fine) || str_eq_c(token, "("))
        return true;
    if (is_one_of(token, schema))
        return err_set(err, ERR_SQL, "tables are made and changed by migrations only");
    if (is_one_of(token, tx))
        return err_set(err, ERR_SQL, "transactions are made with store:tx");
    if (token.n == 0)
        return err_set(err, ERR_SQL, "the statement is empty");
    return err_set(err, ERR_SQL, "\"%.*s\" is not available to plugins",
                   token.n < 40 ? (int)token.n : 40, token.p);
}

/* A name with or without quotes; U&"…" could spell any. */
static bool is_host_name(struct str token)
{
    if (token.n > 2 && token.p[0] == '"')
        token = str_n(token.p + 1, token.n - 2);
    return token.n >= 5 && strncasecmp(token.p, "maru_", 5) == 0;
}

bool postgres_check(void *plugin, struct str sql, struct err *err)
{
    static const char *const closed[] = {"set_config",
                                         "pg_read_file",
                                         "pg_read_binary_file",
                                         "lo_import",
                                         "lo_export",
                                         "pg_ls_dir",
                                         "dblink",
                                         NULL};
    (void)plugin;
    struct str rest = sql, token = sql_token(&rest), before = token;
    if (!first_word(token, err))
        return false;
    for (; token.n > 0; before = token, token = sql_token(&rest)) {
        if (is_host_name(token))
            return err_set(err, ERR_SQL, "table %.*s belongs to the host",
                           token.n < 80 ? (int)token.n : 80, token.p);
        if (is_one_of(token, closed))
            return err_set(err, ERR_SQL, "this function is not available to plugins");
        if (sql_is_word(before, "u") && str_eq_c(token, "&"))
            return err_set(err, ERR_SQL, "U& names and strings are not available to plugins");
    }
    return true;
}
