/* elastic_index.c -- what there must be before documents: an alias with its index, or the log's
 * template.
 *
 * Words are cut by filters that every Elasticsearch has, as text.h cuts them:
 * what is no letter or digit parts words, so does the border between Korean,
 * Chinese, Japanese and the rest; cjk_bigram makes pairs. */
#include "base/clock.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "search/elastic.h"

#define CJK "\\\\p{IsHangul}\\\\p{IsHan}\\\\p{IsHiragana}\\\\p{IsKatakana}"

static const char analysis[] =
    "\"analysis\":{\"char_filter\":{"
    "\"maru_letters\":{\"type\":\"pattern_replace\",\"pattern\":\"[^\\\\p{L}\\\\p{N}\\\\p{M}]+\","
    "\"replacement\":\" \"},"
    "\"maru_scripts\":{\"type\":\"pattern_replace\",\"pattern\":"
    "\"(?<=[" CJK "])(?=[^" CJK "\\\\s])|(?<=[^" CJK "\\\\s])(?=[" CJK "])\","
    "\"replacement\":\" \"}},"
    "\"analyzer\":{\"maru\":{\"type\":\"custom\",\"char_filter\":[\"maru_letters\",\"maru_"
    "scripts\"],"
    "\"tokenizer\":\"standard\",\"filter\":[\"cjk_width\",\"lowercase\",\"asciifolding\","
    "\"cjk_bigram\"]}}}";

bool elastic_is_log(const struct search_index *index)
{
    return index->plugin[0] == '\0';
}

void elastic_name(const struct elastic *e, const struct search_index *index, struct buf *out)
{
    const char *prefix = e->search.options.prefix;
    if (elastic_is_log(index))
        buf_printf(out, "logs-%.*s-default", (int)strcspn(prefix, "-"), prefix);
    else
        buf_printf(out, "%s%s-%s", prefix, index->plugin, index->name);
}

static void write_type(struct json *w, const char *name, enum search_type type)
{
    static const char *const types[] = {"text", "keyword", "double", "date", "boolean"};
    json_open(w, '{');
    json_key(w, "type");
    json_cstr(w, types[type]); /* ORDER search_type */
    if (type == SEARCH_TEXT) {
        json_key(w, "analyzer");
        json_cstr(w, "maru");
    }
    if (type == SEARCH_TIME && name[0] != '@') { /* data streams choose theirs */
        json_key(w, "format");
        json_cstr(w, "epoch_millis");
    }
    json_close(w, '}');
}

/* "@id" stands for _id where hits are sorted. */
static void write_properties(struct json *w, const struct search_index *index)
{
    json_key(w, "properties");
    json_open(w, '{');
    for (int i = 0; i < index->field_count; i++) {
        json_key(w, index->fields[i].remote);
        write_type(w, index->fields[i].remote, index->fields[i].type);
    }
    json_key(w, "@id");
    write_type(w, "@id", SEARCH_KEYWORD);
    json_close(w, '}');
}

static void write_layout(struct json *w, const struct search_index *index)
{
    json_key(w, "settings");
    json_open(w, '{');
    json_raw(w, str_c(analysis));
    json_close(w, '}');
    json_key(w, "mappings");
    json_open(w, '{');
    json_key(w, "dynamic");
    json_bool(w, false);
    write_properties(w, index);
    json_close(w, '}');
}

/* -- one index, step by step ------------------------------------------- */

struct ensuring {
    struct elastic *e;
    struct search_index *index;
    elastic_ensured_fn *done;
    void *arg;
    struct buf name; /* of the alias */
};

static void end(struct ensuring *g, const struct elastic_reply *reply)
{
    if (reply->err.code == ERR_NONE)
        __atomic_store_n(&g->index->state, INDEX_READY, __ATOMIC_RELEASE);
    g->done(g->arg, reply);
    index_unref(g->index);
    buf_free(&g->name);
    mem_free(g);
}

/* A field that has another type there already. */
static void on_mapped(void *arg, const struct elastic_reply *reply)
{
    struct ensuring *g = arg;
    struct elastic_reply told = *reply;
    if (reply->status == 400) {
        told.err.code = ERR_CONFLICT;
        err_wrap(&told.err, "index \"%s\"", g->index->name);
    }
    end(g, &told);
}

static void put_mapping(struct ensuring *g)
{
    struct buf body = {0};
    struct json w = json_to(&body);
    char *path = mem_printf("/%s/_mapping", g->name.p);
    json_open(&w, '{');
    write_properties(&w, g->index);
    json_close(&w, '}');
    elastic_ask(g->e, "PUT", path, buf_str(&body), on_mapped, g);
    mem_free(path);
    buf_free(&body);
}

static bool is_there_already(const struct elastic_reply *reply)
{
    struct buf type = {0};
    json_pick_text(json_pick_get(json_pick_get(reply->body, "error"), "type"), &type);
    bool is = reply->status == 400 && str_eq_c(buf_str(&type), "resource_already_exists_exception");
    buf_free(&type);
    return is;
}

static void on_made(void *arg, const struct elastic_reply *reply)
{
    struct ensuring *g = arg;
    if (reply->err.code == ERR_NONE)
        end(g, reply);
    else if (is_there_already(reply)) /* another server was first */
        put_mapping(g);
    else
        end(g, reply);
}

static void make_index(struct ensuring *g)
{
    struct buf body = {0};
    struct json w = json_to(&body);
    char *path = mem_printf("/%s-000001", g->name.p);
    json_open(&w, '{');
    json_key(&w, "aliases");
    json_open(&w, '{');
    json_key(&w, g->name.p);
    json_raw(&w, STR("{\"is_write_index\":true}"));
    json_close(&w, '}');
    write_layout(&w, g->index);
    json_close(&w, '}');
    elastic_ask(g->e, "PUT", path, buf_str(&body), on_made, g);
    mem_free(path);
    buf_free(&body);
}

static void on_looked(void *arg, const struct elastic_reply *reply)
{
    struct ensuring *g = arg;
    if (reply->status == 404)
        make_index(g);
    else if (reply->err.code == ERR_NONE)
        put_mapping(g);
    else
        end(g, reply);
}

/* -- the log's template -------------------------------------------------- */

static void on_template(void *arg, const struct elastic_reply *reply)
{
    end(arg, reply);
}

/* 8.11 keeps data streams by itself; older ones want a policy of the operator's. */
static bool keeps_by_itself(struct str body)
{
    struct buf number = {0};
    int major = 0, minor = 0;
    json_pick_text(json_pick_get(json_pick_get(body, "version"), "number"), &number);
    bool known = number.n > 0 && sscanf(number.p, "%d.%d", &major, &minor) == 2;
    buf_free(&number);
    return known && (major > 8 || (major == 8 && minor >= 11));
}

static void on_greeted(void *arg, const struct elastic_reply *reply)
{
    struct ensuring *g = arg;
    struct buf body = {0};
    struct json w = json_to(&body);
    if (reply->err.code != ERR_NONE) {
        end(g, reply);
        return;
    }
    json_open(&w, '{');
    json_key(&w, "index_patterns");
    json_open(&w, '[');
    json_cstr(&w, g->name.p);
    json_close(&w, ']');
    json_key(&w, "data_stream");
    json_raw(&w, STR("{}"));
    json_key(&w, "priority"); /* over the built-in ones of logs-*-* */
    json_int(&w, 500);
    json_key(&w, "template");
    json_open(&w, '{');
    write_layout(&w, g->index);
    if (keeps_by_itself(reply->body)) {
        json_key(&w, "lifecycle");
        json_open(&w, '{');
        json_key(&w, "data_retention");
        buf_printf(&body, "\"%llds\"",
                   (long long)(g->e->search.options.logs_ttl_ns / NS_PER_SECOND));
        w.comma = true;
        json_close(&w, '}');
    }
    json_close(&w, '}');
    json_close(&w, '}');
    char *path = mem_printf("/_index_template/%s", g->name.p);
    elastic_ask(g->e, "PUT", path, buf_str(&body), on_template, g);
    mem_free(path);
    buf_free(&body);
}

void elastic_ensure(struct elastic *e, struct search_index *index, elastic_ensured_fn *done,
                    void *arg)
{
    struct ensuring *g = mem_zero(1, sizeof *g);
    *g = (struct ensuring){.e = e, .index = index, .done = done, .arg = arg};
    __atomic_add_fetch(&index->refs, 1, __ATOMIC_RELAXED);
    elastic_name(e, index, &g->name);
    if (elastic_is_log(index)) {
        elastic_ask(e, "GET", "/", STR(""), on_greeted, g);
        return;
    }
    char *path = mem_printf("/%s", g->name.p);
    elastic_ask(e, "HEAD", path, STR(""), on_looked, g);
    mem_free(path);
}
