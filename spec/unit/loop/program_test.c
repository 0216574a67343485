/* Programs: their streams, their limits, and that nothing of them is left. */
#include "loop/program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "test.h"

struct stage {
    char dir[64];
    struct lane *lanes[1];
    struct pool *pool;
    struct programs *all;
    struct err err;
};

struct run {
    struct stage *stage;
    struct program_options options;
    struct program *program;
    sem_t ended;
    bool done;
    enum program_code code;
    int status, signal;
    char message[ERR_MESSAGE_BYTES], out[4096], errors[4096];
    size_t out_bytes;
    struct err err;
};

static bool stage_open(struct stage *s)
{
    memset(s, 0, sizeof *s);
    signal(SIGPIPE, SIG_IGN);
    snprintf(s->dir, sizeof s->dir, "/tmp/maru-program.XXXXXX");
    if (!mkdtemp(s->dir))
        return false;
    s->lanes[0] = lane_create(0, LANE_WEB, "test", &s->err);
    lane_start(s->lanes[0], NULL, NULL, &s->err);
    s->pool = pool_create("pool", 2, &s->err);
    char *inside = mem_printf("%s/programs", s->dir);
    s->all = programs_create(inside, s->lanes, 1, s->pool, &s->err);
    mem_free(inside);
    return s->all != NULL;
}

static int count_entries(const char *dir)
{
    int count = -2;
    DIR *d = opendir(dir);
    while (d && readdir(d))
        count++;
    if (d)
        closedir(d);
    return count;
}

static void stage_close(struct stage *s)
{
    programs_destroy(s->all);
    pool_destroy(s->pool);
    lane_stop(s->lanes[0]);
    lane_join(s->lanes[0]);
    lane_destroy(s->lanes[0]);
    char *inside = mem_printf("%s/programs", s->dir);
    CHECK_EQ(count_entries(inside), 0);
    CHECK(rmdir(inside) == 0);
    CHECK(rmdir(s->dir) == 0);
    mem_free(inside);
}

static void on_done(void *arg, const struct program_result *result)
{
    struct run *run = arg;
    run->done = true;
    run->code = result->code;
    run->status = result->status;
    run->signal = result->signal;
    run->out_bytes = result->out.n;
    snprintf(run->message, sizeof run->message, "%s", result->message);
    snprintf(run->out, sizeof run->out, "%.*s", (int)result->out.n,
             result->out.p ? result->out.p : "");
    snprintf(run->errors, sizeof run->errors, "%.*s", (int)result->err.n,
             result->err.p ? result->err.p : "");
    sem_post(&run->ended);
}

static void begin_on_lane(void *arg)
{
    struct run *run = arg;
    run->program = program_start(run->stage->all, run->stage->lanes[0], &run->options, on_done, run,
                                 &run->err);
}

static void cancel_on_lane(void *arg)
{
    program_cancel(((struct run *)arg)->program);
}

static const char *const shell_args[] = {"-c", NULL};

/* Begins `sh -c script`; what is set in options already stays. */
static void begin(struct stage *s, struct run *run, const char *script)
{
    static const char *args[2];
    args[0] = shell_args[0];
    args[1] = script;
    run->stage = s;
    run->options.owner = run->options.owner ? run->options.owner : "demo";
    if (!run->options.path) {
        run->options.path = "/bin/sh";
        run->options.args = args;
        run->options.arg_count = 2;
    }
    if (!run->options.timeout_ns)
        run->options.timeout_ns = 60 * NS_PER_SECOND;
    if (!run->options.max_bytes)
        run->options.max_bytes = 4000;
    sem_init(&run->ended, 0, 0);
    lane_call_wait(s->lanes[0], begin_on_lane, run);
}

static void await(struct run *run)
{
    if (run->program)
        sem_wait(&run->ended);
    sem_destroy(&run->ended);
}

static void perform(struct stage *s, struct run *run, const char *script)
{
    begin(s, run, script);
    await(run);
}

/* Whether a process of that number is there and no zombie. */
static bool lives(int pid)
{
    char path[64];
    struct buf text = {0};
    struct err err;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    bool found = file_read(path, 4096, &text, &err);
    const char *state = found ? strrchr(text.p, ')') : NULL;
    bool alive = state && state[2] != 'Z' && state[2] != 'X';
    buf_free(&text);
    return alive;
}

/* Init, or whoever adopts orphans, may take its time. */
static bool ends(int pid)
{
    for (int i = 0; i < 2000 && lives(pid); i++)
        usleep(5000);
    return !lives(pid);
}

TEST(a_program_gets_its_arguments_and_input_and_gives_output_and_status)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    struct run run = {.options.input = STR("one\ntwo\n")};
    perform(&s, &run, "wc -l; echo oops >&2; exit 3");
    CHECK_EQ(run.code, PROGRAM_DONE);
    CHECK_EQ(run.status, 3);
    CHECK_EQ(run.signal, 0);
    CHECK_STR(run.out, "2\n");
    CHECK_STR(run.errors, "oops\n");
    const char *args[] = {"a b", "$HOME", "*", ""};
    struct run plain = {.options = {.path = "/usr/bin/printf", .args = args, .arg_count = 4}};
    args[0] = "%s|";
    perform(&s, &plain, NULL);
    CHECK_STR(plain.out, "$HOME|*||");
    stage_close(&s);
}

TEST(a_program_ended_by_a_signal_says_which)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    struct run run = {0};
    perform(&s, &run, "kill -SEGV $$");
    CHECK_EQ(run.code, PROGRAM_DONE);
    CHECK_EQ(run.status, -1);
    CHECK_EQ(run.signal, SIGSEGV);
    stage_close(&s);
}

TEST(its_surroundings_are_empty)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    int open_here = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */
    const char *env[] = {"ONLY=this"};
    setenv("MARU_SECRET", "hidden", 1);
    struct run variables = {.options = {.path = "/usr/bin/env", .env = env, .env_count = 1}};
    perform(&s, &variables, NULL);
    CHECK_STR(variables.out, "ONLY=this\n");
    struct run files = {0};
    perform(&s, &files, "ls -A; ls /proc/self/fd | tr '\\n' ' '");
    CHECK_STR(files.out, "0 1 2 3 "); /* 3: what ls lists */
    struct run masks = {0};
    perform(&s, &masks,
            "for w in SigBlk SigIgn NoNewPrivs; do grep ^$w /proc/self/status; done "
            "| tr -d '\\t\\n'");
    CHECK_STR(masks.out, "SigBlk:0000000000000000SigIgn:0000000000000000NoNewPrivs:1");
    struct run mode = {0};
    perform(&s, &mode, "umask; ulimit -c; touch new; stat -c %a . new | tr '\\n' ' '");
    CHECK_STR(mode.out, "0077\n0\n700 600 ");
    unsetenv("MARU_SECRET");
    close(open_here);
    stage_close(&s);
}

TEST(every_run_has_a_folder_of_its_own_that_goes_with_it)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    struct run one = {0}, two = {0};
    perform(&s, &one,
            "pwd; mkdir -p deep/er; touch deep/er/file .hidden; ln -s / root; chmod 0 deep");
    perform(&s, &two, "pwd; ls -A");
    CHECK(strncmp(one.out, s.dir, strlen(s.dir)) == 0);
    CHECK(strstr(one.out, "-demo."));
    CHECK(strcmp(one.out, two.out) != 0);
    stage_close(&s); /* which looks that there are none left */
    CHECK(access("/bin/sh", X_OK) == 0);
}

TEST(what_is_not_there_or_not_a_program_says_so)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    struct run none = {.options.path = "/nowhere/program"};
    perform(&s, &none, NULL);
    CHECK_EQ(none.code, PROGRAM_MISSING);
    CHECK_STR(none.message, "/nowhere/program: No such file or directory");
    struct run folder = {.options.path = "/tmp"};
    perform(&s, &folder, NULL);
    CHECK_EQ(folder.code, PROGRAM_ERROR);
    CHECK_STR(folder.message, "/tmp: Permission denied");
    stage_close(&s);
}

TEST(a_late_program_is_ended_and_one_that_does_not_listen_is_killed)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    struct run polite = {.options.timeout_ns = 50 * NS_PER_MS};
    perform(&s, &polite, "trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done");
    CHECK_EQ(polite.code, PROGRAM_TIMEOUT);
    CHECK_STR(polite.message, "/bin/sh took longer than 0.05 s");
    struct run deaf = {.options.timeout_ns = 50 * NS_PER_MS};
    perform(&s, &deaf, "trap '' TERM; while :; do sleep 0.01; done");
    CHECK_EQ(deaf.code, PROGRAM_TIMEOUT);
    CHECK_EQ(deaf.signal, SIGKILL);
    struct run stopped = {.options.timeout_ns = 50 * NS_PER_MS};
    perform(&s, &stopped, "kill -STOP $$");
    CHECK_EQ(stopped.code, PROGRAM_TIMEOUT);
    CHECK_EQ(stopped.signal, SIGTERM);
    stage_close(&s);
}

TEST(a_program_that_says_too_much_is_ended)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    struct run endless = {.options.max_bytes = 1000};
    perform(&s, &endless, "trap '' PIPE; while :; do echo yes || :; done");
    CHECK_EQ(endless.code, PROGRAM_LIMIT);
    CHECK_STR(endless.message, "/bin/sh wrote more than 1000 bytes");
    struct run both = {.options.max_bytes = 1000};
    perform(&s, &both, "head -c 600 /dev/zero; head -c 600 /dev/zero >&2");
    CHECK_EQ(both.code, PROGRAM_LIMIT);
    struct run fits = {.options.max_bytes = 1200};
    perform(&s, &fits, "head -c 600 /dev/zero; head -c 600 /dev/zero >&2");
    CHECK_EQ(fits.code, PROGRAM_DONE);
    CHECK_EQ(fits.out_bytes, 600);
    stage_close(&s);
}

TEST(large_input_and_output_pass_at_the_same_time)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    size_t n = 3000000;
    char *bytes = mem_zero(1, n);
    memset(bytes, 'x', n);
    struct run run = {.options = {.path = "/bin/cat", .input = {bytes, n}, .max_bytes = 4000000}};
    perform(&s, &run, NULL);
    CHECK_EQ(run.code, PROGRAM_DONE);
    CHECK_EQ(run.out_bytes, n);
    struct run deaf = {.options = {.path = "/bin/true", .input = {bytes, n}}};
    perform(&s, &deaf, NULL);
    CHECK_EQ(deaf.code, PROGRAM_DONE);
    CHECK_EQ(deaf.status, 0);
    mem_free(bytes);
    stage_close(&s);
}

TEST(what_a_program_leaves_behind_ends_with_it)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    struct run run = {0};
    perform(&s, &run, "sleep 300 & echo $!");
    CHECK_EQ(run.code, PROGRAM_DONE);
    CHECK(atoi(run.out) > 1 && ends(atoi(run.out)));
    struct run daemon = {0};
    perform(&s, &daemon, "setsid sleep 300; echo $?; (trap '' HUP TERM; sleep 300) & echo $!");
    CHECK(strncmp(daemon.out, "1\n", 2) == 0); /* it may not */
    CHECK(ends(atoi(daemon.out + 2)));
    stage_close(&s);
}

TEST(a_cancelled_program_is_never_heard_of_and_ends)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    char *note = mem_printf("%s/pid", s.dir);
    char *script = mem_printf("echo $$ >%s.new; mv %s.new %s; exec sleep 300", note, note, note);
    struct run run = {0}, soon = {0};
    struct buf pid = {0};
    struct err err = {0};
    begin(&s, &run, script);
    while (access(note, R_OK) < 0)
        usleep(1000);
    CHECK(file_read(note, 100, &pid, &err) && lives(atoi(pid.p)));
    lane_call_wait(s.lanes[0], cancel_on_lane, &run);
    CHECK(ends(atoi(pid.p)));
    begin(&s, &soon, "sleep 300");
    lane_call_wait(s.lanes[0], cancel_on_lane, &soon); /* perhaps before it was born */
    unlink(note);
    stage_close(&s);
    CHECK(!run.done && !soon.done);
    buf_free(&pid);
    mem_free(note);
    mem_free(script);
}

TEST(the_end_takes_what_still_runs_with_it)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    char *note = mem_printf("%s/pid", s.dir);
    char *script = mem_printf(
        "trap '' TERM; echo $$ >%s.new; mv %s.new %s; while :; do sleep 1; done", note, note, note);
    struct run run = {0};
    struct buf pid = {0};
    struct err err = {0};
    begin(&s, &run, script);
    while (access(note, R_OK) < 0)
        usleep(1000);
    CHECK(file_read(note, 100, &pid, &err));
    unlink(note);
    stage_close(&s);
    CHECK(!lives(atoi(pid.p)));
    CHECK(!run.done);
    buf_free(&pid);
    mem_free(note);
    mem_free(script);
}

TEST(so_many_run_at_once_and_no_more)
{
    struct stage s;
    struct run runs[PROGRAMS_PER_OWNER] = {0}, more = {0}, other = {.options.owner = "other"};
    struct run again = {0};
    REQUIRE(stage_open(&s));
    for (int i = 0; i < PROGRAMS_PER_OWNER; i++)
        begin(&s, &runs[i], "exec sleep 300");
    begin(&s, &more, "echo more");
    CHECK(!more.program);
    CHECK_EQ(more.err.code, ERR_LIMIT);
    CHECK_STR(more.err.message, "8 programs of demo run already");
    await(&more);
    perform(&s, &other, "echo other");
    CHECK_STR(other.out, "other\n");
    for (int i = 0; i < PROGRAMS_PER_OWNER; i++) {
        lane_call_wait(s.lanes[0], cancel_on_lane, &runs[i]);
        sem_destroy(&runs[i].ended);
    }
    for (int i = 0; i < 2000 && !again.program; i++) { /* they take a moment to end */
        again = (struct run){0};
        begin(&s, &again, "echo again");
        if (!again.program)
            usleep(5000);
    }
    await(&again);
    CHECK_STR(again.out, "again\n");
    stage_close(&s);
}

TEST(one_that_has_ended_is_no_longer_counted)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    for (int i = 0; i < 4 * PROGRAMS_PER_OWNER; i++) {
        struct run run = {0};
        perform(&s, &run, "exit 0");
        REQUIRE(run.program && run.code == PROGRAM_DONE);
    }
    stage_close(&s);
}

TEST(folders_of_processes_that_are_gone_are_removed_at_the_next_start)
{
    struct stage s;
    REQUIRE(stage_open(&s));
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    char *command =
        mem_printf("mkdir -p %s/programs/%d-demo.abcdef/sub; mkdir %s/programs/%d-demo.live", s.dir,
                   (int)gone, s.dir, (int)getppid());
    while (kill(gone, 0) == 0)
        waitpid(gone, NULL, 0);
    CHECK(system(command) == 0);
    programs_destroy(s.all);
    char *inside = mem_printf("%s/programs", s.dir);
    CHECK_EQ(count_entries(inside), 2);
    s.all = programs_create(inside, s.lanes, 1, s.pool, &s.err);
    CHECK_EQ(count_entries(inside), 1);
    char *live = mem_printf("%s/%d-demo.live", inside, (int)getppid());
    CHECK(rmdir(live) == 0);
    stage_close(&s);
    mem_free(live);
    mem_free(inside);
    mem_free(command);
}
