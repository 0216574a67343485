/* fetch_stream.c -- a body in pieces, held up while the caller cannot take more; and the peer's
 * silence.
 *
 * Nothing of the caller's runs inside curl: it may cancel the fetch or start another, which curl
 * does not allow in its callbacks.  So what was read waits in fetch->answer for the flow timer.
 */
#include <stdio.h>

#include "http/fetch.h"
#include "http/tape.h"

static struct http_fetch *fetch_of_flow(struct timer *timer)
{
    return (struct http_fetch *)((char *)timer - offsetof(struct http_fetch, flow));
}

static void flow_soon(struct http_fetch *fetch)
{
    timer_start(fetch->client->lane, &fetch->flow, 0);
}

static void give_head(struct http_fetch *fetch)
{
    struct fetch_result head = {.code = FETCH_OK, .status = fetch->outcome.status};
    fetch->head_due = false;
    flow_soon(fetch); /* first: the caller may cancel */
    fetch_cut_headers(fetch);
    head.headers = fetch->answer_headers;
    head.header_count = fetch->answer_header_count;
    head.url = str_c(fetch->url);
    head.attempts = fetch->attempts;
    head.elapsed_ns = clock_ns() - fetch->started;
    if (fetch->on_head)
        fetch->on_head(fetch->arg, &head);
}

static void give_piece(struct http_fetch *fetch)
{
    struct buf piece = fetch->answer;
    fetch->answer = (struct buf){0};
    if (fetch->held || fetch->ended)
        flow_soon(fetch);
    fetch->on_body(fetch->arg, buf_str(&piece));
    buf_free(&piece);
}

/* curl hands over at once what it kept; the rest comes from its sockets. */
static void go_on(struct http_fetch *fetch)
{
    struct http_client *client = fetch->client;
    fetch->held = false;
    fetch->heard = clock_ns();
    CURLcode code = curl_easy_pause(fetch->easy, CURLPAUSE_CONT);
    if (code != CURLE_OK)
        fetch_attempt_ended(fetch, code);
    else
        fetch_turn(client);
}

static void on_flow(struct timer *timer)
{
    struct http_fetch *fetch = fetch_of_flow(timer);
    if (fetch->head_due) {
        give_head(fetch);
    } else if (fetch->paused) {
        return;
    } else if (fetch->answer.n > 0) {
        give_piece(fetch);
    } else if (fetch->ended) {
        fetch_finish(fetch, &fetch->outcome);
    } else if (fetch->held) {
        go_on(fetch);
    }
}

void http_fetch_pause(struct http_fetch *fetch)
{
    fetch->paused = true;
}

void http_fetch_resume(struct http_fetch *fetch)
{
    if (!fetch->paused)
        return;
    fetch->paused = false;
    flow_soon(fetch);
}

/* -- what curl or the tape says -- */

void fetch_stream_headed(struct http_fetch *fetch, int status)
{
    if (!fetch->on_body || fetch->headed)
        return; /* trailers end with an empty line, too */
    fetch->headed = true;
    fetch->outcome = (struct fetch_result){.code = FETCH_OK, .status = status};
    fetch->passes = fetch->head_due = !fetch_goes_on(fetch, &fetch->outcome);
    if (fetch->passes)
        flow_soon(fetch);
}

void fetch_stream_take(struct http_fetch *fetch, struct str bytes)
{
    if (tape_mode() == TAPE_RECORDS)
        buf_add_str(&fetch->copy, bytes);
    if (!fetch->passes && fetch->answer.n >= FETCH_WINDOW_BYTES) {
        fetch->cut = true;
        return;
    }
    buf_add_str(&fetch->answer, bytes);
    if (fetch->passes)
        flow_soon(fetch);
}

void fetch_stream_ended(struct http_fetch *fetch, const struct fetch_result *result)
{
    fetch->outcome = *result;
    fetch->ended = true;
    fetch->held = false;
    fetch_attempt_drop(fetch);
    if (!fetch->passes && result->code == FETCH_OK) {
        fetch->passes = fetch->head_due = true; /* the other attempt was not to be */
        if (fetch->cut) {
            fetch->outcome.code = FETCH_PROTOCOL;
            snprintf(fetch->outcome.message, sizeof fetch->outcome.message,
                     "only the beginning of the answer was kept: it was to be asked for again");
        }
    }
    if (!fetch->passes)
        buf_clear(&fetch->answer);
    flow_soon(fetch);
}

/* -- silence -- */

static void on_silence(struct timer *timer)
{
    struct http_fetch *fetch =
        (struct http_fetch *)((char *)timer - offsetof(struct http_fetch, silence));
    int64_t now = clock_ns();
    if (fetch->paused || fetch->held || (fetch->passes && fetch->answer.n > 0))
        fetch->heard = now;
    int64_t left = fetch->heard + fetch->silence_ns - now;
    if (left > 0) {
        timer_start(fetch->client->lane, timer, left);
        return;
    }
    fetch->silent = true;
    fetch_attempt_ended(fetch, CURLE_OPERATION_TIMEDOUT);
}

void fetch_stream_begin(struct http_fetch *fetch)
{
    fetch->headed = fetch->silent = fetch->cut = false;
    fetch->heard = clock_ns();
    buf_clear(&fetch->copy);
    if (fetch->silence_ns > 0)
        timer_start(fetch->client->lane, &fetch->silence, fetch->silence_ns);
}

void fetch_stream_init(struct http_fetch *fetch, const struct fetch_options *options)
{
    fetch->on_head = options->on_head;
    fetch->on_body = options->on_body;
    fetch->silence_ns = options->silence_ns;
    fetch->flow.fire = on_flow;
    fetch->silence.fire = on_silence;
}

void fetch_stream_stop(struct http_fetch *fetch)
{
    timer_stop(fetch->client->lane, &fetch->flow);
    timer_stop(fetch->client->lane, &fetch->silence);
}
