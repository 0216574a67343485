#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/internal.h"

/* A client whose upload was refused is still sending.  Closing at once would
 * make its kernel drop our answer, so a duplicate of the socket is kept for a
 * moment: our side is shut, what still comes is thrown away. */

enum { LINGER_BYTES = 8 << 20 };
static const int64_t linger_ns = 2 * NS_PER_SECOND;

struct parting {
    uv_poll_t poll;
    int fd;
    struct http_lane *lane;
    struct list node;
    struct timer timer;
    size_t left;
};

static void on_closed(uv_handle_t *handle)
{
    struct parting *parting = handle->data;
    close(parting->fd);
    parting->lane->handles--;
    mem_free(parting);
}

static void end(struct parting *parting)
{
    timer_stop(parting->lane->lane, &parting->timer);
    list_remove(&parting->node);
    uv_close((uv_handle_t *)&parting->poll, on_closed);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct parting *parting = poll->data;
    (void)events;
    static _Thread_local char sink[64 << 10];
    ssize_t n = status < 0 ? 0 : recv(parting->fd, sink, sizeof sink, MSG_DONTWAIT);
    if (n <= 0 || (size_t)n >= parting->left) {
        end(parting);
        return;
    }
    parting->left -= (size_t)n;
}

static void on_time(struct timer *timer)
{
    end(list_entry(timer, struct parting, timer));
}

void conn_linger(struct http_conn *conn)
{
    if (conn->linger_fd < 0 && !conn->local && !conn->lane->closing)
        conn->linger_fd = fcntl(h2o_socket_get_fd(conn->sock), F_DUPFD_CLOEXEC, 3);
}

void conn_linger_here(struct http_conn *conn)
{
    struct http_lane *lane = conn->lane;
    int fd = conn->linger_fd;
    if (fd < 0)
        return;
    struct parting *parting = mem_zero(1, sizeof *parting);
    if (lane->closing || shutdown(fd, SHUT_WR) != 0 ||
        uv_poll_init(&lane->lane->loop, &parting->poll, fd) != 0) {
        close(fd);
        mem_free(parting);
        return;
    }
    lane->handles++;
    parting->poll.data = parting;
    parting->fd = fd;
    parting->lane = lane;
    parting->left = LINGER_BYTES;
    parting->timer.fire = on_time;
    list_push_back(&lane->lingering, &parting->node);
    timer_start(lane->lane, &parting->timer, linger_ns);
    uv_poll_start(&parting->poll, UV_READABLE, on_readable);
}

void linger_close_all(struct http_lane *lane)
{
    list_each_safe (node, &lane->lingering)
        end(list_entry(node, struct parting, node));
}
