/* value.c -- fields' values, from JSON and back. */
#include <math.h>

#include "base/json_pick.h"
#include "search/private.h"
#include "search/text.h"

static const double time_most_s = 2.5e11;

struct str value_text(struct arena *arena, struct str json)
{
    struct buf text = {0}, composed = {0};
    if (!json_pick_text(json, &text))
        return STR("");
    text_compose(&composed, buf_str(&text));
    struct str out = {arena_dup(arena, composed.p ? composed.p : "", composed.n + 1), composed.n};
    buf_free(&text);
    buf_free(&composed);
    return out;
}

static bool wrong_type(const struct search_field *field, const char *expected, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s must be %s", field->name, expected);
}

static bool read_text(struct arena *arena, const struct search_field *field, struct str json,
                      struct search_value *out, struct err *err)
{
    size_t most = field->type == SEARCH_TEXT ? SEARCH_TEXT_BYTES : SEARCH_KEYWORD_BYTES;
    if (json.n == 0 || json.p[0] != '"')
        return wrong_type(field, "text", err);
    *out = (struct search_value){.kind = SEARCH_STRING, .text = value_text(arena, json)};
    if (out->text.n > most)
        return err_set(err, ERR_LIMIT, "%s has %zu bytes, at most %zu", field->name, out->text.n,
                       most);
    if (memchr(out->text.p, '\0', out->text.n))
        return err_set(err, ERR_INVALID, "%s has a zero byte in it", field->name);
    return true;
}

static bool read_number(const struct search_field *field, struct str json, struct search_value *out,
                        struct err *err)
{
    double number;
    if (!json_pick_number(json, &number))
        return wrong_type(field, field->type == SEARCH_TIME ? "seconds since 1970" : "a number",
                          err);
    if (field->type == SEARCH_TIME) {
        if (!(fabs(number) <= time_most_s))
            return wrong_type(field, "seconds since 1970", err);
        number = round(number * 1000);
    }
    *out = (struct search_value){.kind = SEARCH_DOUBLE, .number = number};
    return true;
}

bool value_read(struct arena *arena, const struct search_field *field, struct str json,
                struct search_value *out, struct err *err)
{
    *out = (struct search_value){.kind = SEARCH_ABSENT};
    if (json.n == 0 || str_eq_c(json, "null"))
        return true;
    switch (field->type) {
    case SEARCH_TEXT:
    case SEARCH_KEYWORD:
        return read_text(arena, field, json, out, err);
    case SEARCH_NUMBER:
    case SEARCH_TIME:
        return read_number(field, json, out, err);
    case SEARCH_BOOLEAN:
        break;
    }
    bool yes = str_eq_c(json, "true");
    if (!yes && !str_eq_c(json, "false"))
        return wrong_type(field, "true or false", err);
    *out = (struct search_value){.kind = SEARCH_BOOL, .yes = yes};
    return true;
}

void value_write(struct json *w, const struct search_field *field, const struct search_value *value)
{
    switch (value->kind) {
    case SEARCH_ABSENT:
        json_null(w);
        break;
    case SEARCH_STRING:
        json_str(w, value->text);
        break;
    case SEARCH_DOUBLE:
        json_num(w, field && field->type == SEARCH_TIME ? value->number / 1000 : value->number);
        break;
    case SEARCH_BOOL:
        json_bool(w, value->yes);
        break;
    }
}
