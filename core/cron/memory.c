#include "cron/memory.h"

#include "base/map.h"
#include "base/mem.h"
#include "observe/log.h"
#include "storage/sqlite.h"

/* No clock is set back by more than KEEP_SECONDS. */
enum { KEEP_SECONDS = 7 * 86400, PRUNE_SECONDS = 3600 };

struct sighting {
    struct sighting *next;
    int64_t at;
    char *key;
};

struct memories {
    struct sqlite *db;
    struct lane *lane;
    struct map *map;        /* "plugin/id" -> struct memory */
    struct sighting *fresh; /* not yet written */
    int64_t pruned_at;
};

struct memory *memory_of(struct memories *m, struct str key)
{
    struct memory *memory = map_get(m->map, key);
    if (!memory) {
        memory = mem_zero(1, sizeof *memory);
        map_set(m->map, key, memory);
    }
    return memory;
}

static bool read_all(struct sqlite_conn *conn, void *arg, struct err *err)
{
    static const char sql[] =
        "select schedule, coalesce(max(case when job > 0 then at end), 0), max(at)"
        " from maru_cron_fire group by schedule";
    sqlite3_stmt *stmt = sqlite_prepared(conn, sql, err);
    int rc;
    if (!stmt)
        return false;
    while ((rc = sqlite_step(conn, stmt, err)) == SQLITE_ROW) {
        struct memory *memory = memory_of(arg, str_c((const char *)sqlite3_column_text(stmt, 0)));
        memory->last = sqlite3_column_int64(stmt, 1);
        memory->since = sqlite3_column_int64(stmt, 2);
        memory->status = memory->last ? "fired" : NULL;
    }
    return rc == SQLITE_DONE;
}

struct memories *memories_open(struct sqlite *db, struct lane *lane, struct err *err)
{
    struct memories *m = mem_zero(1, sizeof *m);
    m->db = db;
    m->lane = lane;
    m->map = map_create();
    if (sqlite_read_wait(db, read_all, m, err))
        return m;
    err_wrap(err, "cron: read what fired last");
    memories_free(m);
    return NULL;
}

static void sightings_free(struct sighting *s)
{
    for (struct sighting *next; s; s = next) {
        next = s->next;
        mem_free(s->key);
        mem_free(s);
    }
}

void memories_free(struct memories *m)
{
    size_t at = 0;
    struct str key;
    void *value;
    if (!m)
        return;
    while (map_next(m->map, &at, &key, &value))
        mem_free(value);
    map_destroy(m->map);
    sightings_free(m->fresh);
    mem_free(m);
}

void memory_begin(struct memories *m, struct str key, int64_t t)
{
    struct memory *memory = memory_of(m, key);
    if (memory->since || memory->last)
        return;
    memory->since = t;
    struct sighting *s = mem_alloc(sizeof *s);
    *s = (struct sighting){m->fresh, t, str_dup(key)};
    m->fresh = s;
}

struct writing {
    struct sqlite_write write; /* first */
    struct sighting *first;
    int64_t before; /* prune */
};

static bool write_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    static const char sql[] =
        "insert or ignore into maru_cron_fire(schedule, at, job) values(?1, ?2, 0)";
    for (const struct sighting *s = ((struct writing *)w)->first; s; s = s->next) {
        sqlite3_stmt *stmt = sqlite_prepared(conn, sql, &w->err);
        if (!stmt)
            return false;
        sqlite3_bind_text(stmt, 1, s->key, -1, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 2, s->at);
        if (sqlite_step(conn, stmt, &w->err) != SQLITE_DONE)
            return false;
    }
    return true;
}

static bool prune_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    static const char sql[] =
        "delete from maru_cron_fire where at < ?1 and at < (select max(at) from maru_cron_fire f"
        " where f.schedule = maru_cron_fire.schedule)";
    sqlite3_stmt *stmt = sqlite_prepared(conn, sql, &w->err);
    if (!stmt)
        return false;
    sqlite3_bind_int64(stmt, 1, ((struct writing *)w)->before);
    return sqlite_step(conn, stmt, &w->err) == SQLITE_DONE;
}

/* The writer thread; the memories may be gone by then. */
static void written(struct sqlite_write *w)
{
    if (w->err.code != ERR_NONE)
        log_warn("cron", "could not keep the table of fires: %s", w->err.message);
    sightings_free(((struct writing *)w)->first);
    mem_free(w);
}

static void submit(struct memories *m, bool (*work)(struct sqlite_conn *, struct sqlite_write *),
                   struct sighting *first, int64_t before)
{
    struct writing *w = mem_zero(1, sizeof *w);
    w->write.work = work;
    w->write.done = written;
    w->first = first;
    w->before = before;
    sqlite_write(m->db, &w->write, NULL);
}

void memories_write(struct memories *m)
{
    if (!m->fresh)
        return;
    submit(m, write_work, m->fresh, 0);
    m->fresh = NULL;
}

void memories_prune(struct memories *m, int64_t t)
{
    if (t < m->pruned_at + PRUNE_SECONDS)
        return;
    m->pruned_at = t;
    submit(m, prune_work, NULL, t - KEEP_SECONDS);
}
