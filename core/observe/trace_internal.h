/* trace_internal.h -- what trace.c (spans) and trace_send.c (the thread that sends them) share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "observe/metrics.h"
#include "observe/trace.h"

enum { SPAN_NAME_BYTES = 128, SPAN_BATCH = 512 };

struct span {
    struct list link; /* in trace.ended */
    struct trace_context self;
    char parent[TRACE_SPAN_ID_BYTES];
    char name[SPAN_NAME_BYTES + 1];
    enum span_kind kind;
    int64_t began_wall, began_ns, took_ns;
    bool failed;
    char message[TRACE_TEXT_BYTES + 1];
    int left_out; /* attributes that had no room */
    size_t attributes_n;
    char attributes[TRACE_ATTRIBUTES_BYTES]; /* JSON objects with commas between them */
};

/* One a process, as its log is. */
struct tracing {
    _Atomic bool on;
    struct trace_options options; /* immutable while on; texts are owned */
    _Atomic int live;             /* spans that exist */
    struct metric *sent, *dropped, *refused, *waiting_gauge;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list ended; /* under lock, as what follows */
    int waiting;
    bool stopping;
};
extern struct tracing tracing;

/* trace_send.c */
bool trace_send_start(struct err *err);
void trace_send_stop(void);
/* trace_json.c.  Appends the request that carries the spans of the list. */
void trace_write_batch(const struct list *batch, struct buf *out);
/* Frees the span; it is not counted as anything. */
void span_free(struct span *span);
/* Cut at a character's border. */
size_t trace_cut(struct str text, size_t most);
