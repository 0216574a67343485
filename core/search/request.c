/* request.c -- what is asked, from JSON to types; every field and bound is checked here. */
#include "base/json_pick.h"
#include "base/mem.h"
#include "search/private.h"

void request_free(struct search_request *request)
{
    if (!request)
        return;
    index_unref(request->index);
    arena_destroy(request->arena);
}

static bool unknown_field(const struct search_index *index, struct str name, struct err *err)
{
    return err_set(err, ERR_INVALID, "index \"%s\" has no field \"%.*s\"", index->name,
                   (int)(name.n < 60 ? name.n : 60), name.p);
}

/* ---- documents --------------------------------------------------------- */

static bool read_id(struct search_request *r, struct str json, struct str *out, struct err *err)
{
    *out = json.n > 0 && json.p[0] == '"' ? value_text(r->arena, json) : STR("");
    if (out->n == 0 || out->n > SEARCH_ID_BYTES)
        return err_set(err, ERR_INVALID, "a document's id is text of 1 to %d bytes",
                       SEARCH_ID_BYTES);
    if (memchr(out->p, '\0', out->n))
        return err_set(err, ERR_INVALID, "a document's id has a zero byte in it");
    return true;
}

static bool read_doc(struct search_request *r, struct str json, struct search_doc *doc,
                     struct err *err)
{
    const struct search_index *index = r->index;
    struct json_pick p;
    struct str key, value;
    if (!json_pick_open(&p, json, '{'))
        return err_set(err, ERR_INVALID, "a document must be a table");
    doc->values = arena_alloc(r->arena, (size_t)index->field_count * sizeof *doc->values + 1);
    for (int i = 0; i < index->field_count; i++)
        doc->values[i] = (struct search_value){.kind = SEARCH_ABSENT};
    if (!read_id(r, json_pick_get(json, "id"), &doc->id, err))
        return false;
    while (json_pick_pair(&p, &key, &value)) {
        int field = index_field(index, key);
        if (str_eq_c(key, "id"))
            continue;
        if (field < 0
                ? unknown_field(index, key, err)
                : value_read(r->arena, &index->fields[field], value, &doc->values[field], err))
            continue;
        return err_wrap(err, "document \"%.*s\"", (int)(doc->id.n < 80 ? doc->id.n : 80),
                        doc->id.p);
    }
    return true;
}

static bool read_docs(struct search_request *r, struct str json, struct err *err)
{
    struct str list = json_pick_get(json, "docs"), item;
    struct json_pick p;
    size_t count = json_pick_count(list);
    if (count > SEARCH_DOCS)
        return err_set(err, ERR_LIMIT, "%zu documents in one call, at most %d", count, SEARCH_DOCS);
    r->visible = str_eq_c(json_pick_get(json, "visible"), "true");
    r->docs = arena_alloc(r->arena, count * sizeof *r->docs + 1);
    if (!json_pick_open(&p, list, '['))
        return err_set(err, ERR_INVALID, "documents must be a list");
    while (json_pick_item(&p, &item))
        if (!read_doc(r, item, &r->docs[r->doc_count++], err))
            return false;
    return true;
}

/* ---- filters ----------------------------------------------------------- */

static const struct search_field id_field = {"id", SEARCH_KEYWORD, NULL};

static bool read_range(struct search_request *r, const struct search_field *field, struct str json,
                       struct search_condition *c, struct err *err)
{
    struct json_pick p;
    struct str key, value;
    c->range = true;
    if (field->type == SEARCH_BOOLEAN)
        return err_set(err, ERR_INVALID, "filter: %s is true or false", field->name);
    json_pick_open(&p, json, '{');
    while (json_pick_pair(&p, &key, &value)) {
        bool from = str_eq_c(key, "from");
        if (!from && !str_eq_c(key, "to"))
            return err_set(err, ERR_INVALID, "filter: %s: a range has from and to", field->name);
        if (!value_read(r->arena, field, value, from ? &c->from : &c->to, err))
            return err_wrap(err, "filter");
    }
    return true;
}

static bool read_wanted(struct search_request *r, const struct search_field *field, struct str json,
                        struct search_value *out, struct err *err)
{
    if (!value_read(r->arena, field, json, out, err))
        return err_wrap(err, "filter");
    return out->kind != SEARCH_ABSENT ||
           err_set(err, ERR_INVALID, "filter: %s needs a value, null is none", field->name);
}

static bool read_values(struct search_request *r, const struct search_field *field, struct str json,
                        struct search_condition *c, struct err *err)
{
    struct json_pick p;
    struct str item;
    size_t count = json_pick_count(json);
    if (count > SEARCH_VALUES)
        return err_set(err, ERR_LIMIT, "filter: %s: more than %d values", field->name,
                       SEARCH_VALUES);
    c->values = arena_alloc(r->arena, (count + 1) * sizeof *c->values);
    if (!json_pick_open(&p, json, '['))
        return read_wanted(r, field, json, &c->values[c->count++], err);
    while (json_pick_item(&p, &item))
        if (!read_wanted(r, field, item, &c->values[c->count++], err))
            return false;
    return true;
}

static bool read_condition(struct search_request *r, struct str key, struct str json,
                           struct search_condition *c, struct err *err)
{
    const struct search_field *field = &id_field;
    *c = (struct search_condition){.field = -1};
    if (!str_eq_c(key, "id")) {
        c->field = index_field(r->index, key);
        if (c->field < 0)
            return unknown_field(r->index, key, err) || err_wrap(err, "filter");
        field = &r->index->fields[c->field];
    }
    if (field->type == SEARCH_TEXT)
        return err_set(err, ERR_INVALID, "filter: %s is text, which a query searches", field->name);
    return json.p[0] == '{' ? read_range(r, field, json, c, err)
                            : read_values(r, field, json, c, err);
}

static bool read_filter(struct search_request *r, struct str json, struct err *err)
{
    struct json_pick p;
    struct str key, value;
    if (json.n == 0)
        return true;
    if (!json_pick_open(&p, json, '{'))
        return err_set(err, ERR_INVALID, "filter must be a table { field = value }");
    r->conditions =
        arena_alloc(r->arena, ((size_t)r->index->field_count + 2) * sizeof *r->conditions);
    while (json_pick_pair(&p, &key, &value)) {
        if (r->condition_count > r->index->field_count)
            return err_set(err, ERR_INVALID, "filter names a field twice");
        if (!read_condition(r, key, value, &r->conditions[r->condition_count++], err))
            return false;
    }
    return true;
}

/* ---- the rest of a find ------------------------------------------------ */

static bool read_sort(struct search_request *r, struct str json, struct err *err)
{
    struct json_pick p;
    struct str item;
    if (!json_pick_open(&p, json, '['))
        return true;
    while (json_pick_item(&p, &item)) {
        struct str name = value_text(r->arena, item);
        bool descending = name.n > 0 && name.p[0] == '-';
        struct str bare = str_n(name.p + descending, name.n - descending);
        struct search_sort sort = {.field = index_field(r->index, bare), .descending = descending};
        if (r->sort_count == SEARCH_SORTS)
            return err_set(err, ERR_LIMIT, "sort: more than %d fields", SEARCH_SORTS);
        if (str_eq_c(bare, "score"))
            sort = (struct search_sort){.field = -1, .descending = true};
        else if (sort.field < 0)
            return unknown_field(r->index, bare, err) || err_wrap(err, "sort");
        else if (r->index->fields[sort.field].type == SEARCH_TEXT)
            return err_set(err, ERR_INVALID, "sort: %s is text; a keyword can be sorted by",
                           r->index->fields[sort.field].name);
        r->sorts[r->sort_count++] = sort;
    }
    return true;
}

/* A list of fields' names of a type, as marks. */
static bool read_names(struct search_request *r, struct str json, const char *what, int type,
                       bool *marks, struct err *err)
{
    struct json_pick p;
    struct str item;
    if (!json_pick_open(&p, json, '['))
        return true;
    while (json_pick_item(&p, &item)) {
        struct str name = value_text(r->arena, item);
        int field = index_field(r->index, name);
        if (field < 0)
            return unknown_field(r->index, name, err) || err_wrap(err, "%s", what);
        if (type >= 0 && (int)r->index->fields[field].type != type)
            return err_set(err, ERR_INVALID, "%s: %s is no %s field", what,
                           r->index->fields[field].name, search_type_name((enum search_type)type));
        marks[field] = true;
    }
    return true;
}

static bool read_recency(struct search_request *r, struct str json, struct err *err)
{
    struct json_pick p;
    struct str key, value;
    double seconds;
    r->recency = -1;
    if (!json_pick_open(&p, json, '{') || !json_pick_pair(&p, &key, &value))
        return true;
    r->recency = index_field(r->index, key);
    if (r->recency < 0 || r->index->fields[r->recency].type != SEARCH_TIME)
        return err_set(err, ERR_INVALID, "recency names one time field");
    if (!json_pick_number(value, &seconds) || !(seconds > 0 && seconds < 1e11))
        return err_set(err, ERR_INVALID, "recency: after how long half of the score is left");
    r->recency_ms = seconds * 1000;
    return true;
}

/* Begins at a multiple of the step, as Elasticsearch's steps do. */
static bool read_histogram(struct search_request *r, struct str json, struct err *err)
{
    double from, to, steps;
    if (json.n == 0)
        return true;
    r->histogram = index_field(r->index, value_text(r->arena, json_pick_get(json, "field")));
    if (r->histogram < 0 || r->index->fields[r->histogram].type != SEARCH_TIME)
        return err_set(err, ERR_INVALID, "histogram: field names a time field");
    if (!json_pick_number(json_pick_get(json, "from"), &from) ||
        !json_pick_number(json_pick_get(json, "to"), &to) ||
        !json_pick_number(json_pick_get(json, "steps"), &steps) ||
        !(from >= 0 && from < to && to < 1e11 && steps >= 1 && steps <= SEARCH_STEPS - 1))
        return err_set(err, ERR_INVALID, "histogram: from, to and 1 to %d steps", SEARCH_STEPS - 1);
    r->step_ms = (int64_t)((to - from) * 1000 / (int)steps) + 1;
    r->first_ms = (int64_t)(from * 1000) / r->step_ms * r->step_ms;
    r->step_count = (int)(((int64_t)(to * 1000) - r->first_ms) / r->step_ms) + 1;
    r->counts = arena_alloc(r->arena, (size_t)r->step_count * sizeof *r->counts);
    memset(r->counts, 0, (size_t)r->step_count * sizeof *r->counts);
    return true;
}

static int field_of_query(void *arg, struct str name)
{
    const struct search_request *r = arg;
    int field = index_field(r->index, name);
    if (field < 0)
        return QUERY_NO_FIELD;
    return r->index->fields[field].type == SEARCH_TEXT ? field : QUERY_NOT_TEXT;
}

static bool read_query(struct search_request *r, struct str json, struct err *err)
{
    if (json.n == 0)
        return true;
    return query_parse(r->arena, value_text(r->arena, json), field_of_query, r, &r->query, err) ||
           err_wrap(err, "query");
}

/* Without a query nothing has a score; then the ids order. */
static bool settle_sort(struct search_request *r, struct err *err)
{
    if (r->sort_count == 0 && r->query)
        r->sorts[r->sort_count++] = (struct search_sort){.field = -1, .descending = true};
    for (int i = 0; i < r->sort_count; i++)
        if (r->sorts[i].field < 0 && r->sort_count > 1)
            return err_set(err, ERR_INVALID, "sort: the score stands alone");
    if (!r->query && r->sort_count == 1 && r->sorts[0].field < 0)
        r->sort_count = 0;
    const struct search_sort *last = r->sort_count ? &r->sorts[r->sort_count - 1] : NULL;
    r->tie_descending = last && last->field >= 0 && last->descending;
    if (r->recency >= 0 && !(r->sort_count == 1 && r->sorts[0].field < 0))
        r->recency = -1;
    return true;
}

static bool read_find(struct search_request *r, struct str json, struct err *err)
{
    double limit = SEARCH_HITS;
    struct str after = json_pick_get(json, "after"), fields = json_pick_get(json, "fields");
    json_pick_number(json_pick_get(json, "limit"), &limit);
    if (!(limit >= 0 && limit <= SEARCH_HITS_MAX))
        return err_set(err, ERR_LIMIT, "limit must be from 0 to %d", SEARCH_HITS_MAX);
    r->limit = (int)limit;
    for (int i = 0; i < r->index->field_count; i++)
        r->fields[i] = fields.n == 0;
    if (!read_query(r, json_pick_get(json, "query"), err) ||
        !read_filter(r, json_pick_get(json, "filter"), err) ||
        !read_sort(r, json_pick_get(json, "sort"), err) ||
        !read_recency(r, json_pick_get(json, "recency"), err) ||
        !read_histogram(r, json_pick_get(json, "histogram"), err) ||
        !read_names(r, json_pick_get(json, "highlight"), "highlight", SEARCH_TEXT, r->highlight,
                    err) ||
        !read_names(r, json_pick_get(json, "facets"), "facets", SEARCH_KEYWORD, r->facets, err) ||
        !read_names(r, fields, "fields", -1, r->fields, err) || !settle_sort(r, err))
        return false;
    r->after = after.n > 0;
    return !r->after || cursor_read(r->arena, value_text(r->arena, after), r->sort_count,
                                    r->after_values, &r->after_tie, err);
}

static bool read_delete(struct search_request *r, struct str json, struct err *err)
{
    struct str ids = json_pick_get(json, "ids"), filter = json_pick_get(json, "filter");
    r->visible = true;
    if (ids.n > 0) {
        r->conditions = arena_alloc(r->arena, sizeof *r->conditions);
        return read_condition(r, STR("id"), ids, &r->conditions[r->condition_count++], err);
    }
    if (!read_filter(r, filter, err))
        return false;
    return r->condition_count > 0 ||
           err_set(err, ERR_INVALID, "delete needs an id or a filter with at least one field");
}

static bool read_by_op(struct search_request *r, struct str json, struct err *err)
{
    switch (r->op) {
    case SEARCH_INDEX:
        return read_docs(r, json, err);
    case SEARCH_FIND:
        return read_find(r, json, err);
    case SEARCH_DELETE:
        return read_delete(r, json, err);
    case SEARCH_COUNT:
        return read_query(r, json_pick_get(json, "query"), err) &&
               read_filter(r, json_pick_get(json, "filter"), err);
    }
    return false;
}

struct search_request *request_parse(struct search_index *index, enum search_op op, struct str json,
                                     struct err *err)
{
    static const struct json_events nothing;
    struct arena *arena = arena_create();
    struct search_request *r = arena_alloc(arena, sizeof *r);
    *r = (struct search_request){
        .arena = arena, .index = index, .op = op, .recency = -1, .histogram = -1};
    if (json.n > SEARCH_REQUEST_BYTES)
        err_set(err, ERR_LIMIT, "more than %d bytes in one call", SEARCH_REQUEST_BYTES);
    else if (json_read(json, 8, &nothing, NULL, err) && read_by_op(r, json, err))
        return r;
    request_free(r);
    return NULL;
}
