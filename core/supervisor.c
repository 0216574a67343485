#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/sys.h"
#include "inherit.h"
#include "observe/log.h"

static const int64_t steady_ns = 1 * NS_PER_SECOND; /* a server that lived so long died by chance */
static const int64_t stuck_grace_ns = 6 * NS_PER_SECOND; /* it means to be gone in two */
static const int64_t backoff_first_ns = 100 * NS_PER_MS, backoff_most_ns = 5 * NS_PER_SECOND;

enum child_state { CHILD_NONE, CHILD_STARTING, CHILD_WAITING, CHILD_READY, CHILD_DRAINING };

struct child {
    enum child_state state;
    pid_t pid;
    int control;
    int64_t ready_at, kill_at; /* kill_at 0 = never */
    struct buf line;           /* of the control socket, not yet whole */
    bool stuck;                /* a thread of it does not answer any more */
};

struct supervisor {
    const struct supervisor_options *options;
    char program[4096];
    sigset_t own_mask;
    int signals, lock;
    struct inherited sockets;
    struct child server, successor;
    bool was_ready, stopping;
    int early_deaths; /* in a row, of servers that were not steady */
    int64_t start_at; /* when the next server is due; 0 = none is */
    int exit_code;
    bool done;
};

static void run_program(struct supervisor *s, int control, bool successor)
{
    struct inherited in = s->sockets;
    in.control = control;
    in.restart = s->was_ready;
    in.successor = successor;
    inherit_export(&in);
    /* A batch of requests frees more blocks of one size than malloc's thread cache keeps (7).  Not
     * thousands: what one thread allocates and another frees fills the other's cache first. */
    setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=128", 0);
    sigprocmask(SIG_SETMASK, &s->own_mask, NULL);
    execv(s->program, s->options->argv);
    fprintf(stderr, "maru: %s: %s\n", s->program, strerror(errno));
    _exit(EXIT_FAILED);
}

static bool child_start(struct supervisor *s, struct child *child, bool successor)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        run_program(s, pair[1], successor);
    close(pair[1]);
    if (pid < 0) {
        log_error("supervisor", "fork: %s", strerror(errno));
        close(pair[0]);
        return false;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    *child = (struct child){.state = CHILD_STARTING, .pid = pid, .control = pair[0]};
    return true;
}

static void child_tell(const struct child *child, const char *line)
{
    if (child->state != CHILD_NONE && send(child->control, line, strlen(line), MSG_NOSIGNAL) < 0)
        log_warn("supervisor", "server %d does not listen: %s", child->pid, strerror(errno));
}

static int64_t grace_of(const struct supervisor *s, const struct child *child)
{
    int64_t grace = s->options->grace_ns;
    return child->stuck && stuck_grace_ns < grace ? stuck_grace_ns : grace;
}

static void child_drain(struct supervisor *s, struct child *child)
{
    if (child->state == CHILD_NONE || child->state == CHILD_DRAINING)
        return;
    child_tell(child, "drain\n");
    child->state = CHILD_DRAINING;
    child->kill_at = clock_ns() + grace_of(s, child);
}

static void child_forget(struct child *child)
{
    close(child->control);
    buf_free(&child->line);
    *child = (struct child){0};
}

static void add_url(struct json *w, const char *key, const char *scheme,
                    const struct listen_group *group)
{
    char url[128];
    snprintf(url, sizeof url, "%s://%s:%d", scheme, group->host, group->port);
    json_key(w, key);
    json_cstr(w, group->count ? url : NULL);
}

/* The line scripts wait for, written at once so that a pipe sees it whole. */
static void print_ready(const struct supervisor *s)
{
    struct buf out = {0};
    struct json w = json_to(&out);
    json_open(&w, '{');
    json_key(&w, "ready");
    json_bool(&w, true);
    add_url(&w, "http", "http", &s->sockets.http);
    add_url(&w, "https", "https", &s->sockets.https);
    struct buf path = {0};
    buf_printf(&path, "unix:%s/admin.sock", s->options->state_dir);
    json_key(&w, "admin");
    json_str(&w, buf_str(&path));
    add_url(&w, "admin_http", "http", &s->sockets.admin);
    json_key(&w, "pid");
    json_int(&w, getpid());
    json_key(&w, "server_pid");
    json_int(&w, s->server.pid);
    json_close(&w, '}');
    buf_add_char(&out, '\n');
    if (write(STDOUT_FILENO, out.p, out.n) < 0)
        log_warn("supervisor", "ready line: %s", strerror(errno));
    buf_free(&path);
    buf_free(&out);
}

/* A plugin holds a thread of this server, which cannot be had back. */
static void on_stuck(struct supervisor *s, struct child *child)
{
    bool serves = child == &s->server && child->state == CHILD_READY;
    child->stuck = true;
    if (child->state == CHILD_DRAINING) {
        int64_t soon = clock_ns() + grace_of(s, child);
        child->kill_at = soon < child->kill_at ? soon : child->kill_at;
    } else if (!serves) {
        log_error("supervisor", "server %d is stuck before it was ready and is killed", child->pid);
        kill(child->pid, SIGKILL);
    } else if (s->successor.state == CHILD_NONE && !s->stopping) {
        log_warn("supervisor", "server %d is stuck: starting a successor", child->pid);
        child_start(s, &s->successor, true);
    }
}

static void on_line(struct supervisor *s, struct child *child, struct str line)
{
    if (str_eq_c(line, "waiting")) {
        child->state = CHILD_WAITING;
        if (child == &s->successor) /* else the predecessor is gone already */
            child_drain(s, &s->server);
    } else if (str_eq_c(line, "stuck")) {
        on_stuck(s, child);
    } else if (str_eq_c(line, "ready")) {
        bool first = !s->was_ready;
        if (child->state != CHILD_DRAINING)
            child->state = CHILD_READY;
        child->ready_at = clock_ns();
        s->was_ready = true;
        if (first)
            print_ready(s);
        else
            log_info("supervisor", "server %d is ready", child->pid);
    }
}

static void child_read(struct supervisor *s, struct child *child)
{
    char bytes[512];
    ssize_t n;
    while ((n = read(child->control, bytes, sizeof bytes)) > 0)
        buf_add(&child->line, bytes, (size_t)n);
    for (size_t end;
         child->line.n && (end = str_find(buf_str(&child->line), '\n')) < child->line.n;) {
        on_line(s, child, str_n(child->line.p, end));
        memmove(child->line.p, child->line.p + end + 1, child->line.n - end - 1);
        child->line.n -= end + 1;
    }
}

/* The next server is told too: what ran is blamed for it. */
static void log_death(const struct child *child, int status)
{
    char how[96];
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof how, "code %d", WEXITSTATUS(status));
    bool state = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_STATE;
    log_error("supervisor", "server %d %s %s%s", child->pid,
              WIFSIGNALED(status) ? "was killed by" : "ended with", how,
              state ? ": state.dir cannot be used, or what jobs.url names (the lines before"
                      " say why); nothing is"
                      " acknowledged until it can"
                    : "");
    setenv("MARU_LAST_DEATH", how, 1);
}

static void schedule_restart(struct supervisor *s, const struct child *dead)
{
    int64_t now = clock_ns(), delay = 0;
    bool steady = dead->ready_at && now - dead->ready_at >= steady_ns;
    s->early_deaths = steady ? 0 : s->early_deaths + 1;
    for (int i = 1; i < s->early_deaths && delay < backoff_most_ns; i++)
        delay = delay ? delay * 2 : backoff_first_ns;
    delay = delay < backoff_most_ns ? delay : backoff_most_ns;
    s->start_at = now + delay;
    s->sockets.crashes++;
    log_info("supervisor", "next server in %lld ms (crash %d)", (long long)(delay / NS_PER_MS),
             s->sockets.crashes);
}

/* The predecessor is gone: who waited for its database is now the server. */
static void promote(struct supervisor *s)
{
    s->server = s->successor;
    s->successor = (struct child){0};
    log_info("supervisor", "server %d takes over", s->server.pid);
}

static void on_server_end(struct supervisor *s, int status)
{
    struct child dead = s->server;
    bool expected = dead.state == CHILD_DRAINING;
    child_forget(&s->server);
    if (!expected || !WIFEXITED(status) || WEXITSTATUS(status))
        log_death(&dead, status);
    if (s->stopping) {
        s->done = s->successor.state == CHILD_NONE;
    } else if (!s->was_ready) {
        s->exit_code = WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILED;
        s->done = true;
    } else if (s->successor.state != CHILD_NONE) {
        promote(s);
    } else {
        schedule_restart(s, &dead);
    }
}

static void reap(struct supervisor *s)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == s->server.pid) {
            child_read(s, &s->server);
            on_server_end(s, status);
        } else if (pid == s->successor.pid) {
            log_death(&s->successor, status);
            child_forget(&s->successor);
            s->done = s->stopping && s->server.state == CHILD_NONE;
        }
    }
}

static void stop(struct supervisor *s)
{
    struct child *children[] = {&s->server, &s->successor};
    for (int i = 0; i < 2; i++) {
        if (s->stopping && children[i]->pid)
            kill(children[i]->pid, SIGKILL);
        child_drain(s, children[i]);
    }
    s->stopping = true;
    s->start_at = 0;
    s->done = s->server.state == CHILD_NONE && s->successor.state == CHILD_NONE;
}

static void upgrade(struct supervisor *s)
{
    if (s->server.state != CHILD_READY || s->successor.state != CHILD_NONE) {
        log_warn("supervisor", "a server is being replaced already");
        return;
    }
    log_info("supervisor", "starting %s as successor", s->program);
    child_start(s, &s->successor, true);
}

static void on_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            stop(s);
        else if (info.ssi_signo == SIGHUP)
            child_tell(&s->server, "reload\n");
        else if (info.ssi_signo == SIGUSR2)
            upgrade(s);
    }
    reap(s);
}

/* Milliseconds until something is due; does what is. */
static int run_timers(struct supervisor *s)
{
    int64_t now = clock_ns(), next = now + 60 * NS_PER_SECOND;
    struct child *children[] = {&s->server, &s->successor};
    for (int i = 0; i < 2; i++) {
        struct child *c = children[i];
        if (c->kill_at && c->kill_at <= now) {
            log_warn("supervisor", "server %d did not drain in time and is killed", c->pid);
            kill(c->pid, SIGKILL);
            c->kill_at = 0;
        }
        if (c->kill_at && c->kill_at < next)
            next = c->kill_at;
    }
    if (s->start_at && s->start_at <= now)
        s->start_at = child_start(s, &s->server, false) ? 0 : now + backoff_most_ns;
    if (s->start_at && s->start_at < next)
        next = s->start_at;
    return (int)((next - now) / NS_PER_MS) + 1;
}

static void serve(struct supervisor *s)
{
    s->start_at = clock_ns();
    while (!s->done) {
        int timeout = run_timers(s);
        struct pollfd fds[] = {
            {s->signals, POLLIN, 0},
            {s->server.state ? s->server.control : -1, POLLIN, 0},
            {s->successor.state ? s->successor.control : -1, POLLIN, 0},
        };
        if (poll(fds, 3, timeout) < 0 && errno != EINTR)
            break;
        if (fds[1].revents & POLLIN)
            child_read(s, &s->server);
        if (fds[2].revents & POLLIN)
            child_read(s, &s->successor);
        /* A child that closed its end is about to die; its SIGCHLD says how. */
        if ((fds[1].revents | fds[2].revents) & POLLHUP)
            poll(fds, 1, 100);
        if (fds[0].revents & POLLIN)
            on_signals(s);
    }
}

static bool lock_state(struct supervisor *s, struct err *err)
{
    char path[4096], pid[32] = "";
    const char *dir = s->options->state_dir;
    if (!dir_make(dir, 0700, err))
        return false;
    snprintf(path, sizeof path, "%s/maru.lock", dir);
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0)
        return err_sys(err, errno, "%s", path);
    if (flock(s->lock, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = read(s->lock, pid, sizeof pid - 1);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
        return err_set(err, ERR_EXISTS, "state.dir %s is in use by maru (pid %s)", dir, pid);
    }
    int n = snprintf(pid, sizeof pid, "%d\n", getpid());
    if (ftruncate(s->lock, 0) < 0 || write(s->lock, pid, (size_t)n) < 0)
        return err_sys(err, errno, "%s", path);
    return true;
}

static bool open_group(const char *key, const char *address, int count, struct listen_group *out,
                       struct err *err)
{
    if (!address || !*address)
        return true;
    return listen_tcp(str_c(address), count, out, err) || err_wrap(err, "%s", key);
}

static bool open_sockets(struct supervisor *s, struct err *err)
{
    const struct supervisor_options *o = s->options;
    s->sockets.supervisor = getpid();
    s->sockets.admin_unix = listen_unix(o->state_dir, "admin.sock", err);
    return s->sockets.admin_unix >= 0 &&
           open_group("http.listen", o->http, o->web_lanes, &s->sockets.http, err) &&
           open_group("https.listen", o->https, o->web_lanes, &s->sockets.https, err) &&
           open_group("admin.listen", o->admin, 1, &s->sockets.admin, err);
}

static void catch_signals(struct supervisor *s)
{
    static const int caught[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        sigaddset(&set, caught[i]);
    sigprocmask(SIG_BLOCK, &set, &s->own_mask);
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int supervisor_run(const struct supervisor_options *options)
{
    struct supervisor s = {.options = options, .lock = -1};
    struct err err = {0};
    ssize_t n = readlink("/proc/self/exe", s.program, sizeof s.program - 1);
    s.program[n > 0 ? n : 0] = 0;
    catch_signals(&s);
    if (!lock_state(&s, &err)) {
        fprintf(stderr, "maru: %s\n", err.message);
        return EXIT_STATE;
    }
    if (!open_sockets(&s, &err)) {
        fprintf(stderr, "maru: %s\n", err.message);
        return EXIT_CONFIG;
    }
    serve(&s);
    listen_close(&s.sockets.http);
    listen_close(&s.sockets.https);
    listen_close(&s.sockets.admin);
    close(s.sockets.admin_unix);
    return s.exit_code;
}
