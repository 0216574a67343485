/* logs.c -- the log as documents.
 *
 * Who logs only appends to a buffer; a thread of its own takes it away every
 * half second and puts it into the index as any plugin would.  A line more than
 * fits is counted, not waited for.  Lines of the area "search" do not come
 * here: a driver's troubles would breed more of them. */
#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "search/private.h"

enum { INTAKE_BYTES = 4 << 20, INTAKE_LINES = 8000, HURRY_LINES = 2000 };
static const int64_t linger_ns = 500 * NS_PER_MS;
static const int64_t upkeep_ns = 600 * NS_PER_SECOND;

struct log_intake {
    struct search *search;
    pthread_t thread;
    uint64_t boot, seq; /* make ids */
    struct metric *dropped;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct buf docs; /* {…},{…} */
    int count;
    bool stopping, answered;
    /* thread */
    bool troubled;
    int64_t upkeep_at;
};

static const struct search_field fields[] = {
    {"message", SEARCH_TEXT, "message"},       {"fields", SEARCH_TEXT, "maru.fields"},
    {"level", SEARCH_KEYWORD, "log.level"},    {"area", SEARCH_KEYWORD, "log.logger"},
    {"plugin", SEARCH_KEYWORD, "maru.plugin"}, {"generation", SEARCH_KEYWORD, "maru.generation"},
    {"node", SEARCH_KEYWORD, "host.name"},     {"at", SEARCH_TIME, "@timestamp"},
    {"bytes", SEARCH_NUMBER, "maru.bytes"},
};

/* ---- who logs ---------------------------------------------------------- */

/* Zero bytes end texts in some drivers. */
static void write_text(struct json *w, const char *key, struct str text)
{
    json_key(w, key);
    if (!memchr(text.p, '\0', text.n)) {
        json_str(w, text);
        return;
    }
    char *copy = mem_dup(text.p, text.n);
    for (size_t i = 0; i < text.n; i++)
        if (!copy[i])
            copy[i] = ' ';
    json_str(w, str_n(copy, text.n));
    mem_free(copy);
}

static void write_plugin(struct json *w, const char *label)
{
    struct str rest = str_c(label);
    if (rest.n == 0)
        return;
    json_key(w, "generation");
    json_cstr(w, label);
    json_key(w, "plugin");
    json_str(w, str_split(&rest, '@'));
}

static void write_line(struct log_intake *logs, struct json *w, const struct log_line *line)
{
    char id[48];
    struct buf all = {0};
    snprintf(id, sizeof id, "%012llx%08llx%08llx", (unsigned long long)(line->at_wall / NS_PER_MS),
             (unsigned long long)logs->boot, (unsigned long long)logs->seq++);
    json_open(w, '{');
    json_key(w, "id");
    json_cstr(w, id);
    json_key(w, "at");
    json_num(w, (double)(line->at_wall / NS_PER_MS) / 1000);
    json_key(w, "level");
    json_cstr(w, log_level_name(line->level));
    json_key(w, "area");
    json_cstr(w, line->area);
    json_key(w, "node");
    json_cstr(w, logs->search->options.node);
    write_plugin(w, line->plugin);
    write_text(w, "message", line->message);
    if (line->fields.n > 0) {
        buf_printf(&all, "{%.*s}", (int)line->fields.n, line->fields.p);
        write_text(w, "fields", buf_str(&all));
        buf_free(&all);
    }
    json_key(w, "bytes");
    json_int(w, (long long)(line->message.n + line->fields.n + 64));
    json_close(w, '}');
}

static void take_line(void *arg, const struct log_line *line)
{
    struct log_intake *logs = arg;
    if (!strcmp(line->area, "search"))
        return;
    pthread_mutex_lock(&logs->lock);
    if (logs->count >= INTAKE_LINES || logs->docs.n >= INTAKE_BYTES) {
        metric_add(logs->dropped, 1);
    } else {
        struct json w = {.out = &logs->docs, .comma = logs->count > 0};
        write_line(logs, &w, line);
        logs->count++;
        if (logs->count == 1 || logs->count == HURRY_LINES)
            pthread_cond_broadcast(&logs->wake);
    }
    pthread_mutex_unlock(&logs->lock);
}

/* ---- the thread -------------------------------------------------------- */

struct log_call {
    struct search_call call; /* first */
    struct log_intake *logs;
};

static void on_done(struct search_call *call)
{
    struct log_intake *logs = ((struct log_call *)call)->logs;
    pthread_mutex_lock(&logs->lock);
    logs->answered = true;
    pthread_cond_broadcast(&logs->wake);
    pthread_mutex_unlock(&logs->lock);
}

/* Runs a call and waits for it. */
static bool run(struct log_intake *logs, enum search_op op, struct str request)
{
    struct log_call c = {
        .call = {.plugin = "", .index = SEARCH_LOG, .op = op, .request = request, .done = on_done},
        .logs = logs};
    logs->answered = false;
    search_run(logs->search, &c.call, NULL);
    pthread_mutex_lock(&logs->lock);
    while (!logs->answered)
        pthread_cond_wait(&logs->wake, &logs->lock);
    pthread_mutex_unlock(&logs->lock);
    bool ok = c.call.err.code == ERR_NONE;
    if (!ok && !logs->troubled)
        log_error("search", "the log is not indexed: %s", c.call.err.message);
    else if (ok && logs->troubled)
        log_info("search", "the log is indexed again");
    logs->troubled = !ok;
    buf_free(&c.call.answer);
    return ok;
}

static void put_in(struct log_intake *logs, struct buf *docs, int count)
{
    struct buf request = {0};
    buf_printf(&request, "{\"docs\":[%s]}", docs->p);
    if (!run(logs, SEARCH_INDEX, buf_str(&request)))
        metric_add(logs->dropped, count);
    buf_free(&request);
    buf_free(docs);
}

static void remove_before(struct log_intake *logs, double ms)
{
    struct buf request = {0};
    struct json w = json_to(&request);
    buf_add_c(&request, "{\"filter\":{\"at\":{\"to\":");
    json_num(&w, ms / 1000);
    buf_add_c(&request, "}}}");
    run(logs, SEARCH_DELETE, buf_str(&request));
    buf_free(&request);
}

/* Elasticsearch keeps its data streams by itself. */
static void keep_bounds(struct log_intake *logs)
{
    struct search *search = logs->search;
    struct err err;
    int64_t now = clock_wall_ns();
    if (!search->driver->log_cut || clock_steady_ns() < logs->upkeep_at)
        return;
    logs->upkeep_at = clock_steady_ns() + upkeep_ns;
    struct search_index *index = search_find_index(search, "", SEARCH_LOG, &err);
    int64_t cut = index ? search->driver->log_cut(search, index) : -1;
    index_unref(index);
    if (cut >= 0)
        remove_before(logs, (double)cut + 1);
    remove_before(logs, (double)((now - search->options.logs_ttl_ns) / NS_PER_MS));
}

static void linger(struct log_intake *logs)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t ns = until.tv_nsec + linger_ns;
    until.tv_sec += ns / NS_PER_SECOND;
    until.tv_nsec = ns % NS_PER_SECOND;
    while (!logs->stopping && logs->count < HURRY_LINES)
        if (pthread_cond_timedwait(&logs->wake, &logs->lock, &until) != 0)
            break;
}

static void *thread_main(void *arg)
{
    struct log_intake *logs = arg;
    pthread_mutex_lock(&logs->lock);
    for (;;) {
        while (logs->count == 0 && !logs->stopping)
            pthread_cond_wait(&logs->wake, &logs->lock);
        if (logs->count == 0)
            break;
        linger(logs);
        struct buf docs = logs->docs;
        int count = logs->count;
        logs->docs = (struct buf){0};
        logs->count = 0;
        pthread_mutex_unlock(&logs->lock);
        put_in(logs, &docs, count);
        keep_bounds(logs);
        pthread_mutex_lock(&logs->lock);
    }
    pthread_mutex_unlock(&logs->lock);
    return NULL;
}

/* ---- life -------------------------------------------------------------- */

struct log_intake *logs_start(struct search *search)
{
    struct log_intake *logs = mem_zero(1, sizeof *logs);
    struct search_schema schema = {"log", fields, sizeof fields / sizeof *fields};
    struct err err;
    logs->search = search;
    logs->boot = rand_u64() & 0xffffffff;
    logs->dropped = metrics_counter("maru_search_log_dropped_total",
                                    "Lines of the log that were not indexed.", "");
    pthread_mutex_init(&logs->lock, NULL);
    pthread_cond_init(&logs->wake, NULL);
    search_declare(search, "", &schema, 1, false, &err);
    if (pthread_create(&logs->thread, NULL, thread_main, logs) != 0) {
        log_error("search", "the log is not indexed: no thread for it");
        mem_free(logs);
        return NULL;
    }
    log_sink(take_line, logs);
    return logs;
}

void logs_stop(struct log_intake *logs)
{
    if (!logs)
        return;
    log_sink(NULL, NULL);
    pthread_mutex_lock(&logs->lock);
    logs->stopping = true;
    pthread_cond_broadcast(&logs->wake);
    pthread_mutex_unlock(&logs->lock);
    pthread_join(logs->thread, NULL);
    pthread_cond_destroy(&logs->wake);
    pthread_mutex_destroy(&logs->lock);
    buf_free(&logs->docs);
    mem_free(logs);
}
