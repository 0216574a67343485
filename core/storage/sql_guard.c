#include "storage/sql_guard.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* Each between blanks.  Left out on purpose: what makes much of little (repeat, lpad), waits, or
 * reads settings.
 */
static const char functions[] =
    " abs acos age any_value approx_count_distinct approx_quantile arg_max arg_min "
    "array_agg array_length ascii asin atan atan2 avg bit_and bit_or bool_and bool_or "
    "btrim cbrt ceil ceiling char_length character_length chr clock_timestamp coalesce "
    "contains corr cos count count_star covar_pop covar_samp cume_dist date date_add "
    "date_bin date_diff date_part date_sub date_trunc datediff datepart datetime "
    "datetrunc day dayname dayofmonth dayofweek dayofyear degrees dense_rank div "
    "ends_with epoch epoch_ms epoch_us every exp extract first first_value floor "
    "from_unixtime generate_series get_bit greatest group_concat grouping histogram hour "
    "ifnull iif initcap instr isodow isoyear json_array_length json_each json_extract "
    "json_extract_string json_type julianday justify_days justify_hours kurtosis lag "
    "last last_day last_value lcase lead least left len length list list_value ln log "
    "log10 log2 lower ltrim mad make_date make_interval make_timestamp max max_by md5 "
    "mean median microsecond millisecond min min_by minute mod mode month monthname now "
    "nth_value ntile nullif octet_length parse_ident percent_rank percentile_cont "
    "percentile_disc pi position pow power quantile quantile_cont quantile_disc quarter "
    "radians random range rank regexp_extract regexp_matches regr_avgx regr_avgy "
    "regr_count regr_intercept regr_r2 regr_slope reverse right round row row_number "
    "rtrim second sign sin skewness split_part sqrt starts_with stddev stddev_pop "
    "stddev_samp stem strftime string_agg strlen strpos strptime substr substring sum "
    "tan time time_bucket to_char to_date to_days to_hours to_milliseconds to_minutes "
    "to_months to_number to_seconds to_timestamp to_weeks to_years total translate trim "
    "trunc try_strptime typeof ucase unicode unixepoch unnest upper var_pop var_samp "
    "variance week weekday weekofyear width_bucket year yearweek ";

/* Words that an opening bracket may follow without a call. */
static const char words[] =
    " all and any array as between bigint by case cast char character cube decimal "
    "distinct else except exists filter first float from having ilike in integer "
    "intersect interval is join lateral like limit materialized not numeric offset on or "
    "order over partition rollup select sets similar some then timestamp union using "
    "values varchar when where with within ";

static bool is_in(struct str name, const char *list)
{
    char word[40];
    if (!name.n || name.n + 3 > sizeof word)
        return false;
    word[0] = ' ';
    for (size_t i = 0; i < name.n; i++)
        word[i + 1] = (char)tolower((unsigned char)name.p[i]);
    memcpy(word + name.n + 1, " ", 2);
    return !memchr(name.p, ' ', name.n) && strstr(list, word);
}

bool sql_is_plain_function(struct str name)
{
    return is_in(name, functions);
}

static bool begins(struct str name, const char *prefix)
{
    size_t n = strlen(prefix);
    return name.n >= n && strncasecmp(name.p, prefix, n) == 0;
}

bool sql_is_reserved(struct str name)
{
    static const char *const prefixes[] = {
        "pg_",       "duckdb_",       "sqlite_",     "pragma_", "maru_",   "information_schema",
        "regclass",  "regproc",       "regoper",     "regrole", "regtype", "regnamespace",
        "regconfig", "regdictionary", "regcollation"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (begins(name, prefixes[i]))
            return true;
    return false;
}

bool sql_at(struct str sql, size_t at, struct err *err)
{
    int line = 1, column = 1;
    for (size_t i = 0; i < at && i < sql.n; i++) {
        if (sql.p[i] == '\n') {
            line++;
            column = 1;
        } else if ((sql.p[i] & 0xc0) != 0x80)
            column++;
    }
    return err_wrap(err, "line %d column %d", line, column);
}

/* Texts joined to themselves double each time, which no memory limit of a database sees. */
enum { JOINS_MOST = 12 };

struct reader {
    struct str sql;
    size_t at;
    struct err *err;
};

enum kind { END, WORD, NAME, STRING, NUMBER, OTHER };
struct token {
    enum kind kind;
    struct str text; /* of a NAME without its quotes */
    size_t at;
};

static bool refuse(struct reader *r, size_t at, enum err_code code, const char *what)
{
    err_set(r->err, code, "%s", what);
    return sql_at(r->sql, at, r->err);
}

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

static char peek(const struct reader *r, size_t ahead)
{
    return r->at + ahead < r->sql.n ? r->sql.p[r->at + ahead] : '\0';
}

/* Past white space and comments. */
static bool skip(struct reader *r)
{
    while (r->at < r->sql.n) {
        if (isspace((unsigned char)peek(r, 0))) {
            r->at++;
        } else if (peek(r, 0) == '-' && peek(r, 1) == '-') {
            while (r->at < r->sql.n && peek(r, 0) != '\n' && peek(r, 0) != '\r')
                r->at++;
        } else if (peek(r, 0) == '/' && peek(r, 1) == '*') {
            size_t from = r->at;
            for (r->at += 2; r->at < r->sql.n && !(peek(r, 0) == '*' && peek(r, 1) == '/'); r->at++)
                if (peek(r, 0) == '/' && peek(r, 1) == '*')
                    return refuse(r, r->at, ERR_SQL, "a comment inside a comment");
            if (r->at >= r->sql.n)
                return refuse(r, from, ERR_SQL, "a comment without an end");
            r->at += 2;
        } else
            break;
    }
    return true;
}

/* To behind the closing quote; a doubled one stands for itself. */
static bool read_quoted(struct reader *r, struct token *t, char quote)
{
    for (r->at++; r->at < r->sql.n; r->at++) {
        if (peek(r, 0) != quote)
            continue;
        if (peek(r, 1) != quote) {
            t->text = str_n(r->sql.p + t->at + 1, r->at - t->at - 1);
            r->at++;
            return true;
        }
        r->at++;
    }
    return refuse(r, t->at, ERR_SQL, "a quote without an end");
}

static bool read_word(struct reader *r, struct token *t)
{
    while (is_word_char(peek(r, 0)))
        r->at++;
    t->text = str_n(r->sql.p + t->at, r->at - t->at);
    t->kind = isdigit((unsigned char)t->text.p[0]) ? NUMBER : WORD;
    bool escape = str_eq_c(t->text, "E") || str_eq_c(t->text, "e") || peek(r, 0) == '$';
    if (peek(r, 0) == '&' && t->text.n == 1 && (t->text.p[0] | 32) == 'u')
        escape = true;
    if (escape && (peek(r, 0) == '\'' || peek(r, 0) == '&' || peek(r, 0) == '$'))
        return refuse(r, t->at, ERR_SQL, "strings with escapes are not taken; write '…'");
    return true;
}

static bool next(struct reader *r, struct token *t)
{
    if (!skip(r))
        return false;
    *t = (struct token){.at = r->at, .text = {r->sql.p + r->at, 0}};
    char c = peek(r, 0);
    if (r->at >= r->sql.n)
        return true;
    if (c == '\0' || c == '`' || c == '\\' || c == '?')
        return refuse(r, r->at, ERR_SQL, "a character that SQL does not have here");
    if (c == '$' && !isdigit((unsigned char)peek(r, 1)))
        return refuse(r, r->at, ERR_SQL, "dollar quotes are not taken; write '…'");
    if (c == '\'' || c == '"') {
        t->kind = c == '"' ? NAME : STRING;
        return read_quoted(r, t, c);
    }
    if (is_word_char(c))
        return read_word(r, t);
    t->kind = OTHER;
    t->text.n = 1;
    r->at++;
    return true;
}

static bool is(const struct token *t, char c)
{
    return t->kind == OTHER && t->text.p[0] == c;
}

static bool is_schema(struct str name, struct str schemas)
{
    while (schemas.n) {
        struct str each = str_split(&schemas, ',');
        if (each.n == name.n && strncasecmp(each.p, name.p, name.n) == 0)
            return true;
    }
    return false;
}

static bool check_name(struct reader *r, const struct token *before, const struct token *t,
                       const struct token *after, struct str schemas)
{
    char what[160];
    int n = t->text.n < 60 ? (int)t->text.n : 60;
    const char *why = NULL;
    if (sql_is_reserved(t->text))
        why = "is not for questions";
    else if (is(after, '.') && is_schema(t->text, schemas))
        why = "is a schema: tables are named without one";
    else if (is(after, '(') && (t->kind == NAME || !is_in(t->text, words)) &&
             (is(before, '.') || !sql_is_plain_function(t->text)))
        why = "is not among the functions that a question may call";
    else if (t->kind == WORD && is_in(t->text, " into "))
        why = "writes";
    else if (t->kind == WORD && is_in(t->text, " for ") &&
             is_in(after->text, " update share no key "))
        why = "locks rows";
    if (!why)
        return true;
    snprintf(what, sizeof what, "\"%.*s\" %s", n, t->text.p, why);
    return refuse(r, t->at, ERR_FORBIDDEN, what);
}

static bool begins_question(const struct token *t)
{
    return is(t, '(') || (t->kind == WORD && is_in(t->text, " select values with "));
}

bool sql_question(struct str *sql, struct str schemas, struct err *err)
{
    struct reader r = {.sql = *sql, .err = err};
    struct token before = {0}, t, after;
    int depth = 0, joins = 0;
    if (sql->n > SQL_QUESTION_BYTES)
        return err_set(err, ERR_LIMIT, "a question has at most %d bytes", SQL_QUESTION_BYTES);
    if (!utf8_valid(*sql))
        return err_set(err, ERR_SQL, "a question is UTF-8");
    if (!next(&r, &t))
        return false;
    if (!begins_question(&t))
        return refuse(&r, t.at, ERR_READONLY,
                      "a question begins with SELECT or WITH: nothing can be changed here");
    for (; t.kind != END; before = t, t = after) {
        if (!next(&r, &after))
            return false;
        depth += is(&t, '(') - is(&t, ')');
        joins += is(&t, '|') && is(&after, '|');
        if (joins > JOINS_MOST)
            return refuse(&r, t.at, ERR_LIMIT, "a question has || at most twelve times");
        if (depth < 0)
            return refuse(&r, t.at, ERR_SQL, "\")\" without \"(\"");
        if (is(&t, ';') && after.kind != END)
            return refuse(&r, after.at, ERR_READONLY, "one question at a time");
        if (is(&t, ';'))
            sql->n = t.at;
        if ((t.kind == WORD || t.kind == NAME) && !check_name(&r, &before, &t, &after, schemas))
            return false;
    }
    return depth == 0 || refuse(&r, sql->n, ERR_SQL, "\"(\" without \")\"");
}
