/* view_plugin.c -- one plugin: what it is, what can be gone back to, what happened to it. */

#include <string.h>

#include "admin/internal.h"
#include "base/mem.h"
#include "reload/events.h"
#include "reload/keep.h"
#include "reload/reload.h"
#include "vm/bundle.h"

static void write_kept(struct json *w, const struct reload *r, const char *plugin)
{
    const struct set *set = reload_current(r);
    const struct generation *g = set ? set_plugin(set, str_c(plugin)) : NULL;
    int count = 0;
    struct kept *list = reload_keep_dir(r) ? keep_list(reload_keep_dir(r), plugin, &count) : NULL;
    json_key(w, "kept");
    json_open(w, '[');
    for (int i = 0; i < count; i++) {
        json_open(w, '{');
        json_key(w, "hash");
        json_cstr(w, list[i].hash);
        json_key(w, "version");
        json_cstr(w, list[i].version);
        json_time(w, "at", list[i].at_wall);
        json_key(w, "serving");
        json_bool(w, g && !strncmp(g->bundle->hash, list[i].hash, KEEP_HASH));
        json_key(w, "failed");
        json_cstr(w, list[i].failed[0] ? list[i].failed : NULL);
        json_close(w, '}');
    }
    json_close(w, ']');
    mem_free(list);
}

static void write_events(struct json *w, const struct reload *r, const char *plugin)
{
    const struct plugin_event *e;
    json_key(w, "events");
    json_open(w, '[');
    for (int i = 0; (e = events_get(reload_events(r), plugin, i)); i++) {
        json_open(w, '{');
        json_time(w, "at", e->at_wall);
        json_key(w, "kind");
        json_cstr(w, e->kind);
        json_key(w, "generation");
        json_cstr(w, e->generation[0] ? e->generation : NULL);
        json_key(w, "text");
        json_cstr(w, e->text);
        json_close(w, '}');
    }
    json_close(w, ']');
}

void admin_view_plugin(struct admin_call *call)
{
    const struct reload *r = call->admin->parts->reload;
    struct json w = json_to(&call->out);
    json_open(&w, '{');
    if (!admin_write_plugin(&w, r, call->first)) {
        struct err err = {0};
        err_set(&err, ERR_NOT_FOUND, "no plugin '%s'", call->first);
        admin_answer_err(call, &err);
        return;
    }
    write_kept(&w, r, call->first);
    write_events(&w, r, call->first);
    json_close(&w, '}');
    admin_answer(call, 200);
}
