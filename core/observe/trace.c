#include "observe/trace.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/trace_internal.h"

struct tracing tracing = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void put_hex(char *out, uint64_t value)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[value >> shift & 15];
}

/* Never zero, which is no id. */
static void make_id(char *out, int digits)
{
    for (int i = 0; i < digits; i += 16)
        put_hex(out + i, rand_u64() | 1);
    out[digits] = '\0';
}

static bool is_id(struct str s)
{
    bool zero = true;
    for (size_t i = 0; i < s.n; i++) {
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
        zero = zero && s.p[i] == '0';
    }
    return !zero;
}

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A later version may say more behind a further "-" (W3C Trace Context §3.2.2.3). */
bool trace_parse(struct str s, struct trace_context *out)
{
    if (s.n < 55 || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-' || digit(s.p[0]) < 0 ||
        digit(s.p[1]) < 0 || digit(s.p[53]) < 0 || digit(s.p[54]) < 0)
        return false;
    bool first = s.p[0] == '0' && s.p[1] == '0';
    if ((s.p[0] == 'f' && s.p[1] == 'f') || (first && s.n > 55) || (s.n > 55 && s.p[55] != '-') ||
        !is_id(str_n(s.p + 3, 32)) || !is_id(str_n(s.p + 36, 16)))
        return false;
    *out = (struct trace_context){.sampled = digit(s.p[54]) & 1};
    memcpy(out->trace_id, s.p + 3, 32);
    memcpy(out->span_id, s.p + 36, 16);
    return true;
}

void trace_print(const struct trace_context *context, char out[TRACE_PARENT_BYTES])
{
    char made[TRACE_SPAN_ID_BYTES];
    const char *span = context->span_id;
    if (!*span) {
        make_id(made, 16);
        span = made;
    }
    snprintf(out, TRACE_PARENT_BYTES, "00-%s-%s-%s", context->trace_id, span,
             context->sampled ? "01" : "00");
}

bool trace_state_valid(struct str s)
{
    if (s.n == 0 || s.n > TRACE_STATE_BYTES)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    return true;
}

/* The lower half of the id decides, so that every process that has the same ratio keeps the same
 * traces. */
static bool is_chosen(const char *trace_id)
{
    double share = (double)strtoull(trace_id + 16, NULL, 16) / 18446744073709551616.0;
    return share < tracing.options.ratio;
}

void trace_begin(const char *trace_id, struct trace_context *out)
{
    *out = (struct trace_context){0};
    if (trace_id)
        memcpy(out->trace_id, trace_id, TRACE_ID_BYTES - 1);
    else
        make_id(out->trace_id, 32);
    out->sampled = trace_is_on() && is_chosen(out->trace_id);
}

void trace_follow(struct trace_context *context)
{
    if (!tracing.options.parent)
        context->sampled = is_chosen(context->trace_id);
}

bool trace_is_on(void)
{
    return atomic_load_explicit(&tracing.on, memory_order_relaxed);
}

/* ---- spans --------------------------------------------------------------- */

size_t trace_cut(struct str text, size_t most)
{
    size_t n = text.n;
    if (n <= most)
        return n;
    for (n = most; n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80; n--)
        ;
    return n;
}

static struct span *make(enum span_kind kind, const char *trace_id, const char *parent,
                         struct str name)
{
    if (atomic_fetch_add_explicit(&tracing.live, 1, memory_order_relaxed) >=
        tracing.options.spans) {
        atomic_fetch_sub_explicit(&tracing.live, 1, memory_order_relaxed);
        metric_add(tracing.dropped, 1);
        return NULL;
    }
    struct span *span = mem_alloc(sizeof *span);
    memset(span, 0, offsetof(struct span, attributes));
    memcpy(span->self.trace_id, trace_id, TRACE_ID_BYTES);
    memcpy(span->parent, parent, TRACE_SPAN_ID_BYTES);
    make_id(span->self.span_id, 16);
    span->self.sampled = true;
    span->kind = kind;
    memcpy(span->name, name.p, trace_cut(name, SPAN_NAME_BYTES));
    span->began_wall = clock_wall_ns();
    span->began_ns = clock_steady_ns();
    return span;
}

struct span *span_begin(enum span_kind kind, const struct trace_context *parent, struct str name)
{
    if (!parent->sampled || !trace_is_on())
        return NULL;
    return make(kind, parent->trace_id, parent->span_id, name);
}

struct span *span_child(const struct span *parent, enum span_kind kind, struct str name)
{
    return parent ? make(kind, parent->self.trace_id, parent->self.span_id, name) : NULL;
}

void span_set_kind(struct span *span, enum span_kind kind)
{
    if (span)
        span->kind = kind;
}

void span_began(struct span *span, int64_t ago_ns)
{
    if (!span || ago_ns <= 0)
        return;
    span->began_wall -= ago_ns;
    span->began_ns -= ago_ns;
}

/* What json_write_number and friends have put behind `key` goes into the span when it fits. */
static void add(struct span *span, const char *key, const char *type, struct str value)
{
    struct buf text = {0};
    buf_add_c(&text, span->attributes_n ? ",{\"key\":" : "{\"key\":");
    json_write_string(&text, str_c(key));
    buf_printf(&text, ",\"value\":{\"%s\":%.*s}}", type, (int)value.n, value.p);
    if (span->attributes_n + text.n <= sizeof span->attributes) {
        memcpy(span->attributes + span->attributes_n, text.p, text.n);
        span->attributes_n += text.n;
    } else {
        span->left_out++;
    }
    buf_free(&text);
}

void span_text(struct span *span, const char *key, struct str value)
{
    struct buf text = {0};
    if (!span)
        return;
    json_write_string(&text, str_n(value.p, trace_cut(value, TRACE_TEXT_BYTES)));
    add(span, key, "stringValue", buf_str(&text));
    buf_free(&text);
}

/* OTLP's JSON writes 64-bit numbers as text. */
void span_int(struct span *span, const char *key, int64_t value)
{
    char text[32];
    if (!span)
        return;
    snprintf(text, sizeof text, "\"%lld\"", (long long)value);
    add(span, key, "intValue", str_c(text));
}

void span_number(struct span *span, const char *key, double value)
{
    struct buf text = {0};
    if (span && json_write_number(&text, value))
        add(span, key, "doubleValue", buf_str(&text));
    buf_free(&text);
}

void span_bool(struct span *span, const char *key, bool value)
{
    if (span)
        add(span, key, "boolValue", str_c(value ? "true" : "false"));
}

void span_fail(struct span *span, struct str message)
{
    if (!span || span->failed)
        return;
    span->failed = true;
    memcpy(span->message, message.p, trace_cut(message, TRACE_TEXT_BYTES));
}

void span_free(struct span *span)
{
    mem_free(span);
    atomic_fetch_sub_explicit(&tracing.live, 1, memory_order_relaxed);
}

void span_end(struct span *span)
{
    if (!span)
        return;
    span->took_ns = clock_steady_ns() - span->began_ns;
    pthread_mutex_lock(&tracing.lock);
    bool kept = trace_is_on() && !tracing.stopping;
    if (kept)
        list_push_back(&tracing.ended, &span->link);
    bool full = kept && ++tracing.waiting % SPAN_BATCH == 0;
    pthread_mutex_unlock(&tracing.lock);
    if (full)
        pthread_cond_signal(&tracing.wake);
    if (!kept)
        span_free(span);
}

void span_context(const struct span *span, struct trace_context *out)
{
    *out = span ? span->self : (struct trace_context){0};
}

const char *span_trace_id(const struct span *span)
{
    return span ? span->self.trace_id : NULL;
}

/* ---- start and stop ------------------------------------------------------ */

static void count_waiting(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&tracing.lock);
    int waiting = tracing.waiting;
    pthread_mutex_unlock(&tracing.lock);
    metric_set(tracing.waiting_gauge, waiting);
}

static void open_metrics(void)
{
    static const char name[] = "maru_trace_spans_total", help[] = "Spans of traces, by what "
                                                                  "became of them.";
    if (tracing.sent)
        return;
    tracing.sent = metrics_counter(name, help, "outcome=\"sent\"");
    tracing.dropped = metrics_counter(name, help, "outcome=\"dropped\"");
    tracing.refused = metrics_counter(name, help, "outcome=\"refused\"");
    tracing.waiting_gauge =
        metrics_gauge("maru_trace_spans_waiting", "Ended spans that are not sent yet.", "");
    metrics_on_scrape(count_waiting, NULL);
}

bool trace_start(const struct trace_options *options, struct err *err)
{
    if (!*options->url)
        return true;
    tracing.options = *options;
    tracing.options.url = mem_strdup(options->url);
    tracing.options.headers = mem_strdup(options->headers);
    tracing.options.service = mem_strdup(options->service);
    tracing.options.node = mem_strdup(options->node);
    tracing.options.version = mem_strdup(options->version);
    list_init(&tracing.ended);
    tracing.stopping = false;
    open_metrics();
    if (!trace_send_start(err)) {
        trace_stop();
        return err_wrap(err, "trace");
    }
    atomic_store(&tracing.on, true);
    return true;
}

void trace_stop(void)
{
    const struct trace_options *o = &tracing.options;
    if (!o->url)
        return;
    trace_send_stop();
    atomic_store(&tracing.on, false);
    const char *const texts[] = {o->url, o->headers, o->service, o->node, o->version};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mem_free((void *)(uintptr_t)texts[i]);
    tracing.options = (struct trace_options){0};
}
