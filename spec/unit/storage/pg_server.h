/* pg_server.h -- a real PostgreSQL of one test program: loopback, a folder of its own. */
#pragma once

#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../loopback.h"

struct pg_server {
    char dir[64], url[96];
    int port;
    pid_t pid;
};

/* PostgreSQL refuses to be root's. */
static inline uid_t pg_server_user(void)
{
    struct passwd *who = getpwnam("postgres");
    who = who ? who : getpwnam("nobody");
    return getuid() ? getuid() : who->pw_uid;
}

static inline void pg_server_become(void)
{
    if (getuid() == 0 && setuid(pg_server_user()) != 0)
        _exit(126);
    if (chdir("/") != 0)
        _exit(125);
}

/* Without sanitizers' environment, whose leak reports would fail initdb. */
static inline void pg_server_run(const char *format, const char *dir)
{
    char command[400];
    snprintf(command, sizeof command, format, dir, dir);
    pid_t pid = fork();
    if (pid == 0) {
        pg_server_become();
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        abort();
}

static inline PGconn *pg_server_connect(const struct pg_server *s)
{
    return PQconnectdb(s->url);
}

/* The first value of the last row; empty without one.  For set-up and looks of a test. */
static inline const char *pg_server_sql(const struct pg_server *s, const char *sql)
{
    static char value[256];
    PGconn *c = pg_server_connect(s);
    PGresult *r = PQexec(c, sql);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        printf("# %s", PQerrorMessage(c));
    snprintf(value, sizeof value, "%s",
             status == PGRES_TUPLES_OK && PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    PQfinish(c);
    return value;
}

/* On the same port and folder as before, if it was started before. */
static inline void pg_server_start(struct pg_server *s)
{
    char port[16], data[80];
    if (!s->port) {
        snprintf(s->dir, sizeof s->dir, "/tmp/maru-pg-XXXXXX");
        if (!mkdtemp(s->dir) || chown(s->dir, pg_server_user(), (gid_t)-1) != 0)
            abort();
        s->port = loopback_free_port();
        snprintf(s->url, sizeof s->url, "postgresql://maru@127.0.0.1:%d/postgres", s->port);
        pg_server_run("/usr/lib/postgresql/15/bin/initdb -D %s/data -A trust -U maru -E UTF8"
                      " --no-sync --locale=C >%s/initdb.log 2>&1",
                      s->dir);
    }
    snprintf(port, sizeof port, "%d", s->port);
    snprintf(data, sizeof data, "%s/data", s->dir);
    s->pid = fork();
    if (s->pid == 0) {
        pg_server_become();
        char log[96];
        snprintf(log, sizeof log, "%s/log", s->dir);
        if (!freopen(log, "a", stderr))
            _exit(124);
        execl("/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/15/bin/postgres", "-D",
              data, "-p", port, "-k", s->dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
              (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 1000; i++) {
        PGPing up = PQping(s->url);
        if (up == PQPING_OK)
            return;
        usleep(10000);
    }
    abort();
}

/* SIGINT: fast; SIGQUIT: as after a crash. */
static inline void pg_server_halt(struct pg_server *s, int signal)
{
    kill(s->pid, signal);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static inline void pg_server_stop(struct pg_server *s)
{
    char command[128];
    if (s->pid)
        pg_server_halt(s, SIGQUIT);
    snprintf(command, sizeof command, "rm -rf '%s'", s->dir);
    if (system(command) != 0)
        abort();
    *s = (struct pg_server){0};
}
