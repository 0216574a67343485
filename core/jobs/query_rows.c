/* query_rows.c -- the ended jobs on disk that a look is about. */

#include "base/clock.h"
#include "jobs/look.h"

enum {
    ROWS_AT_ONCE = 256,
    RECORDS_AT_ONCE = 8192,
    ROWS_MOST = 500,
    TABLE_MS = 400, /* a scan of a table ends then */
};

static struct str column_text(sqlite3_stmt *s, int i)
{
    const void *p = sqlite3_column_text(s, i);
    return str_n(p ? p : "", (size_t)sqlite3_column_bytes(s, i));
}

#define DEAD_COLUMNS                                                                               \
    "SELECT id, kind, queue, priority, attempt, max_attempts, created_at, started_at, dead_at,"    \
    " args, error, crashes FROM maru_job_dead WHERE id = ?1"
#define DONE_COLUMNS                                                                               \
    "SELECT id, kind, queue, priority, attempt, max_attempts, created_at, started_at,"             \
    " finished_at, result, (SELECT j.args FROM maru_job j WHERE j.id = d.id)"                      \
    " FROM maru_job_done d WHERE id = ?1"

#define KEPT_COLUMNS "SELECT args FROM maru_job WHERE id = ?1" /* until they are folded */

static const char kept_texts[] =
    "SELECT j.id, j.kind, j.args, '', d.result FROM maru_job j LEFT JOIN maru_job_done d ON"
    " d.id = j.id WHERE j.id = ?1";

#define WHERE " WHERE id < ?1 AND (?2 = 0 OR kind = ?2) AND (?3 = 0 OR queue = ?3) ORDER BY id DESC"
static const char dead_ids[] = "SELECT id, kind FROM maru_job_dead" WHERE;
static const char dead_texts[] = "SELECT id, kind, args, error FROM maru_job_dead" WHERE;
static const char done_ids[] = "SELECT id, kind FROM maru_job_done" WHERE;
static const char done_texts[] = "SELECT id, kind, result, '' FROM maru_job_done" WHERE;

/* Kinds live as long as the jobs, so the name is good without the lock. */
static bool matches_row(struct look *l, sqlite3_stmt *s)
{
    uint32_t word = (uint32_t)sqlite3_column_int64(s, 1);
    if (!l->search.word_count)
        return true;
    jobs_lock(l->jobs);
    const struct kind *k = word <= l->jobs->words ? l->jobs->kind_words[word] : NULL;
    jobs_unlock(l->jobs);
    const struct str texts[] = {str_c(k ? k->name : ""), column_text(s, 2), column_text(s, 3)};
    return search_matches_texts(&l->search, texts, 3);
}

/* Done ones may be in the history too, which has counted them. */
static void offer_rows(struct look *l, enum job_state state, const int64_t *ids, int n)
{
    const struct fin_record *r;
    jobs_lock(l->jobs);
    for (int i = 0; i < n; i++)
        if (state == JOB_DEAD)
            look_offer(l, state, -ids[i], ids[i], PICK_DEAD);
        else if (!(r = history_find(&l->jobs->history, ids[i])) || !look_matches(l, r))
            look_offer(l, state, -ids[i], ids[i], PICK_DONE);
    jobs_unlock(l->jobs);
    if (l->picks.n >= l->picks.most)
        picks_finish(&l->picks);
}

static void bind_table(struct look *l, sqlite3_stmt *s)
{
    bool go_on = l->after_key > INT64_MIN && !l->query->count && l->query->state != JOB_DELAYED;
    sqlite3_bind_int64(s, 1, go_on ? -l->after_key : INT64_MAX);
    sqlite3_bind_int64(s, 2, l->search.kind);
    sqlite3_bind_int64(s, 3, l->search.queue);
}

bool look_table(struct sqlite_conn *conn, struct look *l, enum job_state state)
{
    int64_t ids[ROWS_AT_ONCE], last = 0, until = clock_ns() + TABLE_MS * NS_PER_MS;
    int rc, n = 0, found = 0, rows = 0;
    bool texts = l->search.word_count > 0;
    const char *sql = state == JOB_DEAD ? texts ? dead_texts : dead_ids
                      : texts           ? done_texts
                                        : done_ids;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, &l->read.err);
    if (!s)
        return false;
    bind_table(l, s);
    while ((rc = sqlite_step(conn, s, &l->read.err)) == SQLITE_ROW) {
        last = sqlite3_column_int64(s, 0);
        if (matches_row(l, s))
            ids[n++] = last;
        if (n == ROWS_AT_ONCE) {
            offer_rows(l, state, ids, n);
            found += n;
            n = 0;
        }
        if (l->query->ids_of)
            continue;
        if (!l->query->count && found + n > ROWS_MOST)
            break;
        if (++rows % ROWS_AT_ONCE == 0 && clock_ns() > until)
            break;
    }
    offer_rows(l, state, ids, n);
    sqlite3_reset(s);
    if (rc == SQLITE_ROW && (l->query->count || found + n <= ROWS_MOST)) {
        l->query->partial = true;
        if (look_wants(l->query, state) && -last < l->floor)
            l->floor = -last;
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

/* The next ones of the history that names alone do not find; *at goes on.  -1: that was all. */
static int take_records(struct look *l, size_t *at, struct fin_record *records)
{
    const struct fin_record *r = NULL;
    int n = 0;
    jobs_lock(l->jobs);
    for (int i = 0; i < RECORDS_AT_ONCE && n < ROWS_AT_ONCE; i++, ++*at) {
        if (!(r = history_back(&l->jobs->history, *at)))
            break;
        if (search_matches_names(&l->search, r->kind, r->queue) && !look_matches(l, r))
            records[n++] = *r;
    }
    jobs_unlock(l->jobs);
    return n || r ? n : -1;
}

static bool has_result_match(struct look *l, sqlite3_stmt *s)
{
    const struct str result = column_text(s, 4);
    return result.n && search_matches_texts(&l->search, &result, 1);
}

bool look_kept(struct sqlite_conn *conn, struct look *l)
{
    struct fin_record records[ROWS_AT_ONCE];
    sqlite3_stmt *s = sqlite_prepared(conn, kept_texts, &l->read.err);
    int n;
    if (!s)
        return false;
    for (size_t at = 0; (n = take_records(l, &at, records)) >= 0;)
        for (int i = 0; i < n; i++) {
            sqlite3_bind_int64(s, 1, records[i].id);
            int rc = sqlite_step(conn, s, &l->read.err);
            bool match = rc == SQLITE_ROW && matches_row(l, s) && !has_result_match(l, s);
            sqlite3_reset(s);
            if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return false;
            if (match)
                look_offer(l, job_state_of_end(records[i].end), -records[i].id, records[i].id,
                           PICK_MEMORY);
        }
    return true;
}

/* Kinds and queues live as long as the jobs, so the names are good without the lock. */
static void row_names(struct jobs *jobs, sqlite3_stmt *s, struct kind **k, struct queue **q)
{
    uint32_t kind = (uint32_t)sqlite3_column_int64(s, 1);
    uint32_t queue = (uint32_t)sqlite3_column_int64(s, 2);
    jobs_lock(jobs);
    *k = kind <= jobs->words ? jobs->kind_words[kind] : NULL;
    *q = queue <= jobs->words ? jobs->queue_words[queue] : NULL;
    jobs_unlock(jobs);
}

static void add_row(struct look *l, sqlite3_stmt *s, enum job_state state)
{
    struct kind *k;
    struct queue *q;
    row_names(l->jobs, s, &k, &q);
    struct job_row row = {
        .id = sqlite3_column_int64(s, 0),
        .kind = k ? k->name : "?",
        .queue = q ? q->name : "?",
        .state = state,
        .priority = sqlite3_column_int(s, 3),
        .attempt = sqlite3_column_int(s, 4),
        .max_attempts = sqlite3_column_int(s, 5),
        .created_at = sqlite3_column_int64(s, 6),
        .started_at = sqlite3_column_int64(s, 7),
        .finished_at = sqlite3_column_int64(s, 8),
    };
    if (state == JOB_DEAD) {
        row.args = column_text(s, 9);
        row.error = column_text(s, 10);
        row.crashes = sqlite3_column_int(s, 11);
    } else {
        row.result = column_text(s, 9);
        row.has_result = true;
        row.args = column_text(s, 10);
    }
    look_separate(&l->query->out);
    print_row(&l->query->out, &row);
}

bool look_print_row(struct sqlite_conn *conn, struct look *l, int64_t id, enum job_state state)
{
    const char *sql = state == JOB_DEAD ? DEAD_COLUMNS : DONE_COLUMNS;
    sqlite3_stmt *s = sqlite_prepared(conn, sql, &l->read.err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, id);
    int rc = sqlite_step(conn, s, &l->read.err);
    if (rc == SQLITE_ROW)
        add_row(l, s, state);
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool look_print_ended(struct sqlite_conn *conn, struct look *l, const struct fin_record *record)
{
    sqlite3_stmt *s = sqlite_prepared(conn, KEPT_COLUMNS, &l->read.err);
    if (!s)
        return false;
    sqlite3_bind_int64(s, 1, record->id);
    int rc = sqlite_step(conn, s, &l->read.err);
    look_separate(&l->query->out);
    print_record(&l->query->out, l->jobs, record, rc == SQLITE_ROW ? column_text(s, 0) : STR(""));
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}
