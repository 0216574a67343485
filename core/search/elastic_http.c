/* elastic_http.c -- one request to Elasticsearch, and what its answer means. */
#include "base/json_pick.h"
#include "base/mem.h"
#include "observe/log.h"
#include "search/elastic.h"

struct ask {
    struct list link;
    struct elastic *e;
    struct http_fetch *fetch; /* NULL when it could not be sent */
    elastic_reply_fn *done;
    void *arg;
    struct err err;
};

bool elastic_is_away(const struct elastic_reply *reply)
{
    int status = reply->status;
    return reply->err.code != ERR_NONE && (status < 400 || status == 401 || status == 403 ||
                                           status == 408 || status == 429 || status >= 500);
}

static struct str header_of(const struct fetch_result *result, const char *name)
{
    for (int i = 0; i < result->header_count; i++)
        if (str_eq_c(result->headers[i].name, name))
            return result->headers[i].value;
    return STR("");
}

static enum err_code code_of(int status)
{
    switch (status) {
    case 400:
        return ERR_INVALID;
    case 401:
    case 403:
        return ERR_FORBIDDEN;
    case 404:
        return ERR_NOT_FOUND;
    case 408:
        return ERR_TIMEOUT;
    case 413:
        return ERR_LIMIT;
    case 429:
        return ERR_BUSY;
    default:
        return ERR_IO;
    }
}

/* {"error":{"type":…,"reason":…}}, or {"error":"text"} of old endpoints. */
static void read_error(struct elastic_reply *reply)
{
    struct str error = json_pick_get(reply->body, "error");
    struct buf type = {0}, reason = {0};
    if (json_pick_text(error, &reason) || json_pick_text(json_pick_get(error, "reason"), &reason))
        json_pick_text(json_pick_get(error, "type"), &type);
    if (!type.n && (reply->status == 401 || reply->status == 403)) /* to HEAD it says no more */
        buf_add_c(&type, "search.api_key, or search.user and its password, are not accepted");
    err_set(&reply->err, code_of(reply->status), "elasticsearch answers %d %s%s%s", reply->status,
            type.n ? type.p : "", type.n && reason.n ? ": " : "", reason.n ? reason.p : "");
    buf_free(&type);
    buf_free(&reason);
}

/* A proxy's word that there is no such page, or no such method, says nothing about a document. */
static void doubt(struct elastic_reply *reply)
{
    if (elastic_is_away(reply) || reply->status == 413)
        return;
    err_set(&reply->err, ERR_IO,
            "what answers %d at search.url is no Elasticsearch: X-Elastic-Product is missing",
            reply->status);
    reply->status = 0;
}

static void read_answer(struct elastic_reply *reply, const struct fetch_result *result)
{
    static const struct json_events nothing;
    struct err err;
    bool known = str_eq_c(header_of(result, "x-elastic-product"), "Elasticsearch");
    reply->status = result->status;
    if (result->body.n > 0 && json_read(result->body, JSON_DEPTH_MAX, &nothing, NULL, &err))
        reply->body = result->body;
    if (result->status < 200 || result->status > 299) {
        read_error(reply);
        if (!known)
            doubt(reply);
    } else if (!known)
        err_set(&reply->err, ERR_IO,
                "what answers at search.url is no Elasticsearch: X-Elastic-Product is missing");
    else if (result->body.n > 0 && reply->body.n == 0)
        err_set(&reply->err, ERR_IO, "elasticsearch answers what is no JSON: %s", err.message);
}

static void note_health(struct elastic *e, const struct elastic_reply *reply)
{
    if (!elastic_is_away(reply)) {
        if (driver_health_up(e->health))
            log_info("search", "elasticsearch answers again");
    } else if (reply->status == 429) {
        driver_health_degraded(e->health, &reply->err);
    } else if (driver_health_down(e->health, &reply->err)) {
        log_error("search", "%s -- what is put in meanwhile waits on disk", reply->err.message);
    }
}

static void finish(struct ask *ask, const struct elastic_reply *reply)
{
    list_remove(&ask->link);
    ask->done(ask->arg, reply);
    mem_free(ask);
}

static void on_fetched(void *arg, const struct fetch_result *result)
{
    struct ask *ask = arg;
    struct elastic_reply reply = {.body = STR("")};
    err_clear(&reply.err);
    if (result->code == FETCH_OK)
        read_answer(&reply, result);
    else
        err_set(&reply.err, result->code == FETCH_TIMEOUT ? ERR_TIMEOUT : ERR_IO,
                "elasticsearch: %s", result->message);
    note_health(ask->e, &reply);
    finish(ask, &reply);
}

static void on_unsent(void *arg)
{
    struct ask *ask = arg;
    struct elastic_reply reply = {.body = STR(""), .err = ask->err};
    finish(ask, &reply);
}

static const char *type_of(const char *path)
{
    return str_starts(str_c(path), STR("/_bulk"))
               ? "application/vnd.elasticsearch+x-ndjson; compatible-with=8"
               : "application/vnd.elasticsearch+json; compatible-with=8";
}

void elastic_ask(struct elastic *e, const char *method, const char *path, struct str body,
                 elastic_reply_fn *done, void *arg)
{
    struct ask *ask = mem_zero(1, sizeof *ask);
    char *url = mem_printf("%s%s", e->base, path);
    const char *allow[] = {e->allow};
    struct fetch_header headers[] = {
        {STR("accept"), STR("application/vnd.elasticsearch+json; compatible-with=8")},
        {STR("content-type"), str_c(type_of(path))},
        {STR("authorization"), str_c(e->authorization)},
    };
    struct fetch_options options = {
        .method = str_c(method),
        .url = str_c(url),
        .body = body,
        .headers = headers,
        .header_count = e->authorization ? 3 : 2,
        .allow = {allow, 1},
        .timeout_ns = e->search.options.timeout_ns,
        .max_bytes = ELASTIC_ANSWER_BYTES,
    };
    *ask = (struct ask){.e = e, .done = done, .arg = arg};
    list_push_back(&e->asks, &ask->link);
    if (e->closing)
        err_set(&ask->err, ERR_CLOSED, "search is closing");
    else
        ask->fetch = http_fetch(e->client, &options, on_fetched, ask, &ask->err);
    if (!ask->fetch)
        lane_call(e->lane, on_unsent, ask);
    mem_free(url);
}

/* Those that were not sent get their word from the lane. */
void elastic_drop_asks(struct elastic *e)
{
    struct elastic_reply reply = {.body = STR("")};
    err_set(&reply.err, ERR_CLOSED, "search is closing");
    list_each_safe (node, &e->asks) {
        struct ask *ask = list_entry(node, struct ask, link);
        if (!ask->fetch)
            continue;
        http_fetch_cancel(ask->fetch);
        finish(ask, &reply);
    }
}
