/* cmd_test.c -- `maru test`: finds the specs of plugins, runs each file in a process of its own and
 * prints what came of them. */

#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "bind/report.h"
#include "cli/cli.h"
#include "cli/test_host.h"
#include "config/config.h"
#include "server_test.h"
#include "share.h"

enum { SILENCE_SECONDS = 60 }; /* of real time without a word from a spec */

struct tests {
    const struct cli_options *options;
    char **dirs;    /* folders of plugins */
    char **names;   /* of all plugins, sorted */
    char **folders; /* of the plugin names[i] */
    int count;
    struct report *report;
    int files;
};

/* -- which plugins there are ----------------------------------------------------------------- */

static bool has(const struct tests *t, const char *name)
{
    for (int i = 0; i < t->count; i++) {
        if (!strcmp(t->names[i], name))
            return true;
    }
    return false;
}

/* Folders with a plugin.lua; a name found first wins. */
static void find_plugins(struct tests *t)
{
    t->names = mem_zero(1, sizeof *t->names);
    for (int d = 0; t->dirs[d]; d++) {
        char *pattern = mem_printf("%s/*/plugin.lua", t->dirs[d]);
        glob_t found = {0};
        glob(pattern, 0, NULL, &found);
        for (size_t i = 0; i < found.gl_pathc; i++) {
            char *folder = mem_strdup(found.gl_pathv[i]);
            *strrchr(folder, '/') = 0;
            const char *name = strrchr(folder, '/') + 1;
            if (has(t, name)) {
                mem_free(folder);
                continue;
            }
            t->names = mem_realloc(t->names, (size_t)(t->count + 2) * sizeof *t->names);
            t->folders = mem_realloc(t->folders, (size_t)(t->count + 1) * sizeof *t->folders);
            t->folders[t->count] = folder;
            t->names[t->count++] = mem_strdup(name);
            t->names[t->count] = NULL;
        }
        globfree(&found);
        mem_free(pattern);
    }
}

static void tests_free(struct tests *t)
{
    for (int i = 0; i < t->count; i++) {
        mem_free(t->names[i]);
        mem_free(t->folders[i]);
    }
    for (int i = 0; t->dirs && t->dirs[i]; i++)
        mem_free(t->dirs[i]);
    mem_free(t->names);
    mem_free(t->folders);
    mem_free(t->dirs);
}

/* -- one spec file --------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static char *make_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = mem_printf("%s/maru-test-XXXXXX", base && *base ? base : "/tmp");
    if (mkdtemp(dir))
        return dir;
    mem_free(dir);
    return NULL;
}

/* Standard output is the report's. */
_Noreturn static void child(const struct tests *t, const struct test_spec *spec, const char *dir,
                            int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    exit(test_host_run(t->options, spec, t->dirs, t->names, dir, fd));
}

/* Hands whole lines on; true when the spec said that it is through. */
static bool take_lines(struct tests *t, struct buf *text)
{
    bool done = false;
    for (size_t end; text->n && (end = str_find(buf_str(text), '\n')) < text->n;) {
        done = !report_line(t->report, str_n(text->p, end)) || done;
        memmove(text->p, text->p + end + 1, text->n - end - 1);
        text->n -= end + 1;
    }
    return done;
}

/* An interrupted run still ends its process and removes its folder. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt}; /* poll and read end by it */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Reads until the end; false when nothing was said for too long, or no more is wanted. */
static bool listen_to(struct tests *t, int fd, bool *done)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    struct buf text = {0};
    char bytes[4096];
    ssize_t n = 1;
    bool alive = true;
    while (n > 0 && (alive = poll(&ready, 1, SILENCE_SECONDS * 1000) > 0)) {
        n = read(fd, bytes, sizeof bytes);
        if (n > 0)
            buf_add(&text, bytes, (size_t)n);
        *done = take_lines(t, &text) || *done;
    }
    buf_free(&text);
    return alive;
}

static void tell_end(struct tests *t, bool alive, bool done, int status)
{
    char message[120];
    if (alive && WIFEXITED(status) && WEXITSTATUS(status) == SERVER_TEST_TOLD)
        return;
    if (interrupted)
        snprintf(message, sizeof message, "interrupted");
    else if (!alive)
        snprintf(message, sizeof message, "nothing happened for %d s: it hangs", SILENCE_SECONDS);
    else if (WIFSIGNALED(status))
        snprintf(message, sizeof message, "the process ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (!done || WEXITSTATUS(status))
        snprintf(message, sizeof message, "the process ended before the spec was through (%d)",
                 WEXITSTATUS(status));
    else
        return;
    report_failure(t->report, message);
}

static void run_spec(struct tests *t, const struct test_spec *spec)
{
    int fds[2], status = 0;
    bool done = false;
    char *dir = make_dir();
    report_file(t->report, spec->path);
    t->files++;
    fflush(NULL);
    pid_t pid = dir && !pipe(fds) ? fork() : -1;
    if (pid < 0) {
        report_failure(t->report, strerror(errno));
        mem_free(dir);
        return;
    }
    if (pid == 0) {
        close(fds[0]);
        child(t, spec, dir, fds[1]);
    }
    close(fds[1]);
    bool alive = listen_to(t, fds[0], &done);
    if (!alive)
        kill(pid, SIGKILL);
    close(fds[0]);
    waitpid(pid, &status, 0);
    tell_end(t, alive, done, status);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    mem_free(dir);
}

/* -- all of them ----------------------------------------------------------------------------- */

static void run_plugin(struct tests *t, int i)
{
    static const char *const once[] = {NULL}, *const thrice[] = {"before", "during", "after"};
    const char *const *phases = t->options->reload ? thrice : once;
    int phase_count = t->options->reload ? 3 : 1;
    char *pattern = mem_printf("%s/spec/*_spec.lua", t->folders[i]);
    glob_t found = {0};
    glob(pattern, 0, NULL, &found);
    for (size_t k = 0; k < found.gl_pathc; k++) {
        for (int p = 0; p < phase_count && !interrupted; p++) {
            struct test_spec spec = {.plugin = t->names[i],
                                     .dir = t->folders[i],
                                     .path = found.gl_pathv[k],
                                     .phase = phases[p]};
            run_spec(t, &spec);
        }
    }
    globfree(&found);
    mem_free(pattern);
}

static int run_all(struct tests *t)
{
    const struct cli_options *o = t->options;
    const char *only = o->word_count ? o->words[0] : NULL;
    struct err err = {0};
    if (only && !has(t, only))
        return cli_fail(EXIT_FAILED, "no plugin '%s' in plugins.path", only);
    t->report = report_open(o->json ? "json" : o->output, &err);
    if (!t->report)
        return cli_fail(EXIT_FAILED, "%s", err.message);
    catch_interrupts();
    for (int i = 0; i < t->count && !interrupted; i++) {
        if (!only || !strcmp(only, t->names[i]))
            run_plugin(t, i);
    }
    int failed = report_close(t->report);
    if (!t->files)
        return cli_fail(EXIT_FAILED, "no spec/*_spec.lua in %s", only ? only : "any plugin");
    return failed ? EXIT_FAILED : EXIT_OK;
}

int cmd_test(const struct cli_options *o)
{
    struct tests t = {.options = o};
    if (o->word_count > 1)
        return cli_fail(EXIT_USAGE, "usage: maru test [NAME]");
    if (o->record && o->reload)
        return cli_fail(EXIT_USAGE, "--record and --reload do not go together");
    struct config *config = cli_config(o);
    if (!config)
        return EXIT_CONFIG;
    t.dirs = share_plugin_dirs(config_text(config, "plugins.path"));
    config_free(config);
    find_plugins(&t);
    int code = run_all(&t);
    tests_free(&t);
    return code;
}
