/* answer.c -- what was found, as JSON. */
#include "search/private.h"

void answer_open(struct answer *a, struct buf *out, const struct search_request *r, int64_t total)
{
    buf_clear(out);
    a->w = json_to(out);
    a->request = r;
    json_open(&a->w, '{');
    json_key(&a->w, "total");
    json_int(&a->w, total);
    json_key(&a->w, "hits");
    json_open(&a->w, '[');
}

static void write_highlights(struct answer *a, const struct search_hit *hit)
{
    const struct search_request *r = a->request;
    bool any = false;
    for (int i = 0; i < r->index->field_count; i++) {
        if (!r->highlight[i] || hit->values[i].kind != SEARCH_STRING)
            continue;
        if (!any) {
            json_key(&a->w, "highlight");
            json_open(&a->w, '{');
        }
        any = true;
        json_key(&a->w, r->index->fields[i].name);
        highlight_write(&a->w, r->query, i, hit->values[i].text);
    }
    if (any)
        json_close(&a->w, '}');
}

void answer_hit(struct answer *a, const struct search_hit *hit)
{
    const struct search_request *r = a->request;
    json_open(&a->w, '{');
    json_key(&a->w, "id");
    json_str(&a->w, hit->id);
    if (r->sort_count == 1 && r->sorts[0].field < 0) {
        json_key(&a->w, "score");
        json_num(&a->w, hit->score);
    }
    for (int i = 0; i < r->index->field_count; i++) {
        if (!r->fields[i] || hit->values[i].kind == SEARCH_ABSENT)
            continue;
        json_key(&a->w, r->index->fields[i].name);
        value_write(&a->w, &r->index->fields[i], &hit->values[i]);
    }
    write_highlights(a, hit);
    json_close(&a->w, '}');
}

void answer_end_hits(struct answer *a, const struct search_value *values,
                     const struct search_value *tie)
{
    json_close(&a->w, ']');
    if (values) {
        json_key(&a->w, "next");
        cursor_write(&a->w, values, a->request->sort_count, tie);
    }
    json_key(&a->w, "facets");
    json_open(&a->w, '{');
}

void answer_facet(struct answer *a, int field)
{
    json_key(&a->w, a->request->index->fields[field].name);
    json_open(&a->w, '[');
}

void answer_count(struct answer *a, const struct search_value *value, int64_t count)
{
    json_open(&a->w, '{');
    json_key(&a->w, "value");
    value_write(&a->w, NULL, value);
    json_key(&a->w, "count");
    json_int(&a->w, count);
    json_close(&a->w, '}');
}

void answer_end_facet(struct answer *a)
{
    json_close(&a->w, ']');
}

static void write_histogram(struct answer *a)
{
    const struct search_request *r = a->request;
    json_key(&a->w, "histogram");
    json_open(&a->w, '{');
    json_key(&a->w, "from");
    json_num(&a->w, (double)r->first_ms / 1000);
    json_key(&a->w, "step");
    json_num(&a->w, (double)r->step_ms / 1000);
    json_key(&a->w, "counts");
    json_open(&a->w, '[');
    for (int i = 0; i < r->step_count; i++)
        json_int(&a->w, r->counts[i]);
    json_close(&a->w, ']');
    json_close(&a->w, '}');
}

void answer_close(struct answer *a)
{
    json_close(&a->w, '}'); /* of the facets */
    if (a->request->histogram >= 0)
        write_histogram(a);
    json_close(&a->w, '}');
}

void answer_number(struct buf *out, int64_t n)
{
    buf_clear(out);
    buf_printf(out, "%lld", (long long)n);
}
