/* fetch_tape.c -- an attempt of a fetch that is answered from the tape, or noted on it. */
#include <ctype.h>
#include <stdio.h>

#include "base/mem.h"
#include "http/fetch.h"
#include "http/tape.h"

static enum fetch_code code_of(struct str name)
{
    for (int code = FETCH_OK; code <= FETCH_PROTOCOL; code++) {
        if (str_eq_c(name, fetch_code_name((enum fetch_code)code)))
            return (enum fetch_code)code;
    }
    return FETCH_PROTOCOL;
}

static void on_played(struct timer *timer)
{
    struct http_fetch *fetch =
        (struct http_fetch *)((char *)timer - offsetof(struct http_fetch, retry));
    timer->fire = fetch->again;
    fetch_attempt_ended(fetch, fetch->too_large ? CURLE_WRITE_ERROR : CURLE_OK);
}

static void play(struct http_fetch *fetch, const struct tape_exchange *x)
{
    struct str lines = x->headers;
    while (lines.n) {
        struct str line = str_split(&lines, '\n');
        fetch_take_header(fetch, line);
    }
    fetch_stream_headed(fetch, x->status);
    fetch_take_body(fetch, x->body);
    fetch->played = x->status;
    fetch->again = fetch->retry.fire;
    fetch->retry.fire = on_played;
    timer_start(fetch->client->lane, &fetch->retry, 0);
}

bool fetch_play(struct http_fetch *fetch, struct fetch_result *failure)
{
    struct tape_exchange x;
    if (!tape_find(str_c(fetch->method), str_c(fetch->url), buf_str(&fetch->body), &x)) {
        failure->code = FETCH_FORBIDDEN;
        snprintf(failure->message, sizeof failure->message,
                 "no cassette has an answer for %s %.160s", fetch->method, fetch->url);
        return false;
    }
    if (x.error.n) {
        failure->code = code_of(x.error);
        snprintf(failure->message, sizeof failure->message, "recorded failure: %.*s",
                 (int)x.error.n, x.error.p);
        return false;
    }
    play(fetch, &x);
    return true;
}

void fetch_record(struct http_fetch *fetch, const struct fetch_result *result)
{
    struct buf sent = {0}, headers = {0};
    for (const struct curl_slist *h = fetch->headers; h; h = h->next) {
        if (strcmp(h->data, "Expect:") != 0)
            buf_printf(&sent, "%s\n", h->data);
    }
    const char *p = fetch->header_text.p;
    for (int i = 0; i < fetch->answer_header_count; i++) {
        const char *value = p + strlen(p) + 1;
        buf_printf(&headers, "%s: %s\n", p, value);
        p = value + strlen(value) + 1;
    }
    bool answered = result->code == FETCH_OK;
    struct tape_exchange x = {
        .method = str_c(fetch->method),
        .url = str_c(fetch->url),
        .request_headers = buf_str(&sent),
        .request_body = buf_str(&fetch->body),
        .status = result->status,
        .error = str_c(answered ? "" : fetch_code_name(result->code)),
        .headers = answered ? buf_str(&headers) : STR(""),
        .body = answered ? buf_str(fetch->on_body ? &fetch->copy : &fetch->answer) : STR(""),
    };
    tape_note(&x);
    buf_free(&sent);
    buf_free(&headers);
}
