/* metrics.h -- counters, gauges and histograms in Prometheus' terms.
 *
 * A metric is looked up (under a lock) once and kept; updates are relaxed
 * atomics and may come from any thread.  Names: [a-z_][a-z0-9_]*, unit last
 * (_seconds, _bytes, _total).  Labels are text as Prometheus prints them,
 * `queue="default",plugin="x"`, or "".
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

struct metric;

/* Over these a shared `overflow` series counts. */
enum {
    METRICS_SERIES_MAX = 10000,
    METRICS_OWNER_MAX = 1000, /* with the same first label (a plugin) */
};
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM }; /* ORDER metric_kind */

/* NULL when the name is another kind's. */
struct metric *metrics_get(enum metric_kind kind, const char *name, const char *help,
                           const char *labels);
/* The same for names that are nobody else's. */
struct metric *metrics_counter(const char *name, const char *help, const char *labels);
struct metric *metrics_gauge(const char *name, const char *help, const char *labels);
/* Seconds; buckets 100 us … 60 s in steps of about 2.5. */
struct metric *metrics_histogram(const char *name, const char *help, const char *labels);
void metric_add(struct metric *m, double by);          /* counter, gauge */
void metric_set(struct metric *m, double value);       /* gauge */
void metric_observe(struct metric *m, double seconds); /* histogram */
double metric_value(const struct metric *m);
/* Appends one label pair, escaped, to a label text under construction. */
void metrics_label(struct buf *labels, const char *name, struct str value);
void metrics_on_scrape(void (*fn)(void *arg), void *arg); /* refreshes gauges before a scrape */
void metrics_print(struct buf *out); /* the whole registry, Prometheus text format 0.0.4 */
