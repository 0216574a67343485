#include "jobs/celery/result.h"

#include "base/json.h"
#include "base/json_pick.h"
#include "jobs/celery/text.h"

/* ORDER celery_state */
static const char *const names[] = {"PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"};
enum { STATES = sizeof names / sizeof *names };

const char *celery_state_name(enum celery_state state)
{
    return names[state];
}

static enum celery_state state_of(struct str name)
{
    for (int i = 0; i < STATES; i++)
        if (str_eq_c(name, names[i]))
            return (enum celery_state)i;
    return CELERY_PENDING;
}

static void text_or_null(struct json *w, const char *key, struct str value)
{
    json_key(w, key);
    if (value.n)
        json_str(w, value);
    else
        json_null(w);
}

static void write_exception(struct json *w, const struct celery_result *r)
{
    json_open(w, '{');
    json_key(w, "exc_type");
    json_str(w, r->exc_type);
    json_key(w, "exc_message");
    json_open(w, '[');
    json_str(w, r->exc_message);
    json_close(w, ']');
    json_key(w, "exc_module");
    json_str(w, r->exc_module);
    json_close(w, '}');
}

static void write_value(struct json *w, const struct celery_result *r)
{
    switch (r->state) {
    case CELERY_PENDING:
        json_null(w);
        break;
    case CELERY_STARTED:
        json_open(w, '{');
        json_key(w, "pid");
        json_int(w, r->pid);
        json_key(w, "hostname");
        json_str(w, r->hostname);
        json_close(w, '}');
        break;
    case CELERY_SUCCESS:
        json_raw(w, r->result.n ? r->result : STR("null"));
        break;
    case CELERY_RETRY:
    case CELERY_FAILURE:
    case CELERY_REVOKED:
        write_exception(w, r);
        break;
    }
}

void celery_result_value(const struct celery_result *r, struct buf *out)
{
    struct json w = json_to(out);
    write_value(&w, r);
}

/* A child is a result as a tuple: [[id, parent], children of a group]. */
static void write_children(struct json *w, struct str ids)
{
    struct json_pick p;
    struct str id;
    json_key(w, "children");
    json_open(w, '[');
    if (json_pick_open(&p, ids, '['))
        while (json_pick_item(&p, &id)) {
            json_open(w, '[');
            json_open(w, '[');
            json_raw(w, id);
            json_null(w);
            json_close(w, ']');
            json_null(w);
            json_close(w, ']');
        }
    json_close(w, ']');
}

void celery_result_write(const struct celery_result *r, struct buf *out)
{
    char done[CELERY_TIME_BYTES] = "";
    struct json w = json_to(out);
    if (r->done_wall)
        celery_time_format(r->done_wall, false, done);
    json_open(&w, '{');
    json_key(&w, "status");
    json_cstr(&w, names[r->state]);
    json_key(&w, "result");
    write_value(&w, r);
    text_or_null(&w, "traceback", r->traceback);
    write_children(&w, r->children);
    text_or_null(&w, "date_done", str_c(done));
    if (r->parent_id.n)
        text_or_null(&w, "parent_id", r->parent_id);
    if (r->group.n)
        text_or_null(&w, "group_id", r->group);
    text_or_null(&w, "task_id", r->task_id);
    json_close(&w, '}');
}

void celery_part_write(const struct celery_result *r, struct buf *out)
{
    struct json w = json_to(out);
    json_open(&w, '[');
    json_int(&w, 1);
    json_str(&w, r->task_id);
    json_cstr(&w, names[r->state]);
    write_value(&w, r);
    json_close(&w, ']');
}

/* "ValueError: boom" of an exception as JSON has it. */
static void exception_text(struct str value, struct buf *out)
{
    struct json_pick p;
    struct str message = json_pick_get(value, "exc_message"), item;
    if (!json_pick_text(json_pick_get(value, "exc_type"), out))
        buf_add_c(out, "Exception");
    if (json_pick_open(&p, message, '[') && json_pick_item(&p, &item))
        message = item;
    if (message.n == 0)
        return;
    buf_add_c(out, ": ");
    if (!json_pick_text(message, out))
        celery_repr(message, out);
}

bool celery_part_read(struct str part, struct str *result, struct buf *error)
{
    struct json_pick p;
    struct str item[4];
    struct buf id = {0}, state = {0};
    static const struct json_events nothing;
    struct err err = {0};
    int count = 0;
    if (json_read(part, JSON_DEPTH_MAX, &nothing, NULL, &err) && json_pick_open(&p, part, '['))
        while (count < 4 && json_pick_item(&p, &item[count]))
            count++;
    bool read = count == 4 && json_pick_text(item[1], &id) && json_pick_text(item[2], &state);
    bool good = read && state_of(buf_str(&state)) == CELERY_SUCCESS;
    if (good) {
        *result = item[3];
    } else if (read) {
        buf_printf(error, "Dependency %s raised ", id.p);
        exception_text(item[3], error);
    } else
        buf_add_c(error, "a part of the chord is not readable");
    buf_free(&id);
    buf_free(&state);
    return good;
}

bool celery_result_read(struct str json, struct celery_answer *out)
{
    static const struct json_events nothing;
    struct err err = {0};
    struct buf state = {0};
    *out = (struct celery_answer){0};
    bool ok = json_read(json, JSON_DEPTH_MAX, &nothing, NULL, &err) &&
              json_pick_text(json_pick_get(json, "status"), &state);
    out->state = ok ? state_of(buf_str(&state)) : CELERY_PENDING;
    buf_free(&state);
    out->result = ok ? json_pick_get(json, "result") : str_n("", 0);
    if (out->state == CELERY_FAILURE || out->state == CELERY_RETRY || out->state == CELERY_REVOKED)
        exception_text(out->result, &out->error);
    return ok;
}
