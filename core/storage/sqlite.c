#include "storage/sqlite.h"

#include "base/mem.h"
#include "storage/sql.h"
#include "storage/sqlite_private.h"

const char sqlite_base_schema[] =
    "create table if not exists maru_tables("
    " name text primary key, plugin text not null) without rowid;"
    "create table if not exists maru_migrations("
    " plugin text not null, number integer not null, name text not null,"
    " checksum text not null, applied_at integer not null,"
    " primary key (plugin, number)) without rowid;";

/* Pool thread: a call goes to the writer when its statement turns out to write. */
static void read_call(struct gate_item *item, void *resource)
{
    struct store_call *call = list_entry(item, struct store_call, item);
    struct sqlite_conn *conn = resource;
    if (!conn)
        err_set(&call->err, ERR_CLOSED, "the store is closing");
    else if (conn_call(conn, call, true) == CALL_WRITES) {
        if (!call->replica) {
            writer_submit(conn->owner, item, WRITER_CALL);
            return;
        }
        err_set(&call->err, ERR_READONLY, "store:read only reads");
    }
    call_deliver(call);
}

/* A statement that begins with another word than these writes; of these some do. */
static bool may_read(struct str sql)
{
    struct str rest = sql;
    struct str first = sql_token(&rest);
    return sql_is_word(first, "select") || sql_is_word(first, "with") ||
           sql_is_word(first, "values");
}

static void run(struct store *store, struct store_call *call)
{
    struct sqlite *db = (struct sqlite *)store;
    if (!call->replica && (call->mode == STORE_MANY || !may_read(call->sql))) {
        writer_submit(db, &call->item, WRITER_CALL);
        return;
    }
    call->item.run = read_call;
    gate_submit(db->gate, &call->item);
}

static bool run_read(struct sqlite_conn *conn,
                     bool (*work)(struct sqlite_conn *conn, void *arg, struct err *err), void *arg,
                     struct err *err)
{
    struct err end;
    if (!sqlite_exec(conn, "begin", err))
        return false;
    bool ok = work(conn, arg, err);
    return sqlite_exec(conn, "commit", ok ? err : &end) && ok;
}

static bool read_work(struct sqlite_conn *conn, void *arg, struct err *err)
{
    struct sqlite_read *r = arg;
    bool ok = r->work(conn, r);
    *err = r->err;
    return ok;
}

static void on_read(struct lane_message *message)
{
    struct sqlite_read *r = (struct sqlite_read *)message;
    r->done(r);
}

static void read_item(struct gate_item *item, void *resource)
{
    struct sqlite_read *r = list_entry(item, struct sqlite_read, item);
    struct sqlite_conn *conn = resource;
    struct err err;
    err_clear(&err);
    if (!conn)
        err_set(&err, ERR_CLOSED, "the store is closing");
    else if (run_read(conn, read_work, r, &err))
        err_clear(&err);
    r->err = err;
    r->message.fn = on_read;
    if (r->lane)
        lane_post(r->lane, &r->message);
    else
        r->done(r);
}

void sqlite_read(struct sqlite *db, struct sqlite_read *r, struct lane *lane)
{
    r->lane = lane;
    err_clear(&r->err);
    r->item.run = read_item;
    gate_submit(db->gate, &r->item);
}

bool sqlite_read_wait(struct sqlite *db,
                      bool (*work)(struct sqlite_conn *conn, void *arg, struct err *err), void *arg,
                      struct err *err)
{
    struct sqlite_conn conn;
    if (!conn_open(&conn, db, db->options.path, CONN_READER, err))
        return false;
    bool ok = run_read(&conn, work, arg, err);
    conn_close(&conn);
    return ok;
}

void sqlite_write(struct sqlite *db, struct sqlite_write *w, struct lane *lane)
{
    w->lane = lane;
    err_clear(&w->err);
    writer_submit(db, &w->item, WRITER_WORK);
}

struct waiting {
    struct sqlite_write write; /* first */
    bool (*work)(struct sqlite_conn *conn, void *arg, struct err *err);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

static bool waiting_work(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct waiting *wait = (struct waiting *)w;
    return wait->work(conn, wait->arg, &w->err);
}

static void waiting_done(struct sqlite_write *w)
{
    struct waiting *wait = (struct waiting *)w;
    pthread_mutex_lock(&wait->lock);
    wait->done = true;
    pthread_cond_signal(&wait->cond);
    pthread_mutex_unlock(&wait->lock);
}

bool sqlite_work_wait(struct sqlite *db,
                      bool (*work)(struct sqlite_conn *conn, void *arg, struct err *err), void *arg,
                      struct err *err)
{
    struct waiting wait = {
        .write = {.work = waiting_work, .done = waiting_done}, .work = work, .arg = arg};
    pthread_mutex_init(&wait.lock, NULL);
    pthread_cond_init(&wait.cond, NULL);
    sqlite_write(db, &wait.write, NULL);
    pthread_mutex_lock(&wait.lock);
    while (!wait.done)
        pthread_cond_wait(&wait.cond, &wait.lock);
    pthread_mutex_unlock(&wait.lock);
    pthread_cond_destroy(&wait.cond);
    pthread_mutex_destroy(&wait.lock);
    *err = wait.write.err;
    return err->code == ERR_NONE;
}

static bool exec_work(struct sqlite_conn *conn, void *arg, struct err *err)
{
    return sqlite_exec(conn, arg, err);
}

bool sqlite_exec_wait(struct sqlite *db, const char *sql, struct err *err)
{
    return sqlite_work_wait(db, exec_work, (void *)(uintptr_t)sql, err);
}

static void close_readers(struct sqlite *db)
{
    gate_close(db->gate);
    for (int i = 0; db->readers && i < db->options.readers; i++)
        conn_close(&db->readers[i]);
    mem_free(db->readers);
}

static void discard(struct sqlite *db)
{
    writer_forget(&db->writer);
    conn_close(&db->writer.conn);
    owners_fini(&db->owners);
    health_fini(db);
    lock_give(db->lock_fd);
    mem_free((char *)(uintptr_t)db->options.path);
    mem_free(db);
}

static void close_store(struct store *store)
{
    struct sqlite *db = (struct sqlite *)store;
    close_readers(db);
    writer_stop(db);
    discard(db);
}

static const struct store_driver driver = {
    .name = "sqlite",
    .run = run,
    .tx_begin = sqlite_tx_begin,
    .tx_run = sqlite_tx_run,
    .tx_end = sqlite_tx_end,
    .migrate = sqlite_migrate,
    .ahead = sqlite_migrations_ahead,
    .close = close_store,
};

static bool open_writer(struct sqlite *db, struct err *err)
{
    struct sqlite_conn *conn = &db->writer.conn;
    if (!conn_open(conn, db, db->options.path, CONN_WRITER, err))
        return false;
    if (db->options.max_pages) {
        char *sql = mem_printf("pragma max_page_count = %lld", (long long)db->options.max_pages);
        bool ok = sqlite_exec(conn, sql, err);
        mem_free(sql);
        if (!ok)
            return false;
    }
    return sqlite_exec(conn, sqlite_base_schema, err) && owners_load(&db->owners, conn, err);
}

static bool open_readers(struct sqlite *db, struct err *err)
{
    int count = db->options.readers;
    db->readers = mem_zero((size_t)count, sizeof *db->readers);
    void **resources = mem_zero((size_t)count, sizeof *resources);
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        resources[i] = &db->readers[i];
        ok = conn_open(&db->readers[i], db, db->options.path, CONN_READER, err);
    }
    if (ok)
        db->gate = gate_create(db->options.pool, resources, count);
    mem_free(resources);
    return ok;
}

/* SQLite counts the bytes of all its connections under one lock, which nobody asks about.  Too late
 * where it was used before. */
static void configure(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

struct store *sqlite_open(const struct sqlite_options *options, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
    struct sqlite *db = mem_zero(1, sizeof *db);
    db->store.driver = &driver;
    db->options = *options;
    db->options.path = mem_strdup(options->path);
    db->options.readers = options->readers ? options->readers : SQLITE_READERS;
    owners_init(&db->owners);
    health_init(db);
    char *lock = mem_printf("%s.lock", options->path);
    db->lock_fd = lock_take(lock, options->lock_wait_ns, err);
    mem_free(lock);
    if (db->lock_fd >= 0 && open_writer(db, err) && open_readers(db, err) && writer_start(db, err))
        return &db->store;
    close_readers(db);
    discard(db);
    err_wrap(err, "store");
    return NULL;
}

struct sqlite *store_sqlite(struct store *store)
{
    return store && store->driver == &driver ? (struct sqlite *)store : NULL;
}
