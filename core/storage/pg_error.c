/* pg_error.c -- the server's refusals in the words of store.h. */
#include "storage/pg_private.h"

static const struct {
    const char *state; /* beginning of the SQLSTATE; the longest that fits counts */
    enum err_code code;
} codes[] = {
    {"08", ERR_IO},            /* connection */
    {"22001", ERR_CONSTRAINT}, /* longer than the column is declared */
    {"23", ERR_CONSTRAINT},
    {"23505", ERR_UNIQUE},
    {"25006", ERR_READONLY},
    {"25P03", ERR_TIMEOUT}, /* idle in a transaction */
    {"40", ERR_BUSY},       /* serialization, deadlock */
    {"53", ERR_FULL},
    {"53300", ERR_BUSY}, /* too many connections */
    {"54", ERR_LIMIT},
    {"55P03", ERR_BUSY}, /* lock not available */
    {"57014", ERR_TIMEOUT},
    {"57P", ERR_IO},           /* shutting down, starting up */
    {"58", ERR_IO},            /* its disk */
    {"P0001", ERR_CONSTRAINT}, /* raise exception in a trigger */
    {"XX001", ERR_CORRUPT},
    {"XX002", ERR_CORRUPT},
};

const char *pg_result_state(const PGresult *r)
{
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    return state ? state : "";
}

static enum err_code code_of(const char *state)
{
    enum err_code code = *state ? ERR_SQL : ERR_IO;
    size_t best = 0;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        size_t n = strlen(codes[i].state);
        if (n > best && strncmp(state, codes[i].state, n) == 0) {
            best = n;
            code = codes[i].code;
        }
    }
    return code;
}

const char *pgsql_hint(const char *state)
{
    bool elsewhere = state && (strcmp(state, "42P05") == 0 || strcmp(state, "26000") == 0);
    return elsewhere ? " (through a pooler? pgbouncer needs pool_mode = session)" : "";
}

bool pg_error_of(const char *state, const char *message, const char *detail, const char *position,
                 struct err *err)
{
    struct str line = str_trim(str_c(message));
    line.n = str_find(line, '\n');
    struct buf more = {0};
    if (position)
        buf_printf(&more, " at character %s", position);
    if (detail)
        buf_printf(&more, ": %.*s", (int)str_find(str_c(detail), '\n'), detail);
    err_set(err, code_of(state), "%s%.*s%s%s", *state ? "" : "PostgreSQL: ", (int)line.n, line.p,
            more.p ? more.p : "", pgsql_hint(state));
    buf_free(&more);
    return false;
}

bool pgsql_error(PGconn *c, const PGresult *r, struct err *err)
{
    const char *primary = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!primary)
        primary = c ? PQerrorMessage(c) : r ? PQresultErrorMessage(r) : "";
    if (!*primary)
        primary = "the connection was lost";
    return pg_error_of(pg_result_state(r), primary,
                       r ? PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL) : NULL,
                       r ? PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION) : NULL, err);
}
