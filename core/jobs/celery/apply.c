#include "jobs/celery/apply.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "jobs/celery/text.h"

enum { NESTING = 16 };

void celery_add_pair(struct celery_pair **list, int *count, struct str key, struct buf *value)
{
    if ((*count & (*count - 1)) == 0)
        *list = mem_realloc(*list, (size_t)(*count ? *count * 2 : 1) * sizeof **list);
    (*list)[(*count)++] = (struct celery_pair){str_dup(key), str_dup(buf_str(value))};
    buf_free(value);
}

static void add_child(struct celery_follow *f, struct str id)
{
    buf_add_char(&f->children, f->children.n ? ',' : '[');
    json_write_string(&f->children, id);
}

/* [first, ...args] */
static void put_in_front(struct str first, struct str args, bool immutable, struct buf *out)
{
    struct json_pick p;
    struct str item;
    bool comma = false;
    buf_add_char(out, '[');
    if (first.n && !immutable) {
        buf_add_str(out, first);
        comma = true;
    }
    if (json_pick_open(&p, args, '['))
        for (; json_pick_item(&p, &item); comma = true) {
            if (comma)
                buf_add_char(out, ',');
            buf_add_str(out, item);
        }
    buf_add_char(out, ']');
}

/* An absolute time, or seconds from now. */
static int64_t moment(struct celery_follow *f, struct arena *arena, struct str options,
                      const char *key, const char *seconds_key)
{
    int64_t wall = 0;
    double seconds;
    struct str value = json_pick_get(options, key);
    if (celery_time_parse(celery_decoded(arena, value), &wall))
        return wall;
    if (!json_pick_number(value, &seconds) &&
        !json_pick_number(json_pick_get(options, seconds_key), &seconds))
        return 0;
    return seconds > 0 && seconds < 1e9 ? f->now_wall + (int64_t)(seconds * (double)NS_PER_SECOND)
                                        : 0;
}

struct str celery_signatures(struct arena *arena, struct str options, const char *key)
{
    struct json_pick p;
    struct str value = json_pick_get(options, key);
    if (!json_pick_open(&p, value, '{'))
        return value;
    char *list = arena_alloc(arena, value.n + 2);
    list[0] = '[';
    memcpy(list + 1, value.p, value.n);
    list[value.n + 1] = ']';
    return str_n(list, value.n + 2);
}

static void fill_options(struct celery_follow *f, struct arena *arena, struct str options,
                         const struct celery_place *at, struct celery_message *m)
{
    double number;
    m->eta_wall = moment(f, arena, options, "eta", "countdown");
    m->expires_wall = moment(f, arena, options, "expires", "expires");
    m->callbacks = celery_signatures(arena, options, "link");
    m->errbacks = celery_signatures(arena, options, "link_error");
    m->chord = at->chord.n ? at->chord : json_pick_get(options, "chord");
    m->group = at->group.n ? at->group : celery_decoded(arena, json_pick_get(options, "group_id"));
    m->reply_to = celery_decoded(arena, json_pick_get(options, "reply_to"));
    m->shadow = celery_decoded(arena, json_pick_get(options, "shadow"));
    m->ignore_result = str_eq_c(json_pick_get(options, "ignore_result"), "true");
    m->priority = at->from->priority;
    m->group_index = at->group_index;
    if (at->group_index < 0 && json_pick_number(json_pick_get(options, "group_index"), &number) &&
        number >= 0 && number < 1 << 30)
        m->group_index = (int)number;
    if (json_pick_number(json_pick_get(options, "priority"), &number) && number >= 0 && number < 10)
        m->priority = (int)number;
    json_pick_number(json_pick_get(options, "time_limit"), &m->time_limit_s);
    json_pick_number(json_pick_get(options, "soft_time_limit"), &m->soft_time_limit_s);
}

static struct str queue_of(struct celery_follow *f, struct arena *arena, struct str options,
                           struct str task)
{
    struct buf out = {0};
    struct str queue = celery_decoded(arena, json_pick_get(options, "queue"));
    if (queue.n == 0)
        queue = celery_decoded(arena, json_pick_get(options, "routing_key"));
    if (queue.n)
        return queue;
    f->route(f->route_arg, task, &out);
    queue = str_n(arena_strdup(arena, buf_str(&out)), out.n);
    buf_free(&out);
    return queue;
}

/* A worker dies of a message that is not whole, and a signature is what somebody sent: what would
 * not be read here is not sent. */
static bool is_whole(struct celery_follow *f, struct arena *arena, struct str task, struct str text)
{
    struct celery_message again;
    struct err err = {0};
    if (celery_message_read(text, arena, &again, &err))
        return true;
    err_set(&f->err, ERR_INVALID, "a signature of task %.*s cannot be sent: %s", (int)task.n,
            task.p, err.message);
    return false;
}

static void send_task(struct celery_follow *f, struct arena *arena, struct str sig,
                      const struct celery_place *at, bool child)
{
    char id[37], tag[37];
    struct buf args = {0}, list = {0}, text = {0};
    struct str options = json_pick_get(sig, "options");
    struct celery_message m = {.task = celery_decoded(arena, json_pick_get(sig, "task"))};
    fill_options(f, arena, options, at, &m);
    celery_uuid(id);
    celery_uuid(tag);
    m.id = celery_decoded(arena, json_pick_get(options, "task_id"));
    if (m.id.n == 0)
        m.id = str_c(id);
    m.delivery_tag = str_c(tag);
    m.root_id = at->root_id;
    m.parent_id = at->parent_id;
    m.chain = json_pick_count(at->chain) ? at->chain : json_pick_get(options, "chain");
    put_in_front(at->first, json_pick_get(sig, "args"),
                 str_eq_c(json_pick_get(sig, "immutable"), "true"), &args);
    m.args = buf_str(&args);
    m.kwargs = json_pick_get(sig, "kwargs");
    m.routing_key = queue_of(f, arena, options, m.task);
    celery_list_name(m.routing_key, m.priority, &list);
    celery_message_write(&m, &text);
    if (is_whole(f, arena, m.task, buf_str(&text))) {
        celery_add_pair(&f->pushes, &f->push_count, buf_str(&list), &text);
        if (child)
            add_child(f, m.id);
    }
    buf_free(&text);
    buf_free(&list);
    buf_free(&args);
}

/* The tasks of a group signature, or of a list of signatures. */
static struct str members(struct str group)
{
    struct json_pick p;
    if (json_pick_open(&p, group, '['))
        return group;
    return json_pick_get(json_pick_get(group, "kwargs"), "tasks");
}

static void apply_group(struct celery_follow *f, struct arena *arena, struct str tasks,
                        const struct celery_place *at, bool child)
{
    char id[37];
    struct json_pick p;
    struct str task;
    struct celery_place inner = *at;
    celery_uuid(id);
    inner.depth++;
    if (at->group.n == 0)
        inner.group = str_c(id);
    if (json_pick_open(&p, tasks, '['))
        for (int i = 0; json_pick_item(&p, &task); i++) {
            inner.group_index = at->chord.n ? i : -1;
            celery_apply(f, arena, task, &inner, child);
        }
}

/* A signature with its options `chain` and `chord` set; empty ones are left as they are. */
static struct str with_options(struct arena *arena, struct str sig, struct str chain,
                               struct str chord)
{
    static const char *const names[] = {"chain", "chord"};
    const struct str values[] = {chain, chord};
    struct buf out = {0};
    struct json w = json_to(&out);
    struct json_pick p, o;
    struct str key, value, name, option;
    json_open(&w, '{');
    json_key(&w, "options");
    json_open(&w, '{');
    for (int i = 0; i < 2; i++)
        if (values[i].n) {
            json_key(&w, names[i]);
            json_raw(&w, values[i]);
        }
    if (json_pick_open(&o, json_pick_get(sig, "options"), '{'))
        while (json_pick_pair(&o, &name, &option)) {
            bool set = false;
            for (int i = 0; i < 2; i++)
                set |= values[i].n && str_eq_c(name, names[i]);
            if (!set)
                buf_printf(&out, "%s\"%.*s\":%.*s", out.p[out.n - 1] == '{' ? "" : ",", (int)name.n,
                           name.p, (int)option.n, option.p);
        }
    buf_add_char(&out, '}');
    if (json_pick_open(&p, sig, '{'))
        while (json_pick_pair(&p, &key, &value))
            if (!str_eq_c(key, "options"))
                buf_printf(&out, ",\"%.*s\":%.*s", (int)key.n, key.p, (int)value.n, value.p);
    buf_add_char(&out, '}');
    struct str made = str_n(arena_strdup(arena, buf_str(&out)), out.n);
    buf_free(&out);
    return made;
}

static void apply_chord(struct celery_follow *f, struct arena *arena, struct str sig,
                        const struct celery_place *at, bool child)
{
    char fresh[37];
    struct buf key = {0}, size = {0};
    struct str kwargs = json_pick_get(sig, "kwargs");
    struct str tasks = members(json_pick_get(kwargs, "header"));
    /* Its own id is that of the group of its parts; the body has one of its own. */
    struct str id = celery_decoded(arena, json_pick_get(json_pick_get(sig, "options"), "task_id"));
    struct str body = with_options(arena, json_pick_get(kwargs, "body"), at->chain, at->chord);
    size_t count = json_pick_count(tasks);
    struct celery_place inner = *at;
    inner.chain = str_n("", 0);
    inner.group_index = -1;
    inner.depth++;
    if (count == 0) {
        inner.chord = inner.group = str_n("", 0);
        inner.first = STR("[]");
        celery_apply(f, arena, body, &inner, child);
        return;
    }
    celery_uuid(fresh);
    inner.group = id.n ? id : str_c(fresh);
    buf_printf(&key, "celery-taskset-meta-%.*s.s", (int)inner.group.n, inner.group.p);
    buf_printf(&size, "%zu", count);
    celery_add_pair(&f->pushes, &f->push_count, buf_str(&key), &size);
    buf_free(&key);
    inner.chord = body;
    apply_group(f, arena, tasks, &inner, child);
}

/* A chain inside: its first task, and the others in front of what follows here (in reverse). */
static void apply_chain(struct celery_follow *f, struct arena *arena, struct str tasks,
                        const struct celery_place *at, bool child)
{
    struct json_pick p;
    struct str item, all[CELERY_FOLLOWERS];
    struct buf rest = {0};
    size_t count = 0;
    struct celery_place inner = *at;
    if (json_pick_open(&p, tasks, '['))
        while (count < CELERY_FOLLOWERS && json_pick_item(&p, &item))
            all[count++] = item;
    if (count == 0)
        return;
    put_in_front(str_n("", 0), at->chain, false, &rest);
    rest.n--;
    for (size_t i = count - 1; i > 0; i--)
        buf_printf(&rest, "%s%.*s", rest.n > 1 ? "," : "", (int)all[i].n, all[i].p);
    buf_add_char(&rest, ']');
    inner.chain = str_n(arena_strdup(arena, buf_str(&rest)), rest.n);
    inner.depth++;
    buf_free(&rest);
    celery_apply(f, arena, all[0], &inner, child);
}

void celery_apply(struct celery_follow *f, struct arena *arena, struct str sig,
                  const struct celery_place *at, bool child)
{
    struct buf type = {0};
    struct str tasks = json_pick_get(json_pick_get(sig, "kwargs"), "tasks");
    struct buf task = {0};
    json_pick_text(json_pick_get(sig, "subtask_type"), &type);
    json_pick_text(json_pick_get(sig, "task"), &task);
    if (at->depth > NESTING || f->push_count >= CELERY_FOLLOWERS)
        err_set(&f->err, ERR_LIMIT, "more than %d signatures, or %d of them in each other",
                CELERY_FOLLOWERS, NESTING);
    else if (task.n == 0)
        err_set(&f->err, ERR_INVALID, "a signature names no task");
    else if (str_eq_c(buf_str(&type), "group"))
        apply_group(f, arena, tasks, at, child);
    else if (str_eq_c(buf_str(&type), "chain"))
        apply_chain(f, arena, tasks, at, child);
    else if (str_eq_c(buf_str(&type), "chord"))
        apply_chord(f, arena, sig, at, child);
    else
        send_task(f, arena, sig, at, child);
    buf_free(&type);
    buf_free(&task);
}
