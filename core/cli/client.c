#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"

enum { ANSWER_BYTES = 64 << 20 };

static bool send_all(int fd, struct str bytes, struct err *err)
{
    while (bytes.n) {
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_sys(err, errno, "admin socket");
        bytes = str_n(bytes.p + n, bytes.n - (size_t)n);
    }
    return true;
}

static bool receive_all(int fd, struct buf *out, struct err *err)
{
    char bytes[16384];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0 && out->n < ANSWER_BYTES)
        buf_add(out, bytes, (size_t)n);
    return n == 0 || err_sys(err, errno, "admin socket");
}

/* Joins the pieces of a chunked body. */
static void join_chunks(struct str body, struct buf *out)
{
    while (body.n) {
        char *end;
        unsigned long size = strtoul(body.p, &end, 16);
        size_t head = str_find(body, '\n') + 1;
        if (!size || head + size > body.n)
            return;
        buf_add(out, body.p + head, size);
        size_t used = head + size + 2 < body.n ? head + size + 2 : body.n;
        body = str_n(body.p + used, body.n - used);
    }
}

static int parse(const struct buf *raw, struct buf *body, struct err *err)
{
    const char *end = raw->n ? strstr(raw->p, "\r\n\r\n") : NULL;
    if (!end || raw->n < 12 || strncmp(raw->p, "HTTP/1.1 ", 9)) {
        err_set(err, ERR_CORRUPT, "admin socket: the server broke off its answer");
        return 0;
    }
    struct str head = str_n(raw->p, (size_t)(end - raw->p));
    struct str rest = str_n(end + 4, raw->n - head.n - 4);
    bool chunked = false;
    while (head.n) {
        struct str line = str_split(&head, '\n');
        chunked =
            chunked || (line.n >= 26 && !strncasecmp(line.p, "transfer-encoding: chunked", 26));
    }
    if (chunked)
        join_chunks(rest, body);
    else
        buf_add_str(body, rest);
    return atoi(raw->p + 9);
}

int admin_send(const char *state_dir, const char *method, const char *path, struct str content,
               struct buf *body, struct err *err)
{
    struct buf raw = {0};
    int status = 0;
    int fd = listen_connect_unix(state_dir, "admin.sock", err);
    if (fd < 0)
        return 0;
    buf_printf(&raw, "%s /admin/v1%s HTTP/1.1\r\nhost: maru\r\nconnection: close\r\n", method,
               path);
    if (content.n)
        buf_add_c(&raw, "content-type: application/json\r\n");
    if (content.n || !strcmp(method, "POST"))
        buf_printf(&raw, "content-length: %zu\r\n", content.n);
    buf_add_c(&raw, "\r\n");
    buf_add_str(&raw, content);
    bool sent = send_all(fd, buf_str(&raw), err);
    buf_clear(&raw);
    if (sent && receive_all(fd, &raw, err))
        status = parse(&raw, body, err);
    close(fd);
    buf_free(&raw);
    return status;
}

int admin_request(const char *state_dir, const char *method, const char *path, struct buf *body,
                  struct err *err)
{
    return admin_send(state_dir, method, path, (struct str){"", 0}, body, err);
}
