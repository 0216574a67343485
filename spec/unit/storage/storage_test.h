/* storage_test.h -- a store in a directory of its own, and calls that wait. */
#pragma once

#include <pthread.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/migrate.h"
#include "storage/sqlite.h"
#include "test.h"

struct fixture {
    char dir[64];
    char path[96];
    struct pool *pool;
    struct store *store;
    struct sqlite *db;
    struct sqlite_options options;
    struct err err;
};

static inline bool fixture_open(struct fixture *f)
{
    f->options.path = f->path;
    f->options.pool = f->pool;
    f->store = sqlite_open(&f->options, &f->err);
    f->db = store_sqlite(f->store);
    if (!f->store)
        printf("# %s\n", f->err.message);
    return f->store != NULL;
}

static inline bool fixture_init(struct fixture *f)
{
    snprintf(f->dir, sizeof f->dir, "/tmp/maru-storage-XXXXXX");
    if (!mkdtemp(f->dir))
        return false;
    snprintf(f->path, sizeof f->path, "%s/maru.db", f->dir);
    f->pool = pool_create("test", 3, &f->err);
    return fixture_open(f);
}

static inline void fixture_fini(struct fixture *f)
{
    char command[128];
    store_close(f->store);
    pool_destroy(f->pool);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    if (system(command) != 0)
        printf("# could not remove %s\n", f->dir);
}

struct waiter {
    struct store_call call; /* first */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

static inline void waiter_done(struct store_call *call)
{
    struct waiter *w = (struct waiter *)call;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

/* Runs a call and waits; the caller frees call->rows. */
static inline struct store_call run_wait(struct store *store, struct store_call call)
{
    struct waiter w = {.call = call};
    w.call.done = waiter_done;
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.cond, NULL);
    store_run(store, &w.call, NULL);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_cond_destroy(&w.cond);
    pthread_mutex_destroy(&w.lock);
    return w.call;
}

static inline struct store_call ask(struct store *store, const char *plugin, enum store_mode mode,
                                    const char *sql, const struct value *params, int count)
{
    struct store_call call = {
        .plugin = plugin, .sql = str_c(sql), .mode = mode, .params = params, .param_count = count};
    return run_wait(store, call);
}

static inline struct store_call exec(struct store *store, const char *plugin, const char *sql)
{
    return ask(store, plugin, STORE_EXEC, sql, NULL, 0);
}

/* The first value of the first row as a whole number, -1 when there is none. */
static inline int64_t number(struct store *store, const char *sql)
{
    struct store_call call = ask(store, NULL, STORE_ONE, sql, NULL, 0);
    if (call.err.code != ERR_NONE)
        printf("# %s\n", call.err.message);
    int64_t n = call.rows && call.rows->row_count && call.rows->values[0].type == VALUE_INT
                    ? call.rows->values[0].i
                    : -1;
    rows_free(call.rows);
    return n;
}

static inline bool migrate_text(struct store *store, const char *plugin, const char *name,
                                const char *sql, struct err *err)
{
    struct migration m = {.name = name, .text = str_c(sql)};
    return store_migrate(store, plugin, &m, 1, err);
}

#define INT(n)  ((struct value){.type = VALUE_INT, .i = (n)})
#define TEXT(t) ((struct value){.type = VALUE_TEXT, .s = STR(t)})
