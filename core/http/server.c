#include "http/server.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "http/internal.h"
#include "http/rate.h"
#include "observe/metrics.h"

enum { BODY_FILE_BYTES = 256 << 10 }; /* larger bodies are kept in a temporary file */

const struct http_limits http_limits_default = {
    .header_bytes = 16 << 10,
    .uri_bytes = 8 << 10,
    .body_bytes = 1 << 20,
    .streams = 100,
    .connections = 10000,
    .control_frames = 1000,
    .cancels = 100,
    .header_ns = 10 * NS_PER_SECOND,
    .body_ns = 30 * NS_PER_SECOND,
    .idle_ns = 75 * NS_PER_SECOND,
    .tls_ns = 10 * NS_PER_SECOND,
    .send_ns = 60 * NS_PER_SECOND,
    .unsent_bytes = 4 << 20,
    .cache_bytes = 64 << 20,
};

static char **copy_list(const char *const *list)
{
    int n = 0;
    while (list && list[n])
        n++;
    if (n == 0)
        return NULL;
    char **copy = mem_zero((size_t)n + 1, sizeof *copy);
    for (int i = 0; i < n; i++)
        copy[i] = mem_strdup(list[i]);
    return copy;
}

static void free_list(const char *const *list)
{
    for (int i = 0; list && list[i]; i++)
        mem_free((char *)(uintptr_t)list[i]);
    mem_free((void *)(uintptr_t)list);
}

static void copy_options(struct http_options *to, const struct http_options *from)
{
    *to = *from;
    to->state_dir = mem_strdup(from->state_dir);
    to->cert_file = mem_strdup(from->cert_file);
    to->key_file = mem_strdup(from->key_file);
    to->cors_origins = (const char *const *)copy_list(from->cors_origins);
    to->host_names = (const char *const *)copy_list(from->host_names);
}

/* Process-wide in the library: bodies over BODY_FILE_BYTES go to an unlinked
 * file in state_dir, mapped. */
static bool place_bodies(const char *state_dir, struct err *err)
{
    char *dir = mem_printf("%s/tmp", state_dir);
    bool ok = dir_make(dir, 0700, err);
    if (ok && strlen(dir) + 20 < sizeof h2o_socket_buffer_mmap_settings.fn_template) {
        h2o_socket_buffer_mmap_settings.threshold = BODY_FILE_BYTES;
        snprintf(h2o_socket_buffer_mmap_settings.fn_template,
                 sizeof h2o_socket_buffer_mmap_settings.fn_template, "%s/body.XXXXXX", dir);
    }
    mem_free(dir);
    return ok;
}

/* Each connection is a descriptor, and what a shell allows is for people. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

struct http_server *http_server_create(const struct http_options *options, struct err *err)
{
    if (!place_bodies(options->state_dir, err)) {
        err_wrap(err, "http");
        return NULL;
    }
    raise_descriptors();
    /* Otherwise a lane's heap is given back and taken again at every batch. */
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20); /* the same for one block: naming either fixes both */
    OPENSSL_init_ssl(0, NULL); /* here, so that its clean-up at exit comes after our threads */
    signal(SIGPIPE, SIG_IGN);  /* a client that left is an error of write(2), not our end */
    struct http_server *server = mem_zero(1, sizeof *server);
    copy_options(&server->options, options);
    pthread_mutex_init(&server->tls_lock, NULL);
    server->rates = rate_create();
    server->answers = answer_table_create(options->limits.cache_bytes);
    server->stats = http_stats_of("host");
    server->connections = metrics_gauge("maru_http_connections", "Open client connections.", "");
    server->cancels = metrics_counter("maru_http_cancels_total",
                                      "Requests whose client left before the answer.", "");
    server->refused = metrics_counter("maru_http_refused_connections_total",
                                      "Connections closed at once: over the limit.", "");
    server->floods = metrics_counter("maru_http_floods_total",
                                     "Connections closed for what they sent too much of.", "");
    server->slow = metrics_counter("maru_http_slow_connections_total",
                                   "Connections closed for not taking their answers.", "");
    const struct http_limits *limits = &server->options.limits;
    /* Up to these a request over the limits is told so by its answer. */
    server->frames = (struct frames_limits){.control = limits->control_frames,
                                            .resets = limits->control_frames + limits->cancels,
                                            .block = limits->header_bytes * 4,
                                            .block_size = HEAD_COUNT * 4};
    return server;
}

void http_server_destroy(struct http_server *server)
{
    if (!server)
        return;
    tls_close(server->tls);
    pthread_mutex_destroy(&server->tls_lock);
    rate_destroy(server->rates);
    answer_table_destroy(server->answers);
    mem_free((char *)(uintptr_t)server->options.state_dir);
    mem_free((char *)(uintptr_t)server->options.cert_file);
    mem_free((char *)(uintptr_t)server->options.key_file);
    free_list(server->options.cors_origins);
    free_list(server->options.host_names);
    mem_free(server);
}

const struct http_limits *http_server_limits(const struct http_server *server)
{
    return &server->options.limits;
}

bool http_server_reload_tls(struct http_server *server, struct err *err)
{
    pthread_mutex_lock(&server->tls_lock);
    struct tls *tls = server->tls;
    pthread_mutex_unlock(&server->tls_lock);
    return tls ? tls_reload(tls, err) : true;
}

void http_server_forget(struct http_server *server, const char *owner)
{
    answer_forget(server->answers, owner);
}

bool server_open_tls(struct http_server *server, struct err *err)
{
    pthread_mutex_lock(&server->tls_lock);
    if (!server->tls)
        server->tls = tls_open(&server->options, err);
    bool ok = server->tls != NULL;
    pthread_mutex_unlock(&server->tls_lock);
    return ok;
}
