/* talk.h -- a blocking client for tests: bytes out, bytes in, with a time limit. */
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

static inline int talk_open(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

static inline bool talk_send(int fd, const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

static inline bool talk_say(int fd, const char *text)
{
    return talk_send(fd, text, strlen(text));
}

/* Appends what comes within ms; false at the end of the connection. */
static inline bool talk_hear(int fd, int ms, struct buf *in)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, ms) <= 0)
        return true;
    char bytes[65536];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n <= 0)
        return false;
    buf_add(in, bytes, (size_t)n);
    return true;
}

/* Reads until the connection ends (true) or ms are over. */
static inline bool talk_until_end(int fd, int ms, struct buf *in)
{
    int64_t until = clock_ns() + ms * NS_PER_MS;
    for (int64_t left; (left = until - clock_ns()) > 0;)
        if (!talk_hear(fd, (int)(left / NS_PER_MS) + 1, in))
            return true;
    return false;
}

/* Reads until `text` was seen; false when it never came. */
static inline bool talk_until(int fd, const char *text, int ms, struct buf *in)
{
    int64_t until = clock_ns() + ms * NS_PER_MS;
    while (!in->p || !memmem(in->p, in->n, text, strlen(text))) {
        int64_t left = until - clock_ns();
        if (left <= 0 || !talk_hear(fd, (int)(left / NS_PER_MS) + 1, in))
            return in->p && memmem(in->p, in->n, text, strlen(text));
    }
    return true;
}

/* One request on a connection of its own; the whole answer, valid until the next. */
static inline const char *talk_ask(int port, const void *p, size_t n)
{
    static struct buf in;
    buf_clear(&in);
    buf_add_c(&in, "");
    int fd = talk_open(port);
    talk_send(fd, p, n);
    if (!talk_until_end(fd, 30000, &in))
        buf_add_c(&in, "\n(the connection stays open)");
    close(fd);
    return in.p ? in.p : "";
}

/* "METHOD target" with headers, each "name: value\r\n". */
static inline const char *talk_get(int port, const char *what, const char *headers)
{
    char text[8192];
    int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\nhost: test\r\nconnection: close\r\n%s\r\n",
                     what, headers ? headers : "");
    return talk_ask(port, text, (size_t)n);
}

static inline int talk_status(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

static inline const char *talk_body(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    return end ? end + 4 : "";
}

/* Value of a header, or NULL; valid until the next. */
static inline const char *talk_header(const char *answer, const char *name)
{
    static char value[1024];
    const char *end = strstr(answer, "\r\n\r\n");
    for (const char *line = strstr(answer, "\r\n"); line && line < end;
         line = strstr(line + 2, "\r\n")) {
        size_t n = strlen(name);
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':') {
            const char *from = line + 2 + n + 1;
            from += strspn(from, " ");
            snprintf(value, sizeof value, "%.*s", (int)(strstr(from, "\r\n") - from), from);
            return value;
        }
    }
    return NULL;
}
