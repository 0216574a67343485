/* private.h -- what the files of core/events share.
 *
 * events->lock guards what is marked so.  It is held for a moment only, never over a callback, a
 * system call or SQLite; under it only lane_post() is called.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "events/events.h"
#include "storage/sqlite.h"

struct driver_health;
struct events_driver;
struct metric;

enum { TOPIC_SHIFT = 40 }; /* rowid of an event: its topic's number, then its offset */

/* One event on its way into a commit, or (table.c) a group that begins. */
struct op {
    struct op *next;
    struct events *events;
    struct event_emit *emit; /* NULL: nobody waits */
    struct group *group;     /* it begins; then `what` has the topic only */
    struct event_what what;  /* in bytes */
    int64_t at_wall;
    int64_t offset;
    size_t size;
    bool refused; /* there are too many topics */
    /* of a transaction */
    struct sqlite_write write;
    void (*ran)(struct event_emit *emit);
    bool published;
    char bytes[];
};
struct op *op_create(struct events *events, struct event_emit *emit, const struct event_what *what);
void op_free(struct op *op); /* NULL is fine */
/* Answers who waits and frees it; err NULL: it is kept. */
void op_answer(struct op *op, const struct err *err);

/* Takes it: driver->record in a commit of its own. */
void op_write(struct events *events, struct op *op);

/* A topic as it was committed last. */
struct topic {
    char *name;
    int64_t next; /* under lock */
    bool heard;   /* under lock: a group of this process listens */
    struct metric *emitted;
};

/* A plugin that hears a topic of the table. */
struct group {
    struct list link; /* events->groups, under lock */
    struct events *events;
    char *plugin, *topic, *kind;
    bool beginning;
    struct topic *at;
    int64_t offset; /* the next to be handed over; under lock; -1 = not read yet */
    struct metric *consumed, *lag, *lost;
    /* control lane */
    bool busy;
    bool gone;          /* written under lock */
    struct timer again; /* it failed, or its window is full */
    struct group_batch *batch;
};

struct events_driver {
    const char *name;
    bool (*open)(struct events *events, struct err *err); /* fills events->record */
    void (*close)(struct events *events);
    void (*emit)(struct events *events, struct op *op); /* takes it; any thread, must not block */
    /* Writer thread: writes ops into an open commit of the embedded database, each gets its
     * offset; then, once that is on disk, `recorded` (writer thread). */
    bool (*record)(struct events *events, struct sqlite_conn *conn, struct op *first,
                   struct err *err);
    void (*recorded)(struct events *events, struct op *op);
    void (*keep)(struct events *events, struct op *op); /* takes it: such a commit of its own */
    void (*read)(struct events *events, struct event_query *query);
    void (*browse)(struct events *events, struct event_browse *browse);
    void (*view)(struct events *events, struct event_view *view);
    void (*follow)(struct events *events, const struct event_follow *list, int count);
    bool (*quiet)(struct events *events);
    void (*scrape)(struct events *events);
};
extern const struct events_driver events_table, events_kafka;

struct events {
    /* immutable */
    struct events_options options;
    const struct events_driver *driver;
    struct sqlite *db;
    struct driver_health *health;
    struct metric *emit_seconds, *errors;
    char stream[40]; /* of this database */
    pthread_mutex_t lock;
    /* under lock */
    bool closed;
    int64_t waiting, waiting_bytes;
    pthread_cond_t quiet; /* writing became false */
    struct map *topics;   /* struct topic by name */
    struct list groups;   /* of the table */
    struct op *pending, **pending_end;
    bool writing, woken;
    /* the writer thread's while `writing` */
    struct sqlite_write write;
    struct op *batch;
    bool taken;
    /* control lane */
    struct lane_message wake;
    struct timer upkeep;
    bool stopped;
    bool trimming; /* under lock: the write below is under way */
    struct sqlite_write trim;
    int64_t trim_rows; /* the writer's while trimming */
    int64_t trim_last; /* topic that was cut last; the writer's */
    void *record;      /* of driver kafka */
};

/* events.c */
struct topic *topic_of(struct events *events, struct str name); /* lock held; made when missing */
void events_queue(struct events *events, struct op *op);        /* table.c: the next commit */

/* carried.c: a transaction of another server. */
void events_carry(struct events *events); /* while opening */
/* As events_emit_tx(). */
bool carry_event(struct events *events, struct event_emit *emit, struct store_tx *tx,
                 void (*ran)(struct event_emit *emit), const struct event_what *what,
                 struct err *err);

/* table.c: any driver; the rows of topics, events and groups. */
bool table_make(struct events *events, struct err *err);
bool table_write(struct events *events, struct sqlite_conn *conn, struct op *first,
                 struct err *err);
void table_publish(struct events *events, struct op *op); /* it is on disk */

/* table_group.c, control lane */
void groups_follow(struct events *events, const struct event_follow *list, int count);
void groups_wake(struct events *events); /* any thread */
void group_began(struct group *group);   /* control lane: its offset is known */
bool groups_quiet(struct events *events);
void groups_free(struct events *events);
void groups_scrape(struct events *events);

/* table_read.c */
void table_read(struct events *events, struct event_query *query);
void table_view(struct events *events, struct event_view *view);
/* Rows behind an offset, at most `limit` and EVENT_READ_BYTES: each printed behind the other in
 * out, with its end there. */
struct table_rows {
    int64_t topic; /* number of the topic, or 0 with `name` */
    struct str name;
    int64_t after;
    int limit, count;
    struct buf out;
    size_t ends[EVENT_READ_MOST];
    int64_t offsets[EVENT_READ_MOST];
    int64_t first; /* of the topic */
};
bool table_rows(struct sqlite_conn *conn, struct table_rows *rows, struct err *err);
void event_query_answer(struct event_query *query); /* any thread */
void event_view_answer(struct event_view *view);
void event_browse_answer(struct event_browse *browse);
/* Whether an event is what is looked for. */
bool event_is_wanted(const struct event_browse *browse, const struct event *event);

/* table_browse.c */
void table_browse(struct events *events, struct event_browse *browse);

/* table_trim.c, control lane: what is too old goes, slice by slice. */
void trim_start(struct events *events);
void trim_stop(struct events *events);
