/* elastic_write.c -- documents as _bulk takes them: an action's line, then the document's. */
#include "base/clock.h"
#include "base/mem.h"
#include "search/elastic.h"

/* Newer than all before, also than those of a process before this one. */
static long long next_version(struct elastic *e)
{
    long long now = clock_wall_ns() / 1000, last = atomic_load(&e->version), next;
    do
        next = now > last ? now : last + 1;
    while (!atomic_compare_exchange_weak(&e->version, &last, next));
    return next;
}

static void write_action(struct elastic *e, struct buf *out, const struct search_index *index,
                         struct str id, bool remove)
{
    struct buf name = {0};
    struct json w = json_to(out);
    bool log = elastic_is_log(index);
    elastic_name(e, index, &name);
    json_open(&w, '{');
    json_key(&w, remove ? "delete" : log ? "create" : "index");
    json_open(&w, '{');
    json_key(&w, "_index");
    json_cstr(&w, name.p);
    json_key(&w, "_id");
    json_str(&w, id);
    if (!log) { /* never makes an index that has no mapping */
        json_key(&w, "require_alias");
        json_bool(&w, true);
        json_key(&w, "version");
        json_int(&w, next_version(e));
        json_key(&w, "version_type");
        json_cstr(&w, "external");
    }
    json_close(&w, '}');
    json_close(&w, '}');
    buf_add_char(out, '\n');
    buf_free(&name);
}

static void write_document(struct buf *out, const struct search_index *index,
                           const struct search_doc *doc)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    json_key(&w, "@id");
    json_str(&w, doc->id);
    for (int i = 0; i < index->field_count; i++) {
        if (doc->values[i].kind == SEARCH_ABSENT)
            continue;
        json_key(&w, index->fields[i].remote);
        value_write(&w, NULL, &doc->values[i]);
    }
    json_close(&w, '}');
    buf_add_char(out, '\n');
}

static void fill_documents(struct write *w, const struct search_request *r)
{
    w->ends = mem_zero((size_t)r->doc_count + 1, sizeof *w->ends);
    for (int i = 0; i < r->doc_count; i++) {
        write_action(w->e, &w->ops, r->index, r->docs[i].id, false);
        write_document(&w->ops, r->index, &r->docs[i]);
        w->ends[w->count++] = w->ops.n;
    }
}

static bool by_ids(const struct search_request *r)
{
    return r->condition_count == 1 && r->conditions[0].field < 0 && !r->conditions[0].range;
}

static void fill_ids(struct write *w, const struct search_request *r)
{
    const struct search_condition *c = &r->conditions[0];
    w->ends = mem_zero((size_t)c->count + 1, sizeof *w->ends);
    for (int i = 0; i < c->count; i++) {
        write_action(w->e, &w->ops, r->index, c->values[i].text, true);
        w->ends[w->count++] = w->ops.n;
    }
}

void elastic_answer(struct write *w, const struct err *err)
{
    struct search_call *call = w->call;
    call->err = err && err->code ? *err : w->err;
    answer_number(&call->answer, w->changed);
    buf_free(&w->ops);
    mem_free(w->ends);
    mem_free(w);
    search_answer(call);
}

static void on_write(struct lane_message *message)
{
    struct write *w = (struct write *)message;
    struct elastic *e = w->e;
    struct err err;
    if (e->closing) {
        err_set(&err, ERR_CLOSED, "search is closing");
        elastic_answer(w, &err);
        return;
    }
    list_push_back(&e->writes, &w->link);
    elastic_pump(e);
}

void elastic_write(struct elastic *e, struct search_call *call)
{
    struct write *w = mem_zero(1, sizeof *w);
    const struct search_request *r = call->parsed;
    *w = (struct write){.message = {.fn = on_write}, .e = e, .call = call};
    if (r->op == SEARCH_INDEX)
        fill_documents(w, r);
    else if (by_ids(r))
        fill_ids(w, r);
    else
        w->kind = WRITE_FILTER;
    lane_post(e->lane, &w->message);
}
