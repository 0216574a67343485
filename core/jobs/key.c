/* key.c -- whose job it is, as a field of its arguments says. */
#include "jobs/private.h"

#include "base/json.h"
#include "base/mem.h"

struct looking {
    struct job *job;
    const char *field;
    int depth;
    bool here; /* the value that comes next is the field's */
};

static bool take(struct looking *l, struct str value, struct err *err)
{
    size_t n = value.n < JOBS_UNIQUE_BYTES ? value.n : JOBS_UNIQUE_BYTES;
    if (!l->here)
        return true;
    while (n < value.n && n > 0 && ((unsigned char)value.p[n] & 0xc0) == 0x80)
        n--; /* whole characters */
    if (n > 0)
        extra_make(l->job)->key = str_dup(str_n(value.p, n));
    return err_set(err, ERR_CANCELLED, "found"); /* the rest need not be read */
}

static bool on_key(void *arg, struct str key, struct err *err)
{
    struct looking *l = arg;
    (void)err;
    l->here = l->depth == 1 && str_eq_c(key, l->field);
    return true;
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    return take(arg, value, err);
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    (void)value;
    return take(arg, text, err);
}

static bool on_begin(void *arg, struct err *err)
{
    struct looking *l = arg;
    (void)err;
    l->depth++;
    l->here = false;
    return true;
}

static bool on_end(void *arg, struct err *err)
{
    (void)err;
    ((struct looking *)arg)->depth--;
    return true;
}

void key_fill(struct job *job, const char *field)
{
    static const struct json_events events = {
        .key = on_key,
        .string = on_string,
        .number = on_number,
        .begin_object = on_begin,
        .end_object = on_end,
        .begin_array = on_begin,
        .end_array = on_end,
    };
    struct looking l = {.job = job, .field = field};
    struct err err = {0};
    json_read(job_args(job), JSON_DEPTH_MAX, &events, &l, &err); /* what is no JSON has no key */
}
