/* elastic_query.c -- requests in Elasticsearch's query language, and its answers in ours.  Every
 * text of a user's stands there as a JSON string. */
#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "search/elastic.h"
#include "search/text.h"

enum { EXPANSIONS = 200 }; /* words that a beginning behind other words may stand for */

static void open_key(struct json *w, const char *key)
{
    json_open(w, '{');
    json_key(w, key);
}

/* {"kind":{"field":{"name": …   with three braces to close */
static void open_clause(struct json *w, const char *kind, const char *field, const char *name)
{
    open_key(w, kind);
    open_key(w, field);
    open_key(w, name);
}

static void close_all(struct json *w, int count)
{
    while (count-- > 0)
        json_close(w, '}');
}

static bool first_word(void *arg, const struct text_word *word)
{
    struct buf *out = arg;
    buf_add_str(out, word->text);
    return false;
}

/* One word that begins so; `any` in front: one character before it. */
static void write_beginning(struct json *w, const char *kind, const char *field,
                            const struct query_node *node, const char *any)
{
    struct buf word = {0};
    buf_add_c(&word, any);
    text_words(node->text, TEXT_QUERY, first_word, &word);
    open_clause(w, kind, field, "value");
    json_str(w, buf_str(&word));
    close_all(w, 3);
    buf_free(&word);
}

static void write_phrase(struct json *w, const char *kind, const char *field,
                         const struct query_node *node)
{
    open_clause(w, kind, field, "query");
    json_str(w, node->text);
    if (!strcmp(kind, "match_phrase_prefix")) {
        json_key(w, "max_expansions");
        json_int(w, EXPANSIONS);
    }
    close_all(w, 3);
}

/* One character is the first or the second of a pair. */
static void write_character(struct json *w, const char *field, const struct query_node *node)
{
    open_key(w, "bool");
    json_open(w, '{');
    json_key(w, "should");
    json_open(w, '[');
    write_beginning(w, "prefix", field, node, "");
    write_beginning(w, "wildcard", field, node, "?");
    json_close(w, ']');
    close_all(w, 2);
}

static void write_text(struct json *w, const char *field, const struct query_node *node)
{
    bool begins = node->prefix && !node->pair && !node->single;
    if (node->single && node->words == 1)
        write_character(w, field, node);
    else if (begins && node->words == 1)
        write_beginning(w, "prefix", field, node, "");
    else
        write_phrase(w, begins ? "match_phrase_prefix" : "match_phrase", field, node);
}

/* In any of the text fields; what is in several counts for each. */
static void write_anywhere(struct json *w, const struct search_index *index,
                           const struct query_node *node)
{
    open_key(w, "bool");
    json_open(w, '{');
    json_key(w, "should");
    json_open(w, '[');
    for (int i = 0; i < index->field_count; i++)
        if (index->fields[i].type == SEARCH_TEXT && (node->field < 0 || node->field == i))
            write_text(w, index->fields[i].remote, node);
    json_close(w, ']');
    json_key(w, "minimum_should_match");
    json_int(w, 1);
    close_all(w, 2);
}

static void write_node(struct json *w, const struct search_index *index,
                       const struct query_node *node);

static void write_members(struct json *w, const char *key, const struct search_index *index,
                          const struct query_node *node, bool negated)
{
    json_key(w, key);
    json_open(w, '[');
    for (const struct query_node *m = node->members; m; m = m->next)
        if (m->negated == negated)
            write_node(w, index, m);
    json_close(w, ']');
}

static void write_node(struct json *w, const struct search_index *index,
                       const struct query_node *node)
{
    if (node->kind == QUERY_TEXT) {
        write_anywhere(w, index, node);
        return;
    }
    open_key(w, "bool");
    json_open(w, '{');
    if (node->kind == QUERY_ALL) {
        write_members(w, "must", index, node, false);
        write_members(w, "must_not", index, node, true);
    } else {
        write_members(w, "should", index, node, false);
        json_key(w, "minimum_should_match");
        json_int(w, 1);
    }
    close_all(w, 2);
}

/* ---- filters ----------------------------------------------------------- */

static void write_bound(struct json *w, const char *name, const struct search_value *value)
{
    if (value->kind == SEARCH_ABSENT)
        return;
    json_key(w, name);
    value_write(w, NULL, value);
}

static void write_condition(struct json *w, const struct search_index *index,
                            const struct search_condition *c)
{
    bool time = c->field >= 0 && index->fields[c->field].type == SEARCH_TIME;
    const char *field = c->field < 0 ? "@id" : index->fields[c->field].remote;
    open_key(w, c->range ? "range" : "terms");
    open_key(w, field);
    if (c->range) {
        json_open(w, '{');
        write_bound(w, "gte", &c->from);
        write_bound(w, time ? "lt" : "lte", &c->to);
        if (time) {
            json_key(w, "format");
            json_cstr(w, "epoch_millis");
        }
        json_close(w, '}');
    } else {
        json_open(w, '[');
        for (int i = 0; i < c->count; i++)
            value_write(w, NULL, &c->values[i]);
        json_close(w, ']');
    }
    close_all(w, 2);
}

void elastic_query(struct json *w, const struct search_request *r)
{
    open_key(w, "bool");
    json_open(w, '{');
    json_key(w, "must");
    json_open(w, '[');
    if (r->query)
        write_node(w, r->index, r->query);
    else
        json_raw(w, STR("{\"match_all\":{}}"));
    json_close(w, ']');
    json_key(w, "filter");
    json_open(w, '[');
    for (int i = 0; i < r->condition_count; i++)
        write_condition(w, r->index, &r->conditions[i]);
    json_close(w, ']');
    close_all(w, 2);
}

/* ---- _search ----------------------------------------------------------- */

/* Half of the score is left after recency_ms. */
static void write_recent(struct json *w, const struct search_request *r)
{
    char scale[40];
    snprintf(scale, sizeof scale, "%lldms", (long long)r->recency_ms);
    open_key(w, "function_score");
    open_key(w, "query");
    elastic_query(w, r);
    json_key(w, "boost_mode");
    json_cstr(w, "multiply");
    json_key(w, "functions");
    json_open(w, '[');
    open_clause(w, "exp", r->index->fields[r->recency].remote, "origin");
    json_int(w, clock_wall_ns() / NS_PER_MS);
    json_key(w, "scale");
    json_cstr(w, scale);
    json_key(w, "decay");
    json_num(w, 0.5);
    close_all(w, 3);
    json_close(w, ']');
    close_all(w, 2);
}

static void write_order(struct json *w, const char *field, bool descending)
{
    open_key(w, field);
    open_key(w, "order");
    json_cstr(w, descending ? "desc" : "asc");
    if (field[0] != '_') {
        json_key(w, "missing");
        json_cstr(w, "_last");
    }
    close_all(w, 2);
}

static void write_sort(struct json *w, const struct search_request *r)
{
    json_key(w, "sort");
    json_open(w, '[');
    for (int i = 0; i < r->sort_count; i++) {
        int field = r->sorts[i].field;
        write_order(w, field < 0 ? "_score" : r->index->fields[field].remote,
                    r->sorts[i].descending);
    }
    write_order(w, "@id", r->tie_descending);
    json_close(w, ']');
    if (!r->after)
        return;
    json_key(w, "search_after"); /* checked by cursor_of() */
    json_raw(w, r->after_tie.text);
}

static void write_source(struct json *w, const struct search_request *r)
{
    json_key(w, "_source");
    json_open(w, '[');
    for (int i = 0; i < r->index->field_count; i++)
        if (r->fields[i] || r->highlight[i])
            json_cstr(w, r->index->fields[i].remote);
    json_close(w, ']');
}

/* Its name is no field's: those have no '@'. */
static void write_steps(struct json *w, const struct search_request *r)
{
    char interval[40];
    snprintf(interval, sizeof interval, "%lldms", (long long)r->step_ms);
    json_key(w, "@steps");
    open_key(w, "date_histogram");
    open_key(w, "field");
    json_cstr(w, r->index->fields[r->histogram].remote);
    json_key(w, "fixed_interval");
    json_cstr(w, interval);
    json_key(w, "min_doc_count");
    json_int(w, 1);
    close_all(w, 2);
}

static void write_aggregations(struct json *w, const struct search_request *r)
{
    json_key(w, "aggs");
    json_open(w, '{');
    for (int i = 0; i < r->index->field_count; i++) {
        if (!r->facets[i])
            continue;
        json_key(w, r->index->fields[i].name);
        open_key(w, "terms");
        open_key(w, "field");
        json_cstr(w, r->index->fields[i].remote);
        json_key(w, "size");
        json_int(w, SEARCH_FACET_VALUES);
        json_key(w, "order");
        json_raw(w, STR("[{\"_count\":\"desc\"},{\"_key\":\"asc\"}]"));
        close_all(w, 2);
    }
    if (r->histogram >= 0)
        write_steps(w, r);
    json_close(w, '}');
}

void elastic_search(struct buf *out, const struct search_request *r, int64_t timeout_ns)
{
    struct json w = json_to(out);
    open_key(&w, "query");
    if (r->recency >= 0)
        write_recent(&w, r);
    else
        elastic_query(&w, r);
    json_key(&w, "track_total_hits");
    json_bool(&w, true);
    json_key(&w, "size");
    json_int(&w, r->limit + 1);
    json_key(&w, "timeout");
    buf_printf(out, "\"%lldms\"", (long long)(timeout_ns / NS_PER_MS));
    w.comma = true;
    write_sort(&w, r);
    write_source(&w, r);
    write_aggregations(&w, r);
    json_close(&w, '}');
}

/* ---- its answer -------------------------------------------------------- */

/* A source's value; what another writer put there in another type is passed over. */
static struct search_value source_value(struct arena *arena, const struct search_field *f,
                                        struct str json)
{
    struct search_value value = {.kind = SEARCH_ABSENT};
    if (json.n == 0)
        return value;
    bool text = f->type == SEARCH_TEXT || f->type == SEARCH_KEYWORD;
    if (text && json.p[0] == '"')
        value = (struct search_value){.kind = SEARCH_STRING, .text = value_text(arena, json)};
    else if (f->type == SEARCH_BOOLEAN && (json.p[0] == 't' || json.p[0] == 'f'))
        value = (struct search_value){.kind = SEARCH_BOOL, .yes = json.p[0] == 't'};
    else if (!text && f->type != SEARCH_BOOLEAN && json_pick_number(json, &value.number))
        value.kind = SEARCH_DOUBLE;
    return value;
}

static void write_hit(struct answer *a, struct str json)
{
    const struct search_request *r = a->request;
    struct search_value values[SEARCH_FIELDS];
    struct search_hit hit = {.values = values};
    struct str source = json_pick_get(json, "_source");
    hit.id = value_text(r->arena, json_pick_get(json, "_id"));
    json_pick_number(json_pick_get(json, "_score"), &hit.score);
    for (int i = 0; i < r->index->field_count; i++) {
        const struct search_field *f = &r->index->fields[i];
        bool wanted = r->fields[i] || r->highlight[i];
        values[i] = source_value(r->arena, f, wanted ? json_pick_get(source, f->remote) : STR(""));
    }
    answer_hit(a, &hit);
}

/* The hits but the one over the limit, behind which there is a next page. */
static void write_hits(struct answer *a, struct str list)
{
    const struct search_request *r = a->request;
    struct json_pick p;
    struct str hit, last = STR("");
    int n = 0;
    for (bool ok = json_pick_open(&p, list, '['); ok && json_pick_item(&p, &hit); n++) {
        if (n >= r->limit)
            continue;
        write_hit(a, hit);
        last = json_pick_get(hit, "sort");
    }
    static const struct search_value none[SEARCH_SORTS];
    struct search_value tie = {.kind = SEARCH_STRING, .text = last};
    answer_end_hits(a, n > r->limit && r->limit > 0 ? none : NULL, &tie);
}

static void write_facets(struct answer *a, struct str aggregations)
{
    const struct search_request *r = a->request;
    for (int i = 0; i < r->index->field_count; i++) {
        struct json_pick p;
        struct str bucket;
        double count;
        if (!r->facets[i])
            continue;
        struct str facet = json_pick_get(aggregations, r->index->fields[i].name);
        answer_facet(a, i);
        bool ok = json_pick_open(&p, json_pick_get(facet, "buckets"), '[');
        while (ok && json_pick_item(&p, &bucket)) {
            struct search_value value = {
                .kind = SEARCH_STRING, .text = value_text(r->arena, json_pick_get(bucket, "key"))};
            if (json_pick_number(json_pick_get(bucket, "doc_count"), &count))
                answer_count(a, &value, (int64_t)count);
        }
        answer_end_facet(a);
    }
}

static void read_steps(const struct search_request *r, struct str steps)
{
    struct json_pick p;
    struct str bucket;
    double key, count;
    bool ok = json_pick_open(&p, json_pick_get(steps, "buckets"), '[');
    while (ok && json_pick_item(&p, &bucket)) {
        if (!json_pick_number(json_pick_get(bucket, "key"), &key) ||
            !json_pick_number(json_pick_get(bucket, "doc_count"), &count))
            continue;
        int64_t step = ((int64_t)key - r->first_ms) / r->step_ms;
        if ((int64_t)key >= r->first_ms && step < r->step_count)
            r->counts[step] += (int64_t)count;
    }
}

bool elastic_found(struct buf *out, const struct search_request *r, struct str body,
                   struct err *err)
{
    struct answer a;
    double total = 0, failed = 0;
    struct str hits = json_pick_get(body, "hits");
    json_pick_number(json_pick_get(json_pick_get(body, "_shards"), "failed"), &failed);
    if (str_eq_c(json_pick_get(body, "timed_out"), "true"))
        return err_set(err, ERR_TIMEOUT, "the search took longer than search.timeout");
    if (failed > 0)
        return err_set(err, ERR_IO, "elasticsearch: %.0f shards failed, the answer is not whole",
                       failed);
    if (!json_pick_number(json_pick_get(json_pick_get(hits, "total"), "value"), &total))
        return err_set(err, ERR_IO, "elasticsearch: an answer without hits.total");
    answer_open(&a, out, r, (int64_t)total);
    write_hits(&a, json_pick_get(hits, "hits"));
    write_facets(&a, json_pick_get(body, "aggregations"));
    if (r->histogram >= 0)
        read_steps(r, json_pick_get(json_pick_get(body, "aggregations"), "@steps"));
    answer_close(&a);
    return true;
}
