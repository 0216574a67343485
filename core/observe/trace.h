/* trace.h -- spans: what one request, or one job, did and how long it took, for OpenTelemetry.
 *
 * A trace begins with a request or a job that nobody traced before; whether it is kept is decided
 * there, once: by the caller's traceparent (W3C Trace Context), else by trace.ratio.  Of a trace
 * that is not kept there are no spans: every function takes NULL for a span and does nothing.
 * A span's parent is named by ids, so the two may end in any order, on any lane, in any process.
 *
 * Ended spans wait, bounded in number, for a thread that sends them in batches as OTLP/HTTP JSON to
 * trace.url.  A collector that is away or slow costs spans, which are counted, and nothing else.
 *
 * Threads: a span belongs to whoever began it until span_end(); different spans may be used from
 * different threads at a time.  Nothing here waits but trace_stop().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct span;

enum {
    TRACE_ID_BYTES = 33,          /* 32 hex digits and a NUL */
    TRACE_SPAN_ID_BYTES = 17,     /* 16 and a NUL */
    TRACE_PARENT_BYTES = 56,      /* "00-<trace>-<span>-01" and a NUL */
    TRACE_STATE_BYTES = 512,      /* of a tracestate that is passed on; a longer one is not */
    TRACE_ATTRIBUTES_BYTES = 768, /* of one span, encoded; what is over is left out and counted */
    TRACE_TEXT_BYTES = 256,       /* of one text in them; a longer one is cut */
};

/* ORDER span_kind, as OTLP numbers them. */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };

/* Where something stands in a trace: what is handed on. */
struct trace_context {
    char trace_id[TRACE_ID_BYTES];
    char span_id[TRACE_SPAN_ID_BYTES]; /* "": the next span is the trace's first */
    bool sampled;
};

struct trace_options {
    const char *url;     /* base of an OTLP/HTTP receiver, "http://host:4318"; "" = off */
    const char *headers; /* "name=value,name=value", sent with every batch */
    const char *service, *node, *version;
    double ratio; /* 0 … 1 of the traces that begin here */
    bool parent;  /* a caller's decision is followed */
    int spans;    /* that exist at a time, waiting ones included */
};

/* Before any lane runs.  False with *err when the URL or headers are wrong.  Without a URL nothing
 * starts and true is returned. */
bool trace_start(const struct trace_options *options, struct err *err);
/* Sends what waits, at most for a second, and frees everything; no span may be in use.  Waits. */
void trace_stop(void);
bool trace_is_on(void);

/* "00-<32 hex>-<16 hex>-<2 hex>"; false when it is anything else. */
bool trace_parse(struct str traceparent, struct trace_context *out);
void trace_print(const struct trace_context *context, char out[TRACE_PARENT_BYTES]);
/* A tracestate that may be passed on: printable, not too long. */
bool trace_state_valid(struct str tracestate);
/* A trace that begins here: an id unless one is given (32 hex digits, or NULL), and whether it is
 * kept. */
void trace_begin(const char *trace_id, struct trace_context *out);
/* Decides a trace that a caller began. */
void trace_follow(struct trace_context *context);

/* NULL when the context is not sampled, tracing is off or there are too many spans already
 * (counted). name is cut at 128 bytes. */
struct span *span_begin(enum span_kind kind, const struct trace_context *parent, struct str name);
struct span *span_child(const struct span *parent, enum span_kind kind, struct str name);
void span_set_kind(struct span *span, enum span_kind kind);
void span_began(struct span *span, int64_t ago_ns); /* it began so long ago */
void span_text(struct span *span, const char *key, struct str value);
void span_int(struct span *span, const char *key, int64_t value);
void span_number(struct span *span, const char *key, double value);
void span_bool(struct span *span, const char *key, bool value);
void span_fail(struct span *span, struct str message); /* its status is "error"; the first holds */
void span_end(struct span *span);                      /* hands it over */
/* Hands it on. */
void span_context(const struct span *span, struct trace_context *out);
const char *span_trace_id(const struct span *span); /* as long as the span; NULL for NULL */
