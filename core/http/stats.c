#include "http/stats.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/metrics.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct http_stats *all; /* under lock; only grows */

static const char *const class_names[HTTP_STATUS_CLASSES] = {"cancelled", "1xx", "2xx",
                                                             "3xx",       "4xx", "5xx"};

static struct http_stats *create(const char *owner)
{
    struct http_stats *stats = mem_zero(1, sizeof *stats);
    stats->owner = mem_strdup(owner);
    struct buf labels = {0};
    for (int i = 0; i < HTTP_STATUS_CLASSES; i++) {
        buf_clear(&labels);
        metrics_label(&labels, "plugin", str_c(owner));
        metrics_label(&labels, "class", str_c(class_names[i]));
        stats->by_class[i] =
            metrics_counter("maru_http_requests_total", "Requests by class of status.", labels.p);
    }
    buf_clear(&labels);
    metrics_label(&labels, "plugin", str_c(owner));
    stats->seconds = metrics_histogram("maru_http_request_seconds",
                                       "From the first byte of a request to the last of its "
                                       "answer.",
                                       labels.p);
    buf_free(&labels);
    return stats;
}

struct http_stats *http_stats_of(const char *owner)
{
    pthread_mutex_lock(&lock);
    struct http_stats *stats = all;
    while (stats && strcmp(stats->owner, owner) != 0)
        stats = stats->next;
    if (!stats) {
        stats = create(owner);
        stats->next = all;
        all = stats;
    }
    pthread_mutex_unlock(&lock);
    return stats;
}

void http_stats_count(struct http_stats *stats, int status, int64_t took_ns)
{
    int class = status / 100;
    if (class < 0 || class >= HTTP_STATUS_CLASSES)
        class = HTTP_STATUS_CLASSES - 1;
    metric_add(stats->by_class[class], 1);
    metric_observe(stats->seconds, (double)took_ns / (double)NS_PER_SECOND);
}
