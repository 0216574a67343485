/* program_private.h -- a program's insides; private to program*.c. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "loop/program.h"
#include "loop/program_birth.h"

enum stream_kind { STREAM_OUT, STREAM_ERR, STREAM_IN, STREAM_EXIT, STREAMS };

/* One descriptor of a program's, watched by the loop. */
struct stream {
    uv_poll_t poll; /* first */
    struct program *program;
    int fd; /* -1 when it is closed */
};

struct owner {
    char name[64];
    int count;
};

struct programs {
    /* immutable */
    char *dir;
    struct lane *const *lanes;
    int lane_count;
    struct pool *pool;
    struct list *running; /* by lane; each touched by its lane only */
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct owner *owners;
    int owner_count, total;
};

struct program {
    struct list link;
    struct programs *all;
    struct lane *lane;
    struct pool_job job;
    program_done_fn *done; /* NULL once nobody waits */
    void *arg;
    char owner[64];
    struct program_birth birth;
    struct stream streams[STREAMS];
    int handles; /* that libuv has not let go of */
    struct buf input, output[2];
    size_t sent;
    int64_t max_bytes, timeout_ns, deadline;
    struct timer timer;
    atomic_bool unwanted; /* before it was born; the pool looks */
    bool running, gone, killed;
    enum program_code code;
};

/* programs.c: false when too many of the owner's run.  Any thread. */
bool programs_count_in(struct programs *all, const char *owner);
void programs_count_ended(struct programs *all, const char *owner); /* it runs no more */
void programs_count_out(struct programs *all);                      /* nothing is left of it */
/* program.c: SIGKILL for all of its group; on its lane, while it runs. */
void program_kill(struct program *program);
