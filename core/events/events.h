/* events.h -- the event stream: what happened, kept in order, heard by any number of plugins.
 *
 * An event is appended to a topic and stays there until it is too old; its
 * offset is its place in the topic's partition.  A plugin that hears a topic is
 * a group of its own: where it is in the topic is kept, and what comes next is
 * handed over as durable jobs.  So every event is handled at least once by each
 * of them, whoever runs and whatever dies meanwhile.
 *
 *   driver "table"  tables of the embedded database.  A topic has one partition.
 *                   The offset of a group moves in the commit that keeps the jobs.
 *   driver "kafka"  topics of a Kafka cluster.  Offsets are committed there after
 *                   the jobs are on disk.
 *
 * An event of a transaction of the store's, and a dead letter, is written in
 * that commit of the embedded database: into the table, or with Kafka into an
 * outbox from where it is sent, at least once.  Of a transaction of another
 * server it is brought into such a commit (storage/carry.h).
 *
 * Threads: any, unless a comment says control lane.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/lane.h"

struct events;
struct sqlite_conn;
struct store;
struct store_tx;

enum {
    EVENT_TOPIC_BYTES = 100,      /* longest name of a topic */
    EVENT_KEY_BYTES = 200,        /* longest key */
    EVENT_DATA_BYTES = 768 << 10, /* longest data, as JSON: it must fit into a job's arguments */
    EVENT_HEADERS_BYTES = 32 << 10,
    EVENT_ARGS_BYTES = 1 << 20, /* of a job: what others put into Kafka may be larger */
    EVENT_READ_MOST = 1000,     /* events of one read */
    EVENT_READ_BYTES = 8 << 20, /* and what they have together; at least one is read */
    EVENT_WAITING = 50000,      /* emits under way; over it ERR_BUSY */
    EVENT_WAITING_BYTES = 256 << 20,
    EVENT_TOPICS = 10000, /* topics of driver "table" … */
    EVENT_TOPICS_EACH =
        2000, /* … and those whose names begin alike up to the first dot: a plugin's */
    EVENT_WINDOW = 10000, /* unfinished jobs of a group and topic; over it it is handed nothing */
    EVENT_BATCH = 256,    /* events handed over at once */
};

/* What is handed over to a group: the arguments of its jobs, one for each event, as
 * {"topic","partition","offset","at","key","from","headers","data"}. */
struct event_batch {
    const char *plugin, *topic, *kind; /* kind of the jobs, "plugin.on:topic" */
    const char *stream;                /* tells this stream's offsets from another server's */
    const struct str *args;
    const int *partitions;
    const int64_t *offsets;
    int count;
    /* Writer thread of the embedded database: moves the group there.  To be run in the
     * commit that keeps the jobs, if they are kept there, and `recorded` set. */
    bool (*record)(struct sqlite_conn *conn, struct event_batch *batch, struct err *err);
    bool recorded;
    struct err err;                          /* why the jobs are not kept, or ERR_NONE */
    void (*over)(struct event_batch *batch); /* control lane, once; it is its owner's again */
};

struct events_options {
    const char *driver; /* "table" or "kafka" */
    const char *url;    /* brokers, "host:port,host:port" */
    const char *group;  /* what groups of this set of nodes begin with */
    const char *prefix; /* what names of topics in Kafka begin with */
    const char *const
        *properties; /* "name=value" of librdkafka; value may be env:NAME, file:PATH */
    int property_count;
    int partitions;       /* of topics that have to be made in Kafka */
    int64_t timeout_ns;   /* an emit that nobody answered has failed after so long */
    int64_t retention_ns; /* of the table; 0 = for ever */
    int64_t topic_bytes;  /* of each topic in the table; 0 = no bound */
    const char *node;
    bool consumes;       /* this process hands events over (role jobs) */
    struct store *store; /* the embedded database; outlives the events */
    struct carry *carry; /* where plugins' tables are elsewhere (storage/carry.h); or NULL */
    struct lane *lane;   /* control lane */
    /* Control lane.  Keeps the jobs of a batch, then calls batch->over. */
    void (*deliver)(struct event_batch *batch, void *arg);
    /* Any thread: jobs of this kind that have not ended, as far as it is known. */
    int64_t (*unfinished)(const char *kind, void *arg);
    void *arg;
};

/* Blocks.  NULL with *err.  A broker that does not answer is no error: it may come. */
struct events *events_open(const struct events_options *options, struct err *err);
/* Control lane: nothing is handed over any more; what is under way ends by itself. */
void events_stop(struct events *events);
bool events_is_quiet(struct events *events); /* after events_stop(): nothing is handed over */
/* Waits for what is being written; emits that wait are answered before. */
void events_close(struct events *events);
const char *events_driver(const struct events *events);

/* What is emitted. */
struct event_what {
    struct str topic, key, from; /* key: may be empty; from: the plugin */
    struct str data;             /* JSON */
    struct str headers;          /* a JSON object of texts, or empty */
};
/* False with *err: a bad name, a key or data over its bound. */
bool event_check(const struct event_what *what, struct err *err);
/* A topic's name: letters, digits, _ . and -, 1 to EVENT_TOPIC_BYTES. */
bool event_topic_ok(struct str topic);

/* An emit under way.  Its memory is the caller's until done. */
struct event_emit {
    struct lane_message message;           /* private, first */
    void (*done)(struct event_emit *emit); /* lane; it is kept, or err tells why not */
    struct lane *lane;                     /* where done runs */
    struct err err;
    int partition;
    int64_t offset; /* -1: not known yet, it goes through the outbox */
};
/* Everything is copied.  False with *err, and no `done`: ERR_INVALID, ERR_LIMIT, ERR_BUSY,
 * ERR_CLOSED. */
bool events_emit(struct events *events, struct event_emit *emit, const struct event_what *what,
                 struct err *err);
/* The same inside an open transaction of the store's: `ran` once it is in there, then, when that
 * has ended, `done` with err set if it was rolled back.  In a transaction that is not of the
 * embedded database it has no offset yet. */
bool events_emit_tx(struct events *events, struct event_emit *emit, struct store_tx *tx,
                    void (*ran)(struct event_emit *emit), const struct event_what *what,
                    struct err *err);

/* One to be written in a commit of somebody else's; events_note() copies. */
struct event_note;
struct event_note *events_note(struct events *events, const struct event_what *what);
/* Writer thread, in the transaction; may run again after a rollback. */
bool events_note_record(struct sqlite_conn *conn, struct event_note *note, struct err *err);
/* Takes it.  recorded: that commit is on disk; otherwise it is written by itself from here on. */
void events_note_over(struct event_note *note, bool recorded);
void events_note_drop(struct event_note *note); /* it is not written */

/* A read; its memory is the caller's until done. */
struct event_query {
    struct lane_message message; /* private, first */
    struct str topic;            /* borrowed until done */
    /* Where to begin: behind this offset of `partition` (-1: all of them) … */
    int64_t after; /* -1: at the first there is */
    int partition;
    struct str cursor; /* … or behind what a read before this one has seen; borrowed */
    int limit;         /* 1 … EVENT_READ_MOST */
    struct buf out;    /* JSON objects as in struct event_batch, comma-separated; the owner's */
    char next[256];    /* cursor of the next read */
    void (*done)(struct event_query *query);
    struct lane *lane;
    struct err err; /* ERR_NOT_FOUND: there is no such topic */
    void *driver;   /* private */
};
void events_read(struct events *events, struct event_query *query);

/* What an operator looks for in a topic, page by page.  It belongs to no group: nobody's place is
 * moved by it. */
enum {
    EVENT_BROWSE_MOST = 500,      /* events of a page */
    EVENT_BROWSE_BYTES = 2 << 20, /* and what they have together; at least one is shown */
    EVENT_BROWSE_LOOKS = 20000,   /* events that one page looks at … */
    EVENT_BROWSE_MS = 2000,       /* … and about how long */
};
struct event_browse {
    struct lane_message message; /* private, first */
    struct str topic, key, text; /* borrowed until done, as the cursor; key, text: empty = any. text
                                  * is looked for in key, headers and data, a to z in either case */
    bool newest;          /* the newest first, and then older ones; else the other way round */
    int partition;        /* -1: all of them; then by time */
    struct str cursor;    /* of the page before, in the same direction; or empty */
    int64_t offset;       /* without a cursor: the first that is shown; -1: at the end */
    int64_t since, until; /* wall, ns: since <= at < until; 0 = no bound */
    int limit;            /* 1 … EVENT_BROWSE_MOST */
    /* the answer */
    struct buf out;            /* as of struct event_query; the owner's */
    char next[256], tail[256]; /* cursors: of the next page; of what comes, oldest first */
    bool end;                  /* there is nothing behind this page now */
    int looked;
    void (*done)(struct event_browse *browse);
    struct lane *lane;
    struct err err; /* ERR_NOT_FOUND: there is no such topic or partition */
};
void events_browse(struct events *events, struct event_browse *browse);

/* All topics, and all groups, as JSON: {"driver","topics":[{"topic","partitions":[{"partition",
 * "first","next"}],"bytes"}],"groups":[{"group","topic","partitions":[{"partition","offset",
 * "lag"}],"lag","serving"}]}. */
struct event_view {
    struct lane_message message; /* private, first */
    struct buf out;
    void (*done)(struct event_view *view);
    struct lane *lane;
    struct err err;
};
void events_view(struct events *events, struct event_view *view);

/* Who hears what, from now on; strings are copied. */
struct event_follow {
    const char *plugin, *topic, *kind;
    bool beginning; /* the first time: what is there already, too */
};
/* Control lane.  Replaces the whole list; a group that is not in it keeps its place. */
void events_follow(struct events *events, const struct event_follow *list, int count);

/* Appends the arguments of a job for an event. */
struct event {
    int partition;
    int64_t offset, at_wall; /* at: ns */
    struct str key, from, headers, data;
};
void event_print(struct buf *out, struct str topic, const struct event *event);

void events_scrape(void *events); /* refreshes the gauges; for metrics_on_scrape() */
