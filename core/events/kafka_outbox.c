/* kafka_outbox.c -- events of transactions and dead letters: rows of the embedded database until
 * Kafka has them.  A crash between the two sends them again. */
#include "base/clock.h"
#include "base/mem.h"
#include "events/kafka.h"
#include "observe/log.h"

enum { OUTBOX_ROWS = 500, OUTBOX_AGAIN_MS = 1000 };

struct row {
    int64_t seq, at_wall;
    struct event_what what;
    bool sent;
    char *bytes;
};
struct outbox {
    struct row rows[OUTBOX_ROWS];
    int count, left;         /* left: reports to come */
    rd_kafka_resp_err_t why; /* one of them was not taken */
    bool troubled;           /* that was said */
    bool may_wait;           /* what was not taken has nothing to do with how Kafka is now */
    int64_t after;           /* rows up to this one wait so; they are tried again behind the last */
};

bool kafka_outbox_make(struct kafka *k, struct err *err)
{
    k->out = mem_zero(1, sizeof *k->out);
    atomic_store(&k->outbox, true);
    return sqlite_exec_wait(
        k->events->db,
        "CREATE TABLE IF NOT EXISTS maru_event_outbox(seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        " topic TEXT NOT NULL, at INT NOT NULL, key TEXT, sender TEXT, headers TEXT, data TEXT);"
        "CREATE TABLE IF NOT EXISTS maru_event_handed(grp TEXT NOT NULL, topic TEXT NOT NULL,"
        " part INT NOT NULL, offset INT NOT NULL, PRIMARY KEY(grp, topic, part)) WITHOUT ROWID",
        err);
}

static void bind_text(sqlite3_stmt *s, int i, struct str text)
{
    sqlite3_bind_text64(s, i, text.p, text.n, SQLITE_STATIC, SQLITE_UTF8);
}

bool kafka_outbox_record(struct events *events, struct sqlite_conn *conn, struct op *first,
                         struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(conn,
                                      "INSERT INTO maru_event_outbox(topic, at, key, sender,"
                                      " headers, data) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                                      err);
    (void)events;
    for (struct op *op = first; s && op; op = op->next) {
        bind_text(s, 1, op->what.topic);
        sqlite3_bind_int64(s, 2, op->at_wall);
        bind_text(s, 3, op->what.key);
        bind_text(s, 4, op->what.from);
        bind_text(s, 5, op->what.headers);
        bind_text(s, 6, op->what.data);
        int rc = sqlite_step(conn, s, err);
        sqlite3_reset(s);
        if (rc != SQLITE_DONE)
            return false;
    }
    return s != NULL;
}

void kafka_outbox_recorded(struct events *events, struct op *op)
{
    struct kafka *k = events->record;
    (void)op;
    atomic_store(&k->outbox, true);
}

/* -- sender ----------------------------------------------------------------------------------- */

static struct str copy(char **at, sqlite3_stmt *s, int column)
{
    size_t n = (size_t)sqlite3_column_bytes(s, column);
    const void *p = sqlite3_column_blob(s, column);
    struct str out = str_n(*at, p ? n : 0);
    if (p)
        memcpy(*at, p, n);
    *at += out.n;
    return out;
}

static void take(struct row *row, sqlite3_stmt *s)
{
    size_t n = 1;
    for (int i = 2; i < 7; i++)
        n += (size_t)sqlite3_column_bytes(s, i);
    char *at = row->bytes = mem_alloc(n);
    row->seq = sqlite3_column_int64(s, 0);
    row->at_wall = sqlite3_column_int64(s, 1);
    row->sent = false;
    row->what.topic = copy(&at, s, 2);
    row->what.key = copy(&at, s, 3);
    row->what.from = copy(&at, s, 4);
    row->what.headers = copy(&at, s, 5);
    row->what.data = copy(&at, s, 6);
}

static bool read_rows(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct outbox *out = arg;
    sqlite3_stmt *s = sqlite_prepared(conn,
                                      "SELECT seq, at, topic, key, sender, headers, data"
                                      " FROM maru_event_outbox WHERE seq > ?2 ORDER BY seq"
                                      " LIMIT ?1",
                                      err);
    int rc = SQLITE_ERROR;
    if (!s)
        return false;
    sqlite3_bind_int(s, 1, OUTBOX_ROWS);
    sqlite3_bind_int64(s, 2, out->after);
    while ((rc = sqlite_step(conn, s, err)) == SQLITE_ROW)
        take(&out->rows[out->count++], s);
    sqlite3_reset(s);
    return rc == SQLITE_DONE;
}

static bool delete_sent(struct sqlite_conn *conn, void *arg, struct err *err)
{
    const struct outbox *out = arg;
    sqlite3_stmt *s = sqlite_prepared(conn, "DELETE FROM maru_event_outbox WHERE seq = ?1", err);
    for (int i = 0; s && i < out->count; i++) {
        if (!out->rows[i].sent)
            continue;
        sqlite3_bind_int64(s, 1, out->rows[i].seq);
        int rc = sqlite_step(conn, s, err);
        sqlite3_reset(s);
        if (rc != SQLITE_DONE)
            return false;
    }
    return s != NULL;
}

static void clear(struct outbox *out)
{
    for (int i = 0; i < out->count; i++)
        mem_free(out->rows[i].bytes);
    out->count = out->left = 0;
}

static void again(struct kafka *k)
{
    atomic_store(&k->outbox, true);
    k->outbox_at = clock_steady_ns() + OUTBOX_AGAIN_MS * NS_PER_MS;
}

/* Said once, until all are taken again. */
static void tell(struct outbox *out, int left)
{
    if (left && !out->troubled)
        log_error("events",
                  "outbox: Kafka does not take %d of %d events, they wait and are sent again: %s",
                  left, out->count, rd_kafka_err2str(out->why));
    else if (!left && out->troubled)
        log_info("events", "outbox: Kafka takes all that waited");
    out->troubled = left > 0;
}

/* All reports are there. */
static void finish(struct kafka *k)
{
    struct outbox *out = k->out;
    struct err err = {0};
    int left = 0;
    if (!sqlite_work_wait(k->events->db, delete_sent, out, &err))
        log_error("events", "outbox: %s", err.message);
    for (int i = 0; i < out->count; i++)
        left += !out->rows[i].sent;
    if (left || !out->after)
        tell(out, left);
    bool full = out->count == OUTBOX_ROWS, waits = left || out->after;
    if (err.code || (waits && !(full && out->may_wait))) {
        out->after = 0;
        again(k);
    } else if (full) {
        out->after = waits ? out->rows[out->count - 1].seq : 0;
        atomic_store(&k->outbox, true);
    }
    clear(out);
}

/* A row that Kafka refuses for what it is holds up no other; behind one that had bad luck nothing
 * is sent, so that order stays. */
static void not_taken(struct outbox *out, rd_kafka_resp_err_t code)
{
    out->why = code;
    out->may_wait =
        out->may_wait &&
        (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
         code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE ||
         code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION ||
         code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
         code == RD_KAFKA_RESP_ERR_POLICY_VIOLATION || code == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
         code == RD_KAFKA_RESP_ERR__INVALID_ARG || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC);
}

static void begin(struct kafka *k)
{
    struct outbox *out = k->out;
    struct err err = {0};
    atomic_store(&k->outbox, false);
    out->may_wait = true;
    if (!sqlite_read_wait(k->events->db, read_rows, out, &err)) {
        log_error("events", "outbox: %s", err.message);
        clear(out);
        again(k);
        return;
    }
    for (int i = 0; i < out->count; i++) {
        void *mark = (void *)((uintptr_t)&out->rows[i] | OUTBOX_MARK);
        rd_kafka_resp_err_t code = kafka_produce(k, &out->rows[i].what, out->rows[i].at_wall, mark);
        out->left += code == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (code)
            not_taken(out, code);
    }
    if (!out->left && (out->count || out->after))
        finish(k);
}

void kafka_outbox_turn(struct kafka *k)
{
    if (k->out->left == 0 && k->out->count)
        finish(k);
    if (k->out->count == 0 && atomic_load(&k->outbox) && clock_steady_ns() >= k->outbox_at)
        begin(k);
}

void kafka_outbox_reported(struct kafka *k, void *arg, rd_kafka_resp_err_t code)
{
    struct row *row = arg;
    row->sent = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (code)
        not_taken(k->out, code);
    k->out->left--;
}

void kafka_outbox_free(struct kafka *k)
{
    struct err err;
    if (k->out->count)
        sqlite_work_wait(k->events->db, delete_sent, k->out, &err);
    clear(k->out);
    mem_free(k->out);
    k->out = NULL;
}
