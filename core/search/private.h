/* private.h -- what the files of search share. */
#pragma once

#include <pthread.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/map.h"
#include "search/query.h"
#include "search/search.h"

/* A declared index.  Held by the search's map and by every request under way. */
struct search_index {
    int refs; /* atomic */
    /* immutable */
    char *plugin, *name;
    struct search_field *fields;
    int field_count;
    /* the driver's thread that makes indexes, then `state` (atomic, release) */
    struct err err; /* why REFUSED */
    int64_t number; /* fts: of its tables */
    int state;
};
enum index_state { INDEX_UNSEEN, INDEX_READY, INDEX_REFUSED };

int index_field(const struct search_index *index, struct str name); /* -1 = none */

enum value_kind { SEARCH_ABSENT, SEARCH_STRING, SEARCH_DOUBLE, SEARCH_BOOL };
struct search_value {
    enum value_kind kind;
    struct str text;
    double number; /* TIME: milliseconds */
    bool yes;
};

struct search_doc {
    struct str id;
    struct search_value *values; /* by field */
};

/* One field's condition; its values are of the field's type. */
struct search_condition {
    int field; /* -1 = the id */
    bool range;
    struct search_value *values; /* any of them */
    int count;
    struct search_value from, to; /* ABSENT = open; from <= value <= to, for times < to */
};

struct search_sort {
    int field; /* -1 = the score */
    bool descending;
};

struct search_request {
    struct arena *arena;
    struct search_index *index;
    enum search_op op;
    struct search_doc *docs;
    int doc_count;
    bool visible;
    struct query_node *query; /* NULL = everything */
    struct search_condition *conditions;
    int condition_count;
    struct search_sort sorts[SEARCH_SORTS];
    int sort_count;
    bool tie_descending; /* what is equal in all of them comes newest first, as the last key says */
    int limit;
    bool after;                                     /* behind these: */
    struct search_value after_values[SEARCH_SORTS]; /* of the sort keys */
    struct search_value after_tie;
    bool highlight[SEARCH_FIELDS], fields[SEARCH_FIELDS], facets[SEARCH_FIELDS];
    int histogram;             /* a time field, -1 = none */
    int64_t first_ms, step_ms; /* of the histogram: a multiple of its step */
    int step_count;
    int64_t *counts;   /* zeros, for the driver to fill */
    int recency;       /* a time field, -1 = none */
    double recency_ms; /* half of the score is left after so long */
};

/* request.c.  NULL with *err. */
struct search_request *request_parse(struct search_index *index, enum search_op op, struct str json,
                                     struct err *err);
void request_free(struct search_request *request);

/* value.c */
/* Reads a JSON value of the field's type; what: for the message. */
bool value_read(struct arena *arena, const struct search_field *field, struct str json,
                struct search_value *out, struct err *err);
void value_write(struct json *w, const struct search_field *field,
                 const struct search_value *value);          /* as plugins see it */
struct str value_text(struct arena *arena, struct str json); /* of a JSON string */

/* cursor.c: the place behind a hit, as text that may stand in a URL. */
void cursor_write(struct json *w, const struct search_value *values, int count,
                  const struct search_value *tie);
bool cursor_read(struct arena *arena, struct str text, int count, struct search_value *values,
                 struct search_value *tie, struct err *err);

/* A hit as both drivers find it. */
struct search_hit {
    struct str id;
    double score;
    struct search_value *values; /* by field */
};
/* answer.c: {"total":…,"hits":[ … ],"next":…,"facets":{…},"histogram":{…}} */
struct answer {
    struct json w;
    const struct search_request *request;
};
void answer_open(struct answer *a, struct buf *out, const struct search_request *r, int64_t total);
void answer_hit(struct answer *a, const struct search_hit *hit);
/* NULL values: there is nothing behind the last hit. */
void answer_end_hits(struct answer *a, const struct search_value *values,
                     const struct search_value *tie);
void answer_facet(struct answer *a, int field); /* opens; values with answer_count */
void answer_count(struct answer *a, const struct search_value *value, int64_t count);
void answer_end_facet(struct answer *a);
void answer_close(struct answer *a);
void answer_number(struct buf *out, int64_t n); /* of INDEX, DELETE, COUNT */

/* highlight.c: the text in parts, [{"text":…,"hit":true}, …]. */
void highlight_write(struct json *w, const struct query_node *query, int field, struct str text);

struct search_driver {
    const char *name;
    /* Any thread: answers by search_answer() once. */
    void (*run)(struct search *search, struct search_call *call);
    void (*begin)(struct search *search);
    /* For an index that keeps only so many bytes of the log: fts_log_cut(); NULL = the server keeps
     * it by itself. */
    int64_t (*log_cut)(struct search *search, struct search_index *index);
    bool (*is_idle)(struct search *search);
    void (*close)(struct search *search);
};

struct search {
    const struct search_driver *driver;
    struct search_options options; /* strings are ours */
    pthread_mutex_t lock;          /* guards what follows */
    pthread_cond_t parsed;
    int parsing;             /* calls whose documents are being read */
    struct map *declared;    /* "plugin/name" → struct search_index */
    struct log_intake *logs; /* NULL = the log is not searched; while it serves */
};

/* logs.c: lines of the log into the index "log" of the host's. */
struct log_intake *logs_start(struct search *search);
void logs_stop(struct log_intake *logs); /* NULL is fine */

/* fts_logs.c: the newest time of what is over logs_bytes, -1 = nothing is.  Waits. */
int64_t fts_log_cut(struct search *search, struct search_index *index);

struct search *fts_create(const struct search_options *options, struct err *err);
struct search *elastic_create(const struct search_options *options, struct err *err);
/* For drivers: what all have, before and after theirs. */
void search_setup(struct search *search, const struct search_options *options,
                  const struct search_driver *driver);
void search_discard(struct search *search);
/* Gives the call back; call->err tells. */
void search_answer(struct search_call *call);
struct search_index *search_find_index(struct search *search, const char *plugin, struct str name,
                                       struct err *err); /* a reference, or NULL */
void index_unref(struct search_index *index);
