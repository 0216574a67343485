/* storage_bench.c -- rows a second through the store's writer, beside SQLite used directly.
 *
 * usage: storage_bench DIR [--json].  Every row is on disk when it is counted. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "storage/sqlite.h"

enum { SECONDS = 2, INFLIGHT = 1000, BULK = 100000 };

static bool json;
static struct sqlite *db;
static int64_t deadline;

static void report(const char *name, double rate, const char *peer, double peer_rate)
{
    if (json)
        printf("{\"group\":\"storage\",\"name\":\"%s\",\"value\":%.0f,\"unit\":\"rows/s\","
               "\"peer\":\"%s\",\"peer_value\":%.0f,\"ratio\":%.2f,\"runs\":1}\n",
               name, rate, peer, peer_rate, rate / peer_rate);
    else
        printf("%-34s %9.0f rows/s   %-34s %9.0f rows/s   x %.2f\n", name, rate, peer, peer_rate,
               rate / peer_rate);
}

struct row {
    struct sqlite_write write; /* first */
    int64_t rows;
    bool over;
};

static bool insert(struct sqlite_conn *conn, struct sqlite_write *w)
{
    sqlite3_stmt *stmt = sqlite_prepared(conn, "insert into t(a, b) values ($1, $2)", &w->err);
    if (!stmt)
        return false;
    sqlite3_bind_int64(stmt, 1, 7);
    sqlite3_bind_text(stmt, 2, "{\"id\":12345,\"name\":\"a job's arguments\"}", -1, SQLITE_STATIC);
    bool ok = sqlite_step(conn, stmt, &w->err) == SQLITE_DONE;
    sqlite3_reset(stmt);
    return ok;
}

static void again(struct sqlite_write *w)
{
    struct row *r = (struct row *)w;
    if (w->err.code != ERR_NONE) {
        fprintf(stderr, "%s\n", w->err.message);
        exit(1);
    }
    r->rows++;
    if (clock_ns() < deadline)
        sqlite_write(db, w, NULL);
    else
        __atomic_store_n(&r->over, true, __ATOMIC_RELEASE);
}

/* `inflight` writers, each writing its next row when the last is on disk. */
static double closed_loop(int inflight)
{
    struct row *rows = mem_zero((size_t)inflight, sizeof *rows);
    int64_t start = clock_ns(), count = 0;
    deadline = start + SECONDS * NS_PER_SECOND;
    for (int i = 0; i < inflight; i++) {
        rows[i].write.work = insert;
        rows[i].write.done = again;
        sqlite_write(db, &rows[i].write, NULL);
    }
    for (int i = 0; i < inflight; i++) {
        while (!__atomic_load_n(&rows[i].over, __ATOMIC_ACQUIRE))
            usleep(500);
        count += rows[i].rows;
    }
    double rate = (double)count * 1e9 / (double)(clock_ns() - start);
    mem_free(rows);
    return rate;
}

static bool bulk_work(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct sqlite_write *w = arg;
    for (int i = 0; i < BULK; i++)
        if (!insert(conn, w)) {
            *err = w->err;
            return false;
        }
    return true;
}

static double bulk(void)
{
    struct sqlite_write w = {0};
    struct err err;
    int64_t start = clock_ns();
    if (!sqlite_work_wait(db, bulk_work, &w, &err))
        return 0;
    return BULK * 1e9 / (double)(clock_ns() - start);
}

/* SQLite by itself, the same settings, `batch` rows a transaction. */
static double plain(const char *path, int batch)
{
    sqlite3 *handle;
    sqlite3_stmt *stmt;
    int64_t count = 0;
    sqlite3_open(path, &handle);
    sqlite3_exec(handle,
                 "pragma journal_mode = wal; pragma synchronous = full; create table if not exists "
                 "t(id integer primary key, a, b)",
                 NULL, NULL, NULL);
    sqlite3_prepare_v2(handle, "insert into t(a, b) values ($1, $2)", -1, &stmt, NULL);
    int64_t start = clock_ns(), end = start + SECONDS * NS_PER_SECOND;
    while (clock_ns() < end) {
        sqlite3_exec(handle, "begin", NULL, NULL, NULL);
        for (int i = 0; i < batch; i++) {
            sqlite3_bind_int64(stmt, 1, 7);
            sqlite3_bind_text(stmt, 2, "{\"id\":12345,\"name\":\"a job's arguments\"}", -1,
                              SQLITE_STATIC);
            sqlite3_step(stmt);
            sqlite3_reset(stmt);
        }
        sqlite3_exec(handle, "commit", NULL, NULL, NULL);
        count += batch;
    }
    double rate = (double)count * 1e9 / (double)(clock_ns() - start);
    sqlite3_finalize(stmt);
    sqlite3_close(handle);
    return rate;
}

int main(int argc, char **argv)
{
    struct err err;
    char path[512], beside[512];
    if (argc < 2) {
        fprintf(stderr, "usage: storage_bench DIR [--json]\n");
        return 2;
    }
    json = argc > 2 && strcmp(argv[2], "--json") == 0;
    snprintf(path, sizeof path, "%s/maru.db", argv[1]);
    snprintf(beside, sizeof beside, "%s/plain.db", argv[1]);
    struct pool *pool = pool_create("bench", 2, &err);
    struct store *store = sqlite_open(&(struct sqlite_options){.path = path, .pool = pool}, &err);
    if (!store) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    db = store_sqlite(store);
    sqlite_exec_wait(db, "create table t(id integer primary key, a, b)", &err);
    double one = plain(beside, 1);
    report("one writer at a time", closed_loop(1), "sqlite, a row a transaction", one);
    report("8 writers at once", closed_loop(8), "sqlite, a row a transaction", one);
    report("1000 writers at once", closed_loop(INFLIGHT), "sqlite, 1000 rows a transaction",
           plain(beside, INFLIGHT));
    report("100000 rows in one write", bulk(), "sqlite, 100000 rows a transaction",
           plain(beside, BULK));
    store_close(store);
    pool_destroy(pool);
    return 0;
}
