/* beanstalkd.c -- beanstalkd_bench PORT single|bulk|latency COUNT [GAP_MS] | worker
 *
 * One phase of the bench on beanstalkd.  A worker appends (pushed, started), two
 * doubles in seconds, to $BENCH_LOG for each job. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BULK = 1000 };

static FILE *to, *from;
static char line[512];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void open_server(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (void *)&address, sizeof address) != 0)
        fail("connect");
    to = fdopen(dup(fd), "w");
    from = fdopen(fd, "r");
}

static void answer(const char *expected)
{
    fflush(to);
    if (!fgets(line, sizeof line, from) || strncmp(line, expected, strlen(expected)) != 0) {
        fprintf(stderr, "expected %s, got %s\n", expected, line);
        exit(1);
    }
}

static void put(void)
{
    char body[64];
    int n = snprintf(body, sizeof body, "%.6f", now());
    fprintf(to, "put 1024 0 60 %d\r\n%s\r\n", n, body);
}

static void push(int count, int at_once, double gap_ms)
{
    double begin = now();
    for (int i = 0; i < count; i += at_once) {
        for (int k = 0; k < at_once; k++)
            put();
        for (int k = 0; k < at_once; k++)
            answer("INSERTED");
        if (gap_ms > 0)
            usleep((useconds_t)(gap_ms * 1000));
    }
    printf("{\"count\": %d, \"seconds\": %.6f}\n", count, now() - begin);
}

static void work(void)
{
    int log = open(getenv("BENCH_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0644);
    for (;;) {
        unsigned long long id;
        double start[2];
        fputs("reserve\r\n", to);
        answer("RESERVED");
        sscanf(line, "RESERVED %llu", &id);
        if (!fgets(line, sizeof line, from))
            return;
        start[0] = atof(line);
        start[1] = now();
        if (write(log, start, sizeof start) != sizeof start)
            fail("write");
        fprintf(to, "delete %llu\r\n", id);
        answer("DELETED");
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    open_server(atoi(argv[1]));
    int count = argc > 3 ? atoi(argv[3]) : 0;
    if (strcmp(argv[2], "worker") == 0)
        work();
    else
        push(count, strcmp(argv[2], "bulk") == 0 ? BULK : 1, argc > 4 ? atof(argv[4]) : 0);
    return 0;
}
