#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "http/internal.h"

enum { ACCESS_FLUSH_BYTES = 32 << 10, ACCESS_KEPT_BYTES = 4 << 20 };

void access_line(struct http_request *r, int64_t took_ns)
{
    struct http_lane *lane = r->lane;
    char at[32];
    clock_format_utc(clock_wall_ns(), at);
    if (lane->log.n > ACCESS_KEPT_BYTES)
        return; /* whoever reads the log has stopped reading */
    struct json w = json_to(&lane->log);
    json_open(&w, '{');
    json_key(&w, "at");
    json_cstr(&w, at);
    json_key(&w, "client");
    json_str(&w, request_client(r));
    json_key(&w, "method");
    json_str(&w, request_method(r));
    json_key(&w, "target");
    json_str(&w, request_target(r));
    json_key(&w, "protocol");
    json_cstr(&w, r->http2 ? "HTTP/2" : "HTTP/1.1");
    json_key(&w, "status");
    json_int(&w, r->left ? 499 : r->status);
    json_key(&w, "bytes");
    json_int(&w, (long long)r->req->bytes_sent);
    json_key(&w, "ms");
    json_num(&w, (double)(took_ns / 1000) / 1000);
    json_key(&w, "plugin");
    json_cstr(&w, r->stats->owner);
    json_key(&w, "request_id");
    json_str(&w, request_id(r));
    json_key(&w, "trace_id");
    json_str(&w, request_trace_id(r));
    json_close(&w, '}');
    buf_add_char(&lane->log, '\n');
    if (lane->log.n >= ACCESS_FLUSH_BYTES)
        access_flush(lane);
}

void access_flush(struct http_lane *lane)
{
    if (lane->log.n == 0)
        return;
    ssize_t n = write(lane->server->options.access_log_fd, lane->log.p, lane->log.n);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && (size_t)n < lane->log.n) {
        memmove(lane->log.p, lane->log.p + n, lane->log.n - (size_t)n);
        lane->log.n -= (size_t)n;
        return;
    }
    buf_clear(&lane->log);
}
