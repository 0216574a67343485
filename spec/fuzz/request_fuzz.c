/* Any bytes as remote control, in an envelope or as one: a request or not; what is answered can be
 * read, and orders' arguments are read or refused. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/json_pick.h"
#include "jobs/celery/message.h"
#include "jobs/celery/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *arg, struct str text)
{
    *(size_t *)arg += text.n;
}

static void check_arguments(struct str arguments)
{
    static const char *const names[] = {"task_id", "ids", "queue", "rate_limit", "task_name"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct str value = json_pick_get(arguments, names[i]);
        struct job_rate rate;
        size_t bytes = 0;
        celery_each_text(value, count, &bytes);
        celery_truth(value);
        if (celery_rate_read(value, &rate) &&
            (rate.count < 0 || rate.count > 1000000 || (rate.count > 0 && rate.period_ns <= 0)))
            abort();
    }
}

static void check(struct str text)
{
    struct arena *arena = arena_create();
    struct celery_request r;
    struct buf answer = {0}, body = {0};
    if (celery_request_read(text, STR("maru@here"), arena, &r)) {
        check_arguments(r.arguments);
        celery_reply_write(&r, STR("maru@here"), STR("{\"ok\": 1}"), 7, &answer);
        if (!celery_envelope_read(buf_str(&answer), &body) ||
            !str_eq_c(buf_str(&body), "{\"maru@here\": {\"ok\": 1}}"))
            abort();
    }
    buf_free(&answer);
    buf_free(&body);
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {malloc(size ? size : 1), size}; /* of the exact size, for ASan */
    struct buf whole = {0};
    if (size)
        memcpy((char *)text.p, data, size);
    check(text);
    celery_envelope_write(text, STR("celery.pidbox"), STR(""), STR("{\"clock\": 3}"), &whole);
    check(buf_str(&whole));
    buf_free(&whole);
    free((char *)text.p);
    return 0;
}
