/* fetch_attempt.c -- one attempt of a fetch: the easy handle and its callbacks. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/fetch.h"
#include "http/tape.h"

bool fetch_take_body(struct http_fetch *fetch, struct str bytes)
{
    fetch->heard = clock_ns();
    if ((int64_t)bytes.n > fetch->max_bytes - fetch->taken) {
        fetch->too_large = true;
        return false;
    }
    fetch->taken += (int64_t)bytes.n;
    if (fetch->on_body)
        fetch_stream_take(fetch, bytes);
    else
        buf_add_str(&fetch->answer, bytes);
    return true;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_fetch *fetch = arg;
    if (fetch->passes && fetch->answer.n >= FETCH_WINDOW_BYTES) {
        fetch->held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return fetch_take_body(arg, str_n(bytes, size * count)) ? size * count : 0;
}

/* Seconds, or an HTTP date (RFC 9110 §10.2.3). */
static int64_t parse_retry_after(struct str value)
{
    long long seconds;
    if (str_int64(value, &seconds))
        return seconds < 0 ? 0 : (seconds > 86400 ? 86400 : seconds) * NS_PER_SECOND;
    char *text = str_dup(value);
    time_t at = curl_getdate(text, NULL);
    mem_free(text);
    if (at < 0)
        return -1;
    int64_t wait = (int64_t)at * NS_PER_SECOND - clock_wall_ns();
    return wait < 0 ? 0 : wait;
}

static void note_header(struct http_fetch *fetch, struct str name, struct str value)
{
    if (str_eq_c(name, "location")) {
        mem_free(fetch->location);
        fetch->location = str_dup(value);
    } else if (str_eq_c(name, "retry-after")) {
        fetch->retry_after_ns = parse_retry_after(value);
    }
}

/* Header lines are kept one after another, NUL-separated, in header_text; the
 * slices are cut when the answer is complete, because the buffer may move. */
bool fetch_take_header(struct http_fetch *fetch, struct str line)
{
    if (str_starts(line, STR("HTTP/"))) { /* a new answer, after 1xx */
        buf_clear(&fetch->header_text);
        fetch->answer_header_count = 0;
        return true;
    }
    size_t colon = str_find(line, ':');
    if (colon == line.n)
        return true;
    if (fetch->answer_header_count == FETCH_HEADERS || fetch->header_text.n > 64 * 1024) {
        fetch->too_large = true;
        return false;
    }
    struct str name = str_n(line.p, colon);
    struct str value = str_trim(str_n(line.p + colon + 1, line.n - colon - 1));
    size_t at = fetch->header_text.n;
    buf_add_str(&fetch->header_text, name);
    for (size_t i = at; i < fetch->header_text.n; i++)
        fetch->header_text.p[i] = (char)tolower((unsigned char)fetch->header_text.p[i]);
    note_header(fetch, str_n(fetch->header_text.p + at, name.n), value);
    buf_add_char(&fetch->header_text, '\0');
    buf_add_str(&fetch->header_text, value);
    buf_add_char(&fetch->header_text, '\0');
    fetch->answer_header_count++;
    return true;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_fetch *fetch = arg;
    struct str line = str_n(bytes, size * count);
    long status = 0;
    fetch->heard = clock_ns();
    if (!fetch_take_header(fetch, line))
        return 0;
    if (str_trim(line).n == 0)
        curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200) /* not an interim answer */
        fetch_stream_headed(fetch, (int)status);
    return line.n;
}

/* The address is known here and nothing has been sent yet.  Each attempt of curl's (IPv6, IPv4,
 * the next answer of the look-up) comes by. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct http_fetch *fetch = arg;
    if (!allow_address(fetch->reach, &address->addr)) {
        fetch->forbidden = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Before a request leaves by a connection, which may be one that another plugin's entry opened. */
static int on_ready(void *arg, char *address, char *local, int port, int local_port)
{
    (void)local;
    (void)port;
    (void)local_port;
    struct http_fetch *fetch = arg;
    if (allow_address_text(fetch->reach, address))
        return CURL_PREREQFUNC_OK;
    fetch->forbidden = true;
    return CURL_PREREQFUNC_ABORT;
}

static bool refuse(struct fetch_result *failure, enum fetch_code code, const char *format,
                   const char *detail)
{
    failure->code = code;
    snprintf(failure->message, sizeof failure->message, format, detail);
    return false;
}

/* A zone id would choose the network card, and only link-local addresses need one. */
static bool check_host(struct http_fetch *fetch, const char *given, const char *zone, int port,
                       struct fetch_result *failure)
{
    char text[FETCH_HOST_BYTES + 1];
    size_t n = strlen(given);
    if (zone || n > FETCH_HOST_BYTES)
        return refuse(failure, FETCH_FORBIDDEN, "host %.150s is not one a plugin may name", given);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)tolower((unsigned char)given[i]);
    struct str host = str_n(text, n);
    if (n > 2 && text[0] == '[')
        host = str_n(text + 1, n - 2);
    if (!allow_normalize(&host))
        return refuse(failure, FETCH_FORBIDDEN,
                      "host %.150s is neither a name in ASCII (xn--…) nor an address", given);
    fetch->reach = allow_host(&fetch->allow, host, port);
    if (fetch->reach == ALLOW_NO)
        return refuse(failure, FETCH_FORBIDDEN, "host %.150s is not in the plugin's allow.net",
                      given);
    return true;
}

/* Parses fetch->url by curl's own parser and hands the parts over, so that what is checked is
 * what is used. */
static bool check_url(struct http_fetch *fetch, struct fetch_result *failure)
{
    CURLU *url = fetch->target = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *zone = NULL;
    bool ok = curl_url_set(url, CURLUPART_URL, fetch->url,
                           CURLU_NON_SUPPORT_SCHEME | (fetch->exact ? CURLU_PATH_AS_IS : 0U)) ==
                  CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK;
    if (ok && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        ok = refuse(failure, FETCH_FORBIDDEN, "scheme %.20s is not http or https", scheme);
    } else if (!ok || curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
               curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
        ok = refuse(failure, FETCH_PROTOCOL, "not a valid URL: %.150s", fetch->url);
    } else {
        if (curl_url_get(url, CURLUPART_ZONEID, &zone, 0) != CURLUE_OK)
            zone = NULL;
        ok = check_host(fetch, host, zone, atoi(port), failure);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(zone);
    return ok;
}

static void set_request(struct http_fetch *fetch, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_CURLU, fetch->target);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers);
    if (strcmp(fetch->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (strcmp(fetch->method, "GET") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, fetch->method);
    if (fetch->sent.n > 0 || strcmp(fetch->method, "POST") == 0 ||
        strcmp(fetch->method, "PUT") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, fetch->sent.p ? fetch->sent.p : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)fetch->sent.n);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, fetch->method);
    }
}

static void set_callbacks(struct http_fetch *fetch, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &fetch->transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, fetch);
}

/* What curl would otherwise take from the environment or let a URL choose. */
static void set_bounds(const struct http_client *client, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* a proxy would hide the address */
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, client->resolve);
    if (client->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
}

bool fetch_attempt_start(struct http_fetch *fetch, struct fetch_result *failure)
{
    int64_t left = fetch->deadline - clock_ns();
    if (left <= NS_PER_MS)
        return refuse(failure, FETCH_TIMEOUT, "%s", "no answer within the time allowed");
    curl_url_cleanup(fetch->target);
    if (!check_url(fetch, failure))
        return false;
    buf_clear(&fetch->answer);
    buf_clear(&fetch->header_text);
    fetch->answer_header_count = 0;
    fetch->taken = 0;
    fetch->retry_after_ns = -1;
    fetch->forbidden = fetch->too_large = false;
    mem_free(fetch->location);
    fetch->location = NULL;
    fetch->attempts++;
    fetch_stream_begin(fetch);
    if (tape_mode() == TAPE_PLAYS)
        return fetch_play(fetch, failure);
    CURL *easy = fetch->easy = curl_easy_init();
    set_request(fetch, easy);
    set_callbacks(fetch, easy);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    set_bounds(fetch->client, easy);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, fetch->exact ? NULL : "");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, (long)fetch->exact);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(left / NS_PER_MS));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(left / NS_PER_MS));
    curl_multi_add_handle(fetch->client->multi, easy);
    return true;
}

void fetch_attempt_drop(struct http_fetch *fetch)
{
    if (fetch->easy) {
        curl_multi_remove_handle(fetch->client->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    curl_url_cleanup(fetch->target);
    timer_stop(fetch->client->lane, &fetch->silence);
    fetch->easy = NULL;
    fetch->target = NULL;
}
