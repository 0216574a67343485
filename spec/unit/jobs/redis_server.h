/* redis_server.h -- a real redis-server of one test program: loopback, a folder of its own, AOF on.
 */
#pragma once

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../loopback.h"
#include "base/err.h"
#include "jobs/redis/conn.h"

struct redis_server {
    char dir[64], url[64];
    int port;
    pid_t pid;
};

static inline struct redis *redis_server_open(const struct redis_server *s, struct err *err)
{
    struct redis_url url;
    if (!redis_url_parse(str_c(s->url), &url, err))
        return NULL;
    struct redis *r = redis_open(&url, "test", 2000, err);
    redis_url_fini(&url);
    return r;
}

/* Waits until it answers PONG. */
static inline void redis_server_await(const struct redis_server *s)
{
    for (int i = 0; i < 1000; i++) {
        struct err err = {0};
        struct redis *r = redis_server_open(s, &err);
        redisReply *reply = r ? redis_command(r, &err, "PING") : NULL;
        if (reply)
            freeReplyObject(reply);
        redis_close(r);
        if (reply)
            return;
        usleep(10000);
    }
    abort();
}

/* On the same port and folder as before, if it was started before. */
static inline void redis_server_start(struct redis_server *s)
{
    char port[16];
    if (!s->port) {
        snprintf(s->dir, sizeof s->dir, "/tmp/maru-redis-XXXXXX");
        if (!mkdtemp(s->dir))
            abort();
        s->port = loopback_free_port();
        snprintf(s->url, sizeof s->url, "redis://127.0.0.1:%d", s->port);
    }
    snprintf(port, sizeof port, "%d", s->port);
    s->pid = fork();
    if (s->pid == 0) {
        execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir",
               s->dir, "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--logfile",
               "log", (char *)NULL);
        _exit(127);
    }
    redis_server_await(s);
}

static inline void redis_server_kill(struct redis_server *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static inline void redis_server_stop(struct redis_server *s)
{
    char command[128];
    if (s->pid)
        redis_server_kill(s);
    snprintf(command, sizeof command, "rm -rf '%s'", s->dir);
    if (system(command) != 0)
        abort();
    *s = (struct redis_server){0};
}
