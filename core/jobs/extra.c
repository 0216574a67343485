#include "jobs/private.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

const struct job_extra extra_none;

/* What is kept in the column.  Times and durations are in ns. */
enum field_type { FIELD_INT64, FIELD_TEXT };
struct field {
    const char *name;
    enum field_type type;
    size_t at;
};
static const struct field fields[] = {
    {"result_ttl", FIELD_INT64, offsetof(struct job_extra, result_ttl_ns)},
    {"expires_at", FIELD_INT64, offsetof(struct job_extra, expires_at)},
    {"key", FIELD_TEXT, offsetof(struct job_extra, key)},
    {"unique_queued", FIELD_INT64, offsetof(struct job_extra, unique_queued)},
    {"unique_period", FIELD_INT64, offsetof(struct job_extra, unique_period_ns)},
    {"batch", FIELD_INT64, offsetof(struct job_extra, batch)},
    {"workflow", FIELD_INT64, offsetof(struct job_extra, workflow)},
    {"step", FIELD_INT64, offsetof(struct job_extra, step)},
    {"logged", FIELD_INT64, offsetof(struct job_extra, logged)},
    {"previous", FIELD_TEXT, offsetof(struct job_extra, previous)},
    {"trace", FIELD_TEXT, offsetof(struct job_extra, trace)},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static int64_t *number_of(const struct job_extra *extra, const struct field *f)
{
    return (int64_t *)(void *)((char *)extra + f->at);
}

static char **text_of(const struct job_extra *extra, const struct field *f)
{
    return (char **)(void *)((char *)extra + f->at);
}

struct job_extra *extra_make(struct job *job)
{
    if (!job->extra) {
        job->extra = mem_zero(1, sizeof *job->extra);
        job->extra->job = job;
    }
    return job->extra;
}

void extra_free(struct job *job)
{
    struct job_extra *extra = job->extra;
    if (!extra)
        return;
    for (int i = 0; i < FIELDS; i++)
        if (fields[i].type == FIELD_TEXT)
            mem_free(*text_of(extra, &fields[i]));
    mem_free(extra->error);
    mem_free(extra->message);
    mem_free(extra->traceback);
    mem_free(extra);
    job->extra = NULL;
}

static void fill_external(struct job_extra *extra, const struct job_spec *spec)
{
    int64_t soft_ms = (spec->soft_timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    extra->external = true;
    extra->wire_priority = (uint8_t)spec->wire_priority;
    extra->wire_retries = (uint16_t)spec->wire_retries;
    extra->soft_timeout_ms = soft_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)soft_ms;
    extra->expires_at = spec->expires_at_wall;
}

void extra_fill(struct job *job, const struct job_spec *spec)
{
    int64_t timeout_ms = (spec->timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    if (timeout_ms)
        extra_make(job)->timeout_ms = timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms;
    if (spec->scheduled_at_wall)
        extra_make(job)->scheduled_at = spec->scheduled_at_wall;
    if (spec->unique.n && spec->unique_queued)
        extra_make(job)->unique_queued = 1;
    if (spec->result_ttl_ns)
        extra_make(job)->result_ttl_ns = spec->result_ttl_ns;
    if (spec->external)
        fill_external(extra_make(job), spec);
    if (spec->key.n)
        extra_make(job)->key = str_dup(spec->key);
    if (spec->trace.n)
        extra_make(job)->trace = str_dup(spec->trace);
}

void extra_read(struct job *job, int64_t timeout_ms, int64_t scheduled_at)
{
    if (timeout_ms)
        extra_make(job)->timeout_ms = (uint32_t)timeout_ms;
    if (scheduled_at)
        extra_make(job)->scheduled_at = scheduled_at;
}

void extra_set_error(struct job *job, char *error)
{
    if (error || job->extra) {
        mem_free(extra_make(job)->error);
        job->extra->error = error;
    }
}

void extra_clear_progress(struct job *job)
{
    if (!job->extra)
        return;
    mem_free(job->extra->message);
    job->extra->message = NULL;
    job->extra->has_progress = false;
}

void extra_print(const struct job_extra *extra, struct buf *out)
{
    struct json w = json_to(out);
    bool open = false;
    for (int i = 0; i < FIELDS; i++) {
        const struct field *f = &fields[i];
        if (f->type == FIELD_INT64 ? !*number_of(extra, f) : !*text_of(extra, f))
            continue;
        if (!open)
            json_open(&w, '{');
        open = true;
        json_key(&w, f->name);
        if (f->type == FIELD_INT64)
            json_int(&w, *number_of(extra, f));
        else
            json_cstr(&w, *text_of(extra, f));
    }
    if (open)
        json_close(&w, '}');
}

struct parsing {
    struct job_extra *extra;
    const struct field *field; /* NULL: one we do not know */
    int depth;
};

static bool on_key(void *arg, struct str key, struct err *err)
{
    struct parsing *p = arg;
    (void)err;
    p->field = NULL;
    for (int i = 0; i < FIELDS && p->depth == 1; i++)
        if (str_eq_c(key, fields[i].name))
            p->field = &fields[i];
    return true;
}

static bool on_number(void *arg, double value, struct str text, struct err *err)
{
    struct parsing *p = arg;
    char digits[32];
    (void)value;
    (void)err;
    if (!p->field || p->field->type != FIELD_INT64 || text.n >= sizeof digits)
        return true;
    memcpy(digits, text.p, text.n);
    digits[text.n] = 0;
    *number_of(p->extra, p->field) = strtoll(digits, NULL, 10);
    return true;
}

static bool on_string(void *arg, struct str value, struct err *err)
{
    struct parsing *p = arg;
    (void)err;
    if (!p->field || p->field->type != FIELD_TEXT)
        return true;
    char **text = text_of(p->extra, p->field);
    mem_free(*text);
    *text = str_dup(value);
    return true;
}

static bool on_begin(void *arg, struct err *err)
{
    (void)err;
    ((struct parsing *)arg)->depth++;
    ((struct parsing *)arg)->field = NULL;
    return true;
}

static bool on_end(void *arg, struct err *err)
{
    (void)err;
    ((struct parsing *)arg)->depth--;
    return true;
}

bool extra_parse(struct job *job, struct str text, struct err *err)
{
    static const struct json_events events = {
        .key = on_key,
        .number = on_number,
        .string = on_string,
        .begin_object = on_begin,
        .end_object = on_end,
        .begin_array = on_begin,
        .end_array = on_end,
    };
    if (text.n == 0)
        return true;
    struct parsing p = {.extra = extra_make(job)};
    if (json_read(text, JSON_DEPTH_DEFAULT, &events, &p, err))
        return true;
    err->code = ERR_CORRUPT;
    return err_wrap(err, "jobs: extra");
}
