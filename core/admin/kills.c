/* kills.c -- what a plugin was ended by force for, and its way out of quarantine. */

#include "admin/internal.h"
#include "base/mem.h"
#include "reload/reload.h"

void admin_write_kills(struct json *w, const struct reload *reload, const struct generation *g)
{
    struct quarantine_state state = reload_kills(reload, g);
    const struct generation_hold *held = generation_held(g);
    json_key(w, "kills");
    json_int(w, state.kills);
    json_key(w, "interpreted");
    json_bool(w, g->interpreted || !g->decl->jit);
    json_key(w, "quarantine");
    if (!held || held->restarting) {
        json_null(w);
        return;
    }
    json_open(w, '{');
    json_time(w, "since", held->since_wall);
    json_key(w, "reason");
    json_cstr(w, held->reason);
    json_key(w, "kills");
    json_int(w, held->kills);
    json_close(w, '}');
}

static void on_released(const struct reload_result *result, void *arg)
{
    struct admin_call *call = arg;
    if (result->ok) {
        buf_add_c(&call->out, "{\"ok\":true}");
        admin_answer(call, 200);
        return;
    }
    struct err err;
    err_set(&err, ERR_CONFLICT, "%s -- it stays as it was",
            result->error_count ? result->errors[0].message : "the plugin does not load");
    admin_answer_err(call, &err);
}

/* It is loaded anew, with nothing held against it. */
void admin_release(struct admin_call *call)
{
    struct admin_parts *p = call->admin->parts;
    const struct set *set = reload_current(p->reload);
    const struct generation *g = set ? set_plugin(set, str_c(call->first)) : NULL;
    const char *names[] = {call->first, NULL};
    struct err err = {0};
    if (!atomic_load(&p->ready))
        err_set(&err, ERR_CLOSED, "the server is starting or draining");
    else if (!g)
        err_set(&err, ERR_NOT_FOUND, "no plugin '%s' serves", call->first);
    else if (!generation_held(g) && !reload_has_kills(p->reload, g->name))
        err_set(&err, ERR_CONFLICT, "nothing is held against %s", call->first);
    if (err.code) {
        admin_answer_err(call, &err);
        return;
    }
    struct reload_request request = {.names = names,
                                     .forced = true,
                                     .release = true,
                                     .cause = "release",
                                     .done = on_released,
                                     .arg = call};
    reload_run(p->reload, &request);
}
