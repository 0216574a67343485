/* audit.c -- the table of everything an operator changed. */

#include "admin/internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "storage/sqlite.h"

static const char schema[] =
    "create table if not exists maru_audit(id integer primary key, at real not null, "
    "who text not null, action text not null, target text not null, result text not null)";

bool audit_open(struct admin *a, struct err *err)
{
    struct sqlite *db = store_sqlite(a->parts->store);
    return !db || sqlite_exec_wait(db, schema, err);
}

struct audit_entry {
    struct store_call call; /* first */
    char *who, *target, *result;
    struct value values[5];
};

static void on_written(struct store_call *call)
{
    struct audit_entry *e = (struct audit_entry *)call;
    if (call->err.code)
        log_error("admin", "audit: %s", call->err.message);
    mem_free(e->who);
    mem_free(e->target);
    mem_free(e->result);
    mem_free(e);
}

static struct value text_value(const char *s)
{
    return (struct value){.type = VALUE_TEXT, .s = str_c(s)};
}

void audit_write(struct admin_call *call, const char *result)
{
    struct admin_parts *parts = call->admin->parts;
    struct audit_entry *e = mem_zero(1, sizeof *e);
    e->who = mem_strdup(call->who);
    const char *action = call->audit ? call->audit : call->action->audit;
    e->target = mem_printf("%s%s%s%s", call->first, *call->second ? "/" : "", call->second,
                           call->detail ? call->detail : "");
    e->result = mem_strdup(result);
    e->values[0] = (struct value){.type = VALUE_DOUBLE, .d = (double)clock_wall_ns() / 1e9};
    e->values[1] = text_value(e->who);
    e->values[2] = text_value(action);
    e->values[3] = text_value(e->target);
    e->values[4] = text_value(e->result);
    e->call.sql = STR("insert into maru_audit(at, who, action, target, result) "
                      "values ($1, $2, $3, $4, $5)");
    e->call.mode = STORE_EXEC;
    e->call.params = e->values;
    e->call.param_count = 5;
    e->call.done = on_written;
    log_info("admin", "%s %s by %s: %s", action, e->target, e->who, result);
    store_run(parts->store, &e->call, NULL); /* no lane: it may stop before the commit */
}

struct audit_read {
    struct store_call call; /* first */
    struct admin_call *asked;
    struct value limit;
};

static void on_read(struct store_call *call)
{
    static const char *const keys[] = {"at", "who", "action", "target", "result"};
    struct audit_read *r = (struct audit_read *)call;
    struct admin_call *asked = r->asked;
    struct json w = json_to(&asked->out);
    json_open(&w, '{');
    json_key(&w, "entries");
    json_open(&w, '[');
    for (int64_t i = 0; call->rows && i < call->rows->row_count; i++) {
        const struct value *row = &call->rows->values[i * call->rows->column_count];
        json_open(&w, '{');
        json_time(&w, keys[0], (int64_t)(row[0].d * 1e9));
        for (int k = 1; k < 5; k++) {
            json_key(&w, keys[k]);
            json_str(&w, row[k].s);
        }
        json_close(&w, '}');
    }
    json_close(&w, ']');
    json_close(&w, '}');
    if (call->err.code)
        admin_answer_err(asked, &call->err);
    else
        admin_answer(asked, 200);
    rows_free(call->rows);
    mem_free(r);
}

void audit_list(struct admin_call *call)
{
    struct audit_read *r = mem_zero(1, sizeof *r);
    r->asked = call;
    r->limit = (struct value){.type = VALUE_INT, .i = admin_query_int(call, "limit", 100, 1, 1000)};
    r->call.sql = STR("select at, who, action, target, result from maru_audit "
                      "order by id desc limit $1");
    r->call.mode = STORE_ALL;
    r->call.params = &r->limit;
    r->call.param_count = 1;
    r->call.done = on_read;
    store_run(call->admin->parts->store, &r->call, call->admin->parts->control);
}
