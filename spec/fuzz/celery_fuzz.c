/* Any bytes: a message is read or refused with a reason; what is read can be written and read
 * again, and means the same; what follows it are messages that can be read. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "jobs/celery/follow.h"
#include "jobs/celery/message.h"
#include "jobs/celery/result.h"
#include "jobs/celery/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_json(struct str text)
{
    static const struct json_events nothing;
    struct err err = {0};
    if (!json_read(text, JSON_DEPTH_MAX, &nothing, NULL, &err))
        abort();
}

static void must_be_message(struct str text, struct celery_message *out, struct arena *arena)
{
    struct err err = {0};
    if (!celery_message_read(text, arena, out, &err))
        abort();
}

static void read_again(const struct celery_message *m)
{
    struct arena *arena = arena_create();
    struct buf text = {0}, marked = {0}, joined = {0}, args = {0}, kwargs = {0};
    struct celery_message again;
    celery_message_write(m, &text);
    must_be_message(buf_str(&text), &again, arena);
    if (!str_eq(m->id, again.id) || !str_eq(m->args, again.args) || !str_eq(m->chain, again.chain))
        abort();
    celery_redelivered(buf_str(&text), &marked);
    must_be_message(buf_str(&marked), &again, arena);
    if (!again.redelivered || !str_eq(m->id, again.id) || !str_eq(m->kwargs, again.kwargs))
        abort();
    celery_args_join(m->args, m->kwargs, &joined);
    must_be_json(buf_str(&joined));
    celery_args_split(buf_str(&joined), &args, &kwargs);
    must_be_json(buf_str(&args));
    must_be_json(buf_str(&kwargs));
    buf_free(&text);
    buf_free(&marked);
    buf_free(&joined);
    buf_free(&args);
    buf_free(&kwargs);
    arena_destroy(arena);
}

static void route(void *arg, struct str task, struct buf *out)
{
    (void)arg;
    (void)task;
    buf_add_c(out, "celery");
}

/* What was made so far can be read; then it is forgotten. */
static void check_follow(struct celery_follow *f)
{
    for (int i = 0; i < f->push_count; i++) {
        struct arena *arena = arena_create();
        struct celery_message m;
        if (!str_starts(str_c(f->pushes[i].key), STR("celery-taskset-meta-")))
            must_be_message(str_c(f->pushes[i].value), &m, arena);
        arena_destroy(arena);
    }
    for (int i = 0; i < f->result_count; i++)
        must_be_json(str_c(f->results[i].value));
    if (f->children.n)
        must_be_json(buf_str(&f->children));
    celery_follow_fini(f);
}

static void follow(const struct celery_message *m)
{
    static const struct str parts[] = {
        {"[1, \"a\", \"SUCCESS\", 1]", 24},
        {"[1, \"b\", \"FAILURE\", {\"exc_type\": \"E\", \"exc_message\": [\"x\"]}]", 60},
    };
    const struct celery_result failure = {.state = CELERY_FAILURE,
                                          .task_id = m->id,
                                          .exc_type = STR("E"),
                                          .exc_message = STR("x"),
                                          .exc_module = STR("builtins")};
    struct celery_follow f = {.route = route, .now_wall = 1};
    celery_succeeded(&f, m, STR("{\"a\": 1}"));
    check_follow(&f);
    f = (struct celery_follow){.route = route, .now_wall = 1};
    celery_failed(&f, m, &failure);
    check_follow(&f);
    for (size_t count = 1; m->chord.n && count <= 2; count++) {
        f = (struct celery_follow){.route = route, .now_wall = 1};
        celery_chord(&f, m, parts, count);
        check_follow(&f);
    }
}

/* What lies in `unacked` may be anything. */
static void mark(struct str text)
{
    static const struct json_events nothing;
    struct err err = {0};
    struct buf marked = {0};
    if (json_read(text, CELERY_DEPTH, &nothing, NULL, &err)) {
        celery_redelivered(text, &marked);
        must_be_json(buf_str(&marked));
    }
    buf_free(&marked);
}

static void check_message(struct str text)
{
    struct arena *arena = arena_create();
    struct celery_message m;
    struct err err = {0};
    if (celery_message_read(text, arena, &m, &err)) {
        read_again(&m);
        follow(&m);
    } else if (err.message[0] == '\0')
        abort();
    arena_destroy(arena);
}

/* The text as the body of a message that is whole but for it: signatures come to be changed. */
static void check_body(struct str body)
{
    struct buf text = {0};
    buf_add_c(&text,
              "{\"content-type\":\"application/json\",\"headers\":{\"task\":\"t\",\"id\":\"i\","
              "\"group\":\"g\"},\"properties\":{\"delivery_tag\":\"d\",\"delivery_info\":"
              "{\"exchange\":\"\",\"routing_key\":\"q\"}},\"body\":");
    json_write_string(&text, body);
    buf_add_char(&text, '}');
    check_message(buf_str(&text));
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {malloc(size ? size : 1), size}; /* of the exact size, for ASan */
    struct celery_answer answer;
    struct buf error = {0};
    struct str result;
    int64_t ns;
    if (size)
        memcpy((char *)text.p, data, size);
    check_message(text);
    check_body(text);
    mark(text);
    celery_result_read(text, &answer);
    celery_part_read(text, &result, &error);
    celery_time_parse(text, &ns);
    buf_free(&answer.error);
    buf_free(&error);
    free((char *)text.p);
    return 0;
}
