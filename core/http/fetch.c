#include "http/fetch.h"

#include <stdio.h>
#include <strings.h>

#include "base/mem.h"
#include "base/rand.h"
#include "http/tape.h"

/* A pooled connection was checked when it was opened, but perhaps for another plugin's entry,
 * so its address is checked again before each request (fetch_attempt.c). */

static void fetch_free(struct http_fetch *fetch)
{
    fetch_attempt_drop(fetch);
    timer_stop(fetch->client->lane, &fetch->retry);
    fetch_stream_stop(fetch);
    list_remove(&fetch->in_client);
    fetch->client->count--;
    curl_slist_free_all(fetch->headers);
    for (int i = 0; i < fetch->allow.count; i++)
        mem_free(fetch->allow_entries[i]);
    mem_free(fetch->allow_entries);
    buf_free(&fetch->body);
    buf_free(&fetch->answer);
    buf_free(&fetch->copy);
    buf_free(&fetch->header_text);
    mem_free(fetch->location);
    mem_free(fetch->method);
    mem_free(fetch->url);
    mem_free(fetch);
}

void http_fetch_cancel(struct http_fetch *fetch)
{
    fetch_free(fetch);
}

const char *fetch_code_name(enum fetch_code code)
{
    static const char *const names[] = {"ok",  "dns",       "connect",   "timeout",
                                        "tls", "too_large", "forbidden", "protocol"};
    return names[code];
}

void fetch_cut_headers(struct http_fetch *fetch)
{
    const char *p = fetch->header_text.p;
    for (int i = 0; i < fetch->answer_header_count; i++) {
        struct str name = str_c(p);
        struct str value = str_c(p + name.n + 1);
        fetch->answer_headers[i] = (struct fetch_header){name, value};
        p = value.p + value.n + 1;
    }
}

void fetch_finish(struct http_fetch *fetch, struct fetch_result *result)
{
    result->url = str_c(fetch->url);
    result->attempts = fetch->attempts;
    result->elapsed_ns = clock_ns() - fetch->started;
    if (result->code == FETCH_OK) {
        fetch_cut_headers(fetch);
        result->headers = fetch->answer_headers;
        result->header_count = fetch->answer_header_count;
        result->body = buf_str(&fetch->answer);
    }
    /* The easy handle goes first: done may destroy what its callbacks point at. */
    fetch_attempt_drop(fetch);
    fetch->done(fetch->arg, result);
    fetch_free(fetch);
}

static void judge(struct http_fetch *fetch, CURLcode code, struct fetch_result *result)
{
    static const struct {
        CURLcode curl;
        enum fetch_code code;
        const char *message;
    } known[] = {
        {CURLE_COULDNT_RESOLVE_HOST, FETCH_DNS, "could not resolve host"},
        {CURLE_COULDNT_CONNECT, FETCH_CONNECT, "could not connect"},
        {CURLE_OPERATION_TIMEDOUT, FETCH_TIMEOUT, "no answer within the time allowed"},
        {CURLE_SSL_CONNECT_ERROR, FETCH_TLS, "TLS handshake failed"},
        {CURLE_PEER_FAILED_VERIFICATION, FETCH_TLS, "the peer's certificate is not trusted"},
        {CURLE_GOT_NOTHING, FETCH_PROTOCOL, "the peer closed without an answer"},
        {CURLE_PARTIAL_FILE, FETCH_PROTOCOL, "the answer was cut short"},
    };
    result->code = FETCH_PROTOCOL;
    snprintf(result->message, sizeof result->message, "%s", curl_easy_strerror(code));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].curl != code)
            continue;
        result->code = known[i].code;
        snprintf(result->message, sizeof result->message, "%s", known[i].message);
    }
    if (fetch->forbidden) {
        result->code = FETCH_FORBIDDEN;
        snprintf(result->message, sizeof result->message,
                 "the host resolves to an address this plugin may not reach");
    } else if (fetch->too_large) {
        result->code = FETCH_TOO_LARGE;
        snprintf(result->message, sizeof result->message,
                 "the answer is over the limit of %lld bytes", (long long)fetch->max_bytes);
    } else if (fetch->silent) {
        snprintf(result->message, sizeof result->message, "nothing was heard for %lld ms",
                 (long long)(fetch->silence_ns / NS_PER_MS));
    }
}

static void attempt(struct http_fetch *fetch)
{
    struct fetch_result failure = {0};
    if (!fetch_attempt_start(fetch, &failure))
        fetch_finish(fetch, &failure);
}

static void on_retry(struct timer *timer)
{
    attempt((struct http_fetch *)((char *)timer - offsetof(struct http_fetch, retry)));
}

/* "https://host:443", or NULL. */
static char *origin_of(CURLU *url)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *origin = NULL;
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        origin = mem_printf("%s://%s:%s", scheme, host, port);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return origin;
}

/* What was said to one origin in confidence is not said to another. */
static void drop_secrets(struct http_fetch *fetch)
{
    static const char *const secrets[] = {"authorization:", "cookie:", "proxy-authorization:"};
    struct curl_slist *kept = NULL;
    for (struct curl_slist *h = fetch->headers; h; h = h->next) {
        bool secret = false;
        for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
            secret = secret || strncasecmp(h->data, secrets[i], strlen(secrets[i])) == 0;
        if (!secret)
            kept = curl_slist_append(kept, h->data);
    }
    curl_slist_free_all(fetch->headers);
    fetch->headers = kept;
}

/* Takes the Location's URL for the next hop. */
static bool follow(struct http_fetch *fetch)
{
    char *next = NULL;
    CURLU *url = curl_url();
    bool ok = curl_url_set(url, CURLUPART_URL, fetch->url, 0) == CURLUE_OK;
    char *from = ok ? origin_of(url) : NULL;
    ok = ok &&
         curl_url_set(url, CURLUPART_URL, fetch->location, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
         curl_url_get(url, CURLUPART_URL, &next, 0) == CURLUE_OK;
    char *to = ok ? origin_of(url) : NULL;
    curl_url_cleanup(url);
    if (ok) {
        mem_free(fetch->url);
        fetch->url = mem_strdup(next);
    }
    if (ok && (!from || !to || strcmp(from, to) != 0))
        drop_secrets(fetch);
    mem_free(from);
    mem_free(to);
    curl_free(next);
    return ok;
}

static bool may_redirect(const struct http_fetch *fetch, int status)
{
    bool moved = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    return moved && fetch->location && fetch->redirects_left > 0;
}

/* Starts the next hop; false when this answer is the last. */
static bool redirect(struct http_fetch *fetch, int status)
{
    if (!may_redirect(fetch, status) || !follow(fetch))
        return false;
    fetch->redirects_left--;
    if (status == 303 || (status != 307 && status != 308 && strcmp(fetch->method, "POST") == 0)) {
        mem_free(fetch->method); /* RFC 9110 §15.4: these become GET */
        fetch->method = mem_strdup("GET");
        fetch->sent = STR("");
    }
    fetch_attempt_drop(fetch);
    attempt(fetch);
    return true;
}

static bool may_retry(const struct http_fetch *fetch, const struct fetch_result *result)
{
    bool worth = result->code == FETCH_DNS || result->code == FETCH_CONNECT ||
                 (result->code == FETCH_OK &&
                  (result->status == 429 || (result->status >= 502 && result->status <= 504)));
    worth = worth || (fetch->repeatable && (result->code == FETCH_PROTOCOL ||
                                            (result->code == FETCH_OK && result->status == 500)));
    return worth && fetch->retries_left > 0 && clock_ns() + fetch->retry_after_ns < fetch->deadline;
}

bool fetch_goes_on(struct http_fetch *fetch, const struct fetch_result *result)
{
    return may_redirect(fetch, result->status) || may_retry(fetch, result);
}

/* Arms the next try; false when there is none to be made. */
static bool retry(struct http_fetch *fetch, const struct fetch_result *result)
{
    if (!may_retry(fetch, result))
        return false;
    int64_t wait = (int64_t)((double)fetch->backoff_ns * (0.5 + rand_unit()));
    if (fetch->retry_after_ns > wait)
        wait = fetch->retry_after_ns;
    if (clock_ns() + wait >= fetch->deadline)
        return false;
    fetch->retries_left--;
    fetch->backoff_ns *= 2;
    fetch_attempt_drop(fetch);
    timer_start(fetch->client->lane, &fetch->retry, wait);
    return true;
}

void fetch_attempt_ended(struct http_fetch *fetch, CURLcode code)
{
    struct fetch_result result = {.code = FETCH_OK};
    long status = fetch->played;
    if (code != CURLE_OK)
        judge(fetch, code, &result);
    else if (fetch->easy)
        curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK)
        result.status = (int)status;
    if (tape_mode() == TAPE_RECORDS)
        fetch_record(fetch, &result);
    if (!fetch->passes && code == CURLE_OK && redirect(fetch, result.status))
        return;
    if (!fetch->passes && retry(fetch, &result))
        return;
    if (fetch->on_body)
        fetch_stream_ended(fetch, &result);
    else
        fetch_finish(fetch, &result);
}

/* A line break in a header would let a value speak for the plugin. */
static bool header_ok(struct fetch_header header)
{
    for (size_t i = 0; i < header.name.n; i++)
        if (header.name.p[i] <= ' ' || header.name.p[i] > '~' || header.name.p[i] == ':')
            return false;
    for (size_t i = 0; i < header.value.n; i++)
        if (header.value.p[i] == '\r' || header.value.p[i] == '\n' || header.value.p[i] == '\0')
            return false;
    return header.name.n > 0;
}

static bool check_options(const struct http_client *client, const struct fetch_options *o,
                          struct err *err)
{
    if (o->url.n == 0 || o->url.n > FETCH_URL_BYTES || memchr(o->url.p, 0, o->url.n))
        return err_set(err, ERR_INVALID, "url must be 1 to %d bytes", FETCH_URL_BYTES);
    if (o->header_count > FETCH_HEADERS)
        return err_set(err, ERR_LIMIT, "more than %d headers", FETCH_HEADERS);
    for (int i = 0; i < o->header_count; i++) {
        struct str name = o->headers[i].name;
        if (!header_ok(o->headers[i]))
            return err_set(err, ERR_INVALID, "header %.*s has a name or value HTTP cannot carry",
                           (int)name.n, name.p);
        if (name.n == 4 && strncasecmp(name.p, "host", 4) == 0)
            return err_set(err, ERR_INVALID, "header host: the URL says which host is meant");
    }
    if (client->count >= FETCH_PER_CLIENT)
        return err_set(err, ERR_LIMIT, "more than %d requests under way on this lane",
                       FETCH_PER_CLIENT);
    return true;
}

static void copy_headers(struct http_fetch *fetch, const struct fetch_options *o)
{
    bool expect = false;
    for (int i = 0; i < o->header_count; i++) {
        struct fetch_header h = o->headers[i];
        char *line = mem_printf("%.*s%s %.*s", (int)h.name.n, h.name.p, h.value.n ? ":" : ";",
                                (int)h.value.n, h.value.p);
        fetch->headers = curl_slist_append(fetch->headers, line);
        mem_free(line);
        expect = expect || str_eq_c(h.name, "expect");
    }
    if (!expect) /* curl would wait a second for a 100 that few servers send */
        fetch->headers = curl_slist_append(fetch->headers, "Expect:");
}

static void on_ended(struct transfer *transfer, CURLcode code)
{
    fetch_attempt_ended((struct http_fetch *)transfer, code);
}

struct http_fetch *http_fetch(struct http_client *client, const struct fetch_options *o,
                              fetch_done_fn *done, void *arg, struct err *err)
{
    if (!check_options(client, o, err))
        return NULL;
    struct http_fetch *fetch = mem_zero(1, sizeof *fetch);
    fetch->transfer.ended = on_ended;
    fetch->client = client;
    fetch->done = done;
    fetch->arg = arg;
    fetch->method = o->method.n ? str_dup(o->method) : mem_strdup("GET");
    fetch->url = str_dup(o->url);
    if (!o->body_lent)
        buf_add_str(&fetch->body, o->body);
    fetch->sent = o->body_lent ? o->body : buf_str(&fetch->body);
    fetch->allow_entries = mem_zero((size_t)o->allow.count + 1, sizeof *fetch->allow_entries);
    for (int i = 0; i < o->allow.count; i++)
        fetch->allow_entries[i] = mem_strdup(o->allow.entries[i]);
    fetch->allow = (struct allow_list){(const char *const *)fetch->allow_entries, o->allow.count};
    fetch->started = clock_ns();
    fetch->deadline = fetch->started + o->timeout_ns;
    fetch->max_bytes = o->max_bytes;
    fetch->redirects_left = o->redirects;
    fetch->retries_left = o->retries;
    fetch->backoff_ns = o->backoff_ns;
    fetch->repeatable = o->repeatable;
    fetch->exact = o->exact;
    fetch->retry.fire = on_retry;
    fetch_stream_init(fetch, o);
    copy_headers(fetch, o);
    list_push_back(&client->fetches, &fetch->in_client);
    client->count++;
    /* From the loop, so that done never runs before the caller has its handle. */
    timer_start(client->lane, &fetch->retry, 0);
    return fetch;
}
