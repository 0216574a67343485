#include "test.h"

#include <pthread.h>

#include "observe/metrics.h"

static bool printed(const char *line)
{
    struct buf out = {0};
    metrics_print(&out);
    bool found = strstr(buf_str(&out).p, line) != NULL;
    buf_free(&out);
    return found;
}

TEST(prints_in_prometheus_format)
{
    metric_add(metrics_counter("a_total", "Things.", "queue=\"x\""), 2);
    metric_add(metrics_counter("a_total", "Things.", "queue=\"y\""), 0.5);
    metric_set(metrics_gauge("b_bytes", "Bytes.", ""), 1e20);
    CHECK(printed("# HELP a_total Things.\n# TYPE a_total counter\n"
                  "a_total{queue=\"x\"} 2\na_total{queue=\"y\"} 0.5\n"));
    CHECK(printed("# TYPE b_bytes gauge\nb_bytes 1e+20\n"));
}

TEST(the_same_name_and_labels_are_the_same_metric)
{
    CHECK(metrics_counter("c_total", "", "x=\"1\"") == metrics_counter("c_total", "", "x=\"1\""));
    CHECK(metrics_counter("c_total", "", "x=\"1\"") != metrics_counter("c_total", "", "x=\"2\""));
}

TEST(a_histogram_counts_up_its_buckets)
{
    struct metric *m = metrics_histogram("d_seconds", "Time.", "route=\"/\"");
    metric_observe(m, 0.00005);
    metric_observe(m, 0.0001);
    metric_observe(m, 0.3);
    metric_observe(m, 100);
    CHECK(printed("d_seconds_bucket{route=\"/\",le=\"0.0001\"} 2\n"));
    CHECK(printed("d_seconds_bucket{route=\"/\",le=\"0.25\"} 2\n"));
    CHECK(printed("d_seconds_bucket{route=\"/\",le=\"0.5\"} 3\n"));
    CHECK(printed("d_seconds_bucket{route=\"/\",le=\"60\"} 3\n"));
    CHECK(printed("d_seconds_bucket{route=\"/\",le=\"+Inf\"} 4\n"));
    CHECK(printed("d_seconds_sum{route=\"/\"} 100.30015\n"));
    CHECK(printed("d_seconds_count{route=\"/\"} 4\n"));
}

TEST(labels_are_escaped)
{
    struct buf labels = {0};
    metrics_label(&labels, "a", STR("say \"hi\"\\\n"));
    metrics_label(&labels, "b", STR("마루"));
    CHECK_STR(labels.p, "a=\"say \\\"hi\\\"\\\\\\n\",b=\"마루\"");
    buf_free(&labels);
}

static void refresh(void *arg)
{
    metric_set(arg, metric_value(arg) + 1);
}

TEST(gauges_are_refreshed_before_a_scrape)
{
    struct metric *m = metrics_gauge("e", "", "");
    metrics_on_scrape(refresh, m);
    CHECK(printed("\ne 1\n"));
    CHECK(printed("\ne 2\n"));
}

static void *add_many(void *arg)
{
    struct metric *h = metrics_histogram("g_seconds", "", "");
    for (int i = 0; i < 50000; i++) {
        metric_add(arg, 1);
        metric_observe(h, 1);
    }
    return NULL;
}

TEST(no_update_is_lost_between_threads)
{
    pthread_t threads[4];
    struct metric *m = metrics_counter("f_total", "", "");
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_many, m);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(metric_value(m), 200000);
    CHECK(printed("g_seconds_count 200000\n"));
}

TEST(one_plugin_leaves_series_for_the_others)
{
    char labels[64];
    for (int i = 0; i < METRICS_OWNER_MAX + 10; i++) {
        snprintf(labels, sizeof labels, "plugin=\"greedy\",n=\"%d\"", i);
        metric_add(metrics_counter("greedy_total", "Many.", labels), 1);
    }
    metric_add(metrics_counter("greedy_total", "Many.", "plugin=\"modest\""), 5);
    CHECK(printed("greedy_total{plugin=\"greedy\",n=\"999\"} 1\n"));
    CHECK(!printed("greedy_total{plugin=\"greedy\",n=\"1000\"}"));
    CHECK(printed("greedy_total{overflow=\"true\"} 10\n"));
    CHECK(printed("greedy_total{plugin=\"modest\"} 5\n"));
}

TEST(a_name_belongs_to_one_kind)
{
    CHECK(metrics_get(METRIC_GAUGE, "kind_of", "A gauge.", "") != NULL);
    CHECK(metrics_get(METRIC_COUNTER, "kind_of", "A gauge.", "") == NULL);
    CHECK(metrics_get(METRIC_HISTOGRAM, "kind_of", "A gauge.", "") == NULL);
}

TEST(too_many_series_share_one) /* the last: it fills the registry */
{
    char labels[32];
    struct metric *last = NULL;
    for (int i = 0; i < METRICS_SERIES_MAX + 10; i++) {
        snprintf(labels, sizeof labels, "n=\"%d\"", i);
        last = metrics_counter("many_total", "", labels);
    }
    CHECK(last == metrics_counter("many_total", "", "n=\"new\""));
    metric_add(last, 1);
    CHECK(printed("many_total{overflow=\"true\"} 1\n"));
}
