#include "observe/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

struct line {
    uint64_t seq;
    int64_t at_wall;
    enum log_level level;
    char *area, *plugin, *message, *fields; /* plugin may be NULL */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct line ring[LOG_RING_LINES]; /* under lock; seq n stands at n % LOG_RING_LINES */
static uint64_t newest;                  /* under lock */
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*_Atomic sink)(void *arg, const struct log_line *line); /* changed under sink_lock */
static void *sink_arg;                                               /* under sink_lock */
static atomic_int out_fd = STDERR_FILENO;
static atomic_int least_level = LOG_INFO;

/* ORDER log_level */
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(int fd, enum log_level least)
{
    atomic_store(&out_fd, fd);
    atomic_store(&least_level, (int)least);
}

void log_sink(void (*take)(void *arg, const struct log_line *line), void *arg)
{
    pthread_mutex_lock(&sink_lock);
    sink_arg = arg;
    atomic_store(&sink, take);
    pthread_mutex_unlock(&sink_lock);
}

static void tell_sink(const struct log_line *line)
{
    if (!atomic_load_explicit(&sink, memory_order_relaxed))
        return;
    pthread_mutex_lock(&sink_lock);
    void (*take)(void *arg, const struct log_line *line) = atomic_load(&sink);
    if (take)
        take(sink_arg, line);
    pthread_mutex_unlock(&sink_lock);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_parse(struct str text, enum log_level *out)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
        if (str_eq_c(text, level_names[i])) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

static void keep(enum log_level level, int64_t at, const char *area, const char *plugin,
                 struct str message, struct str fields)
{
    struct line line = {
        0, at, level, mem_strdup(area), mem_strdup(plugin), str_dup(message), str_dup(fields)};
    pthread_mutex_lock(&lock);
    line.seq = ++newest;
    struct line *slot = &ring[line.seq % LOG_RING_LINES];
    struct line old = *slot;
    *slot = line;
    pthread_mutex_unlock(&lock);
    mem_free(old.area);
    mem_free(old.plugin);
    mem_free(old.message);
    mem_free(old.fields);
}

static struct json begin_line(struct buf *out, enum log_level level, int64_t at, const char *area,
                              const char *plugin, struct str message)
{
    char time[32];
    struct json w = json_to(out);
    clock_format_utc(at, time);
    json_open(&w, '{');
    json_key(&w, "at");
    json_cstr(&w, time);
    json_key(&w, "level");
    json_cstr(&w, level_names[level]);
    json_key(&w, "area");
    json_cstr(&w, area);
    if (plugin) {
        json_key(&w, "plugin");
        json_cstr(&w, plugin);
    }
    json_key(&w, "message");
    json_str(&w, message);
    return w;
}

/* Over the limit the fields go first, then the message's end. */
static struct str bounded(struct str text, size_t most)
{
    if (text.n > most)
        text.n = most;
    while (text.n > 0 && ((unsigned char)text.p[text.n - 1] & 0xc0) == 0x80)
        text.n--;
    return text;
}

void log_write(enum log_level level, const char *area, const char *plugin, struct str message,
               struct str fields)
{
    if (!log_enabled(level))
        return;
    int64_t at = clock_wall_ns();
    if (message.n > LOG_LINE_BYTES / 2)
        message = bounded(message, LOG_LINE_BYTES / 2);
    if (message.n + fields.n > LOG_LINE_BYTES - 512)
        fields = STR("\"fields\":\"left out: too long\"");
    keep(level, at, area, plugin, message, fields);
    tell_sink(&(struct log_line){level, at, area, plugin, message, fields});
    int fd = atomic_load(&out_fd);
    if (fd < 0)
        return;
    struct buf out = {0};
    struct json w = begin_line(&out, level, at, area, plugin, message);
    if (fields.n > 0) {
        buf_add_char(&out, ',');
        buf_add_str(&out, fields);
    }
    json_close(&w, '}');
    buf_add_char(&out, '\n');
    ssize_t ignored = write(fd, out.p, out.n); /* there is nowhere to report it */
    (void)ignored;
    buf_free(&out);
}

static void log_format(enum log_level level, const char *area, const char *format, va_list args)
{
    char message[LOG_LINE_BYTES / 2];
    if (!log_enabled(level))
        return;
    vsnprintf(message, sizeof message, format, args);
    log_write(level, area, NULL, str_c(message), STR(""));
}

void log_debug(const char *area, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_format(LOG_DEBUG, area, format, args);
    va_end(args);
}

void log_info(const char *area, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_format(LOG_INFO, area, format, args);
    va_end(args);
}

void log_warn(const char *area, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_format(LOG_WARN, area, format, args);
    va_end(args);
}

void log_error(const char *area, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_format(LOG_ERROR, area, format, args);
    va_end(args);
}

static bool wanted(const struct line *line, enum log_level least, struct str plugin)
{
    if (!line->message || line->level < least)
        return false;
    if (plugin.n == 0)
        return true;
    struct str name = str_c(line->plugin);
    return str_eq(str_n(name.p, str_find(name, '@')), plugin);
}

static void print_line(struct json *list, const struct line *line)
{
    struct buf text = {0};
    struct json w = begin_line(&text, line->level, line->at_wall, line->area, line->plugin,
                               str_c(line->message));
    json_key(&w, "seq");
    json_int(&w, (long long)line->seq);
    json_key(&w, "fields");
    buf_printf(&text, "{%s}", line->fields);
    json_close(&w, '}');
    json_raw(list, buf_str(&text));
    buf_free(&text);
}

uint64_t log_recent(struct buf *out, uint64_t after, enum log_level least, struct str plugin,
                    int limit)
{
    struct json list = json_to(out);
    json_open(&list, '[');
    pthread_mutex_lock(&lock);
    uint64_t last = newest, first = last > LOG_RING_LINES ? last - LOG_RING_LINES + 1 : 1;
    if (first <= after)
        first = after + 1;
    uint64_t from = last + 1;
    for (int left = limit; from > first && left > 0;)
        left -= wanted(&ring[--from % LOG_RING_LINES], least, plugin);
    for (; from <= last; from++)
        if (wanted(&ring[from % LOG_RING_LINES], least, plugin))
            print_line(&list, &ring[from % LOG_RING_LINES]);
    pthread_mutex_unlock(&lock);
    json_close(&list, ']');
    return last;
}
