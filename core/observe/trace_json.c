/* trace_json.c -- a batch of spans as OTLP's JSON (ExportTraceServiceRequest): ids in hex, 64-bit
 * numbers as text. */
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "observe/trace_internal.h"

static void attribute(struct json *w, const char *key, const char *value)
{
    json_open(w, '{');
    json_key(w, "key");
    json_cstr(w, key);
    json_key(w, "value");
    json_open(w, '{');
    json_key(w, "stringValue");
    json_cstr(w, value);
    json_close(w, '}');
    json_close(w, '}');
}

static void write_resource(struct json *w)
{
    char host[128] = "";
    gethostname(host, sizeof host - 1);
    json_key(w, "resource");
    json_open(w, '{');
    json_key(w, "attributes");
    json_open(w, '[');
    attribute(w, "service.name", tracing.options.service);
    attribute(w, "service.version", tracing.options.version);
    attribute(w, "service.instance.id", tracing.options.node);
    attribute(w, "host.name", host);
    json_close(w, ']');
    json_close(w, '}');
}

static void write_time(struct json *w, const char *key, int64_t wall_ns)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)wall_ns);
    json_key(w, key);
    json_cstr(w, text);
}

static void write_status(struct json *w, const struct span *span)
{
    json_key(w, "status");
    json_open(w, '{');
    if (span->failed) {
        json_key(w, "code");
        json_int(w, 2);
        json_key(w, "message");
        json_cstr(w, span->message);
    }
    json_close(w, '}');
}

static void write_span(struct json *w, const struct span *span)
{
    json_open(w, '{');
    json_key(w, "traceId");
    json_cstr(w, span->self.trace_id);
    json_key(w, "spanId");
    json_cstr(w, span->self.span_id);
    json_key(w, "parentSpanId");
    json_cstr(w, span->parent);
    json_key(w, "name");
    json_cstr(w, span->name);
    json_key(w, "kind");
    json_int(w, span->kind);
    write_time(w, "startTimeUnixNano", span->began_wall);
    write_time(w, "endTimeUnixNano", span->began_wall + span->took_ns);
    json_key(w, "attributes");
    json_open(w, '[');
    if (span->attributes_n)
        json_raw(w, str_n(span->attributes, span->attributes_n));
    json_close(w, ']');
    json_key(w, "droppedAttributesCount");
    json_int(w, span->left_out);
    write_status(w, span);
    json_close(w, '}');
}

void trace_write_batch(const struct list *batch, struct buf *out)
{
    struct json w = json_to(out);
    json_open(&w, '{');
    json_key(&w, "resourceSpans");
    json_open(&w, '[');
    json_open(&w, '{');
    write_resource(&w);
    json_key(&w, "scopeSpans");
    json_open(&w, '[');
    json_open(&w, '{');
    json_key(&w, "scope");
    json_open(&w, '{');
    json_key(&w, "name");
    json_cstr(&w, "maru");
    json_key(&w, "version");
    json_cstr(&w, tracing.options.version);
    json_close(&w, '}');
    json_key(&w, "spans");
    json_open(&w, '[');
    list_each (link, batch)
        write_span(&w, list_entry(link, struct span, link));
    json_close(&w, ']');
    json_close(&w, '}');
    json_close(&w, ']');
    json_close(&w, '}');
    json_close(&w, ']');
    json_close(&w, '}');
}
