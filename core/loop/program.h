/* program.h -- other programs, run for a plugin and gone when it is.
 *
 * A program runs without a shell, in a process group and an empty folder of its
 * own, with the environment that is given and nothing else, no descriptor but
 * its three streams, no way to gain privileges (no_new_privs) and, where the
 * kernel knows seccomp, none to leave its group.  When it ends, is late, says
 * too much or is no longer wanted, its whole group is ended (SIGTERM, then
 * SIGKILL) and its folder removed.  If the server dies, the kernel kills the
 * program itself.
 *
 * Threads: a program belongs to the lane that started it and its functions run
 * there; programs_create and programs_destroy on the thread that owns the lanes.
 * Forking and removing folders is the pool's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/lane.h"
#include "loop/pool.h"

struct program;
struct programs;

enum {
    PROGRAMS_PER_OWNER = 8, /* at once, over all lanes; those that are being ended count */
    PROGRAM_ARGS = 1000,
    PROGRAM_TEXT_BYTES = 128 * 1024, /* one argument or variable: what Linux takes */
    PROGRAM_GRACE_MS = 1000,         /* between SIGTERM and SIGKILL */
};

enum program_code {
    PROGRAM_DONE,    /* it ended by itself, whatever its status */
    PROGRAM_MISSING, /* there is no such program */
    PROGRAM_TIMEOUT,
    PROGRAM_LIMIT, /* more output than max_bytes */
    PROGRAM_ERROR, /* it could not be started */
};

struct program_options {
    const char *owner;       /* plugin */
    const char *path;        /* absolute */
    const char *const *args; /* behind the program's name; arg_count of them */
    int arg_count;
    const char *const *env; /* "NAME=value" */
    int env_count;
    struct str input; /* its standard input */
    int64_t timeout_ns;
    int64_t max_bytes; /* of both outputs together */
};

/* Borrowed until done returns. */
struct program_result {
    enum program_code code;
    char message[ERR_MESSAGE_BYTES]; /* unless PROGRAM_DONE */
    int status;                      /* what it exited with; -1 when a signal ended it */
    int signal;                      /* 0 when it exited */
    struct str out, err;
};
typedef void program_done_fn(void *arg, const struct program_result *result);

/* dir: where the folders are made; what processes that are gone left there is removed.
 * lanes and pool are borrowed, and outlive it. */
struct programs *programs_create(const char *dir, struct lane *const *lanes, int lane_count,
                                 struct pool *pool, struct err *err);
/* Kills what still runs and waits until it is gone.  The lanes must run. */
void programs_destroy(struct programs *programs);
/* On the lane: whether something of it runs there. */
bool programs_running(const struct programs *programs, const struct lane *lane);

/* Starts; done is called once, later, unless it is cancelled.  Options are copied.  NULL with
 * *err: ERR_LIMIT when too many of the owner's run. */
struct program *program_start(struct programs *programs, struct lane *lane,
                              const struct program_options *options, program_done_fn *done,
                              void *arg, struct err *err);
/* done will not be called; its group is ended. */
void program_cancel(struct program *program);
