/* trace_send.c -- the thread that sends spans: OTLP/HTTP, JSON, in batches, with back-off. */
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_pick.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/drivers.h"
#include "observe/log.h"
#include "observe/trace_internal.h"

static const int64_t every_ns = NS_PER_SECOND;       /* a batch that is not full waits so long */
static const int64_t least_pause_ns = NS_PER_SECOND; /* after a failure; doubles */
static const int64_t most_pause_ns = 30 * NS_PER_SECOND;
static const int64_t last_ns = NS_PER_SECOND; /* for everything, when maru stops */

enum { ANSWER_BYTES = 64 << 10, SEND_SECONDS = 10 };

static struct sender {
    pthread_t thread;
    bool started;
    CURL *curl;
    struct curl_slist *headers;
    char *url;
    struct driver_health *health;
    struct list batch; /* spans that are on their way; refused ones are tried again */
    int batch_count;
    int64_t pause_ns;    /* the next one after a failure */
    int64_t stopped_at;  /* steady; 0 = not told to */
    int64_t retry_after; /* seconds that the collector asked for, or 0 */
    struct buf body, answer;
    char why[CURL_ERROR_SIZE]; /* curl's words for its last failure */
} sender;

/* ---- one request ---------------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    (void)arg;
    if (sender.answer.n + size * n <= ANSWER_BYTES)
        buf_add(&sender.answer, p, size * n);
    return size * n;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    static const char name[] = "retry-after:";
    struct str line = str_n(p, size * n);
    long long seconds;
    (void)arg;
    if (line.n > sizeof name - 1 && strncasecmp(line.p, name, sizeof name - 1) == 0 &&
        str_int64(str_trim(str_n(line.p + sizeof name - 1, line.n - sizeof name + 1)), &seconds))
        sender.retry_after = seconds < 0 ? 0 : seconds;
    return size * n;
}

static bool is_stopping(void)
{
    pthread_mutex_lock(&tracing.lock);
    bool stopping = tracing.stopping;
    pthread_mutex_unlock(&tracing.lock);
    return stopping;
}

/* A request under way does not hold up the end of the process. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)arg, (void)a, (void)b, (void)c, (void)d;
    if (!sender.stopped_at && is_stopping())
        sender.stopped_at = clock_steady_ns();
    return sender.stopped_at && clock_steady_ns() - sender.stopped_at > last_ns;
}

enum verdict { TAKEN, LATER, NEVER };

static enum verdict judge(long status, struct err *err)
{
    if (status >= 200 && status < 300)
        return TAKEN;
    err_set(err, ERR_IO, "the collector answered %ld: %.*s", status,
            (int)trace_cut(buf_str(&sender.answer), 200), sender.answer.n ? sender.answer.p : "");
    return status == 429 || status == 502 || status == 503 || status == 504 ? LATER : NEVER;
}

static enum verdict send_body(struct err *err)
{
    long status = 0;
    buf_clear(&sender.answer);
    sender.retry_after = 0;
    curl_easy_setopt(sender.curl, CURLOPT_POSTFIELDS, sender.body.p);
    curl_easy_setopt(sender.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)sender.body.n);
    int64_t began = clock_steady_ns();
    CURLcode code = curl_easy_perform(sender.curl);
    if (code == CURLE_OK)
        driver_health_took(sender.health, clock_steady_ns() - began);
    if (code != CURLE_OK) {
        err_set(err, ERR_IO, "%s", *sender.why ? sender.why : curl_easy_strerror(code));
        return LATER;
    }
    curl_easy_getinfo(sender.curl, CURLINFO_RESPONSE_CODE, &status);
    return judge(status, err);
}

/* ---- what became of a batch ------------------------------------------------ */

/* "rejectedSpans" of an answer that took a part only. */
static int rejected(void)
{
    static const struct json_events look = {0};
    struct err err;
    double count = 0;
    struct str answer = buf_str(&sender.answer);
    if (answer.n == 0 || !json_read(answer, JSON_DEPTH_DEFAULT, &look, NULL, &err))
        return 0;
    struct str text = json_pick_get(json_pick_get(answer, "partialSuccess"), "rejectedSpans");
    struct buf decoded = {0};
    if (json_pick_text(text, &decoded)) /* a 64-bit number is text in OTLP's JSON */
        count = strtod(decoded.p ? decoded.p : "", NULL);
    else
        json_pick_number(text, &count);
    buf_free(&decoded);
    return count < 0 ? 0 : count > sender.batch_count ? sender.batch_count : (int)count;
}

static void free_batch(void)
{
    while (!list_empty(&sender.batch)) {
        struct span *span = list_entry(sender.batch.next, struct span, link);
        list_remove(&span->link);
        span_free(span);
    }
    sender.batch_count = 0;
}

static void was_taken(void)
{
    int refused = rejected();
    metric_add(tracing.sent, sender.batch_count - refused);
    metric_add(tracing.refused, refused);
    if (refused)
        log_warn("trace", "the collector took %d of %d spans", sender.batch_count - refused,
                 sender.batch_count);
    if (driver_health_up(sender.health))
        log_info("trace", "the collector answers again");
    sender.pause_ns = 0;
    free_batch();
}

static void was_not_taken(enum verdict verdict, const struct err *err)
{
    if (driver_health_down(sender.health, err))
        log_warn("trace", "%s", err->message);
    if (verdict == NEVER) {
        metric_add(tracing.refused, sender.batch_count);
        free_batch();
    }
    sender.pause_ns = sender.pause_ns ? sender.pause_ns * 2 : least_pause_ns;
    if (sender.pause_ns > most_pause_ns)
        sender.pause_ns = most_pause_ns;
}

/* How long to stay away: the back-off with jitter, or what the collector asked for. */
static int64_t pause_now(void)
{
    int64_t asked = sender.retry_after > 300 ? 300 : sender.retry_after;
    if (!sender.pause_ns)
        return every_ns;
    int64_t own = (int64_t)((double)sender.pause_ns * (0.5 + rand_unit()));
    return asked * NS_PER_SECOND > own ? asked * NS_PER_SECOND : own;
}

/* ---- the thread -------------------------------------------------------------- */

static struct timespec in(int64_t ns)
{
    int64_t at = clock_steady_ns() + ns;
    return (struct timespec){.tv_sec = at / NS_PER_SECOND, .tv_nsec = at % NS_PER_SECOND};
}

/* Waits for a full batch, for the time given, or for the end; true at the end.  After a failure a
 * full batch is no reason to hurry. */
static bool wait_for_work(int64_t ns)
{
    struct timespec until = in(ns);
    bool hurry = sender.pause_ns == 0;
    int late = 0;
    pthread_mutex_lock(&tracing.lock);
    while (!tracing.stopping && !late && !(hurry && tracing.waiting >= SPAN_BATCH))
        late = pthread_cond_timedwait(&tracing.wake, &tracing.lock, &until);
    bool stopping = tracing.stopping;
    pthread_mutex_unlock(&tracing.lock);
    return stopping;
}

static void take_batch(void)
{
    pthread_mutex_lock(&tracing.lock);
    while (sender.batch_count < SPAN_BATCH && !list_empty(&tracing.ended)) {
        struct list *link = tracing.ended.next;
        list_remove(link);
        list_push_back(&sender.batch, link);
        tracing.waiting--;
        sender.batch_count++;
    }
    pthread_mutex_unlock(&tracing.lock);
}

/* False when nothing was waiting or it did not get through. */
static bool send_one(void)
{
    struct err err = {0};
    take_batch();
    if (sender.batch_count == 0)
        return false;
    buf_clear(&sender.body);
    trace_write_batch(&sender.batch, &sender.body);
    enum verdict verdict = send_body(&err);
    if (verdict == TAKEN)
        was_taken();
    else
        was_not_taken(verdict, &err);
    return verdict == TAKEN;
}

static void *send_main(void *arg)
{
    (void)arg;
    bool stopping = false;
    while (!stopping) {
        stopping = wait_for_work(pause_now());
        while (send_one())
            ;
    }
    return NULL;
}

/* ---- start and stop ------------------------------------------------------------ */

/* "name=value,name=value" */
static bool add_headers(struct str list, struct err *err)
{
    sender.headers = curl_slist_append(sender.headers, "content-type: application/json");
    while (list.n > 0) {
        struct str value = str_split(&list, ','), name = str_split(&value, '=');
        char *line = mem_printf("%.*s: %.*s", (int)str_trim(name).n, str_trim(name).p,
                                (int)str_trim(value).n, str_trim(value).p);
        bool ok = str_trim(name).n > 0 && !strpbrk(line, "\r\n");
        if (ok)
            sender.headers = curl_slist_append(sender.headers, line);
        mem_free(line);
        if (!ok)
            return err_set(err, ERR_INVALID, "headers: write name=value, with commas between");
    }
    return true;
}

static bool open_curl(struct err *err)
{
    struct str url = str_c(tracing.options.url);
    if (!str_starts(url, STR("http://")) && !str_starts(url, STR("https://")))
        return err_set(err, ERR_INVALID, "url: write http://host:4318 or https://host");
    while (url.n > 0 && url.p[url.n - 1] == '/')
        url.n--;
    bool whole = url.n > 10 && str_eq_c(str_n(url.p + url.n - 10, 10), "/v1/traces");
    sender.url = mem_printf("%.*s%s", (int)url.n, url.p, whole ? "" : "/v1/traces");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    sender.curl = curl_easy_init();
    if (!sender.curl || !add_headers(str_c(tracing.options.headers), err))
        return sender.curl ? false : err_set(err, ERR_MEMORY, "no memory for curl");
    curl_easy_setopt(sender.curl, CURLOPT_URL, sender.url);
    curl_easy_setopt(sender.curl, CURLOPT_HTTPHEADER, sender.headers);
    curl_easy_setopt(sender.curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(sender.curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(sender.curl, CURLOPT_TIMEOUT, (long)SEND_SECONDS);
    curl_easy_setopt(sender.curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(sender.curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(sender.curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(sender.curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(sender.curl, CURLOPT_ERRORBUFFER, sender.why);
    return true;
}

static void init_wake(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&tracing.wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool trace_send_start(struct err *err)
{
    sigset_t all, before;
    sender = (struct sender){0};
    list_init(&sender.batch);
    init_wake();
    if (!open_curl(err))
        return false;
    sender.health = driver_health_register("traces", "otlp", false);
    driver_health_address(sender.health, sender.url);
    sigfillset(&all); /* signals are the control lane's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&sender.thread, NULL, send_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sender.started = !failed;
    return failed ? err_sys(err, failed, "thread") : true;
}

void trace_send_stop(void)
{
    pthread_mutex_lock(&tracing.lock);
    tracing.stopping = true;
    pthread_mutex_unlock(&tracing.lock);
    pthread_cond_signal(&tracing.wake);
    if (sender.started)
        pthread_join(sender.thread, NULL);
    take_batch();
    while (sender.batch_count) {
        metric_add(tracing.dropped, sender.batch_count);
        free_batch();
        take_batch();
    }
    driver_health_unregister(sender.health);
    curl_slist_free_all(sender.headers);
    if (sender.curl)
        curl_easy_cleanup(sender.curl);
    mem_free(sender.url);
    buf_free(&sender.body);
    buf_free(&sender.answer);
    pthread_cond_destroy(&tracing.wake);
    sender = (struct sender){0};
}
