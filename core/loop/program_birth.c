#include "loop/program_birth.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "loop/program.h"

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#endif

/* -- the child's side: between vfork and execve, so it calls nothing but the kernel ----------- */

struct child {
    const struct program_birth *birth;
    int in, out, err, report;
    pid_t parent;
};

static void reset_signals(void)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    for (int i = 1; i < NSIG; i++)
        sigaction(i, &normal, NULL); /* SIGKILL and SIGSTOP refuse, and need none */
}

/* The report's descriptor is closed by a successful execve. */
static void close_others(void)
{
    if (syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) == 0)
        return;
    struct rlimit most = {0};
    getrlimit(RLIMIT_NOFILE, &most);
    for (int fd = 3; (rlim_t)fd < most.rlim_cur && fd < 1 << 20; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Nobody leaves the group, so that ending the group ends all of them.  What another
 * architecture's calls are is not looked at. */
static void stay_in_group(void)
{
#ifdef OWN_ARCH
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsid, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setpgid, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog filter = {sizeof steps / sizeof *steps, steps};
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
#endif
}

static _Noreturn void become(const struct child *c)
{
    struct rlimit none = {0};
    sigset_t nothing;
    int error = 0;
    reset_signals();
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != c->parent) /* it died before the call above */
        _exit(127);
    setrlimit(RLIMIT_CORE, &none);
    umask(077);
    if (chdir(c->birth->dir) < 0 || dup2(c->in, STDIN_FILENO) < 0 ||
        dup2(c->out, STDOUT_FILENO) < 0 || dup2(c->err, STDERR_FILENO) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        error = -errno;
    if (!error) {
        close_others();
        stay_in_group();
        sigemptyset(&nothing);
        sigprocmask(SIG_SETMASK, &nothing, NULL);
        execve(c->birth->path, c->birth->argv, c->birth->envp);
        error = errno;
    }
    if (write(c->report, &error, sizeof error) < 0)
        _exit(126);
    _exit(127);
}

/* -- the parent's ----------------------------------------------------------------------------- */

/* Both ends close at execve, and neither takes the place of a standard stream. */
static bool make_pipe(int ends[2])
{
    int made[2];
    ends[0] = ends[1] = -1;
    if (pipe2(made, O_CLOEXEC) < 0)
        return false;
    for (int i = 0; i < 2; i++) {
        ends[i] = made[i] > STDERR_FILENO ? made[i] : fcntl(made[i], F_DUPFD_CLOEXEC, 3);
        if (ends[i] != made[i])
            close(made[i]);
    }
    return ends[0] >= 0 && ends[1] >= 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool failed(struct program_birth *b, int error, const char *what)
{
    b->error = error;
    b->what = what;
    return false;
}

/* The child shares this stack until execve, with every signal held back: a handler of ours
 * would run in our own memory. */
__attribute__((noinline)) static pid_t make_child(const struct child *c)
{
    pid_t pid = vfork();
    if (pid == 0)
        become(c);
    return pid;
}

static bool spawn(struct program_birth *b, const int in[2], const int out[2], const int err[2],
                  const int report[2])
{
    struct child child = {b, in[0], out[1], err[1], report[1], getpid()};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    b->pid = make_child(&child);
    int error = b->pid < 0 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return b->pid > 0 || failed(b, error, "fork");
}

/* What the child reports: nothing when it became the program. */
static bool hear(struct program_birth *b, int report)
{
    int error = 0;
    ssize_t n;
    while ((n = read(report, &error, sizeof error)) < 0 && errno == EINTR)
        ;
    if (n <= 0)
        return true;
    while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    b->pid = 0;
    b->missing = error == ENOENT || error == ENOTDIR;
    return error < 0 ? failed(b, -error, "prepare") : failed(b, error, b->path);
}

static bool watch(struct program_birth *b)
{
    b->pidfd = (int)syscall(SYS_pidfd_open, b->pid, 0);
    if (b->pidfd >= 0)
        return true;
    int error = errno;
    kill(-b->pid, SIGKILL);
    while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return failed(b, error, "pidfd_open");
}

bool program_give_birth(struct program_birth *b)
{
    int in[2], out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1};
    b->pidfd = b->in = b->out = b->err = -1;
    if (!mkdtemp(b->dir)) {
        int error = errno;
        *b->dir = '\0';
        return failed(b, error, "make its folder");
    }
    bool ok = (make_pipe(in) && make_pipe(out) && make_pipe(err) && make_pipe(report)) ||
              failed(b, errno, "pipe");
    ok = ok && spawn(b, in, out, err, report);
    close_end(&report[1]);
    ok = ok && hear(b, report[0]) && watch(b);
    close_end(&report[0]);
    close_end(&in[0]);
    close_end(&out[1]);
    close_end(&err[1]);
    if (!ok) {
        close_end(&in[1]);
        close_end(&out[0]);
        close_end(&err[0]);
        return false;
    }
    b->in = in[1];
    b->out = out[0];
    b->err = err[0];
    return true;
}

/* -- folders ---------------------------------------------------------------------------------- */

/* A folder without permissions still goes. */
static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    if (flag == FTW_DNR && chmod(path, 0700) == 0)
        program_remove_folder(path);
    remove(path);
    return 0;
}

void program_remove_folder(const char *dir)
{
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void program_sweep(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *end;
        long pid = strtol(e->d_name, &end, 10);
        if (*end != '-' || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        char *path = mem_printf("%s/%s", dir, e->d_name);
        program_remove_folder(path);
        mem_free(path);
    }
    if (d)
        closedir(d);
}
