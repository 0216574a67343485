/* http_serve [-s STATE] [-p PORT] [-t TLS_PORT] [-d DIR] [-l LANES] [-c] [-a]: serving.h as a
 * program. -c: HTTP/2 in clear text, -a: access log.  Prints its ports as JSON; ends at SIGTERM. */
#include <signal.h>

#include "../unit/http/serving.h"

int main(int argc, char **argv)
{
    const char *dir = NULL;
    int lanes = 1, option;
    struct http_options options = serving_options("/tmp/maru-http");
    while ((option = getopt(argc, argv, "s:p:t:d:l:ca")) != -1) {
        switch (option) {
        case 's':
            options.state_dir = optarg;
            break;
        case 'p':
            serving.port = atoi(optarg);
            break;
        case 't':
            serving.tls_port = atoi(optarg);
            break;
        case 'd':
            dir = optarg;
            break;
        case 'l':
            lanes = atoi(optarg);
            break;
        case 'c':
            options.h2c = true;
            break;
        case 'a':
            options.access_log_fd = 2;
            break;
        default:
            return 2;
        }
    }
    if (lanes < 1 || lanes > SERVING_LANES)
        return 2;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    serving_open(&serving, &options, lanes, dir);
    printf("{\"http\":%d,\"https\":%d}\n", serving.port, serving.tls_port);
    fflush(stdout);
    int got;
    sigwait(&signals, &got);
    serving_close(&serving);
    return 0;
}
