/* kill -9 in the middle of writing, again and again: every acknowledged row is
 * there afterwards and the file is whole.  (TSan cannot follow such a fork.) */
#include <signal.h>
#include <sys/wait.h>

#include "storage_test.h"

#ifndef __SANITIZE_THREAD__
/* The child of the crash test: writes ever more rows and reports each id that
 * was acknowledged. */
struct reporting {
    struct sqlite_write write; /* first */
    int64_t id;
    int fd;
    struct fixture *f;
};

static bool add(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct reporting *r = (struct reporting *)w;
    sqlite3_stmt *stmt = sqlite_prepared(conn, "insert into t values ($1, 'body')", &w->err);
    if (!stmt)
        return false;
    sqlite3_bind_int64(stmt, 1, r->id);
    int rc = sqlite_step(conn, stmt, &w->err);
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE;
}

static void report(struct sqlite_write *w)
{
    struct reporting *r = (struct reporting *)w;
    if (w->err.code != ERR_NONE || write(r->fd, &r->id, 8) != 8)
        _exit(3);
    r->id += 64;
    sqlite_write(r->f->db, w, NULL);
}

static void child(const char *path, int fd, int64_t first)
{
    struct fixture f = {0};
    snprintf(f.path, sizeof f.path, "%s", path);
    f.pool = pool_create("test", 2, &f.err);
    if (!fixture_open(&f))
        _exit(2);
    struct reporting items[64] = {0};
    for (int i = 0; i < 64; i++) {
        items[i].write.work = add;
        items[i].write.done = report;
        items[i].id = first + i;
        items[i].fd = fd;
        items[i].f = &f;
        sqlite_write(f.db, &items[i].write, NULL);
    }
    pause();
}

static int64_t crash_once(struct fixture *f, int64_t first, unsigned char *acked)
{
    int fds[2];
    if (pipe(fds) != 0)
        return 0;
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child(f->path, fds[1], first);
    }
    close(fds[1]);
    int64_t id, last = first;
    usleep((useconds_t)(20000 + rand() % 60000));
    kill(pid, SIGKILL);
    while (read(fds[0], &id, 8) == 8) {
        acked[id] = 1;
        last = id > last ? id : last;
    }
    close(fds[0]);
    waitpid(pid, NULL, 0);
    return last + 128;
}

enum { CRASHES = 12, CRASH_IDS = 4000000 };

static int64_t acked_missing(struct fixture *f, const unsigned char *acked)
{
    int64_t missing = 0;
    struct store_call call =
        run_wait(f->store, (struct store_call){.sql = STR("select id from t order by id"),
                                               .mode = STORE_ALL,
                                               .max_rows = CRASH_IDS});
    unsigned char *found = mem_zero(CRASH_IDS, 1);
    for (int64_t i = 0; call.rows && i < call.rows->row_count; i++)
        found[call.rows->values[i].i] = 1;
    for (int64_t i = 0; i < CRASH_IDS; i++)
        missing += acked[i] && !found[i];
    rows_free(call.rows);
    mem_free(found);
    return missing;
}

TEST(what_was_acknowledged_survives_kill_9)
{
    struct fixture f = {0};
    REQUIRE(fixture_init(&f));
    REQUIRE(sqlite_exec_wait(f.db, "create table t(id integer primary key, body)", &f.err));
    unsigned char *acked = mem_zero(CRASH_IDS, 1);
    store_close(f.store);
    f.store = NULL;
    int64_t next = 1;
    for (int i = 0; i < CRASHES && next < CRASH_IDS / 2; i++)
        next = crash_once(&f, next, acked);
    int64_t count = 0;
    for (int64_t i = 0; i < CRASH_IDS; i++)
        count += acked[i];
    CHECK(count > 0);
    REQUIRE(fixture_open(&f));
    CHECK_EQ(acked_missing(&f, acked), 0);
    CHECK_EQ(number(f.store, "select count(*) from pragma_integrity_check where "
                             "integrity_check <> 'ok'"),
             0);
    printf("# %lld acknowledged in %d lives\n", (long long)count, CRASHES);
    mem_free(acked);
    fixture_fini(&f);
}
#endif
