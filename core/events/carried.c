/* carried.c -- an event of a transaction of another server: a row there, as storage/carry.h says,
 * and then an event of a transaction here. */
#include "base/mem.h"
#include "events/private.h"
#include "storage/carry.h"

static const char noun_name[] = "event";

struct put {
    struct carry_put put;
    struct event_emit *emit;
    void (*ran)(struct event_emit *emit);
};

static void on_inserted(struct carry_put *put)
{
    struct put *p = list_entry(put, struct put, put);
    p->emit->err = put->call.err;
    p->ran(p->emit);
}

static void on_tx_end(struct carry_put *put, bool kept)
{
    struct put *p = list_entry(put, struct put, put);
    struct event_emit *emit = p->emit;
    mem_free(p);
    if (!kept && !emit->err.code)
        err_set(&emit->err, ERR_CANCELLED, "events: the transaction was rolled back");
    emit->done(emit);
}

bool carry_event(struct events *events, struct event_emit *emit, struct store_tx *tx,
                 void (*ran)(struct event_emit *emit), const struct event_what *what,
                 struct err *err)
{
    struct buf body = {0};
    if (!event_check(what, err))
        return false;
    struct put *p = mem_zero(1, sizeof *p);
    p->emit = emit;
    p->ran = ran;
    p->put.ran = on_inserted;
    p->put.ended = on_tx_end;
    err_clear(&emit->err);
    emit->offset = -1;
    emit->partition = 0;
    carry_text(&body, what->topic);
    carry_text(&body, what->key);
    carry_text(&body, what->from);
    carry_text(&body, what->data);
    carry_text(&body, what->headers);
    if (carry_insert(events->options.carry, &p->put, tx, noun_name, &body, err))
        return true;
    mem_free(p);
    return false;
}

struct bringing {
    struct event_emit emit; /* first */
    struct carry_row *row;
};

static void on_ran(struct event_emit *emit)
{
    carry_ran(((struct bringing *)emit)->row, emit->err.code ? &emit->err : NULL);
}

static void on_done(struct event_emit *emit)
{
    struct carry_row *row = ((struct bringing *)emit)->row;
    mem_free(emit);
    carry_done(row);
}

static void bring(struct carry_row *row, void *arg)
{
    struct events *events = arg;
    struct str body = row->body;
    struct event_what what = {.topic = carry_next(&body)};
    struct err err = {0};
    what.key = carry_next(&body);
    what.from = carry_next(&body);
    what.data = carry_next(&body);
    what.headers = carry_next(&body);
    struct bringing *b = mem_zero(1, sizeof *b);
    b->emit = (struct event_emit){.done = on_done, .lane = events->options.lane};
    b->row = row;
    if (events_emit_tx(events, &b->emit, row->tx, on_ran, &what, &err))
        return;
    mem_free(b);
    carry_ran(row, &err);
    carry_done(row);
}

void events_carry(struct events *events)
{
    struct carry_noun noun = {.name = noun_name, .bring = bring, .arg = events};
    if (events->options.carry)
        carry_add(events->options.carry, &noun);
}
