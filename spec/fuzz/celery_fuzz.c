/* Any bytes: a message is read or refused with a reason; what is read can be written and read
 * again, and means the same. */
#include <stdint.h>
#include <stdlib.h>

#include "jobs/celery_message.h"
#include "jobs/celery_result.h"
#include "jobs/celery_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_again(const struct celery_message *m)
{
    struct arena *arena = arena_create();
    struct buf text = {0}, joined = {0}, args = {0}, kwargs = {0};
    struct celery_message again;
    struct err err = {0};
    celery_message_write(m, &text);
    if (!celery_message_read(buf_str(&text), arena, &again, &err) || !str_eq(m->id, again.id) ||
        !str_eq(m->args, again.args) || !str_eq(m->chain, again.chain))
        abort();
    celery_args_join(m->args, m->kwargs, &joined);
    celery_args_split(buf_str(&joined), &args, &kwargs);
    buf_free(&text);
    buf_free(&joined);
    buf_free(&args);
    buf_free(&kwargs);
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {malloc(size ? size : 1), size}; /* of the exact size, for ASan */
    struct arena *arena = arena_create();
    struct celery_message m;
    struct celery_answer answer;
    struct buf error = {0};
    struct str result;
    struct err err = {0};
    int64_t ns;
    if (size)
        memcpy((char *)text.p, data, size);
    if (celery_message_read(text, arena, &m, &err))
        read_again(&m);
    else if (err.message[0] == '\0')
        abort();
    celery_result_read(text, &answer);
    celery_part_read(text, &result, &error);
    celery_time_parse(text, &ns);
    buf_free(&answer.error);
    buf_free(&error);
    arena_destroy(arena);
    free((char *)text.p);
    return 0;
}
