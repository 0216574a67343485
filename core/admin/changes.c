/* changes.c -- what the operator changes; each is written to the audit table. */

#include "admin/internal.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cron/cron.h"
#include "reload/reload.h"

static void write_errors(struct json *w, const struct reload_result *result)
{
    json_key(w, "errors");
    json_open(w, '[');
    for (int i = 0; i < result->error_count; i++) {
        const struct reload_error *e = &result->errors[i];
        json_open(w, '{');
        json_key(w, "plugin");
        json_cstr(w, e->plugin);
        json_key(w, "message");
        json_cstr(w, e->message);
        json_key(w, "kept");
        json_cstr(w, e->kept[0] ? e->kept : NULL);
        json_key(w, "refused");
        json_bool(w, e->refused);
        json_key(w, "generation");
        json_cstr(w, e->generation[0] ? e->generation : NULL);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void write_result(struct buf *out, const struct reload_result *result)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    json_key(&w, "ok");
    json_bool(&w, result->ok);
    json_key(&w, "plan");
    struct buf plan = {0};
    plan_json(&result->plan, &plan);
    json_raw(&w, buf_str(&plan));
    buf_free(&plan);
    json_key(&w, "took_ms");
    json_num(&w, (double)(result->took_ns / 10000) / 100);
    json_key(&w, "swap_ms"); /* until every lane saw the new set; a bench reads it */
    json_num(&w, (double)(result->swap_ns / 10000) / 100);
    json_key(&w, "warning");
    json_cstr(&w, result->warning);
    if (!result->ok)
        write_errors(&w, result);
    json_close(&w, '}');
}

/* " shop + net a:1 + env B" for every plugin that may reach more. */
static char *allowed_text(const struct plan *plan, bool named)
{
    struct buf out = {0};
    for (int i = 0; i < plan->count; i++) {
        const struct plan_step *s = &plan->steps[i];
        if (s->permissions.added_count && !named)
            buf_printf(&out, "%s%s", out.n ? " " : "", s->plugin);
        for (int k = 0; k < s->permissions.added_count; k++)
            buf_printf(&out, " + %s", s->permissions.added[k]);
    }
    return out.p;
}

static void on_reloaded(const struct reload_result *result, void *arg)
{
    struct admin_call *call = arg;
    write_result(&call->out, result);
    if (call->audit)
        call->detail = allowed_text(&result->plan, *call->first != '\0');
    admin_answer(call, result->ok ? 200 : 422);
}

static void on_planned(const struct reload_result *result, void *arg)
{
    struct admin_call *call = arg;
    write_result(&call->out, result);
    admin_answer(call, 200);
}

static bool is_ready(struct admin_call *call)
{
    struct err err = {.code = ERR_CLOSED, .message = "the server is starting or draining"};
    if (atomic_load(&call->admin->parts->ready))
        return true;
    admin_answer_err(call, &err);
    return false;
}

static void run(struct admin_call *call, const struct reload_request *request)
{
    struct admin_parts *p = call->admin->parts;
    if (!is_ready(call))
        return;
    if (p->refresh)
        p->refresh(p->arg);
    reload_run(p->reload, request);
}

static void show_plan(struct admin_call *call)
{
    run(call,
        &(struct reload_request){.dry = true, .cause = "plan", .done = on_planned, .arg = call});
}

static void change_reload(struct admin_call *call)
{
    const char *names[] = {call->first, NULL};
    bool one = *call->first;
    char *allow = admin_query(call, "allow", "");
    struct reload_request request = {.names = one ? names : NULL,
                                     .forced = one,
                                     .allow = !strcmp(allow, "true"),
                                     .cause = "admin",
                                     .done = on_reloaded,
                                     .arg = call};
    mem_free(allow);
    if (request.allow)
        call->audit = "reload.allow";
    run(call, &request);
}

static void change_rollback(struct admin_call *call)
{
    const char *names[] = {call->first, NULL};
    char *hash = admin_query(call, "hash", "");
    struct reload_request request = {.names = names,
                                     .rollback = true,
                                     .hash = *hash ? hash : NULL,
                                     .reason = "asked for by the operator",
                                     .cause = "admin",
                                     .done = on_reloaded,
                                     .arg = call};
    run(call, &request);
    mem_free(hash);
}

static void on_fired(void *arg, const struct err *err, int64_t job_id)
{
    struct admin_call *call = arg;
    if (err && err->code) {
        admin_answer_err(call, err);
        return;
    }
    buf_printf(&call->out, "{\"ok\":true,\"job\":%lld}", (long long)job_id);
    admin_answer(call, 200);
}

static void change_fire(struct admin_call *call)
{
    cron_run_now(call->admin->parts->cron, str_c(call->first), str_c(call->second), on_fired, call);
}

static void on_paused(void *arg, const struct err *err)
{
    struct admin_call *call = arg;
    if (err->code) {
        admin_answer_err(call, err);
        return;
    }
    buf_add_c(&call->out, "{\"ok\":true}");
    admin_answer(call, 200);
}

static void change_pause(struct admin_call *call)
{
    cron_pause(call->admin->parts->cron, str_c(call->first), str_c(call->second), true, on_paused,
               call);
}

static void change_resume(struct admin_call *call)
{
    cron_pause(call->admin->parts->cron, str_c(call->first), str_c(call->second), false, on_paused,
               call);
}

const struct admin_action admin_changes[] = {
    {"GET", "/admin/v1/plan", show_plan, NULL},
    {"POST", "/admin/v1/reload", change_reload, "reload"},
    {"POST", "/admin/v1/plugins/{name}/reload", change_reload, "reload"},
    {"POST", "/admin/v1/plugins/{name}/rollback", change_rollback, "rollback"},
    {"POST", "/admin/v1/plugins/{name}/release", admin_release, "release"},
    {"POST", "/admin/v1/schedules/{plugin}/{id}/run", change_fire, "schedule.run"},
    {"POST", "/admin/v1/schedules/{plugin}/{id}/pause", change_pause, "schedule.pause"},
    {"POST", "/admin/v1/schedules/{plugin}/{id}/resume", change_resume, "schedule.resume"},
    {NULL, NULL, NULL, NULL},
};
