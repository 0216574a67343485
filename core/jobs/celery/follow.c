#include "jobs/celery/apply.h"

#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"

static void cut_pairs(struct celery_pair *list, int *count, int keep)
{
    for (; *count > keep; --*count) {
        mem_free(list[*count - 1].key);
        mem_free(list[*count - 1].value);
    }
}

void celery_follow_cut(struct celery_follow *f, int pushes, int results)
{
    cut_pairs(f->pushes, &f->push_count, pushes);
    cut_pairs(f->results, &f->result_count, results);
}

void celery_follow_fini(struct celery_follow *f)
{
    celery_follow_cut(f, 0, 0);
    mem_free(f->pushes);
    mem_free(f->results);
    buf_free(&f->children);
    *f = (struct celery_follow){0};
}

static void close_children(struct celery_follow *f)
{
    if (f->children.n)
        buf_add_char(&f->children, ']');
}

static struct celery_place place_after(const struct celery_message *m, struct str first)
{
    return (struct celery_place){.from = m,
                                 .parent_id = m->id,
                                 .root_id = m->root_id.n ? m->root_id : m->id,
                                 .first = first,
                                 .group_index = -1};
}

static void each_signature(struct celery_follow *f, struct str list, const struct celery_place *at,
                           bool child)
{
    struct json_pick p;
    struct str sig;
    struct arena *arena = arena_create();
    if (json_pick_open(&p, list, '['))
        while (json_pick_item(&p, &sig))
            celery_apply(f, arena, sig, at, child);
    arena_destroy(arena);
}

/* Cuts the last element off an array. */
static struct str pop_last(struct str array, struct str *last)
{
    struct json_pick p;
    struct str item;
    size_t n = 1;
    *last = str_n("", 0);
    if (json_pick_open(&p, array, '['))
        while (json_pick_item(&p, &item)) {
            if (last->n)
                n = (size_t)(last->p + last->n - array.p);
            *last = item;
        }
    return str_n(array.p, n); /* without its bracket */
}

void celery_succeeded(struct celery_follow *f, const struct celery_message *m, struct str result)
{
    struct celery_place at = place_after(m, result.n ? result : STR("null"));
    struct str next, rest;
    each_signature(f, m->callbacks, &at, true);
    if (json_pick_count(m->chain) > 0) {
        struct arena *arena = arena_create();
        rest = pop_last(m->chain, &next);
        char *chain = arena_alloc(arena, rest.n + 1);
        memcpy(chain, rest.p, rest.n);
        chain[rest.n] = ']';
        at.chain = str_n(chain, rest.n + 1);
        celery_apply(f, arena, next, &at, true);
        arena_destroy(arena);
    }
    close_children(f);
}

static void send_errbacks(struct celery_follow *f, const struct celery_message *m, struct str list)
{
    struct buf id = {0};
    json_write_string(&id, m->id);
    struct celery_place at = place_after(m, buf_str(&id));
    each_signature(f, list, &at, false);
    buf_free(&id);
}

/* What the chain would have run shares the failure, so that who waits for its end hears of it. */
static void fail_rest(struct celery_follow *f, struct str sig, const struct celery_result *failure)
{
    struct buf id = {0}, json = {0};
    if (!json_pick_text(json_pick_get(json_pick_get(sig, "options"), "task_id"), &id) ||
        f->result_count >= CELERY_FOLLOWERS) {
        buf_free(&id);
        return;
    }
    struct celery_result copy = *failure;
    copy.task_id = buf_str(&id);
    copy.parent_id = copy.group = str_n("", 0);
    celery_result_write(&copy, &json);
    celery_add_pair(&f->results, &f->result_count, buf_str(&id), &json);
    buf_free(&id);
}

void celery_failed(struct celery_follow *f, const struct celery_message *m,
                   const struct celery_result *failure)
{
    struct json_pick p;
    struct str sig;
    if (json_pick_open(&p, m->chain, '['))
        while (json_pick_item(&p, &sig))
            fail_rest(f, sig, failure);
    if (failure->state == CELERY_FAILURE)
        send_errbacks(f, m, m->errbacks);
}

static void chord_failed(struct celery_follow *f, const struct celery_message *m, struct str reason)
{
    struct celery_result failure = {.state = CELERY_FAILURE,
                                    .exc_type = STR("ChordError"),
                                    .exc_message = reason,
                                    .exc_module = STR("celery.exceptions"),
                                    .done_wall = f->now_wall};
    struct str options = json_pick_get(m->chord, "options");
    struct arena *arena = arena_create();
    struct celery_message body = {.id = celery_decoded(arena, json_pick_get(options, "task_id")),
                                  .root_id = m->root_id,
                                  .priority = m->priority,
                                  .chain = json_pick_get(options, "chain")};
    fail_rest(f, m->chord, &failure);
    if (body.id.n) {
        body.errbacks = celery_signatures(arena, options, "link_error");
        celery_failed(f, &body, &failure);
    }
    arena_destroy(arena);
}

void celery_chord(struct celery_follow *f, const struct celery_message *m, const struct str *parts,
                  size_t count)
{
    struct buf results = {0}, reason = {0};
    struct str result;
    bool good = true;
    buf_add_char(&results, '[');
    for (size_t i = 0; i < count && good; i++) {
        good = celery_part_read(parts[i], &result, &reason);
        if (good)
            buf_printf(&results, "%s%.*s", i ? "," : "", (int)result.n, result.p);
    }
    buf_add_char(&results, ']');
    if (good) {
        struct arena *arena = arena_create();
        struct celery_place at = place_after(m, buf_str(&results));
        celery_apply(f, arena, m->chord, &at, false);
        arena_destroy(arena);
    } else
        chord_failed(f, m, buf_str(&reason));
    buf_free(&results);
    buf_free(&reason);
}
