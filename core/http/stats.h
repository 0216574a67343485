/* stats.h -- what is counted of the requests of one owner (a plugin, or "host").
 *
 * http_requests_total{plugin,class}, http_request_seconds{plugin}.  Any thread.
 */
#pragma once

#include <stdint.h>

struct metric;

enum {
    HTTP_STATUS_CLASSES = 6
}; /* 1xx … 5xx by first digit; 0 = the client left before an answer */

struct http_stats {
    struct metric *by_class[HTTP_STATUS_CLASSES];
    struct metric *seconds;
    struct http_stats *next; /* private */
    char *owner;
};

/* One record per owner for the life of the process. */
struct http_stats *http_stats_of(const char *owner);
/* status 0: the client left. */
void http_stats_count(struct http_stats *stats, int status, int64_t took_ns);
