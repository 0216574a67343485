/* fetch.h -- one outgoing request with its redirects and retries; private to client.c and fetch*.c.
 */
#pragma once

#include <curl/curl.h>

#include "base/clock.h"
#include "base/list.h"
#include "http/client.h"
#include "loop/lane.h"

/* What an easy handle's CURLOPT_PRIVATE points at. */
struct transfer {
    void (*ended)(struct transfer *transfer, CURLcode code); /* lane */
};

struct http_client {
    struct lane *lane;
    CURLM *multi;
    struct timer timer; /* curl's time-out */
    struct list fetches, mails;
    int count;
    char *ca_file;              /* NULL = the system's authorities */
    struct curl_slist *resolve; /* "host:port:address" that a test puts in the place of DNS */
};

enum { FETCH_HOST_BYTES = 255 };

struct http_fetch {
    struct transfer transfer; /* first */
    struct list in_client;
    struct http_client *client;
    fetch_done_fn *done;
    void *arg;
    /* the request, copied */
    char *method, *url;
    struct buf body;
    struct str sent; /* the body, also one that was lent */
    struct curl_slist *headers;
    char **allow_entries;
    struct allow_list allow;
    int64_t deadline, max_bytes, backoff_ns, started;
    int redirects_left, retries_left, attempts;
    bool repeatable, exact;
    /* the attempt under way */
    CURLU *target; /* url, parsed */
    CURL *easy;
    enum allow_reach reach;
    bool forbidden, too_large;
    struct timer retry;
    void (*again)(struct timer *timer); /* what retry.fire was before an answer was played */
    int played;                         /* status of an answer from the tape */
    /* the answer so far */
    int64_t taken; /* bytes of the body */
    struct buf answer, header_text;
    struct fetch_header answer_headers[FETCH_HEADERS];
    int answer_header_count;
    char *location;
    int64_t retry_after_ns; /* -1 = not said */
    /* a body in pieces (fetch_stream.c); what waits for on_body is in answer */
    fetch_head_fn *on_head;
    fetch_body_fn *on_body;
    struct timer flow;           /* what was read goes to the caller outside of curl's calls */
    struct fetch_result outcome; /* once ended */
    struct buf copy;             /* for the tape */
    bool headed, passes;         /* the head is complete; the answer is the caller's */
    bool cut;                    /* it was not, and more came than is kept of it */
    bool head_due, paused, held, ended; /* held: curl waits until there is room */
    /* silence of the peer */
    struct timer silence;
    int64_t silence_ns, heard;
    bool silent; /* for too long */
};

/* The attempt's end as curl tells it: finishes, redirects or retries. */
void fetch_attempt_ended(struct http_fetch *fetch, CURLcode code);
void mail_cancel_all(struct http_client *client); /* mail.c */

/* The same when there is no other attempt. */
void fetch_finish(struct http_fetch *fetch, struct fetch_result *result);
/* Whether this answer leads to another attempt. */
bool fetch_goes_on(struct http_fetch *fetch, const struct fetch_result *result);
void fetch_cut_headers(struct http_fetch *fetch);

/* fetch_attempt.c: sets up the easy handle for fetch->url and adds it.  False
 * with the result's code and message when the URL may not be reached. */
bool fetch_attempt_start(struct http_fetch *fetch, struct fetch_result *failure);
void fetch_attempt_drop(struct http_fetch *fetch);
/* False when it is too much. */
bool fetch_take_header(struct http_fetch *fetch, struct str line);
bool fetch_take_body(struct http_fetch *fetch, struct str bytes);

/* fetch_stream.c.  Begins with each attempt; the empty line after the headers came; a piece was
 * read (after bounds); the attempt is over and no other follows. */
void fetch_stream_begin(struct http_fetch *fetch);
void fetch_stream_headed(struct http_fetch *fetch, int status);
void fetch_stream_take(struct http_fetch *fetch, struct str bytes);
void fetch_stream_ended(struct http_fetch *fetch, const struct fetch_result *result);
void fetch_stream_init(struct http_fetch *fetch, const struct fetch_options *options);
void fetch_stream_stop(struct http_fetch *fetch); /* its timers */

/* client.c: lets curl go on after it was held up.  The fetch may be gone afterwards. */
void fetch_turn(struct http_client *client);

/* fetch_tape.c: answers the attempt from the tape, in a later turn; false like fetch_attempt_start.
 * And notes how one ended. */
bool fetch_play(struct http_fetch *fetch, struct fetch_result *failure);
void fetch_record(struct http_fetch *fetch, const struct fetch_result *result);
