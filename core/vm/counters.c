#include "vm/counters.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

const char *vm_cap_name(enum vm_cap cap)
{
    static const char *const names[CAP_COUNT] = {/* ORDER vm_cap */
                                                 "tasks", "timers", "sockets", "connections"};
    return names[cap];
}

static void add_spread(int64_t *buckets, int64_t *sum_ns, int64_t *count, const struct spread *from)
{
    for (int i = 0; i < SPREAD_BUCKETS; i++) {
        int64_t n = counter_get(&from->buckets[i]);
        buckets[i] += n;
        *count += n;
    }
    *sum_ns += counter_get(&from->sum_ns);
}

void vm_totals_add(struct vm_totals *t, const struct vm_counters *c)
{
    t->memory_bytes += counter_get(&c->memory_bytes);
    t->tasks += counter_get(&c->tasks);
    t->started += counter_get(&c->started);
    t->ended += counter_get(&c->ended);
    t->failed += counter_get(&c->failed);
    t->killed += counter_get(&c->killed);
    t->cancelled += counter_get(&c->cancelled);
    t->faults += counter_get(&c->faults);
    t->cpu_ns += counter_get(&c->cpu_ns);
    for (int i = 0; i < CAP_COUNT; i++)
        t->refused[i] += counter_get(&c->refused[i]);
    add_spread(t->latency.buckets, &t->latency.sum_ns, &t->latency.count, &c->latency);
    add_spread(t->hold.buckets, &t->hold.sum_ns, &t->hold.count, &c->hold);
}

/* ---- quantiles --------------------------------------------------------- */

/* The middle of a bucket, in seconds. */
static double middle(int bucket)
{
    if (bucket == 0)
        return (double)((int64_t)1 << SPREAD_FIRST_BIT) / 2e9;
    int bit = SPREAD_FIRST_BIT + (bucket - 1) / 4, part = (bucket - 1) % 4;
    return (double)((int64_t)1 << bit) * (1 + (2 * part + 1) / 8.0) / 1e9;
}

static double quantile(const int64_t *buckets, int64_t count, double part)
{
    int64_t wanted = (int64_t)((double)count * part), seen = 0;
    if (count == 0)
        return 0;
    for (int i = 0; i < SPREAD_BUCKETS; i++) {
        seen += buckets[i];
        if (seen > wanted)
            return middle(i);
    }
    return middle(SPREAD_BUCKETS - 1);
}

double vm_latency(const struct vm_totals *t, double part)
{
    return quantile(t->latency.buckets, t->latency.count, part);
}

double vm_hold(const struct vm_totals *t, double part)
{
    return quantile(t->hold.buckets, t->hold.count, part);
}

/* ---- Prometheus -------------------------------------------------------- */

#define FAMILY(name) "maru_plugin_" name

/* One number of a sample each. */
static const struct {
    const char *name, *kind, *help;
    size_t at; /* of an int64_t in struct vm_sample */
    double unit;
} numbers[] = {
    {FAMILY("memory_bytes"), "gauge", "Lua memory of a plugin's generation, over all lanes.",
     offsetof(struct vm_sample, totals.memory_bytes), 1},
    {FAMILY("tasks"), "gauge", "Tasks that run or wait.", offsetof(struct vm_sample, totals.tasks),
     1},
    {FAMILY("tasks_started_total"), "counter", "Tasks that began.",
     offsetof(struct vm_sample, totals.started), 1},
    {FAMILY("tasks_ended_total"), "counter", "Tasks that ended, however.",
     offsetof(struct vm_sample, totals.ended), 1},
    {FAMILY("tasks_failed_total"), "counter",
     "Tasks that raised or were killed; an app.fail() of 4xx raises, too.",
     offsetof(struct vm_sample, totals.failed), 1},
    {FAMILY("faults_total"), "counter",
     "Tasks that ended by a fault: raised (but app.fail() below 500), late, killed.",
     offsetof(struct vm_sample, totals.faults), 1},
    {FAMILY("tasks_killed_total"), "counter", "Tasks that were ended by force.",
     offsetof(struct vm_sample, totals.killed), 1},
    {FAMILY("vms_killed_total"), "counter", "VMs that were ended by force.",
     offsetof(struct vm_sample, kills), 1},
    {FAMILY("cpu_seconds_total"), "counter", "Time that a plugin's code held its lanes.",
     offsetof(struct vm_sample, totals.cpu_ns), 1e9},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static const char refused_family[] = FAMILY("refused_total");

static const struct {
    const char *name, *help;
    double (*quantile)(const struct vm_totals *totals, double part);
    size_t sum, count;
} summaries[] = {
    {FAMILY("task_seconds"), "From the start of a task to its end.", vm_latency,
     offsetof(struct vm_totals, latency.sum_ns), offsetof(struct vm_totals, latency.count)},
    {FAMILY("hold_seconds"), "What ran on a lane without waiting.", vm_hold,
     offsetof(struct vm_totals, hold.sum_ns), offsetof(struct vm_totals, hold.count)},
};
enum { SUMMARIES = sizeof summaries / sizeof *summaries };

static int64_t number_at(const void *p, size_t at)
{
    int64_t value;
    memcpy(&value, (const char *)p + at, sizeof value);
    return value;
}

static void print_head(struct buf *out, const char *name, const char *help, const char *kind)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

/* name{labels} value, with one more label or "". */
static void print_line(struct buf *out, const char *name, const char *suffix, const char *labels,
                       const char *more, double value)
{
    buf_printf(out, "%s%s{%s%s} ", name, suffix, labels, more);
    json_write_number(out, value);
    buf_add_char(out, '\n');
}

static void print_refused(const struct vm_sample *samples, int count, struct buf *out)
{
    print_head(out, refused_family, "What a plugin did not get because of its limits.", "counter");
    for (int i = 0; i < count; i++) {
        for (int cap = 0; cap < CAP_COUNT; cap++) {
            char label[40];
            snprintf(label, sizeof label, ",limit=\"%s\"", vm_cap_name((enum vm_cap)cap));
            print_line(out, refused_family, "", samples[i].labels, label,
                       (double)samples[i].totals.refused[cap]);
        }
    }
}

static void print_summary(const struct vm_sample *s, int which, struct buf *out)
{
    const char *name = summaries[which].name;
    print_line(out, name, "", s->labels, ",quantile=\"0.5\"",
               summaries[which].quantile(&s->totals, 0.5));
    print_line(out, name, "", s->labels, ",quantile=\"0.99\"",
               summaries[which].quantile(&s->totals, 0.99));
    print_line(out, name, "_sum", s->labels, "",
               (double)number_at(&s->totals, summaries[which].sum) / 1e9);
    print_line(out, name, "_count", s->labels, "",
               (double)number_at(&s->totals, summaries[which].count));
}

void vm_samples_print(const struct vm_sample *samples, int count, struct buf *out)
{
    for (int k = 0; k < NUMBERS; k++) {
        print_head(out, numbers[k].name, numbers[k].help, numbers[k].kind);
        for (int i = 0; i < count; i++)
            print_line(out, numbers[k].name, "", samples[i].labels, "",
                       (double)number_at(&samples[i], numbers[k].at) / numbers[k].unit);
    }
    print_refused(samples, count, out);
    for (int k = 0; k < SUMMARIES; k++) {
        print_head(out, summaries[k].name, summaries[k].help, "summary");
        for (int i = 0; i < count; i++)
            print_summary(&samples[i], k, out);
    }
}

bool vm_samples_have(const char *family)
{
    for (int k = 0; k < NUMBERS; k++)
        if (strcmp(numbers[k].name, family) == 0)
            return true;
    for (int k = 0; k < SUMMARIES; k++)
        if (strcmp(summaries[k].name, family) == 0)
            return true;
    return strcmp(refused_family, family) == 0;
}
