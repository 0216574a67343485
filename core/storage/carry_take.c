/* carry_take.c -- one round of a plugin: claim rows, bring them over, let them go.
 *
 * Rows of one round are brought over in one transaction of SQLite; when one of them fails, each
 * gets a transaction of its own, so that it holds back no other. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "observe/log.h"
#include "storage/carry_private.h"

static void next_apart(struct carried *c);
static void next_tx(struct carried *c);

static const struct value *column(const struct carried *c, int row, int i)
{
    return &c->rows->values[row * c->rows->column_count + i];
}

static struct str text_at(const struct carried *c, int row, int i)
{
    const struct value *v = column(c, row, i);
    return v->type == VALUE_TEXT ? v->s : STR("");
}

static const struct carry_noun *noun_of(const struct carried *c, int row)
{
    struct str name = text_at(c, row, 2);
    for (int i = 0; i < c->carry->noun_count; i++)
        if (str_eq_c(name, c->carry->nouns[i].name))
            return &c->carry->nouns[i];
    return NULL;
}

static bool is_apart(const struct carried *c, int row)
{
    const struct carry_noun *noun = noun_of(c, row);
    return noun && noun->apart;
}

/* Whether this transaction is to bring it. */
static bool is_mine(const struct carried *c, int row)
{
    const struct carry_noun *noun = noun_of(c, row);
    return noun && !noun->apart && !c->over[row];
}

/* -- the end of a round ----------------------------------------------------------------------- */

/* A round for what came meanwhile makes it no longer. */
static void pause_after_failure(struct carried *c)
{
    int64_t now = clock_steady_ns();
    int shift = c->fails < 8 ? c->fails : 8;
    int64_t ms = (int64_t)CARRY_PAUSE_MS << shift;
    ms = ms < CARRY_PAUSE_MOST_MS ? ms : CARRY_PAUSE_MOST_MS;
    if (now >= c->again_ns) {
        if (c->fails++ == 0)
            log_warn("store", "%s: what its transactions brought along waits: %s", c->plugin,
                     c->failed.message);
        c->again_ns = now + (int64_t)((0.5 + rand_unit() / 2) * (double)ms * (double)NS_PER_MS);
    }
    timer_start(c->carry->options.lane, &c->timer, c->again_ns - now);
}

/* Of the row alone: those behind it need not wait. */
static bool is_rows(const struct err *err)
{
    return err->code != ERR_IO && err->code != ERR_TIMEOUT && err->code != ERR_FULL &&
           err->code != ERR_BUSY && err->code != ERR_CLOSED;
}

static void round_over(struct carried *c)
{
    struct carry *carry = c->carry;
    pthread_mutex_lock(&carry->lock);
    bool more = c->wanted || c->full;
    pthread_mutex_unlock(&carry->lock);
    c->busy = false;
    if (carry->stopped)
        return;
    if (c->failed.code && c->full && is_rows(&c->failed)) {
        c->after = c->last;
        carried_begin(c);
        return;
    }
    if (c->failed.code) {
        pause_after_failure(c);
        return;
    }
    if (c->fails)
        log_info("store", "%s: what its transactions brought along goes on", c->plugin);
    c->fails = 0;
    if (more)
        carried_begin(c);
    else
        timer_start(carry->options.lane, &c->timer,
                    (int64_t)((0.5 + rand_unit()) * (double)CARRY_POLL_MS * (double)NS_PER_MS));
}

static bool forget_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct carried *c = list_entry(w, struct carried, mark);
    sqlite3_stmt *s = sqlite_prepared(conn, "DELETE FROM maru_outbox_taken WHERE id = ?1", &w->err);
    int rc = s ? SQLITE_DONE : SQLITE_ERROR;
    for (int i = 0; i < c->count && rc == SQLITE_DONE; i++) {
        if (!c->over[i] || is_apart(c, i))
            continue;
        struct str id = c->items[i].id;
        sqlite3_bind_text64(s, 1, id.p, id.n, SQLITE_STATIC, SQLITE_UTF8);
        rc = sqlite_step(conn, s, &w->err);
        sqlite3_reset(s);
    }
    return rc == SQLITE_DONE;
}

static void on_forgotten(struct sqlite_write *w)
{
    round_over(list_entry(w, struct carried, mark));
}

/* The rows are gone there; or they are not, and the ids here say that they were taken. */
static void on_deleted(struct store_call *call)
{
    struct carried *c = list_entry(call, struct carried, call);
    if (call->err.code) {
        c->failed = call->err;
        round_over(c);
        return;
    }
    c->mark = (struct sqlite_write){.work = forget_work, .done = on_forgotten};
    sqlite_write(c->carry->db, &c->mark, c->carry->options.lane);
}

static void delete_rows(struct carried *c)
{
    int n = 0;
    for (int i = 0; i < c->count; i++)
        if (c->over[i])
            c->values[n++] = *column(c, i, 4);
    if (n == 0) {
        round_over(c);
        return;
    }
    c->call = (struct store_call){.sql = str_c(c->delete_sql),
                                  .mode = STORE_MANY,
                                  .host = true,
                                  .params = c->values,
                                  .param_count = 1,
                                  .param_rows = n,
                                  .done = on_deleted};
    store_run(c->carry->options.store, &c->call, c->carry->options.lane);
}

/* -- in a transaction of SQLite --------------------------------------------------------------- */

/* All of it is over: the transaction, and what the nouns had in it. */
static void tx_over(struct carried *c)
{
    bool together = !c->alone && c->until - c->from > 1;
    c->open = false;
    if (!c->err.code) {
        for (int i = c->from; i < c->until; i++)
            c->over[i] = c->over[i] || is_mine(c, i);
        c->from = c->until;
    } else if (together && !c->carry->stopped) {
        c->alone = true;
    } else {
        c->failed = c->err;
        c->from = c->until;
    }
    next_tx(c);
}

static void maybe_over(struct carried *c)
{
    if (c->open && c->ended && c->under_way == 0)
        tx_over(c);
}

static void on_ended(struct store_tx *tx)
{
    struct carried *c = list_entry(tx, struct carried, tx);
    c->ended = true;
    if (tx->err.code && !c->err.code)
        c->err = tx->err;
    maybe_over(c);
}

static void next_item(struct carried *c)
{
    while (c->at < c->until && (!is_mine(c, c->at) || c->items[c->at].state == c))
        c->at++;
    if (c->at == c->until) {
        store_tx_end(&c->tx, true);
        return;
    }
    c->under_way++;
    const struct carry_noun *noun = noun_of(c, c->at);
    c->items[c->at].tx = &c->tx;
    noun->bring(&c->items[c->at], noun->arg);
}

/* Those that were taken before are told by their state. */
static bool mark_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct carried *c = list_entry(w, struct carried, mark);
    sqlite3_stmt *s =
        sqlite_prepared(conn, "INSERT OR IGNORE INTO maru_outbox_taken VALUES(?1)", &w->err);
    int rc = s ? SQLITE_DONE : SQLITE_ERROR;
    for (int i = c->from; i < c->until && rc == SQLITE_DONE; i++) {
        struct carry_row *row = &c->items[i];
        row->state = NULL;
        if (!is_mine(c, i))
            continue;
        sqlite3_bind_text64(s, 1, row->id.p, row->id.n, SQLITE_STATIC, SQLITE_UTF8);
        rc = sqlite_step(conn, s, &w->err);
        sqlite3_reset(s);
        if (sqlite3_changes(conn->db) == 0)
            row->state = c;
    }
    return rc == SQLITE_DONE;
}

static void on_marked(struct sqlite_write *w)
{
    struct carried *c = list_entry(w, struct carried, mark);
    if (w->err.code) {
        c->err = w->err;
        store_tx_end(&c->tx, false);
        return;
    }
    c->at = c->from;
    next_item(c);
}

static void on_begun(struct store_tx *tx)
{
    struct carried *c = list_entry(tx, struct carried, tx);
    if (tx->err.code) {
        c->open = false;
        c->failed = tx->err;
        delete_rows(c);
        return;
    }
    c->mark = (struct sqlite_write){.work = mark_work, .ran = on_marked};
    store_tx_work(&c->tx, &c->mark);
}

static void next_tx(struct carried *c)
{
    while (c->from < c->count && !is_mine(c, c->from))
        c->from++;
    if (c->from == c->count) {
        delete_rows(c);
        return;
    }
    c->until = c->alone ? c->from + 1 : c->count;
    c->open = true;
    c->ended = false;
    err_clear(&c->err);
    c->tx = (struct store_tx){.begun = on_begun, .ended = on_ended};
    store_tx_begin(c->carry->options.local, &c->tx, c->carry->options.lane);
}

/* -- apart from it ---------------------------------------------------------------------------- */

static void next_apart(struct carried *c)
{
    while (c->at < c->count && !is_apart(c, c->at))
        c->at++;
    if (c->at == c->count) {
        c->from = 0;
        c->alone = false;
        next_tx(c);
        return;
    }
    c->under_way++;
    const struct carry_noun *noun = noun_of(c, c->at);
    noun->bring(&c->items[c->at], noun->arg);
}

/* It would be refused again. */
static bool is_final(const struct carry_row *row, const struct err *err)
{
    bool is = err->code == ERR_EXISTS || err->code == ERR_INVALID || err->code == ERR_LIMIT;
    if (is)
        log_warn("store", "%s: what a transaction brought along was refused: %s", row->plugin,
                 err->message);
    return is;
}

void carry_ran(struct carry_row *row, const struct err *err)
{
    struct carried *c = row->carried;
    bool ok = !err || is_final(row, err);
    if (!ok)
        *(row->tx ? &c->err : &c->failed) = *err;
    if (!row->tx) {
        c->over[c->at] = ok;
        return;
    }
    c->at++;
    if (ok)
        next_item(c);
    else
        store_tx_end(&c->tx, false);
}

void carry_done(struct carry_row *row)
{
    struct carried *c = row->carried;
    c->under_way--;
    if (row->tx) {
        maybe_over(c);
        return;
    }
    c->at++;
    next_apart(c);
}

/* -- the beginning of a round ----------------------------------------------------------------- */

static void on_claimed(struct store_call *call)
{
    struct carried *c = list_entry(call, struct carried, call);
    size_t bytes = 0;
    c->rows = call->rows;
    c->made = c->made || !call->err.code;
    if (call->err.code && (c->made || call->err.code != ERR_SQL)) /* that: it has no table yet */
        c->failed = call->err;
    c->count = c->rows ? (int)c->rows->row_count : 0;
    c->full = c->count == CARRY_ROWS;
    for (int i = 0; i < c->count; i++) {
        c->over[i] = false;
        c->items[i] = (struct carry_row){.plugin = c->plugin,
                                         .id = text_at(c, i, 0),
                                         .own = str_eq_c(text_at(c, i, 1), c->carry->home),
                                         .body = text_at(c, i, 3),
                                         .carried = c};
        bytes += c->items[i].body.n;
        c->last = column(c, i, 4)->i;
        c->full = c->full || bytes >= CARRY_BYTES;
        if (!noun_of(c, i))
            err_set(&c->failed, ERR_INVALID, "this maru does not know \"%.*s\"",
                    (int)text_at(c, i, 2).n, text_at(c, i, 2).p);
        else if (!c->items[i].own)
            log_info("store", "%s: a transaction of a node that is gone is ended here", c->plugin);
    }
    c->at = 0;
    if (c->carry->stopped)
        round_over(c);
    else
        next_apart(c);
}

void carried_begin(struct carried *c)
{
    struct carry *carry = c->carry;
    pthread_mutex_lock(&carry->lock);
    c->made = c->made || c->wanted;
    c->wanted = false;
    pthread_mutex_unlock(&carry->lock);
    timer_stop(carry->options.lane, &c->timer);
    c->busy = true;
    rows_free(c->rows);
    c->rows = NULL;
    c->count = 0;
    if (c->after == 0)
        err_clear(&c->failed);
    c->values[0] = (struct value){.type = VALUE_TEXT, .s = str_c(carry->home)};
    c->values[1] = (struct value){.type = VALUE_INT, .i = c->after};
    c->call = (struct store_call){.sql = str_c(c->claim_sql),
                                  .mode = STORE_ALL,
                                  .host = true,
                                  .params = c->values,
                                  .param_count = 2,
                                  .max_rows = CARRY_ROWS,
                                  .max_bytes = 3 * (int64_t)CARRY_BYTES,
                                  .done = on_claimed};
    store_run(carry->options.store, &c->call, carry->options.lane);
}
