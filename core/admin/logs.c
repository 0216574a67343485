/* logs.c -- GET /admin/v1/logs/search: lines of the log by words, level, plugin and time. */
#include "admin/internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "search/search.h"

struct log_search {
    struct search_call call; /* first */
    struct admin_call *admin;
    struct buf request;
};

static void on_found(struct search_call *call)
{
    struct log_search *s = (struct log_search *)call;
    struct admin_call *admin = s->admin;
    if (call->err.code == ERR_NONE) {
        buf_add_str(&admin->out, buf_str(&call->answer));
        admin_answer(admin, 200);
    } else {
        admin_answer_err(admin, &call->err);
    }
    buf_free(&call->answer);
    buf_free(&s->request);
    mem_free(s);
}

/* That level and those over it. */
static bool write_levels(struct admin_call *call, struct json *w, struct err *err)
{
    char *text = admin_query(call, "level", "");
    enum log_level least;
    bool ok = !*text || log_level_parse(str_c(text), &least) ||
              err_set(err, ERR_INVALID, "level is debug, info, warn or error");
    if (ok && *text) {
        json_key(w, "level");
        json_open(w, '[');
        for (int level = (int)least; level <= LOG_ERROR; level++)
            json_cstr(w, log_level_name((enum log_level)level));
        json_close(w, ']');
    }
    mem_free(text);
    return ok;
}

static void write_same(struct admin_call *call, struct json *w, const char *name)
{
    char *text = admin_query(call, name, "");
    if (*text) {
        json_key(w, name);
        json_cstr(w, text);
    }
    mem_free(text);
}

static void write_instant(struct json *w, const char *name, int64_t wall_ns)
{
    if (!wall_ns)
        return;
    json_key(w, name);
    json_num(w, (double)(wall_ns / NS_PER_MS) / 1000);
}

static bool write_times(struct admin_call *call, struct json *w, struct err *err)
{
    int64_t from, to;
    bool ok = admin_query_times(call, &from, &to, err);
    json_key(w, "at");
    json_open(w, '{');
    if (ok) {
        write_instant(w, "from", from);
        write_instant(w, "to", to);
    }
    json_close(w, '}');
    return ok;
}

/* facets=1: counts by level, plugin, area and node; histogram=N: so many steps between from and to,
 * or since= and now. */
static bool write_counts(struct admin_call *call, struct json *w, struct err *err)
{
    int64_t from, to;
    int steps = admin_query_int(call, "histogram", 0, 0, SEARCH_STEPS - 1);
    if (admin_query_int(call, "facets", 0, 0, 1)) {
        json_key(w, "facets");
        json_raw(w, STR("[\"level\",\"plugin\",\"area\",\"node\"]"));
    }
    if (!steps)
        return true;
    if (!admin_query_times(call, &from, &to, err))
        return false;
    to = to ? to : clock_wall_ns();
    if (!from || from >= to)
        return err_set(err, ERR_INVALID, "a histogram needs since, or from before to");
    json_key(w, "histogram");
    json_open(w, '{');
    json_key(w, "field");
    json_cstr(w, "at");
    write_instant(w, "from", from);
    write_instant(w, "to", to);
    json_key(w, "steps");
    json_int(w, steps);
    json_close(w, '}');
    return true;
}

static bool write_request(struct admin_call *call, struct buf *out, struct err *err)
{
    struct json w = json_to(out);
    char *q = admin_query(call, "q", "");
    json_open(&w, '{');
    json_key(&w, "query");
    json_cstr(&w, q);
    mem_free(q);
    json_key(&w, "highlight");
    json_raw(&w, STR("[\"message\",\"fields\"]"));
    json_key(&w, "sort");
    json_raw(&w, STR("[\"-at\"]"));
    json_key(&w, "limit");
    json_int(&w, admin_query_int(call, "limit", 100, 0, SEARCH_HITS_MAX));
    write_same(call, &w, "after");
    bool ok = write_counts(call, &w, err);
    json_key(&w, "filter");
    json_open(&w, '{');
    ok = ok && write_levels(call, &w, err) && write_times(call, &w, err);
    write_same(call, &w, "plugin");
    write_same(call, &w, "area");
    write_same(call, &w, "node");
    json_close(&w, '}');
    json_close(&w, '}');
    return ok;
}

static void search_logs(struct admin_call *call)
{
    struct search *search = call->admin->parts->search;
    struct log_search *s = mem_zero(1, sizeof *s);
    struct err err = {0};
    if (!search || !search_has_log(search))
        err_set(&err, ERR_NOT_FOUND,
                "the log is not indexed: logs.search is false; set logs.search = true and restart, "
                "then lines from there on are found");
    else
        write_request(call, &s->request, &err);
    if (err.code) {
        buf_free(&s->request);
        mem_free(s);
        admin_answer_err(call, &err);
        return;
    }
    s->admin = call;
    s->call = (struct search_call){.plugin = "",
                                   .index = SEARCH_LOG,
                                   .op = SEARCH_FIND,
                                   .request = buf_str(&s->request),
                                   .done = on_found};
    search_run(search, &s->call, call->admin->parts->control);
}

const struct admin_action admin_logs[] = {
    {"GET", "/admin/v1/logs/search", search_logs, NULL},
    {NULL, NULL, NULL, NULL},
};
