/* kafka_mock.c -- brokers of Kafka for specs: librdkafka's mock cluster, kept up by itself.
 *
 *   kafka_mock BROKERS FILE  prints "BOOTSTRAP host:port,…", then obeys lines as they come to FILE:
 *     topic NAME PARTITIONS, down BROKER, up BROKER, rtt BROKER MS, error APIKEY CODE TIMES, quit
 *
 * A real broker over TCP, for this machine's processes; without persistence, TLS and SASL, and it
 * keeps everything.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail_requests(rd_kafka_mock_cluster_t *cluster, int api, int code, int times)
{
    while (times-- > 0)
        rd_kafka_mock_push_request_errors(cluster, (int16_t)api, 1, (rd_kafka_resp_err_t)code);
}

static int obey(rd_kafka_mock_cluster_t *cluster, const char *line)
{
    char name[200];
    int a = 0, b = 0, c = 0;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (strncmp(line, "quit", 4) == 0)
        return 0;
    if (sscanf(line, "topic %199s %d", name, &a) == 2)
        code = rd_kafka_mock_topic_create(cluster, name, a, 1);
    else if (sscanf(line, "down %d", &a) == 1)
        code = rd_kafka_mock_broker_set_down(cluster, a);
    else if (sscanf(line, "up %d", &a) == 1)
        code = rd_kafka_mock_broker_set_up(cluster, a);
    else if (sscanf(line, "rtt %d %d", &a, &b) == 2)
        code = rd_kafka_mock_broker_set_rtt(cluster, a, b);
    else if (sscanf(line, "error %d %d %d", &a, &b, &c) == 3)
        fail_requests(cluster, a, b, c);
    else if (sscanf(line, "leader %199s %d %d", name, &a, &b) == 3)
        code = rd_kafka_mock_partition_set_leader(cluster, name, a, b);
    printf("%s\n", rd_kafka_err2name(code));
    fflush(stdout);
    return 1;
}

int main(int argc, char **argv)
{
    char why[512], line[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "client.id", "mock", why, sizeof why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    FILE *orders = argc > 2 ? fopen(argv[2], "r") : NULL;
    if (!rk || !orders) {
        fprintf(stderr, "%s\n", rk ? "no file of orders" : why);
        return 1;
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(rk, atoi(argv[1]));
    printf("BOOTSTRAP %s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    for (;;) {
        if (!fgets(line, sizeof line, orders)) {
            clearerr(orders);
            usleep(5000);
        } else if (!obey(cluster, line))
            break;
    }
    fclose(orders);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(rk);
    return 0;
}
