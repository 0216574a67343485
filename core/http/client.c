#include "http/client.h"

#include <curl/curl.h>
#include <pthread.h>

#include "base/mem.h"
#include "http/fetch.h"
#include "loop/lane.h"

/* One socket of curl's, watched by the loop. */
struct watch {
    uv_poll_t poll; /* first */
    struct http_client *client;
    curl_socket_t fd;
};

static pthread_once_t curl_ready = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void collect_finished(struct http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct transfer *transfer;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer->ended(transfer, code);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = (struct watch *)poll;
    struct http_client *client = watch->client;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    int running;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(client->multi, watch->fd, flags, &running);
    collect_finished(client);
}

static void on_watch_closed(uv_handle_t *handle)
{
    mem_free(handle);
}

static struct watch *watch_create(struct http_client *client, curl_socket_t fd)
{
    struct watch *watch = mem_zero(1, sizeof *watch);
    watch->client = client;
    watch->fd = fd;
    if (uv_poll_init_socket(&client->lane->loop, &watch->poll, fd) != 0) {
        mem_free(watch);
        return NULL;
    }
    curl_multi_assign(client->multi, fd, watch);
    return watch;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct http_client *client = arg;
    struct watch *watch = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            uv_poll_stop(&watch->poll);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
            curl_multi_assign(client->multi, fd, NULL);
        }
        return 0;
    }
    if (!watch && !(watch = watch_create(client, fd)))
        return -1;
    int events = 0;
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    return uv_poll_start(&watch->poll, events, on_poll) == 0 ? 0 : -1;
}

void fetch_turn(struct http_client *client)
{
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_finished(client);
}

static void on_curl_timer(struct timer *timer)
{
    struct http_client *client =
        (struct http_client *)((char *)timer - offsetof(struct http_client, timer));
    fetch_turn(client);
}

static int on_timeout_change(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct http_client *client = arg;
    if (ms < 0)
        timer_stop(client->lane, &client->timer);
    else
        timer_start(client->lane, &client->timer, ms * NS_PER_MS);
    return 0;
}

struct http_client *http_client_create(struct lane *lane, struct err *err)
{
    pthread_once(&curl_ready, curl_start);
    struct http_client *client = mem_zero(1, sizeof *client);
    client->lane = lane;
    client->multi = curl_multi_init();
    if (!client->multi) {
        mem_free(client);
        err_set(err, ERR_IO, "http client: curl_multi_init failed");
        return NULL;
    }
    list_init(&client->fetches);
    list_init(&client->mails);
    client->timer.fire = on_curl_timer;
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timeout_change);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, 32L);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, 64L);
    return client;
}

void http_client_ca(struct http_client *client, const char *path)
{
    mem_free(client->ca_file);
    client->ca_file = *path ? mem_strdup(path) : NULL;
}

void http_client_destroy(struct http_client *client)
{
    if (!client)
        return;
    while (!list_empty(&client->fetches))
        http_fetch_cancel(list_entry(client->fetches.next, struct http_fetch, in_client));
    mail_cancel_all(client);
    curl_multi_cleanup(client->multi);
    timer_stop(client->lane, &client->timer);
    mem_free(client->ca_file);
    mem_free(client);
}

bool http_client_is_outside(const struct http_client *client)
{
    list_each (node, &client->fetches) {
        if (list_entry(node, struct http_fetch, in_client)->easy)
            return true;
    }
    return false;
}
