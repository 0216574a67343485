/* pg_fold.c -- rows of STORE_MANY as one statement: `insert … values (…), (…), …`.
 *
 * An INSERT whose row is made of values alone, and that at most lets conflicts be, does the same to
 * several rows at once.  What fails is run again row by row, which says where.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "storage/pg_private.h"
#include "storage/sql.h"

static const int sizes[PGSQL_FOLDS] = {32, 16, 8, 4, 2};

static bool is_number(struct str token)
{
    for (size_t i = 0; i < token.n; i++)
        if (token.p[i] < '0' || token.p[i] > '9')
            return false;
    return token.n > 0;
}

/* Adds one token of a row, with its $n moved on; false: what it does may depend on other rows. */
static bool add_token(struct str token, struct str *rest, int before, struct buf *out)
{
    static const char *const words[] = {"null", "true", "false", "default"};
    if (token.p[0] == '$') {
        struct str number = sql_token(rest);
        if (!is_number(number) || number.n > 4)
            return false;
        buf_printf(out, "$%d", atoi(number.p) + before);
        return true;
    }
    bool fine = token.p[0] == ',' || token.p[0] == '-' || token.p[0] == '\'' || is_number(token);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        fine = fine || sql_is_word(token, words[i]);
    if (fine) {
        buf_add_char(out, ' ');
        buf_add_str(out, token);
    }
    return fine;
}

/* A row from behind its '(' on; *rest is behind its ')' then. */
static bool add_row(struct str *rest, int before, struct buf *out)
{
    buf_add_c(out, before ? ", (" : " (");
    struct str token = sql_token(rest);
    for (; token.n && token.p[0] != ')'; token = sql_token(rest))
        if (!add_token(token, rest, before, out))
            return false;
    buf_add_char(out, ')');
    return token.n > 0;
}

/* Nothing, or `on conflict … do nothing`. */
static bool is_end(struct str rest)
{
    struct str token = sql_token(&rest), before = {0}, last = {0};
    if (token.n && !sql_is_word(token, "on"))
        return false;
    for (; token.n; token = sql_token(&rest)) {
        if (sql_is_word(token, "returning"))
            return false;
        before = last;
        last = token;
    }
    return !last.n || (sql_is_word(before, "do") && sql_is_word(last, "nothing"));
}

/* The rest of an INSERT behind its VALUES; empty if it is none. */
static struct str behind_values(struct str sql)
{
    struct str rest = sql, token = sql_token(&rest);
    if (!sql_is_word(token, "insert"))
        return (struct str){0};
    while ((token = sql_token(&rest)).n) {
        if (sql_is_word(token, "values"))
            return rest;
        if (sql_is_word(token, "select") || sql_is_word(token, "with") || token.p[0] == '[')
            break;
    }
    return (struct str){0};
}

static bool fold(const struct pgsql_statement *stmt, int rows, struct buf *out)
{
    struct str rows_from = behind_values(stmt->sql), rest = rows_from;
    buf_add(out, stmt->sql.p, rows_from.n ? (size_t)(rows_from.p - stmt->sql.p) : 0);
    for (int row = 0; row < rows; row++) {
        rest = rows_from;
        struct str open = sql_token(&rest);
        if (open.n != 1 || open.p[0] != '(' || !add_row(&rest, row * stmt->param_count, out))
            return false;
    }
    if (!is_end(rest))
        return false;
    buf_add_char(out, ' ');
    buf_add_str(out, rest);
    return true;
}

/* Texts for all sizes, or none. */
static void make_texts(struct pgsql_statement *stmt)
{
    stmt->folding = PGSQL_FOLDS_NOT;
    for (int i = 0; i < PGSQL_FOLDS; i++) {
        struct buf text = {0};
        if (sizes[i] * stmt->param_count <= PGSQL_PARAMS && stmt->param_count &&
            fold(stmt, sizes[i], &text)) {
            stmt->folded[i] = str_n(str_dup(buf_str(&text)), text.n);
            stmt->folding = PGSQL_FOLDS_WELL;
        }
        buf_free(&text);
    }
}

/* It takes what its statement takes, several times. */
static void learn(struct pgsql_lane *pool, struct pgsql_statement *folded,
                  const struct pgsql_statement *stmt, int rows)
{
    uint64_t of = (uint64_t)stmt->slot << 32 | stmt->version;
    if (folded->of == of)
        return;
    if (folded->of)
        pgstatement_renew(pool, folded);
    folded->of = of;
    folded->state = STMT_KNOWN;
    folded->param_count = rows * stmt->param_count;
    mem_free(folded->params);
    folded->params = mem_zero((size_t)folded->param_count, sizeof *folded->params);
    for (int i = 0; i < folded->param_count; i++)
        folded->params[i] = stmt->params[i % stmt->param_count];
}

struct pgsql_statement *pg_fold(struct pgsql_work *work, int64_t left, int *rows)
{
    struct pgsql_statement *stmt = work->stmt, *folded = NULL;
    struct err ignored = {0};
    *rows = 1;
    if (work->row_by_row || left < 2)
        return stmt;
    if (stmt->folding == PGSQL_FOLDS_UNKNOWN)
        make_texts(stmt);
    for (int i = 0; i < PGSQL_FOLDS && !folded; i++) {
        if (sizes[i] > left || !stmt->folded[i].n)
            continue;
        struct store_call call = {.sql = stmt->folded[i], .host = work->call->host};
        folded = pgstatement_get(work->pool, &call, &ignored);
        if (!folded)
            break;
        /* Nobody forgets it before it is sent. */
        pgstatement_unref(folded);
        if (folded->state != STMT_KNOWN && !folded->of && folded->refs)
            return stmt; /* a plugin runs this very text, and nobody knows it yet */
        *rows = sizes[i];
        learn(work->pool, folded, stmt, *rows);
        work->folded = true;
    }
    return folded ? folded : stmt;
}

void pg_fold_lost(struct pgsql_work *work)
{
    for (int i = 0; i < PGSQL_FOLDS; i++) {
        const struct pgsql_statement *folded =
            work->stmt->folded[i].n ? map_get(work->pool->statements, work->stmt->folded[i]) : NULL;
        if (folded)
            work->conn->prepared[folded->slot] = 0;
    }
}
