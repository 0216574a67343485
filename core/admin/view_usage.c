/* view_usage.c -- what a generation takes: in the plugins' rows and in the metrics. */

#include "admin/internal.h"
#include "base/mem.h"
#include "observe/metrics.h"
#include "reload/reload.h"
#include "vm/bundle.h"

static void write_ms(struct json *w, const char *key, double seconds)
{
    json_key(w, key);
    json_num(w, seconds * 1e3);
}

void view_usage(struct json *w, const struct generation *g)
{
    struct generation_usage u = {0};
    if (g)
        u = generation_usage(g);
    json_key(w, "cpu_seconds");
    json_num(w, (double)u.cpu_ns / 1e9);
    write_ms(w, "p50_ms", u.p50);
    write_ms(w, "p99_ms", u.p99);
    write_ms(w, "hold_p50_ms", u.hold_p50);
    write_ms(w, "hold_p99_ms", u.hold_p99);
    json_key(w, "limited");
    json_open(w, '{');
    for (int cap = 0; cap < CAP_COUNT; cap++) {
        json_key(w, vm_cap_name((enum vm_cap)cap));
        json_int(w, u.refused[cap]);
    }
    json_close(w, '}');
}

static char *labels_of(const struct generation *g)
{
    struct buf labels = {0};
    size_t n;
    metrics_label(&labels, "plugin", str_c(g->name));
    metrics_label(&labels, "generation", str_n(g->bundle->hash, 12));
    return buf_take(&labels, &n);
}

void usage_metrics(const struct set *set, struct buf *out)
{
    int count = set ? set->count : 0;
    struct vm_sample *samples = mem_zero((size_t)count + 1, sizeof *samples);
    char **labels = mem_zero((size_t)count + 1, sizeof *labels);
    for (int i = 0; i < count; i++) {
        const struct generation *g = set->generations[i];
        labels[i] = labels_of(g);
        samples[i].labels = labels[i];
        samples[i].totals = generation_totals(g);
        samples[i].kills = atomic_load_explicit(&g->kills, memory_order_relaxed);
    }
    vm_samples_print(samples, count, out);
    for (int i = 0; i < count; i++)
        mem_free(labels[i]);
    mem_free(labels);
    mem_free(samples);
}
