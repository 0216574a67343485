#include "search/elastic.h"

#include <sodium.h>

#include "base/json_pick.h"
#include "base/mem.h"
#include "observe/log.h"

/* ---- finds ------------------------------------------------------------- */

struct look {
    struct lane_message message; /* first */
    struct elastic *e;
    struct search_call *call;
};

static void answer_look(struct look *look, const struct err *err)
{
    struct search_call *call = look->call;
    call->err = *err;
    mem_free(look);
    search_answer(call);
}

static const char nothing_found[] = "{\"hits\":{\"total\":{\"value\":0},\"hits\":[]}}";

static void on_found(void *arg, const struct elastic_reply *reply)
{
    struct look *look = arg;
    struct search_call *call = look->call;
    struct err err = reply->err;
    double count = 0;
    if (err.code == ERR_NONE && call->op == SEARCH_FIND) {
        elastic_found(&call->answer, call->parsed, reply->body, &err);
    } else if (err.code == ERR_NONE) {
        json_pick_number(json_pick_get(reply->body, "count"), &count);
        answer_number(&call->answer, (int64_t)count);
    } else if (reply->status == 404 && elastic_is_log(call->parsed->index)) {
        err_clear(&err); /* the first line makes it */
        elastic_found(&call->answer, call->parsed, str_c(nothing_found), &err);
    } else if (reply->status == 404) { /* it is made anew by the next call */
        __atomic_store_n(&call->parsed->index->state, INDEX_UNSEEN, __ATOMIC_RELEASE);
        err.code = ERR_IO;
    }
    answer_look(look, &err);
}

static void ask_for(struct look *look)
{
    struct elastic *e = look->e;
    const struct search_request *r = look->call->parsed;
    struct buf body = {0}, name = {0};
    bool find = look->call->op == SEARCH_FIND;
    elastic_name(e, r->index, &name);
    char *path = mem_printf("/%s/%s", name.p, find ? "_search" : "_count");
    if (find) {
        elastic_search(&body, r, e->search.options.timeout_ns);
    } else {
        struct json w = json_to(&body);
        json_open(&w, '{');
        json_key(&w, "query");
        elastic_query(&w, r);
        json_close(&w, '}');
    }
    elastic_ask(e, "POST", path, buf_str(&body), on_found, look);
    mem_free(path);
    buf_free(&body);
    buf_free(&name);
}

static void on_ensured(void *arg, const struct elastic_reply *reply)
{
    struct look *look = arg;
    if (reply->err.code == ERR_NONE)
        ask_for(look);
    else
        answer_look(look, &reply->err);
}

static void on_look(struct lane_message *message)
{
    struct look *look = (struct look *)message;
    struct search_index *index = look->call->parsed->index;
    if (__atomic_load_n(&index->state, __ATOMIC_ACQUIRE) == INDEX_READY)
        ask_for(look);
    else
        elastic_ensure(look->e, index, on_ensured, look);
}

/* The place behind a hit is the server's own list of values: numbers, texts, true, false, null. */
static bool check_cursor(struct search_call *call)
{
    static const struct json_events nothing;
    struct search_request *r = call->parsed;
    struct json_pick p;
    struct str item, list = r->after_tie.text;
    struct err err;
    int n = 0;
    bool ok = r->after_tie.kind == SEARCH_STRING && json_read(list, 2, &nothing, NULL, &err) &&
              json_pick_open(&p, list, '[');
    while (ok && json_pick_item(&p, &item)) {
        ok = item.p[0] != '[' && item.p[0] != '{';
        n++;
    }
    return (ok && n == r->sort_count + 1) ||
           err_set(&call->err, ERR_INVALID, "after is a place of another query's");
}

static void run(struct search *search, struct search_call *call)
{
    struct elastic *e = (struct elastic *)search;
    if (call->op == SEARCH_INDEX || call->op == SEARCH_DELETE) {
        elastic_write(e, call);
        return;
    }
    if (call->parsed->after && !check_cursor(call)) {
        search_answer(call);
        return;
    }
    struct look *look = mem_zero(1, sizeof *look);
    *look = (struct look){.message = {.fn = on_look}, .e = e, .call = call};
    lane_post(e->lane, &look->message);
}

/* ---- life -------------------------------------------------------------- */

static void on_begin(void *arg)
{
    struct elastic *e = arg;
    e->begun = true;
    elastic_pump(e);
}

static void begin(struct search *search)
{
    struct elastic *e = (struct elastic *)search;
    lane_call(e->lane, on_begin, e);
}

static bool is_idle(struct search *search)
{
    (void)search;
    return true; /* `maru test` has the embedded driver */
}

/* Lane.  What was on its way waits in the spool for the next process. */
static void on_close(void *arg)
{
    struct elastic *e = arg;
    e->closing = true;
    elastic_drop_asks(e);
    elastic_close_bulks(e);
    http_client_destroy(e->client);
}

static void discard(struct elastic *e)
{
    if (e->lane)
        lane_destroy(e->lane);
    spool_close(e->spool);
    driver_health_unregister(e->health);
    mem_free(e->base);
    mem_free(e->allow);
    mem_free(e->authorization);
    search_discard(&e->search);
}

static void close_elastic(struct search *search)
{
    struct elastic *e = (struct elastic *)search;
    lane_call_wait(e->lane, on_close, e);
    lane_stop(e->lane);
    lane_join(e->lane);
    discard(e);
}

static const struct search_driver driver = {
    .name = "elasticsearch",
    .run = run,
    .begin = begin,
    .is_idle = is_idle,
    .close = close_elastic,
};

/* ---- where it is ------------------------------------------------------- */

static bool read_url(struct elastic *e, struct err *err)
{
    struct str url = str_c(e->search.options.url), rest = url;
    bool tls = str_starts(url, STR("https://"));
    if (!tls && !str_starts(url, STR("http://")))
        return err_set(err, ERR_INVALID,
                       "search.driver is \"elasticsearch\": search.url says where, as "
                       "https://host:9200");
    rest = str_n(url.p + (tls ? 8 : 7), url.n - (tls ? 8 : 7));
    while (url.n > 0 && url.p[url.n - 1] == '/')
        url.n--;
    struct str host = str_n(rest.p, str_find(rest, '/'));
    if (host.n == 0 || memchr(host.p, '@', host.n))
        return err_set(err, ERR_INVALID,
                       "search.url is https://host:9200; search.user and search.password, or "
                       "search.api_key, say who asks");
    bool port = host.p[host.n - 1] != ']' && memchr(host.p, ':', host.n);
    e->base = str_dup(url);
    e->allow = mem_printf("private:%.*s%s", (int)host.n, host.p, port ? "" : tls ? ":443" : ":80");
    return true;
}

static void read_credentials(struct elastic *e)
{
    const struct search_options *o = &e->search.options;
    if (*o->api_key) {
        e->authorization = mem_printf("ApiKey %s", o->api_key);
    } else if (*o->user) {
        char *both = mem_printf("%s:%s", o->user, o->password);
        size_t n = sodium_base64_encoded_len(strlen(both), sodium_base64_VARIANT_ORIGINAL);
        char *text = mem_alloc(n);
        sodium_bin2base64(text, n, (const unsigned char *)both, strlen(both),
                          sodium_base64_VARIANT_ORIGINAL);
        e->authorization = mem_printf("Basic %s", text);
        mem_free(both);
        mem_free(text);
    }
}

struct starting {
    struct elastic *e;
    struct err err;
};

static void on_start(void *arg)
{
    struct starting *starting = arg;
    struct elastic *e = starting->e;
    e->client = http_client_create(e->lane, &starting->err);
    if (e->client)
        http_client_ca(e->client, e->search.options.ca_file);
}

static bool start_lane(struct elastic *e, struct err *err)
{
    struct starting starting = {.e = e};
    e->lane = lane_create(-1, LANE_CONTROL, "search", err);
    if (!e->lane || !lane_start(e->lane, NULL, NULL, err))
        return false;
    lane_call_wait(e->lane, on_start, &starting);
    *err = starting.err;
    if (e->client)
        return true;
    lane_stop(e->lane);
    lane_join(e->lane);
    return false;
}

static bool open_spool(struct elastic *e, struct err *err)
{
    char *dir = mem_printf("%s/spool", e->search.options.state_dir);
    e->spool = spool_open(dir, e->search.options.spool_bytes, err);
    mem_free(dir);
    if (e->spool && !spool_is_empty(e->spool))
        log_info("search", "%lld documents wait on disk for elasticsearch",
                 (long long)spool_records(e->spool));
    return e->spool != NULL;
}

static void make_metrics(struct elastic *e)
{
    e->sent = metrics_counter("maru_search_bulk_total", "_bulk requests that were answered.", "");
    e->refused =
        metrics_counter("maru_search_refused_total", "Documents Elasticsearch refused.", "");
    e->spooled =
        metrics_gauge("maru_search_spooled", "Documents on disk that wait for Elasticsearch.", "");
    metric_set(e->spooled, (double)spool_records(e->spool));
    e->health = driver_health_register("search", "elasticsearch", false);
    driver_health_address(e->health, e->base);
}

struct search *elastic_create(const struct search_options *options, struct err *err)
{
    struct elastic *e = mem_zero(1, sizeof *e);
    search_setup(&e->search, options, &driver);
    list_init(&e->asks);
    list_init(&e->writes);
    if (read_url(e, err) && open_spool(e, err)) {
        read_credentials(e);
        make_metrics(e);
        if (start_lane(e, err))
            return &e->search;
    }
    err_wrap(err, "search");
    discard(e);
    return NULL;
}
