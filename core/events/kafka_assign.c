/* kafka_assign.c -- partitions come and go: where each begins. */
#include "base/mem.h"
#include "events/kafka.h"
#include "observe/log.h"

/* -- what was handed over, as this server's own database has it ---------------------------------
 */

bool handed_record(struct sqlite_conn *conn, struct event_batch *batch, struct err *err)
{
    sqlite3_stmt *s = sqlite_prepared(
        conn,
        "INSERT INTO maru_event_handed(grp, topic, part, offset) VALUES(?1, ?2, ?3, ?4)"
        " ON CONFLICT(grp, topic, part) DO UPDATE SET offset = excluded.offset",
        err);
    for (int i = 0; s && i < batch->count; i++) {
        bool last = true;
        for (int k = i + 1; last && k < batch->count; k++)
            last = batch->partitions[k] != batch->partitions[i];
        if (!last)
            continue;
        sqlite3_bind_text(s, 1, batch->stream, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 2, batch->topic, -1, SQLITE_STATIC);
        sqlite3_bind_int(s, 3, batch->partitions[i]);
        sqlite3_bind_int64(s, 4, batch->offsets[i]);
        int rc = sqlite_step(conn, s, err);
        sqlite3_reset(s);
        if (rc != SQLITE_DONE)
            return false;
    }
    return s != NULL;
}

struct asking {
    const struct listener *l;
    const struct heard *h;
    int partition;
    int64_t offset;
};

static bool find(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct asking *a = arg;
    sqlite3_stmt *s = sqlite_prepared(
        conn, "SELECT offset FROM maru_event_handed WHERE grp = ?1 AND topic = ?2 AND part = ?3",
        err);
    if (!s)
        return false;
    sqlite3_bind_text(s, 1, a->l->group, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, a->h->topic, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 3, a->partition);
    int rc = sqlite_step(conn, s, err);
    if (rc == SQLITE_ROW)
        a->offset = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool handed_read(struct listener *l, const struct heard *h, int partition, int64_t *offset)
{
    struct asking a = {l, h, partition, -1};
    struct err err = {0};
    if (!sqlite_read_wait(l->k->events->db, find, &a, &err))
        log_error("events", "%s: %s", l->group, err.message);
    *offset = a.offset;
    return a.offset >= 0;
}

/* -- beginnings ------------------------------------------------------------------------------- */

static bool ends_of(struct listener *l, const rd_kafka_topic_partition_t *p,
                    struct kafka_ends *ends)
{
    struct err err;
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(one, p->topic, p->partition);
    bool ok = kafka_ends(l->rk, one, ends, &err);
    rd_kafka_topic_partition_list_destroy(one);
    return ok;
}

/* A group that never was here begins where the topic ended when this process began to hear it, or
 * as M.on says. */
static bool begin_new(struct listener *l, const struct heard *h, rd_kafka_topic_partition_t *p)
{
    struct kafka_ends ends;
    if (!ends_of(l, p, &ends))
        return false;
    p->offset = h->beginning || p->partition >= h->were ? ends.low : h->ends[p->partition];
    if (p->offset < ends.low || p->offset > ends.high)
        p->offset = ends.low;
    return true;
}

/* Behind what was handed over here, if the topic is still the one it was: made anew, its offsets
 * begin again, and what comes below ours would be passed over. */
static bool begin_behind(struct listener *l, int64_t handed, rd_kafka_topic_partition_t *p)
{
    struct kafka_ends ends;
    if (!ends_of(l, p, &ends))
        return false;
    if (handed < ends.high)
        p->offset = handed + 1;
    else
        log_warn("kafka", "%s: partition %d of %s ends at %lld, before what was handed over (%lld)",
                 l->group, (int)p->partition, p->topic, (long long)ends.high, (long long)handed);
    return true;
}

static bool begin_at(struct listener *l, rd_kafka_topic_partition_t *p, bool *fresh)
{
    const struct heard *h = listener_heard(l, p->topic);
    int64_t handed;
    *fresh = p->offset < 0;
    if (!h || p->err)
        return false;
    if (*fresh)
        return begin_new(l, h, p);
    return !handed_read(l, h, p->partition, &handed) || handed < p->offset ||
           begin_behind(l, handed, p);
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *list, void *arg)
{
    (void)rk, (void)list, (void)arg;
    if (code && code != RD_KAFKA_RESP_ERR__NO_OFFSET)
        log_debug("kafka", "commit: %s", rd_kafka_err2str(code));
}

/* Commits, and waits for the answer a while: a broker that hangs must not hold up our end.  list
 * NULL: what is stored. */
static void commit(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    if (rd_kafka_commit_queue(rk, list, queue, on_commit, NULL) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_queue_poll_callback(queue, KAFKA_COMMIT_MS);
    rd_kafka_queue_destroy(queue);
}

/* Fills in where each partition begins, and commits what is decided now. */
static bool find_places(struct listener *l, rd_kafka_topic_partition_list_t *list)
{
    if (rd_kafka_committed(l->rk, list, KAFKA_ASK_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    rd_kafka_topic_partition_list_t *decided = rd_kafka_topic_partition_list_new(list->cnt + 1);
    bool ok = true;
    for (int i = 0; ok && i < list->cnt; i++) {
        bool fresh;
        ok = begin_at(l, &list->elems[i], &fresh);
        if (ok && fresh)
            rd_kafka_topic_partition_list_add(decided, list->elems[i].topic,
                                              list->elems[i].partition)
                ->offset = list->elems[i].offset;
    }
    if (ok && decided->cnt)
        commit(l->rk, decided);
    rd_kafka_topic_partition_list_destroy(decided);
    return ok;
}

static void keep_places(struct listener *l, const rd_kafka_topic_partition_list_t *list)
{
    l->places = mem_realloc(l->places, ((size_t)list->cnt + 1) * sizeof *l->places);
    l->place_count = 0;
    for (int i = 0; i < list->cnt; i++)
        l->places[l->place_count++] =
            (struct place){.heard = listener_heard(l, list->elems[i].topic),
                           .partition = list->elems[i].partition,
                           .next = list->elems[i].offset};
    for (int i = 0; i < l->heard_count; i++)
        l->heard[i].paused = false;
}

/* In a poll of the listener's thread, which has nothing in its hands then. */
void listener_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                        rd_kafka_topic_partition_list_t *list, void *arg)
{
    struct listener *l = arg;
    /* Who has these next begins behind what was handed over here. */
    if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS && !rd_kafka_assignment_lost(rk))
        commit(rk, NULL);
    l->place_count = 0;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && find_places(l, list)) {
        keep_places(l, list);
        rd_kafka_assign(rk, list);
        log_debug("kafka", "%s has %d partitions", l->group, list->cnt);
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        log_warn("kafka", "%s: where its partitions begin cannot be found out now", l->group);
        l->lost = true;
    }
    rd_kafka_assign(rk, NULL);
}
