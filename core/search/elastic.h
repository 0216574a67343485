/* elastic.h -- indexes in Elasticsearch 8; shared by elastic*.c only.
 *
 * A lane of its own speaks to it, so that neither its silence nor the spool's
 * disk holds up anybody else.  A few _bulks at a time carry what callers put
 * in; documents have versions (external, from the clock), so that one that
 * comes twice or late, from the spool or another server, replaces nothing newer.
 * What Elasticsearch does not take for now (away, 429, 5xx) goes to the spool and is
 * answered for once it is on disk there; while the spool holds anything, all
 * goes by it.
 */
#pragma once

#include "base/list.h"
#include "http/client.h"
#include "observe/drivers.h"
#include "observe/metrics.h"
#include "search/private.h"
#include "search/spool.h"

enum {
    ELASTIC_BULK_BYTES = 8 << 20,
    ELASTIC_BULK_OPS = 5000,
    ELASTIC_FLYING = 8,
    ELASTIC_ANSWER_BYTES = 64 << 20,
};

struct bulk;

struct elastic {
    struct search search; /* first */
    struct lane *lane;
    char *base, *allow, *authorization; /* authorization NULL = none */
    struct driver_health *health;
    atomic_llong version; /* the newest one given to a document */
    struct metric *sent, *refused, *spooled;
    /* lane */
    struct http_client *client;
    struct list asks;    /* requests under way */
    struct list writes;  /* of callers, waiting */
    int flying;          /* _bulks of callers under way */
    bool busy;           /* an index is being made */
    struct bulk *replay; /* of the spool, under way or waiting to be sent again */
    bool replaying;      /* it is under way */
    bool begun, closing;
    struct spool *spool;
    struct timer again;
    int64_t backoff_ns;
};

/* -- elastic_http.c: one request.  Lane. -- */
struct elastic_reply {
    int status;      /* 0 = no answer */
    struct str body; /* JSON, checked; "" when there is none */
    struct err err;  /* ERR_NONE for 2xx */
};
typedef void elastic_reply_fn(void *arg, const struct elastic_reply *reply);
/* done comes once, later, also with ERR_CLOSED when it closes. */
void elastic_ask(struct elastic *e, const char *method, const char *path, struct str body,
                 elastic_reply_fn *done, void *arg);
void elastic_drop_asks(struct elastic *e);
/* Whether another try may do: no answer, or none of Elasticsearch's, 429, 5xx, wrong credentials.
 */
bool elastic_is_away(const struct elastic_reply *reply);

/* -- elastic_index.c: aliases, mappings, templates -- */
bool elastic_is_log(const struct search_index *index);
/* "maru-shop-reviews", or the log's data stream. */
void elastic_name(const struct elastic *e, const struct search_index *index, struct buf *out);
typedef void elastic_ensured_fn(void *arg, const struct elastic_reply *reply);
/* The index is there and has the declared fields, or reply->err.  Lane; index is held meanwhile. */
void elastic_ensure(struct elastic *e, struct search_index *index, elastic_ensured_fn *done,
                    void *arg);

/* -- elastic_query.c -- */
void elastic_query(struct json *w, const struct search_request *r); /* {"bool": …} */
void elastic_search(struct buf *out, const struct search_request *r, int64_t timeout_ns);
/* The answer to it, as ours; false with *err. */
bool elastic_found(struct buf *out, const struct search_request *r, struct str body,
                   struct err *err);

/* -- elastic_write.c: documents on their way -- */
enum write_kind { WRITE_OPS, WRITE_FILTER };
struct write {
    struct lane_message message; /* first */
    struct list link;
    struct elastic *e;
    struct search_call *call;
    enum write_kind kind;
    struct buf ops; /* for _bulk; each ends at its end */
    size_t *ends;
    int count;
    bool alone; /* not with others: all of them were refused together */
    int64_t changed;
    struct err err; /* of a document that was refused */
};
/* Any thread: makes the call's documents ready and sends them to the lane. */
void elastic_write(struct elastic *e, struct search_call *call);
void elastic_answer(struct write *w, const struct err *err); /* NULL: it is done */

/* -- elastic_outcome.c -- */
/* What became of one document: {"index":{"status":201,…}} */
struct outcome {
    int status;
    bool deleted;
    struct str error;
};
struct outcome outcome_of(struct str item);
bool outcome_is_taken(const struct outcome *o);     /* also what a newer one stands in for */
bool outcome_is_lost(const struct outcome *o);      /* its index is not there */
bool outcome_is_for_later(const struct outcome *o); /* another try may do */
void outcome_describe(const struct outcome *o, struct str op, struct err *err);

/* -- elastic_spool.c.  Lane. -- */
/* Puts the documents of all these by, with one sync, and answers for them. */
void elastic_put_by(struct elastic *e, struct list *writes);
void elastic_pause(struct elastic *e); /* elastic_pump() after a while, each time a longer one */

/* -- elastic_filter.c.  Lane. -- */
void elastic_remove(struct elastic *e, struct write *w); /* takes it out of the list */

/* -- elastic_bulk.c.  Lane. -- */
struct op {
    size_t start, end;   /* in body */
    struct write *write; /* whose; NULL from the spool */
    bool lost;           /* its index was not there */
};

struct bulk {
    struct elastic *e;
    struct list writes; /* answered together */
    struct buf body;
    struct op *ops;
    int count;
    int sent; /* of them, from the front: in the request */
    int most; /* … are sent at once; 0 = all */
    int kept; /* of them, at the front: not taken */
    bool visible, replays;
};

struct bulk *bulk_create(struct elastic *e);
void bulk_free(struct bulk *b);
struct str bulk_op(const struct bulk *b, int i);
void bulk_send(struct bulk *b);
/* Keeps of the ops what is to be sent again; false when the answer says nothing of them. */
bool bulk_settle(struct bulk *b, struct str answer);
void elastic_pump(struct elastic *e);        /* whatever can be done next */
void elastic_close_bulks(struct elastic *e); /* what waits goes to the spool */

/* -- elastic_replay.c.  Lane. -- */
void elastic_replayed(struct bulk *b, const struct elastic_reply *reply);
void elastic_pump_spool(struct elastic *e); /* what can be done next while it holds anything */
