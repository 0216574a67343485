#include "loop/program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/program_private.h"

enum { READ_ROUNDS = 16 }; /* 1 MiB, which is all that a pipe may hold */

/* -- the end -------------------------------------------------------------------------------- */

static void free_texts(char **list)
{
    for (int i = 0; list && list[i]; i++)
        mem_free(list[i]);
    mem_free(list);
}

/* Its folder is removed, and libuv has let go of everything. */
static void program_free(struct program *p)
{
    struct programs *all = p->all;
    list_remove(&p->link);
    free_texts(p->birth.argv);
    free_texts(p->birth.envp);
    mem_free(p->birth.path);
    mem_free(p->birth.dir);
    buf_free(&p->input);
    buf_free(&p->output[0]);
    buf_free(&p->output[1]);
    programs_count_out(all);
    mem_free(p);
}

static void on_closed(uv_handle_t *handle)
{
    struct program *p = ((struct stream *)handle)->program;
    if (--p->handles == 0 && p->gone)
        program_free(p);
}

static void stream_close(struct stream *s)
{
    if (s->fd < 0)
        return;
    uv_close((uv_handle_t *)&s->poll, on_closed);
    close(s->fd);
    s->fd = -1;
}

static void remove_work(struct pool_job *job)
{
    struct program *p = list_entry(job, struct program, job);
    if (*p->birth.dir)
        program_remove_folder(p->birth.dir);
}

static void remove_done(struct pool_job *job)
{
    struct program *p = list_entry(job, struct program, job);
    p->gone = true;
    if (!p->handles)
        program_free(p);
}

/* Nothing of it runs any more. */
static void finish(struct program *p, struct program_result *result)
{
    result->code = p->code;
    result->out = buf_str(&p->output[0]);
    result->err = buf_str(&p->output[1]);
    if (p->code == PROGRAM_TIMEOUT)
        snprintf(result->message, sizeof result->message, "%s took longer than %g s", p->birth.path,
                 (double)p->timeout_ns / (double)NS_PER_SECOND);
    else if (p->code == PROGRAM_LIMIT)
        snprintf(result->message, sizeof result->message, "%s wrote more than %lld bytes",
                 p->birth.path, (long long)p->max_bytes);
    for (int i = 0; i < STREAMS; i++)
        stream_close(&p->streams[i]);
    timer_stop(p->lane, &p->timer);
    p->running = false;
    programs_count_ended(p->all, p->owner);
    program_done_fn *done = p->done;
    p->done = NULL;
    if (done)
        done(p->arg, result);
    p->job = (struct pool_job){.work = remove_work, .done = remove_done};
    pool_submit(p->all->pool, &p->job, p->lane);
}

/* -- while it runs -------------------------------------------------------------------------- */

void program_kill(struct program *p)
{
    p->killed = true;
    kill(-p->birth.pid, SIGKILL);
}

static void on_grace_over(struct timer *timer)
{
    program_kill(list_entry(timer, struct program, timer));
}

/* The first reason counts. */
static void end_group(struct program *p, enum program_code code)
{
    if (p->code != PROGRAM_DONE)
        return;
    p->code = code;
    if (p->killed)
        return;
    kill(-p->birth.pid, SIGTERM);
    kill(-p->birth.pid, SIGCONT); /* a stopped one could not hear it */
    p->timer.fire = on_grace_over;
    timer_start(p->lane, &p->timer, PROGRAM_GRACE_MS * NS_PER_MS);
}

static void on_deadline(struct timer *timer)
{
    end_group(list_entry(timer, struct program, timer), PROGRAM_TIMEOUT);
}

/* False at the end of the stream, and at the limit: nobody reads what is over it. */
static bool read_some(struct program *p, int i)
{
    char bytes[65536];
    for (int rounds = 0; rounds < READ_ROUNDS; rounds++) {
        ssize_t n = read(p->streams[i].fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        if (n > p->max_bytes - (int64_t)(p->output[0].n + p->output[1].n)) {
            end_group(p, PROGRAM_LIMIT);
            return false;
        }
        buf_add(&p->output[i], bytes, (size_t)n);
    }
    return true;
}

static void on_output(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct stream *s = (struct stream *)poll;
    struct program *p = s->program;
    if (status < 0 || !read_some(p, (int)(s - p->streams)))
        stream_close(s);
}

/* A program that does not read to the end closes its side; that is no failure. */
static void on_input(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct stream *s = (struct stream *)poll;
    struct program *p = s->program;
    while (status == 0 && p->sent < p->input.n) {
        ssize_t n = write(s->fd, p->input.p + p->sent, p->input.n - p->sent);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno != EINTR)
            break;
        p->sent += n > 0 ? (size_t)n : 0;
    }
    stream_close(s);
}

/* The program has ended and is not reaped yet, so the group's number is still its own: whoever is
 * left in the group goes too, and what they wrote is in the pipes. */
static void on_exit_seen(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct program *p = ((struct stream *)poll)->program;
    struct program_result result = {.status = -1};
    siginfo_t info = {0};
    program_kill(p);
    for (int i = STREAM_OUT; i <= STREAM_ERR; i++) {
        if (p->streams[i].fd >= 0)
            read_some(p, i);
    }
    while (waitid(P_PID, (id_t)p->birth.pid, &info, WEXITED) < 0 && errno == EINTR)
        ;
    if (info.si_code == CLD_EXITED)
        result.status = info.si_status;
    else
        result.signal = info.si_status;
    finish(p, &result);
}

static bool stream_open(struct program *p, enum stream_kind kind, int fd, int events, uv_poll_cb cb)
{
    struct stream *s = &p->streams[kind];
    if (uv_poll_init(&p->lane->loop, &s->poll, fd) != 0) {
        close(fd);
        return false;
    }
    s->fd = fd;
    p->handles++;
    uv_poll_start(&s->poll, events, cb);
    return true;
}

/* -- the beginning -------------------------------------------------------------------------- */

static void birth_work(struct pool_job *job)
{
    struct program *p = list_entry(job, struct program, job);
    if (!atomic_load(&p->unwanted))
        program_give_birth(&p->birth);
}

static void fail(struct program *p)
{
    struct program_result result = {.status = -1};
    p->code = p->birth.missing ? PROGRAM_MISSING : PROGRAM_ERROR;
    snprintf(result.message, sizeof result.message, "%s: %s", p->birth.what ? p->birth.what : "",
             p->birth.error ? strerror(p->birth.error) : "maru is stopping");
    finish(p, &result);
}

static void birth_done(struct pool_job *job)
{
    struct program *p = list_entry(job, struct program, job);
    const struct program_birth *b = &p->birth;
    if (!b->pid || b->error) {
        fail(p);
        return;
    }
    p->running = true;
    bool ok = stream_open(p, STREAM_EXIT, b->pidfd, UV_READABLE, on_exit_seen);
    invariant(ok); /* else nobody would hear of its end */
    stream_open(p, STREAM_OUT, b->out, UV_READABLE, on_output);
    stream_open(p, STREAM_ERR, b->err, UV_READABLE, on_output);
    stream_open(p, STREAM_IN, b->in, UV_WRITABLE, on_input);
    int64_t left = p->deadline - clock_ns();
    p->timer.fire = on_deadline;
    timer_start(p->lane, &p->timer, left > 0 ? left : 0);
    if (p->killed)
        program_kill(p);
    else if (!p->done)
        end_group(p, PROGRAM_TIMEOUT);
}

static char **copy_texts(const char *first, const char *const *list, int count)
{
    char **copy = mem_zero((size_t)count + 2, sizeof *copy);
    int n = 0;
    if (first)
        copy[n++] = mem_strdup(first);
    for (int i = 0; i < count; i++)
        copy[n++] = mem_strdup(list[i]);
    return copy;
}

struct program *program_start(struct programs *all, struct lane *lane,
                              const struct program_options *o, program_done_fn *done, void *arg,
                              struct err *err)
{
    if (!programs_count_in(all, o->owner)) {
        err_set(err, ERR_LIMIT, "%d programs of %s run already", PROGRAMS_PER_OWNER, o->owner);
        return NULL;
    }
    struct program *p = mem_zero(1, sizeof *p);
    p->all = all;
    p->lane = lane;
    p->done = done;
    p->arg = arg;
    snprintf(p->owner, sizeof p->owner, "%s", o->owner);
    p->birth.path = mem_strdup(o->path);
    p->birth.argv = copy_texts(o->path, o->args, o->arg_count);
    p->birth.envp = copy_texts(NULL, o->env, o->env_count);
    p->birth.dir = mem_printf("%s/%d-%s.XXXXXX", all->dir, (int)getpid(), o->owner);
    buf_add_str(&p->input, o->input);
    p->max_bytes = o->max_bytes;
    p->timeout_ns = o->timeout_ns;
    p->deadline = clock_ns() + o->timeout_ns;
    for (int i = 0; i < STREAMS; i++) {
        p->streams[i].program = p;
        p->streams[i].fd = -1;
    }
    list_push_back(&all->running[lane->index], &p->link);
    p->job = (struct pool_job){.work = birth_work, .done = birth_done};
    pool_submit(all->pool, &p->job, lane);
    return p;
}

void program_cancel(struct program *p)
{
    p->done = NULL;
    atomic_store(&p->unwanted, true);
    if (p->running)
        end_group(p, PROGRAM_TIMEOUT);
}
