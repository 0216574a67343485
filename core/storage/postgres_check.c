/* postgres_check.c -- which statements a plugin may run: what store.h's SQLite lets it, in the
 * words of PostgreSQL.  The rights of its role hold beside this. */
#include <ctype.h>

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

/* -- words as PostgreSQL reads them: what would be a string or a comment to us only hides -- */

struct reader {
    struct str sql;
    size_t at;
};

static char peek(const struct reader *r, size_t ahead)
{
    return r->at + ahead < r->sql.n ? r->sql.p[r->at + ahead] : '\0';
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80);
}

/* Past white space and comments, which nest. */
static void skip(struct reader *r)
{
    for (int depth = 0; r->at < r->sql.n; r->at++) {
        bool opens = peek(r, 0) == '/' && peek(r, 1) == '*';
        bool closes = depth && peek(r, 0) == '*' && peek(r, 1) == '/';
        if (opens || closes) {
            depth += opens ? 1 : -1;
            r->at++;
        } else if (!depth && peek(r, 0) == '-' && peek(r, 1) == '-') {
            while (r->at < r->sql.n && peek(r, 0) != '\n' && peek(r, 0) != '\r')
                r->at++;
        } else if (!depth && !isspace((unsigned char)peek(r, 0))) {
            return;
        }
    }
}

/* To behind the closing quote; a doubled one stands for itself, one behind \ only with escapes. */
static void skip_quoted(struct reader *r, bool escapes)
{
    char quote = peek(r, 0);
    for (r->at++; r->at < r->sql.n; r->at++) {
        if (escapes && peek(r, 0) == '\\')
            r->at++;
        else if (peek(r, 0) == quote && peek(r, 1) == quote)
            r->at++;
        else if (peek(r, 0) == quote)
            break;
    }
    r->at += r->at < r->sql.n;
}

/* $$…$$ and $tag$…$tag$; false: it is none. */
static bool skip_dollars(struct reader *r)
{
    size_t n = 1;
    while (is_word(peek(r, n)) && peek(r, n) != '$')
        n++;
    if (isdigit((unsigned char)peek(r, 1)) || peek(r, n) != '$')
        return false;
    struct str tag = str_n(r->sql.p + r->at, n + 1);
    r->at += tag.n;
    while (r->at < r->sql.n && !str_starts(str_n(r->sql.p + r->at, r->sql.n - r->at), tag))
        r->at++;
    r->at = r->at + tag.n < r->sql.n ? r->at + tag.n : r->sql.n;
    return true;
}

/* Empty at the end; a name without its quotes; of a string, its first quote. */
static struct str next(struct reader *r)
{
    skip(r);
    size_t from = r->at;
    char c = peek(r, 0);
    if (from >= r->sql.n)
        return str_n(r->sql.p + from, 0);
    if (c == '$' && skip_dollars(r))
        return STR("'");
    if (c == '"' || c == '\'') {
        skip_quoted(r, false);
        return c == '"' && r->at - from > 2 ? str_n(r->sql.p + from + 1, r->at - from - 2)
                                            : STR("'");
    }
    r->at++;
    if (isdigit((unsigned char)c))
        while (isdigit((unsigned char)peek(r, 0)))
            r->at++;
    else if (is_word(c) && c != '$')
        while (is_word(peek(r, 0)))
            r->at++;
    if ((c | 32) == 'e' && r->at == from + 1 && peek(r, 0) == '\'')
        skip_quoted(r, true);
    return str_n(r->sql.p + from, r->at - from);
}

static bool begins(struct str token, const char *word)
{
    size_t n = strlen(word);
    return token.n >= n && strncasecmp(token.p, word, n) == 0;
}

/* Files, settings, other sessions, texts that are run as SQL; and what is the whole database's, so
 * the host's and other plugins' too: advisory locks, notifications. */
static bool is_closed(struct str token)
{
    static const char *const prefixes[] = {
        "set_config",    "pg_settings",   "pg_read_",   "pg_ls_",       "pg_stat_file",
        "lo_import",     "lo_export",     "dblink",     "pg_notify",    "pg_advisory_",
        "pg_try_adviso", "query_to_xml",  "table_to_x", "cursor_to_xm", "schema_to_xml",
        "database_to_x", "pg_terminate_", "pg_cancel_", "ts_stat",      "crosstab"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (begins(token, prefixes[i]))
            return true;
    return false;
}

bool postgres_ends_transaction(struct str sql)
{
    struct reader r = {.sql = sql};
    bool first = true, atomic = false;
    for (struct str token = next(&r); token.n > 0; token = next(&r)) {
        if (first && !atomic && sql_is_word(token, "end"))
            return true;
        atomic = atomic || sql_is_word(token, "atomic"); /* a function's body of statements */
        first = str_eq_c(token, ";");
    }
    return false;
}

bool postgres_check(void *plugin, struct str sql, struct err *err)
{
    (void)plugin;
    struct reader r = {.sql = sql};
    struct str token = next(&r);
    if (!first_word(token, err))
        return false;
    for (; token.n > 0; token = next(&r)) {
        if (begins(token, "maru_"))
            return err_set(err, ERR_SQL, "table %.*s belongs to the host",
                           token.n < 80 ? (int)token.n : 80, token.p);
        if (is_closed(token))
            return err_set(err, ERR_SQL, "\"%.*s\" is not available to plugins",
                           token.n < 40 ? (int)token.n : 40, token.p);
        if (sql_is_word(token, "u") && peek(&r, 0) == '&' &&
            (peek(&r, 1) == '"' || peek(&r, 1) == '\''))
            return err_set(err, ERR_SQL, "U& names and strings are not available to plugins");
    }
    return true;
}
