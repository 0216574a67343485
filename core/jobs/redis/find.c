/* redis/find.c -- the ids of all jobs that match, a slice at a time: leases are renewed between. */
#include "jobs/redis/record.h"

#include "base/mem.h"
#include "jobs/look.h"
#include "jobs/search.h"

enum { SLICE = 500 };

/* ORDER of the sources: where jobs in these states are found. */
static const struct {
    const char *key;
    unsigned states;
} sources[] = {
    {"open", ~(1u << JOB_DONE | 1u << JOB_CANCELLED)},
    {"dead", 1u << JOB_DEAD},
    {"done", 1u << JOB_DONE | 1u << JOB_CANCELLED},
};
enum { SOURCES = sizeof sources / sizeof *sources };

static void add_matches(struct redis_record *rec, struct jobs_query *q, const redisReply *rows)
{
    struct search search;
    struct buf text = {0};
    search_init(&search, rec->jobs, str_n("", 0), str_n("", 0), q->text);
    for (size_t i = 0; i < rows->elements; i++) {
        enum job_state state;
        long long id;
        if (redis_print_row(rec, q, &search, rows->element[i], &text, &state) &&
            q->ids_of & 1u << state && str_int64(redis_item(rows->element[i], 0), &id))
            buf_add(&q->out, &(int64_t){id}, sizeof(int64_t));
        buf_clear(&text);
    }
    buf_free(&text);
}

static void begin_source(struct redis_look *look, int source)
{
    look->source = source;
    look->cursor[0] = 0;
}

bool redis_find_ids(struct redis_record *rec, struct redis_look *look, struct err *err)
{
    struct jobs_query *q = look->query;
    while (look->source < SOURCES && !(q->ids_of & sources[look->source].states))
        begin_source(look, look->source + 1);
    if (look->source == SOURCES) {
        look_sort_ids(&q->out);
        return false;
    }
    redisReply *slice =
        redis_command(rec->keep, err, "ZSCAN %s%s %s COUNT %d", rec->prefix,
                      sources[look->source].key, *look->cursor ? look->cursor : "0", SLICE);
    const redisReply *members = slice && slice->elements == 2 ? slice->element[1] : NULL;
    struct str cursor = redis_item(slice, 0);
    redisReply *rows = members && members->elements ? redis_rows_of(rec, members, 2, err) : NULL;
    if (rows)
        add_matches(rec, q, rows);
    snprintf(look->cursor, sizeof look->cursor, "%.*s", (int)cursor.n, cursor.p);
    if (str_eq_c(cursor, "0"))
        begin_source(look, look->source + 1);
    if (rows)
        freeReplyObject(rows);
    if (slice)
        freeReplyObject(slice);
    return err->code == 0;
}
