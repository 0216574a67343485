/* postgres/find.c -- the ids of all jobs that match. */
#include "jobs/postgres/postgres.h"

#include "base/mem.h"
#include "jobs/look.h"

enum { SLICE = 10000 };

_Static_assert(JOB_READY == 1 && JOB_DELAYED == 2 && JOB_RUNNING == 3 && JOB_DEAD == 7,
               "the numbers below");

/* $1 after which id, $2 limit, $3 kind, $4 queue, $5 text, each empty for any, $6 states as bits.
 */
#define FIND(from, state)                                                                          \
    "SELECT j.id FROM " from " JOIN maru.flow f ON f.id = j.flow JOIN maru.kind k ON k.id = "      \
    "f.kind JOIN maru.queue q ON q.id = f.queue WHERE j.id > $1 AND ($3 = '' OR k.name = $3)"      \
    " AND ($4 = '' OR q.name = $4) AND ($5 = '' OR"                                                \
    " strpos(lower(concat_ws(' ', k.name, j.args, j.error)), lower($5)) > 0)"                      \
    " AND $6 & (1 << " state ") > 0 ORDER BY j.id LIMIT $2"
static const char unfinished[] =
    FIND("maru.job j LEFT JOIN maru.claimed c ON c.id = j.id",
         "CASE WHEN c.id IS NOT NULL THEN 3 WHEN j.run_at > maru.now() THEN 2 ELSE 1 END");
static const char dead[] = FIND("maru.dead j", "7");

static void add_text(struct pg_args *a, struct str text)
{
    char *copy = str_dup(text);
    pg_text(a, copy);
    mem_free(copy);
}

static bool find(struct pg *pg, struct jobs_query *q, const char *sql)
{
    int64_t after = 0;
    for (int rows = SLICE; rows == SLICE;) {
        struct pg_args a = {0};
        pg_int(&a, after);
        pg_int(&a, SLICE);
        add_text(&a, q->kind);
        add_text(&a, q->queue);
        add_text(&a, q->text);
        pg_int(&a, q->ids_of);
        PGresult *r = pg_call(&pg->to_ask, sql, &a, &q->err);
        rows = r ? PQntuples(r) : -1;
        for (int i = 0; i < rows; i++) {
            after = pg_get_int(r, i, 0);
            buf_add(&q->out, &after, sizeof after);
        }
        PQclear(r);
    }
    return q->err.code == 0;
}

void pg_find_ids(struct pg *pg, struct jobs_query *q)
{
    unsigned open = 1u << JOB_READY | 1u << JOB_DELAYED | 1u << JOB_RUNNING, over = 1u << JOB_DEAD;
    if (q->ids_of & ~(open | over)) {
        err_set(&q->err, ERR_INVALID, "jobs: ended jobs have no list of ids in postgres");
        return;
    }
    if ((!(q->ids_of & open) || find(pg, q, unfinished)) && q->ids_of & over)
        find(pg, q, dead);
    look_sort_ids(&q->out);
}
