/* test.h -- what `maru test` adds to the bindings: the raw table `test`, for the VM of a spec file.
 *
 * No VM of a server that serves gets any of this: bind_test() and bind_tested()
 * are in the place of bind_all() only where server_test.c puts them.
 */
#pragma once

#include <lua.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct lane;
struct standstill;
struct task;
struct test_pause;

/* A request of the spec's to the control lane, and its way back. */
struct test_call {
    const char *name;  /* "reload" … */
    struct str text;   /* the argument */
    struct buf out;    /* the answer */
    struct err err;    /* or why there is none */
    struct task *task; /* private */
    struct lane *lane; /* private */
};

/* What happened, from any thread, under the lock. */
struct test_notes {
    pthread_mutex_t lock;
    int64_t *jobs; /* that ran since test.jobs_ran() */
    int job_count;
    struct buf messages; /* [topic, message],[topic, message] … */
};

struct test_host {
    struct str run_json; /* what is to be run: see maru/test/run.lua */
    int report_fd;       /* one JSON object a line: what came of it */
    struct standstill *still;
    struct test_notes notes;
    /* Posts the call to where it belongs; test_call_done() answers it. */
    void (*control)(void *arg, struct test_call *call);
    /* A connection to the server, as anybody or as the operator; -1 with *err. */
    int (*connect)(void *arg, bool operator, struct err * err);
    void *arg;
    struct test_pause *pause; /* of maru test --reload, or NULL */
};

/* In the place of bind_all: bind_test for the spec's VM, bind_tested for the plugins'. */
int bind_test(lua_State *L);
int bind_tested(lua_State *L);

void test_call_done(struct test_call *call); /* any thread; out or err is filled */

/* Handlers of plugins can be made to stand at their first wait.  Destroyed when none stands. */
struct test_pause *test_pause_create(void);
void test_pause_destroy(struct test_pause *pause);

void test_notes_init(struct test_notes *notes);
void test_notes_free(struct test_notes *notes);
void test_note_job(struct test_notes *notes, int64_t id);
void test_note_message(struct test_notes *notes, struct str topic, struct str json);

/* For bind_test: pushes the functions that each file adds to the table on top. */
void test_add_streams(lua_State *L);
void test_add_time(lua_State *L);
void test_add_tape(lua_State *L);
void test_add_pause(lua_State *L);
int test_pause_here(lua_State *L);
