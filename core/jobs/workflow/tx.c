/* workflow/tx.c -- a run that begins with the caller's transaction.
 *
 * What is in the transaction is the run's row and its input, which waits for a moment that is over:
 * so whoever looks at waits next, after the commit or after a restart, makes the first step. */
#include "base/clock.h"
#include "base/mem.h"
#include "jobs/driver.h"
#include "jobs/workflow/private.h"

struct wf_tx {
    struct sqlite_write write;
    struct jobs *jobs;
    struct workflow_change *change;
    void (*ran)(struct workflow_change *change);
    int64_t id; /* 0: a new one */
    char *plugin, *name, *key, *input;
    bool committed;
};

static struct wf_tx *tx_of(struct sqlite_write *w)
{
    return (struct wf_tx *)(void *)((char *)w - offsetof(struct wf_tx, write));
}

/* 1, 0: the key is taken, or -1. */
static int insert(struct wf *f, const struct wf_tx *t, const struct workflow_decl *decl)
{
    struct wf_run run = {.id = t->id,
                         .plugin = t->plugin,
                         .name = t->name,
                         .shape = WORKFLOW_GRAPH,
                         .created_at = f->now,
                         .version = decl->version};
    struct wf_wait wait = {
        .next = str_c(decl->start), .otherwise = str_c(decl->start), .due_at = f->now};
    int is = f->store->insert(f, &run, str_c(t->key));
    if (is < 1)
        return is;
    run.state = WORKFLOW_RUNNING;
    run.active = run.waiting = 1;
    t->change->id = run.id;
    return f->store->save(f, &run) && f->store->put_input(f, run.id, str_c(t->input)) &&
                   f->store->begin_wait(f, run.id, &wait)
               ? 1
               : -1;
}

static bool tx_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct wf_tx *t = tx_of(w);
    struct workflows *runs = t->jobs->workflows;
    const struct wf_set *set = wf_set_ref(t->jobs);
    const struct workflow_decl *decl = wf_find(set, str_c(t->plugin), str_c(t->name));
    struct wf f = {.jobs = t->jobs,
                   .w = runs,
                   .store = runs->store,
                   .record = conn,
                   .set = set,
                   .now = clock_wall_ns(),
                   .err = &w->err};
    int is = decl ? insert(&f, t, decl) : -1;
    if (!decl)
        err_set(&w->err, ERR_NOT_FOUND, "there is no workflow %s", t->name);
    else if (is == 0)
        err_set(&w->err, ERR_EXISTS, "an unfinished run of %s has this key", t->name);
    wf_set_unref(t->jobs, set);
    return is == 1;
}

static void tx_ran(struct sqlite_write *w)
{
    struct wf_tx *t = tx_of(w);
    t->change->err = w->err;
    t->ran(t->change);
}

static void tx_committed(struct sqlite_write *w)
{
    struct wf_tx *t = tx_of(w);
    t->committed = true;
    jobs_lock(t->jobs);
    t->jobs->workflows->running++;
    t->jobs->workflows->waiting++;
    t->jobs->workflows->due_now = true;
    jobs_unlock(t->jobs);
}

static void tx_done(struct sqlite_write *w)
{
    struct wf_tx *t = tx_of(w);
    struct workflow_change *change = t->change;
    change->err = w->err;
    if (!t->committed && !w->err.code)
        err_set(&change->err, ERR_CANCELLED, "workflows: the transaction was rolled back");
    mem_free(t->plugin);
    mem_free(t->name);
    mem_free(t->key);
    mem_free(t->input);
    mem_free(t);
    change->done(change);
}

bool workflow_start_tx(struct jobs *jobs, struct workflow_change *change, struct store_tx *tx,
                       void (*ran)(struct workflow_change *change),
                       const struct workflow_start *start, struct err *err)
{
    if (jobs->options.carry && !store_sqlite(tx->store))
        return wf_carry_start(jobs, change, tx, ran, start, err);
    if (jobs->driver->shared)
        return err_set(err, ERR_INVALID,
                       "workflows: a run begins with a transaction where jobs.driver = \"sqlite\","
                       " not \"%s\": push a job in it that starts the run",
                       jobs->driver->name);
    if (!wf_check_start(start, err))
        return false;
    struct wf_tx *t = mem_zero(1, sizeof *t);
    t->jobs = jobs;
    t->change = change;
    t->ran = ran;
    t->id = start->id;
    t->plugin = str_dup(start->plugin);
    t->name = str_dup(start->name);
    t->key = str_dup(start->key);
    t->input = str_dup(start->input);
    t->write.work = tx_work;
    t->write.ran = tx_ran;
    t->write.committed = tx_committed;
    t->write.done = tx_done;
    err_clear(&change->err);
    store_tx_work(tx, &t->write);
    return true;
}
