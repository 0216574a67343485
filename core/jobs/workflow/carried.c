/* workflow/carried.c -- a run that begins with a transaction of another server: a row there, as
 * storage/carry.h says.  The run has its number before the commit, so the record of a shared queue
 * knows it again when it is started twice; an own record starts it in a transaction of SQLite. */
#include "base/mem.h"
#include "jobs/driver.h"
#include "jobs/workflow/private.h"

static const char noun_name[] = "workflow";

enum standing { ASKING, REFUSED, INSERTED, GONE };

struct put {
    struct carry_put put;
    struct store_follower watch; /* the transaction may end while the record is asked */
    struct workflow_query look;  /* who has the key */
    struct workflow_change number;
    struct jobs *jobs;
    struct store_tx *tx;
    struct workflow_change *change;
    void (*ran)(struct workflow_change *change);
    enum standing standing;
    char *plugin, *name, *key, *input;
};

static struct workflow_start start_of(const struct put *p)
{
    return (struct workflow_start){.id = p->change->id,
                                   .plugin = str_c(p->plugin),
                                   .name = str_c(p->name),
                                   .key = str_c(p->key),
                                   .input = str_c(p->input)};
}

static void free_put(struct put *p)
{
    buf_free(&p->look.out);
    mem_free(p->plugin);
    mem_free(p->name);
    mem_free(p->key);
    mem_free(p->input);
    mem_free(p);
}

static void over(struct put *p)
{
    struct workflow_change *change = p->change;
    free_put(p);
    change->done(change);
}

/* The transaction goes on without it, or is gone. */
static void refuse(struct put *p, const struct err *err)
{
    bool gone = p->standing == GONE;
    p->standing = REFUSED;
    p->change->err = *err;
    p->ran(p->change);
    if (gone)
        over(p);
}

/* What is put into a transaction that is ending may be answered behind its end. */
static bool is_gone(struct put *p)
{
    struct err err;
    if (p->standing != GONE && !p->tx->ending)
        return false;
    err_set(&err, ERR_CANCELLED, "workflows: the transaction was rolled back");
    refuse(p, &err);
    return true;
}

static void on_watched(struct store_follower *follower, bool committed)
{
    struct put *p = list_entry(follower, struct put, watch);
    (void)committed;
    if (p->standing == ASKING)
        p->standing = GONE;
    else if (p->standing == REFUSED)
        over(p);
}

static void on_inserted(struct carry_put *put)
{
    struct put *p = list_entry(put, struct put, put);
    p->change->err = put->call.err;
    p->ran(p->change);
}

static void on_tx_end(struct carry_put *put, bool kept)
{
    struct put *p = list_entry(put, struct put, put);
    struct workflow_start start = start_of(p);
    if (!kept && !p->change->err.code)
        err_set(&p->change->err, ERR_CANCELLED, "workflows: the transaction was rolled back");
    if (kept)
        wf_begun_keep(p->jobs, &start);
    else
        wf_begun_remove(p->jobs, &start);
    over(p);
}

static void on_numbered(struct workflow_change *number)
{
    struct put *p = list_entry(number, struct put, number);
    struct buf body = {0};
    struct err err = number->err;
    if (is_gone(p))
        return;
    p->change->id = number->id;
    carry_int(&body, number->id);
    carry_text(&body, str_c(p->name));
    carry_text(&body, str_c(p->key));
    carry_text(&body, str_c(p->input));
    carry_text(&body, str_c(p->jobs->driver->name));
    if (err.code) {
        buf_free(&body);
        refuse(p, &err);
        return;
    }
    p->standing = INSERTED;
    struct workflow_start start = start_of(p);
    wf_begun_add(p->jobs, &start);
    if (carry_insert(p->jobs->options.carry, &p->put, p->tx, noun_name, &body, &err))
        return;
    wf_begun_remove(p->jobs, &start);
    refuse(p, &err);
}

static bool ask_number(struct put *p, struct err *err)
{
    p->number.done = on_numbered;
    p->number.lane = p->tx->lane;
    return wf_number(p->jobs, &p->number, err);
}

static void on_looked(struct workflow_query *look)
{
    struct put *p = list_entry(look, struct put, look);
    struct str state = workflow_json_text(workflow_json_get(buf_str(&look->out), "state"));
    struct err err = look->err;
    if (is_gone(p))
        return;
    struct workflow_start start = start_of(p);
    if (!err.code &&
        (str_eq_c(state, "running") || str_eq_c(state, "waiting") || wf_begun_has(p->jobs, &start)))
        err_set(&err, ERR_EXISTS, "an unfinished run of %s has this key", p->name);
    if (err.code || !ask_number(p, &err))
        refuse(p, &err);
}

/* The last that had the key: whoever has it now. */
static void ask_key(struct put *p)
{
    p->look = (struct workflow_query){.plugin = str_c(p->plugin),
                                      .name = str_c(p->name),
                                      .key = str_c(p->key),
                                      .limit = 1,
                                      .done = on_looked,
                                      .lane = p->tx->lane};
    workflow_query(p->jobs, &p->look);
}

static bool is_declared(struct jobs *jobs, const struct workflow_start *start, struct err *err)
{
    const struct wf_set *set = wf_set_ref(jobs);
    bool is = wf_find(set, start->plugin, start->name) != NULL;
    wf_set_unref(jobs, set);
    return is || err_set(err, ERR_NOT_FOUND, "there is no workflow %.*s", (int)start->name.n,
                         start->name.p);
}

bool wf_carry_start(struct jobs *jobs, struct workflow_change *change, struct store_tx *tx,
                    void (*ran)(struct workflow_change *change), const struct workflow_start *start,
                    struct err *err)
{
    if ((!jobs->workflows && !shared_has(jobs, "workflows", err)) || !wf_check_start(start, err) ||
        !is_declared(jobs, start, err))
        return false;
    struct put *p = mem_zero(1, sizeof *p);
    p->jobs = jobs;
    p->tx = tx;
    p->change = change;
    p->ran = ran;
    p->put.ran = on_inserted;
    p->put.ended = on_tx_end;
    p->watch.ended = on_watched;
    p->plugin = str_dup(start->plugin);
    p->name = str_dup(start->name);
    p->key = str_dup(start->key);
    p->input = str_dup(start->input);
    err_clear(&change->err);
    store_tx_follow(tx, &p->watch);
    if (start->key.n)
        ask_key(p);
    if (start->key.n || ask_number(p, err))
        return true;
    list_remove(&p->watch.link);
    free_put(p);
    return false;
}

/* -- out of it --------------------------------------------------------------------------------- */

struct bringing {
    struct workflow_change change; /* first */
    struct carry_row *row;
    struct jobs *jobs;
    struct workflow_start start; /* as it was asked for; in the row's bytes */
};

static void on_ran(struct workflow_change *change)
{
    carry_ran(((struct bringing *)change)->row, change->err.code ? &change->err : NULL);
}

static void on_done(struct workflow_change *change)
{
    struct bringing *b = (struct bringing *)change;
    struct carry_row *row = b->row;
    struct err err = change->err;
    if (!err.code || err.code == ERR_EXISTS)
        wf_begun_remove(b->jobs, &b->start);
    mem_free(b);
    if (!row->tx)
        carry_ran(row, err.code ? &err : NULL);
    carry_done(row);
}

static void bring(struct carry_row *row, void *arg)
{
    struct jobs *jobs = arg;
    struct str body = row->body;
    struct err err = {0};
    struct workflow_start start = {.shape = WORKFLOW_GRAPH, .plugin = str_c(row->plugin)};
    start.id = carry_next_int(&body);
    start.name = carry_next(&body);
    start.key = carry_next(&body);
    start.input = carry_next(&body);
    struct bringing *b = mem_zero(1, sizeof *b);
    b->jobs = jobs;
    b->start = start;
    bool same = str_eq_c(carry_next(&body), jobs->driver->name);
    if (!same || (row->tx && !row->own)) /* a number of another record */
        start.id = 0;
    b->change.done = on_done;
    b->change.lane = jobs->options.lane;
    b->row = row;
    if (row->tx ? workflow_start_tx(jobs, &b->change, row->tx, on_ran, &start, &err)
                : workflow_start(jobs, &b->change, &start, &err))
        return;
    mem_free(b);
    carry_ran(row, &err);
    carry_done(row);
}

void workflow_carry(struct jobs *jobs)
{
    struct carry_noun noun = {
        .name = noun_name, .apart = jobs->driver->shared, .bring = bring, .arg = jobs};
    carry_add(jobs->options.carry, &noun);
}
