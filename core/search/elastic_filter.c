/* elastic_filter.c -- documents removed by a filter: what was put in before is to be found by it.
 */
#include "base/json_pick.h"
#include "base/mem.h"
#include "search/elastic.h"

static void on_filtered(void *arg, const struct elastic_reply *reply)
{
    struct write *w = arg;
    struct elastic *e = w->e;
    double deleted = 0;
    if (reply->err.code == ERR_NONE)
        json_pick_number(json_pick_get(reply->body, "deleted"), &deleted);
    e->flying--;
    w->changed = (int64_t)deleted;
    elastic_answer(w, &reply->err);
    elastic_pump(e);
}

static void on_refreshed(void *arg, const struct elastic_reply *reply)
{
    struct write *w = arg;
    struct elastic *e = w->e;
    struct buf body = {0}, name = {0};
    struct json json = json_to(&body);
    if (reply->err.code != ERR_NONE) {
        on_filtered(w, reply);
        return;
    }
    elastic_name(e, w->call->parsed->index, &name);
    char *path = mem_printf("/%s/_delete_by_query?conflicts=proceed&refresh=true", name.p);
    json_open(&json, '{');
    json_key(&json, "query");
    elastic_query(&json, w->call->parsed);
    json_close(&json, '}');
    elastic_ask(e, "POST", path, buf_str(&body), on_filtered, w);
    mem_free(path);
    buf_free(&body);
    buf_free(&name);
}

void elastic_remove(struct elastic *e, struct write *w)
{
    struct buf name = {0};
    list_remove(&w->link);
    elastic_name(e, w->call->parsed->index, &name);
    char *path = mem_printf("/%s/_refresh", name.p);
    e->flying++;
    elastic_ask(e, "POST", path, STR(""), on_refreshed, w);
    mem_free(path);
    buf_free(&name);
}
