/* nodes.c -- the servers that share a queue: what this one says of itself, and what the others do.
 */
#include "admin/internal.h"
#include "base/clock.h"
#include "cron/cron.h"
#include "jobs/jobs.h"
#include "observe/drivers.h"

static void write_lanes(struct json *w, const struct admin_parts *p)
{
    json_key(w, "lanes");
    json_open(w, '{');
    json_key(w, "web");
    json_int(w, p->web_count);
    json_key(w, "job");
    json_int(w, p->lane_count - p->web_count);
    json_close(w, '}');
}

static void write_roles(struct json *w, const struct admin_parts *p)
{
    json_key(w, "roles");
    json_open(w, '[');
    for (int i = 0; p->roles[i]; i++)
        json_cstr(w, p->roles[i]);
    json_close(w, ']');
}

static void write_driver(const struct driver_state *d, void *arg)
{
    struct json *w = arg;
    json_open(w, '{');
    json_key(w, "kind");
    json_cstr(w, d->kind);
    json_key(w, "driver");
    json_cstr(w, d->driver);
    json_key(w, "state");
    json_cstr(w, driver_level_name(d->level));
    if (d->err.code) {
        json_key(w, "error");
        json_cstr(w, d->err.message);
    }
    json_close(w, '}');
}

/* Everything but the brace at the end. */
static struct json begin_card(const struct admin *admin, struct buf *out)
{
    const struct admin_parts *p = admin->parts;
    char started[32];
    struct json w = json_to(out);
    clock_format_utc(clock_wall_ns() - (clock_ns() - admin->started), started);
    json_open(&w, '{');
    json_key(&w, "name");
    json_cstr(&w, p->node);
    json_key(&w, "version");
    json_cstr(&w, MARU_VERSION);
    json_key(&w, "started_at");
    json_cstr(&w, started);
    json_key(&w, "ready");
    json_bool(&w, atomic_load(&p->ready));
    json_key(&w, "leads"); /* the schedules fire there */
    json_bool(&w, cron_leads(p->cron));
    write_roles(&w, p);
    write_lanes(&w, p);
    json_key(&w, "drivers");
    json_open(&w, '[');
    driver_health_list(write_driver, &w);
    json_close(&w, ']');
    return w;
}

void admin_card(const struct admin *admin, struct buf *out)
{
    struct json w = begin_card(admin, out);
    json_close(&w, '}');
}

void admin_view_nodes(struct admin_call *call)
{
    const struct admin *admin = call->admin;
    char now[32];
    buf_add_char(&call->out, '[');
    struct json w = begin_card(admin, &call->out);
    clock_format_utc(clock_wall_ns(), now);
    json_key(&w, "seen_at");
    json_cstr(&w, now);
    json_key(&w, "missing");
    json_bool(&w, false);
    json_key(&w, "self");
    json_bool(&w, true);
    json_close(&w, '}');
    jobs_print_cards(admin->parts->jobs, &call->out);
    buf_add_char(&call->out, ']');
    admin_answer(call, 200);
}
