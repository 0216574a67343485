/* elastic_outcome.c -- what became of one document of a _bulk. */
#include "base/json_pick.h"
#include "search/elastic.h"

struct outcome outcome_of(struct str item)
{
    struct json_pick p;
    struct str key, value;
    struct outcome o = {0};
    double status = 0;
    if (!json_pick_open(&p, item, '{') || !json_pick_pair(&p, &key, &value))
        return o;
    json_pick_number(json_pick_get(value, "status"), &status);
    o.status = (int)status;
    o.deleted = str_eq_c(key, "delete");
    o.error = json_pick_get(value, "error");
    return o;
}

static bool is_type(const struct outcome *o, const char *type)
{
    struct buf text = {0};
    bool is =
        json_pick_text(json_pick_get(o->error, "type"), &text) && str_eq_c(buf_str(&text), type);
    buf_free(&text);
    return is;
}

/* 409: a newer one is there, or it is a line of the log that came before. */
bool outcome_is_taken(const struct outcome *o)
{
    return (o->status >= 200 && o->status < 300) || o->status == 409 ||
           (o->deleted && o->status == 404 && !is_type(o, "index_not_found_exception"));
}

bool outcome_is_lost(const struct outcome *o)
{
    return o->status == 404 && is_type(o, "index_not_found_exception");
}

bool outcome_is_for_later(const struct outcome *o)
{
    return o->status == 429 || o->status >= 500 || o->status == 0;
}

void outcome_describe(const struct outcome *o, struct str op, struct err *err)
{
    struct buf type = {0}, reason = {0}, id = {0};
    struct str line = str_n(op.p, str_find(op, '\n'));
    static const char *const actions[] = {"index", "create", "delete"};
    for (int i = 0; i < 3 && id.n == 0; i++)
        json_pick_text(json_pick_get(json_pick_get(line, actions[i]), "_id"), &id);
    json_pick_text(json_pick_get(o->error, "type"), &type);
    json_pick_text(json_pick_get(o->error, "reason"), &reason);
    err_set(err, ERR_INVALID, "document \"%.80s\": %s: %s", id.n ? id.p : "",
            type.n ? type.p : "refused", reason.n ? reason.p : "");
    buf_free(&type);
    buf_free(&reason);
    buf_free(&id);
}
