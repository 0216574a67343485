#include "observe/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

static const double bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    60};
enum { BUCKETS = sizeof bounds / sizeof *bounds };

struct metric {
    struct list in_family;
    char *labels;
    enum metric_kind kind;
    _Atomic double value;      /* of a histogram: the sum */
    _Atomic uint64_t *buckets; /* histogram: BUCKETS + 1 counts, not cumulative */
};

struct family {
    struct list in_all;
    char *name, *help;
    enum metric_kind kind;
    struct list metrics;
    struct metric *overflow;
};

struct owner {
    int series;
};

struct hook {
    struct hook *next;
    void (*fn)(void *arg);
    void *arg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* all under lock */
static struct list families = {&families, &families};
static struct map *by_name, *by_series; /* name -> family, name{labels} -> metric */
static struct map *by_owner;            /* first label -> struct owner */
static struct hook *hooks;

/* Under lock. */
static struct family *family_get(const char *name, const char *help, enum metric_kind kind)
{
    if (!by_name) {
        by_name = map_create();
        by_series = map_create();
        by_owner = map_create();
    }
    struct family *family = map_get(by_name, str_c(name));
    if (family)
        return family->kind == kind ? family : NULL;
    family = mem_zero(1, sizeof *family);
    family->name = mem_strdup(name);
    family->help = mem_strdup(help);
    family->kind = kind;
    list_init(&family->metrics);
    list_push_back(&families, &family->in_all);
    map_set(by_name, str_c(name), family);
    return family;
}

/* Under lock. */
static struct metric *metric_add_to(struct family *family, const char *labels)
{
    struct metric *m = mem_zero(1, sizeof *m);
    m->labels = mem_strdup(labels);
    m->kind = family->kind;
    if (m->kind == METRIC_HISTOGRAM)
        m->buckets = mem_zero(BUCKETS + 1, sizeof *m->buckets);
    list_push_back(&family->metrics, &m->in_family);
    return m;
}

/* Under lock: whether there may be one more series with these labels, which is counted. */
static bool has_room(const char *labels)
{
    struct str first = str_n(labels, strcspn(labels, ","));
    struct owner *owner = map_get(by_owner, first);
    if (map_count(by_series) >= METRICS_SERIES_MAX)
        return false;
    if (!owner) {
        owner = mem_zero(1, sizeof *owner);
        map_set(by_owner, first, owner);
    }
    if (owner->series >= METRICS_OWNER_MAX)
        return false;
    owner->series++;
    return true;
}

/* Labels may come from a plugin, so their number is bounded. */
struct metric *metrics_get(enum metric_kind kind, const char *name, const char *help,
                           const char *labels)
{
    char *series = mem_printf("%s{%s}", name, labels);
    pthread_mutex_lock(&lock);
    struct family *family = family_get(name, help, kind);
    struct metric *m = family ? map_get(by_series, str_c(series)) : NULL;
    if (family && !m && !has_room(labels)) {
        if (!family->overflow)
            family->overflow = metric_add_to(family, "overflow=\"true\"");
        m = family->overflow;
    } else if (family && !m) {
        m = metric_add_to(family, labels);
        map_set(by_series, str_c(series), m);
    }
    pthread_mutex_unlock(&lock);
    mem_free(series);
    return m;
}

static struct metric *get(const char *name, const char *help, const char *labels,
                          enum metric_kind kind)
{
    struct metric *m = metrics_get(kind, name, help, labels);
    invariant(m);
    return m;
}

struct metric *metrics_counter(const char *name, const char *help, const char *labels)
{
    return get(name, help, labels, METRIC_COUNTER);
}

struct metric *metrics_gauge(const char *name, const char *help, const char *labels)
{
    return get(name, help, labels, METRIC_GAUGE);
}

struct metric *metrics_histogram(const char *name, const char *help, const char *labels)
{
    return get(name, help, labels, METRIC_HISTOGRAM);
}

void metric_add(struct metric *m, double by)
{
    double before = atomic_load_explicit(&m->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&m->value, &before, before + by,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void metric_set(struct metric *m, double value)
{
    atomic_store_explicit(&m->value, value, memory_order_relaxed);
}

void metric_observe(struct metric *m, double seconds)
{
    size_t i = 0;
    while (i < BUCKETS && seconds > bounds[i])
        i++;
    atomic_fetch_add_explicit(&m->buckets[i], 1, memory_order_relaxed);
    metric_add(m, seconds);
}

double metric_value(const struct metric *m)
{
    return atomic_load_explicit(&m->value, memory_order_relaxed);
}

void metrics_label(struct buf *labels, const char *name, struct str value)
{
    if (labels->n > 0)
        buf_add_char(labels, ',');
    buf_printf(labels, "%s=\"", name);
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\n')
            buf_add_c(labels, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(labels, "\\%c", c);
        else
            buf_add_char(labels, c);
    }
    buf_add_char(labels, '"');
}

void metrics_on_scrape(void (*fn)(void *arg), void *arg)
{
    struct hook *hook = mem_alloc(sizeof *hook);
    pthread_mutex_lock(&lock);
    *hook = (struct hook){hooks, fn, arg};
    hooks = hook;
    pthread_mutex_unlock(&lock);
}

static void print_value(struct buf *out, double value)
{
    if (!json_write_number(out, value))
        buf_add_c(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
    buf_add_char(out, '\n');
}

static void print_simple(struct buf *out, const char *name, const struct metric *m)
{
    buf_add_c(out, name);
    if (m->labels[0])
        buf_printf(out, "{%s}", m->labels);
    buf_add_char(out, ' ');
    print_value(out, metric_value(m));
}

static void print_histogram(struct buf *out, const char *name, const struct metric *m)
{
    const char *comma = m->labels[0] ? "," : "";
    uint64_t count = 0;
    for (size_t i = 0; i <= BUCKETS; i++) {
        count += atomic_load_explicit(&m->buckets[i], memory_order_relaxed);
        buf_printf(out, "%s_bucket{%s%sle=\"", name, m->labels, comma);
        if (i < BUCKETS)
            json_write_number(out, bounds[i]);
        else
            buf_add_c(out, "+Inf");
        buf_printf(out, "\"} %llu\n", (unsigned long long)count);
    }
    buf_printf(out, m->labels[0] ? "%s_sum{%s} " : "%s_sum%s ", name, m->labels);
    print_value(out, metric_value(m));
    buf_printf(out, m->labels[0] ? "%s_count{%s} " : "%s_count%s ", name, m->labels);
    buf_printf(out, "%llu\n", (unsigned long long)count);
}

void metrics_print(struct buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    pthread_mutex_lock(&lock);
    struct hook *first = hooks; /* only ever grows at its head */
    pthread_mutex_unlock(&lock);
    for (struct hook *hook = first; hook; hook = hook->next)
        hook->fn(hook->arg);
    pthread_mutex_lock(&lock);
    list_each (node, &families) {
        struct family *family = list_entry(node, struct family, in_all);
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
                   kinds[family->kind]);
        list_each (at, &family->metrics) {
            struct metric *m = list_entry(at, struct metric, in_family);
            if (m->kind == METRIC_HISTOGRAM)
                print_histogram(out, family->name, m);
            else
                print_simple(out, family->name, m);
        }
    }
    pthread_mutex_unlock(&lock);
}
