/* table_read.c -- looks at the table, on pool threads. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "events/private.h"

static struct str column(sqlite3_stmt *s, int i)
{
    const void *p = sqlite3_column_blob(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

/* The topic's number and its first offset; false with ERR_NOT_FOUND. */
static bool find(struct sqlite_conn *conn, struct table_rows *rows, struct err *err)
{
    sqlite3_stmt *s =
        sqlite_prepared(conn, "SELECT id, first FROM maru_event_topic WHERE name = ?1", err);
    if (!s)
        return false;
    sqlite3_bind_text64(s, 1, rows->name.p, rows->name.n, SQLITE_STATIC, SQLITE_UTF8);
    int rc = sqlite_step(conn, s, err);
    if (rc == SQLITE_ROW) {
        rows->topic = sqlite3_column_int64(s, 0);
        rows->first = sqlite3_column_int64(s, 1);
    }
    sqlite3_reset(s);
    if (rc == SQLITE_DONE)
        err_set(err, ERR_NOT_FOUND, "events: there is no topic '%.*s'", (int)rows->name.n,
                rows->name.p);
    return rc == SQLITE_ROW;
}

static void take(struct table_rows *rows, sqlite3_stmt *s)
{
    struct event event = {
        .offset = sqlite3_column_int64(s, 0) & ((INT64_C(1) << TOPIC_SHIFT) - 1),
        .at_wall = sqlite3_column_int64(s, 1),
        .key = column(s, 2),
        .from = column(s, 3),
        .headers = column(s, 4),
        .data = column(s, 5),
    };
    event_print(&rows->out, rows->name, &event);
    rows->ends[rows->count] = rows->out.n;
    rows->offsets[rows->count++] = event.offset;
}

bool table_rows(struct sqlite_conn *conn, struct table_rows *rows, struct err *err)
{
    rows->count = 0;
    if (!find(conn, rows, err))
        return false;
    sqlite3_stmt *s = sqlite_prepared(conn,
                                      "SELECT id, at, key, sender, headers, data FROM maru_event"
                                      " WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
                                      err);
    if (!s)
        return false;
    int64_t after = rows->after < -1 ? -1 : rows->after, base = rows->topic << TOPIC_SHIFT;
    int rc = SQLITE_DONE;
    sqlite3_bind_int64(s, 1, after < 0 ? base - 1 : base | after);
    sqlite3_bind_int64(s, 2, (rows->topic + 1) << TOPIC_SHIFT);
    sqlite3_bind_int(s, 3, rows->limit);
    while (rows->out.n < EVENT_READ_BYTES && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW)
        take(rows, s);
    sqlite3_reset(s);
    return rc == SQLITE_DONE || rc == SQLITE_ROW;
}

struct reading {
    struct sqlite_read read; /* first */
    struct event_query *query;
    struct table_rows rows;
};

/* A cursor of this driver is the next offset. */
static bool read_place(struct event_query *query, int64_t *after, struct err *err)
{
    long long next;
    *after = query->after;
    if (query->partition > 0)
        return err_set(err, ERR_NOT_FOUND, "events: topic '%.*s' has one partition, 0",
                       (int)query->topic.n, query->topic.p);
    if (query->cursor.n == 0)
        return true;
    if (query->cursor.n < 3 || memcmp(query->cursor.p, "0:", 2) != 0 ||
        !str_int64(str_n(query->cursor.p + 2, query->cursor.n - 2), &next) || next < 0)
        return err_set(err, ERR_INVALID, "events: '%.*s' is no cursor of a read",
                       (int)(query->cursor.n < 40 ? query->cursor.n : 40), query->cursor.p);
    *after = next - 1;
    return true;
}

static bool read_work(struct sqlite_conn *conn, struct sqlite_read *r)
{
    return table_rows(conn, &((struct reading *)(void *)r)->rows, &r->err);
}

static void read_done(struct sqlite_read *r)
{
    struct reading *reading = (struct reading *)(void *)r;
    struct event_query *query = reading->query;
    const struct table_rows *rows = &reading->rows;
    size_t at = 0;
    int64_t next = rows->after + 1;
    for (int i = 0; i < rows->count && !r->err.code; at = rows->ends[i++]) {
        if (i)
            buf_add_char(&query->out, ',');
        buf_add(&query->out, rows->out.p + at, rows->ends[i] - at);
        next = rows->offsets[i] + 1;
    }
    snprintf(query->next, sizeof query->next, "0:%" PRId64, next < 0 ? 0 : next);
    query->err = r->err;
    buf_free(&reading->rows.out);
    mem_free(reading);
    event_query_answer(query);
}

void table_read(struct events *events, struct event_query *query)
{
    struct reading *r = mem_zero(1, sizeof *r);
    r->query = query;
    r->rows.name = query->topic;
    r->rows.limit = query->limit;
    r->read.work = read_work;
    r->read.done = read_done;
    if (read_place(query, &r->rows.after, &query->err)) {
        sqlite_read(events->db, &r->read, NULL);
        return;
    }
    mem_free(r);
    event_query_answer(query);
}

/* -- all of it -------------------------------------------------------------------------------- */

struct viewing {
    struct sqlite_read read; /* first */
    struct event_view *view;
    struct events *events;
};

static void open_partition(struct json *w)
{
    json_key(w, "partitions");
    json_open(w, '[');
    json_open(w, '{');
    json_key(w, "partition");
    json_int(w, 0);
}

static void member(struct json *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_int(w, value);
}

static bool print_topics(struct sqlite_conn *conn, struct json *w, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(
        conn, "SELECT name, first, next, bytes FROM maru_event_topic ORDER BY name", err);
    int rc = SQLITE_ERROR;
    while (s && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW) {
        json_open(w, '{');
        json_key(w, "topic");
        json_str(w, column(s, 0));
        open_partition(w);
        member(w, "first", sqlite3_column_int64(s, 1));
        member(w, "next", sqlite3_column_int64(s, 2));
        json_close(w, '}');
        json_close(w, ']');
        member(w, "events", sqlite3_column_int64(s, 2) - sqlite3_column_int64(s, 1));
        member(w, "bytes", sqlite3_column_int64(s, 3));
        json_close(w, '}');
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool is_serving(struct events *events, struct str plugin, struct str topic)
{
    bool found = false;
    pthread_mutex_lock(&events->lock);
    list_each (node, &events->groups) {
        const struct group *g = list_entry(node, struct group, link);
        found |= str_eq_c(plugin, g->plugin) && str_eq_c(topic, g->topic);
    }
    pthread_mutex_unlock(&events->lock);
    return found;
}

static bool print_groups(struct events *events, struct sqlite_conn *conn, struct json *w,
                         struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(
        conn,
        "SELECT g.plugin, g.topic, max(g.offset, t.first), t.next FROM maru_event_group g"
        " JOIN maru_event_topic t ON t.name = g.topic ORDER BY 2, 1",
        err);
    int rc = SQLITE_ERROR;
    while (s && (rc = sqlite_step(conn, s, err)) == SQLITE_ROW) {
        int64_t lag = sqlite3_column_int64(s, 3) - sqlite3_column_int64(s, 2);
        json_open(w, '{');
        json_key(w, "group");
        json_str(w, column(s, 0));
        json_key(w, "topic");
        json_str(w, column(s, 1));
        open_partition(w);
        member(w, "offset", sqlite3_column_int64(s, 2));
        member(w, "lag", lag);
        json_close(w, '}');
        json_close(w, ']');
        member(w, "lag", lag);
        json_key(w, "serving");
        json_bool(w, is_serving(events, column(s, 0), column(s, 1)));
        json_close(w, '}');
    }
    if (s)
        sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool view_work(struct sqlite_conn *conn, struct sqlite_read *r)
{
    struct viewing *v = (struct viewing *)(void *)r;
    struct json w = json_to(&v->view->out);
    json_open(&w, '{');
    json_key(&w, "driver");
    json_cstr(&w, "table");
    json_key(&w, "topics");
    json_open(&w, '[');
    if (!print_topics(conn, &w, &r->err))
        return false;
    json_close(&w, ']');
    json_key(&w, "groups");
    json_open(&w, '[');
    if (!print_groups(v->events, conn, &w, &r->err))
        return false;
    json_close(&w, ']');
    json_close(&w, '}');
    return true;
}

static void view_done(struct sqlite_read *r)
{
    struct viewing *v = (struct viewing *)(void *)r;
    struct event_view *view = v->view;
    view->err = r->err;
    mem_free(v);
    event_view_answer(view);
}

void table_view(struct events *events, struct event_view *view)
{
    struct viewing *v = mem_zero(1, sizeof *v);
    v->view = view;
    v->events = events;
    v->read.work = view_work;
    v->read.done = view_done;
    sqlite_read(events->db, &v->read, NULL);
}
