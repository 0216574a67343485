/* client.h -- outgoing HTTP(S) on a lane's loop, by libcurl's multi interface.
 *
 * One client per lane: connections are pooled per host and speak HTTP/2 where
 * the peer does; names are resolved on curl's own threads.  A fetch follows
 * redirects itself, so that every hop is checked against the allow list, and
 * retries what is worth it: name and connect errors, 429 and 502-504 (RFC 9110
 * §10.2.3 Retry-After is honoured), all within one time-out.
 *
 * Threads: everything on the client's lane.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "http/allow.h"

struct http_client;
struct http_fetch;
struct lane;

enum {
    FETCH_URL_BYTES = 8192,
    FETCH_HEADERS = 100,
    FETCH_REDIRECTS = 10,
    FETCH_RETRIES = 10,
    FETCH_PER_CLIENT = 1024,        /* fetches under way on one lane */
    FETCH_WINDOW_BYTES = 64 * 1024, /* of a body in pieces that wait for on_body */
};

/* ORDER fetch_code: fetch_code_name() gives the words Lua sees. */
enum fetch_code {
    FETCH_OK,        /* an answer, whatever its status */
    FETCH_DNS,       /* "dns" */
    FETCH_CONNECT,   /* "connect" */
    FETCH_TIMEOUT,   /* "timeout" */
    FETCH_TLS,       /* "tls" */
    FETCH_TOO_LARGE, /* "too_large" */
    FETCH_FORBIDDEN, /* "forbidden": not in the allow list, or an address never reached */
    FETCH_PROTOCOL,  /* "protocol": a broken or cut answer */
};

struct fetch_header {
    struct str name, value; /* name in lower case in answers */
};

struct fetch_result;
/* Status, headers and url of the answer whose body follows, once, before its first piece. */
typedef void fetch_head_fn(void *arg, const struct fetch_result *head);
/* A piece of the body, decoded, in order; borrowed.  Both may pause or cancel the fetch. */
typedef void fetch_body_fn(void *arg, struct str bytes);

struct fetch_options {
    struct str method, url, body;
    bool body_lent; /* it stays where it is until done, or cancel: no copy is made */
    const struct fetch_header *headers;
    int header_count;
    struct allow_list allow; /* copied */
    int64_t timeout_ns;      /* of the whole, retries included */
    int64_t max_bytes;       /* of the decoded body, also of one in pieces */
    int redirects, retries;
    int64_t backoff_ns; /* before the first retry; doubles, with jitter */
    int64_t silence_ns; /* without a byte of the answer, the first one included; 0 = timeout_ns
                           alone.  Time in which the caller holds the body up does not count. */
    /* With on_body the body comes in pieces and result.body is empty.  Answers that lead to
     * another attempt (redirects, retries) are not the caller's to see. */
    fetch_head_fn *on_head; /* may be NULL */
    fetch_body_fn *on_body;
    bool repeatable; /* 500 and broken answers are tried again, too */
    bool exact;      /* the path as it is written ("/a/../b"), the body as it is sent */
};

/* What came of it; borrowed until done returns. */
struct fetch_result {
    enum fetch_code code;
    char message[256]; /* "could not resolve host api.example.com" */
    int status;
    const struct fetch_header *headers;
    int header_count;
    struct str body, url; /* url: the last hop's */
    int64_t elapsed_ns;
    int attempts;
};

typedef void fetch_done_fn(void *arg, const struct fetch_result *result);

struct http_client *http_client_create(struct lane *lane, struct err *err);
/* PEM file of the authorities its peers are checked against, in place of the system's; "" = those.
 */
void http_client_ca(struct http_client *client, const char *path);
void http_client_destroy(struct http_client *client); /* cancels what is under way */

/* Starts; done is called once, later, on the lane, unless cancelled before.
 * Options are copied.  NULL with *err for a wrong URL, header or bound. */
struct http_fetch *http_fetch(struct http_client *client, const struct fetch_options *options,
                              fetch_done_fn *done, void *arg, struct err *err);
/* Whether a request of its is out in the network. */
bool http_client_is_outside(const struct http_client *client);
/* done will not be called. */
void http_fetch_cancel(struct http_fetch *fetch);

/* No piece comes, nor done, until resume; the peer is held up once the window is full. */
void http_fetch_pause(struct http_fetch *fetch);
void http_fetch_resume(struct http_fetch *fetch); /* pieces come from later turns of the loop */

const char *fetch_code_name(enum fetch_code code);
