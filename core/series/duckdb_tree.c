/* duckdb_tree.c -- what a SELECT would look at, in DuckDB's own tree of it.
 *
 * DuckDB has no rights on tables, and a name may be a file or a function that reads one.  So a
 * question is parsed by DuckDB itself, and every table and every call in it has to be among
 * those that are allowed; what this file does not know is refused. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "series/duckdb_driver.h"
#include "storage/sql_guard.h"

enum { DEPTH = 120 };

struct tree {
    const struct series_call *call;
    struct buf names; /* of its common table expressions, each with a NUL */
    struct err *err;
};

static bool is_text(struct str object, const char *key, const char *value)
{
    struct buf text = {0};
    bool same =
        json_pick_text(json_pick_get(object, key), &text) && str_eq_c(buf_str(&text), value);
    buf_free(&text);
    return same;
}

/* False when the member is a text, and not an empty one. */
static bool is_empty(struct str object, const char *key)
{
    struct buf text = {0};
    bool empty = !json_pick_text(json_pick_get(object, key), &text) || text.n == 0;
    buf_free(&text);
    return empty;
}

static bool refuse(struct tree *t, struct str object, const char *format, const char *name)
{
    double at = 0;
    err_set(t->err, ERR_FORBIDDEN, format, name);
    if (json_pick_number(json_pick_get(object, "query_location"), &at) && at < 1e9)
        return sql_at(t->call->sql, (size_t)at, t->err);
    return false;
}

static bool is_cte(const struct tree *t, const char *name)
{
    for (size_t at = 0; at < t->names.n; at += strlen(t->names.p + at) + 1)
        if (strcasecmp(t->names.p + at, name) == 0)
            return true;
    return false;
}

static bool is_series(const struct tree *t, const char *name)
{
    for (int i = 0; i < t->call->table_count; i++)
        if (strcasecmp(t->call->tables[i]->name, name) == 0)
            return true;
    return false;
}

static bool check_table(struct tree *t, struct str object)
{
    struct buf name = {0};
    json_pick_text(json_pick_get(object, "table_name"), &name);
    buf_add_char(&name, '\0');
    bool plain = is_empty(object, "schema_name") && is_empty(object, "catalog_name");
    bool ok = plain && (is_series(t, name.p) || is_cte(t, name.p));
    if (!ok)
        refuse(t, object, "there is no series \"%.80s\" of this plugin", name.p);
    buf_free(&name);
    return ok;
}

static bool check_function(struct tree *t, struct str object)
{
    struct buf name = {0};
    json_pick_text(json_pick_get(object, "function_name"), &name);
    buf_add_char(&name, '\0');
    char first = (char)(name.p[0] | 32);
    bool sign = !(first >= 'a' && first <= 'z') && first != '_' + 0;
    bool home = (is_empty(object, "schema") || is_text(object, "schema", "main")) &&
                is_empty(object, "catalog");
    bool ok = home && (sign || sql_is_plain_function(str_c(name.p)));
    if (!ok)
        refuse(t, object, "\"%.80s\" is not among the functions that a question may call", name.p);
    buf_free(&name);
    return ok;
}

/* Behind FROM stands what gives rows, and there a word may be another thing than in front of it:
 * DuckDB's histogram(…) is then a macro that looks into any table, or file, that its text names. */
static bool check_table_function(struct tree *t, struct str object)
{
    static const char *const fine[] = {"generate_series", "json_each", "range", "unnest"};
    struct str function = json_pick_get(object, "function");
    struct buf name = {0};
    bool ok = false;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        ok = ok || is_text(function, "function_name", fine[i]);
    json_pick_text(json_pick_get(function, "function_name"), &name);
    buf_add_char(&name, '\0');
    if (!ok)
        refuse(t, object, "\"%.80s\" is not among the functions that give rows", name.p);
    buf_free(&name);
    return ok;
}

static bool check_object(struct tree *t, struct str object)
{
    static const char *const no[] = {"SHOW_REF", "COLUMN_DATA", "PIVOT", "DELIM_GET",
                                     "BOUND_TABLE_REF"};
    if (is_text(object, "type", "BASE_TABLE"))
        return check_table(t, object);
    if (is_text(object, "type", "TABLE_FUNCTION"))
        return check_table_function(t, object);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (is_text(object, "type", no[i]))
            return refuse(t, object, "%s is not for questions", no[i]);
    return !json_pick_get(object, "function_name").n || check_function(t, object);
}

static bool walk(struct tree *t, struct str value);

static bool walk_object(struct tree *t, struct str value)
{
    struct json_pick p;
    struct str key, member;
    json_pick_open(&p, value, '{');
    while (json_pick_pair(&p, &key, &member))
        if (!walk(t, member))
            return false;
    return check_object(t, value);
}

/* As deep as the reader let it be. */
static bool walk(struct tree *t, struct str value)
{
    struct json_pick p;
    struct str item;
    if (value.n && value.p[0] == '{')
        return walk_object(t, value);
    if (!json_pick_open(&p, value, '['))
        return true;
    while (json_pick_item(&p, &item))
        if (!walk(t, item))
            return false;
    return true;
}

/* What a name that is found nowhere else could be is a file: its dot, its path, its pattern. */
static bool is_plain(const char *name)
{
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != ' ' && !(*name & 0x80))
            return false;
    return true;
}

/* Wherever it stands, a name counts for the whole question; so none may be what would be found
 * without it: a table (they have "__"), a view of the catalogue, or a file. */
static bool take_cte(struct tree *t, struct str entry)
{
    size_t from = t->names.n;
    if (!json_pick_text(json_pick_get(entry, "key"), &t->names))
        return true;
    buf_add_char(&t->names, '\0');
    const char *name = t->names.p + from;
    if (strstr(name, "__") || sql_is_reserved(str_c(name)) || !is_plain(name))
        return err_set(t->err, ERR_FORBIDDEN, "\"%.80s\" is no name for a part of a question",
                       name);
    return true;
}

static bool take_ctes(struct tree *t, struct str value)
{
    struct json_pick p;
    struct str key, member;
    bool object = value.n && value.p[0] == '{';
    if (!json_pick_open(&p, value, object ? '{' : '['))
        return true;
    while (object ? json_pick_pair(&p, &key, &member) : json_pick_item(&p, &member)) {
        if (!take_ctes(t, member))
            return false;
        if (!object || !str_eq_c(key, "cte_map"))
            continue;
        struct json_pick entries;
        struct str entry;
        json_pick_open(&entries, json_pick_get(member, "map"), '[');
        while (json_pick_item(&entries, &entry))
            if (!take_cte(t, entry))
                return false;
    }
    return true;
}

/* Says what DuckDB says of SQL that it cannot parse, and where. */
static bool parse_failed(struct tree *t, struct str tree)
{
    struct buf text = {0};
    json_pick_text(json_pick_get(tree, "error_message"), &text);
    err_set(t->err, ERR_SQL, "%s", text.p ? text.p : "DuckDB cannot read it");
    buf_clear(&text);
    if (json_pick_text(json_pick_get(tree, "position"), &text))
        sql_at(t->call->sql, strtoul(text.p, NULL, 10), t->err);
    buf_free(&text);
    return false;
}

bool duck_check_tree(struct str tree, const struct series_call *call, struct err *err)
{
    static const struct json_events nothing = {0};
    struct tree t = {.call = call, .err = err};
    if (!json_read(tree, DEPTH, &nothing, NULL, err))
        return err_set(err, ERR_LIMIT, "the question is nested too deeply");
    if (str_eq_c(json_pick_get(tree, "error"), "true"))
        return parse_failed(&t, tree);
    struct str statements = json_pick_get(tree, "statements");
    bool ok = json_pick_count(statements) == 1
                  ? take_ctes(&t, statements) && walk(&t, statements)
                  : err_set(err, ERR_READONLY, "one question at a time");
    buf_free(&t.names);
    return ok;
}
