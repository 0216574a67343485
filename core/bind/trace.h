/* trace.h -- where a task stands in its trace, handed on: to other servers, and to the jobs it
 * pushes. */
#pragma once

#include "observe/trace.h"
#include "vm/task.h"

struct fetch_header;

/* traceparent and tracestate for a request to another server: of the wait that follows, or, where
 * the trace is not kept, of its id.  Lives as long as the headers point into it. */
struct trace_headers {
    char parent[TRACE_PARENT_BYTES];
};
/* Appends them behind `count` headers, of which there may be `most`; returns how many there are
 * now. A header that the plugin gave itself stands. */
int trace_headers(struct task *task, struct trace_headers *text, struct fetch_header *headers,
                  int count, int most);

/* For a job that is pushed by the wait that follows: "00-…-01", behind a space the tracestate.  In
 * the call's memory; empty where the trace is not kept. */
struct str trace_of_push(struct task *task);

/* The span of a job's run: what trace_of_push() made, or a trace that begins here.  NULL when it is
 * not kept; the caller's.  *state, when there is one, points into trace. */
struct span *trace_of_job(struct str trace, struct str kind, const char **state);
