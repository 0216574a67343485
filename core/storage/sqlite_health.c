/* sqlite_health.c -- whether writes reach the disk, as the last of them tells.
 *
 * A full or read-only disk is over one day, and nothing may be written until
 * then because nobody is sent here any more: so whoever asks has a small write
 * tried.  A corrupt page does not mend itself.
 */
#include "base/clock.h"
#include "observe/log.h"
#include "storage/sqlite_private.h"

static const int64_t probe_pause_ns = NS_PER_SECOND;

static bool is_of_the_disk(enum err_code code)
{
    return code == ERR_FULL || code == ERR_READONLY || code == ERR_IO || code == ERR_CORRUPT;
}

/* What an operator does about it. */
static const char *advice(enum err_code code)
{
    switch (code) {
    case ERR_FULL:
        return "make room on the disk of state.dir: it goes on by itself";
    case ERR_READONLY:
        return "make state.dir writable: it goes on by itself";
    case ERR_CORRUPT:
        return "stop maru and put back a copy of the database, or try sqlite3's .recover";
    default:
        return "look at the disk of state.dir";
    }
}

bool sqlite_explain(const struct sqlite *db, struct err *err)
{
    struct err plain = *err;
    const char *todo = is_of_the_disk(err->code) ? advice(err->code) : NULL;
    err_set(err, plain.code, "%s: %s%s%s", db->options.path, plain.message, todo ? "; " : "",
            todo ? todo : "");
    err->sys = plain.sys;
    return false;
}

void health_init(struct sqlite *db)
{
    pthread_mutex_init(&db->health.lock, NULL);
}

void health_fini(struct sqlite *db)
{
    pthread_mutex_destroy(&db->health.lock);
}

void health_note(struct sqlite *db, const struct err *err)
{
    struct health *h = &db->health;
    enum err_code now = err ? err->code : ERR_NONE;
    if (err && !is_of_the_disk(now))
        return;
    pthread_mutex_lock(&h->lock);
    enum err_code before = h->err.code;
    bool changes = before != now && before != ERR_CORRUPT && before != ERR_IO;
    if (changes)
        h->err = err ? *err : (struct err){0};
    pthread_mutex_unlock(&h->lock);
    if (changes && err)
        log_error("storage", "%s: %s: nothing is written until this is mended; %s",
                  db->options.path, err->message, advice(now));
    else if (changes)
        log_info("storage", "%s: written again", db->options.path);
}

static bool probe_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    return sqlite_exec(conn, "pragma user_version = 1", &w->err);
}

static void probe_done(struct sqlite_write *w)
{
    struct health *h = (struct health *)(void *)((char *)w - offsetof(struct health, probe));
    pthread_mutex_lock(&h->lock);
    h->probing = false;
    h->probe_at = clock_steady_ns() + probe_pause_ns;
    pthread_mutex_unlock(&h->lock);
}

bool sqlite_healthy(struct sqlite *db, struct err *err)
{
    struct health *h = &db->health;
    pthread_mutex_lock(&h->lock);
    bool ok = h->err.code == ERR_NONE;
    bool probe = !ok && !h->probing && clock_steady_ns() >= h->probe_at;
    if (!ok)
        *err = h->err;
    h->probing = h->probing || probe;
    pthread_mutex_unlock(&h->lock);
    if (probe) {
        h->probe.work = probe_work;
        h->probe.done = probe_done;
        sqlite_write(db, &h->probe, NULL);
    }
    return ok || err_wrap(err, "the store does not write");
}
