/* fetch.h -- one outgoing request with its redirects and retries; private to client.c and fetch*.c.
 */
#pragma once

#include <curl/curl.h>

#include "base/clock.h"
#include "base/list.h"
#include "http/client.h"
#include "loop/lane.h"

struct http_client {
    struct lane *lane;
    CURLM *multi;
    struct timer timer; /* curl's time-out */
    struct list fetches;
    int count;
    struct curl_slist *resolve; /* "host:port:address" that a test puts in the place of DNS */
};

enum { FETCH_HOST_BYTES = 255 };

struct http_fetch {
    struct list in_client;
    struct http_client *client;
    fetch_done_fn *done;
    void *arg;
    /* the request, copied */
    char *method, *url;
    struct buf body;
    struct curl_slist *headers;
    char **allow_entries;
    struct allow_list allow;
    int64_t deadline, max_bytes, backoff_ns, started;
    int redirects_left, retries_left, attempts;
    /* the attempt under way */
    CURLU *target; /* url, parsed */
    CURL *easy;
    enum allow_reach reach;
    bool forbidden, too_large;
    struct timer retry;
    void (*again)(struct timer *timer); /* what retry.fire was before an answer was played */
    int played;                         /* status of an answer from the tape */
    /* the answer so far */
    struct buf answer, header_text;
    struct fetch_header answer_headers[FETCH_HEADERS];
    int answer_header_count;
    char *location;
    int64_t retry_after_ns; /* -1 = not said */
};

/* The attempt's end as curl tells it: finishes, redirects or retries. */
void fetch_attempt_ended(struct http_fetch *fetch, CURLcode code);

/* fetch_attempt.c: sets up the easy handle for fetch->url and adds it.  False
 * with the result's code and message when the URL may not be reached. */
bool fetch_attempt_start(struct http_fetch *fetch, struct fetch_result *failure);
void fetch_attempt_drop(struct http_fetch *fetch);
/* False when it is too much. */
bool fetch_take_header(struct http_fetch *fetch, struct str line);
bool fetch_take_body(struct http_fetch *fetch, struct str bytes);

/* fetch_tape.c: answers the attempt from the tape, in a later turn; false like fetch_attempt_start.
 * And notes how one ended. */
bool fetch_play(struct http_fetch *fetch, struct fetch_result *failure);
void fetch_record(struct http_fetch *fetch, const struct fetch_result *result);
