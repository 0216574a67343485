/* The writer: grouping, isolation, full disks, failed syncs. */
#include "storage_test.h"

static bool make_table(struct fixture *f)
{
    return fixture_init(f) &&
           sqlite_exec_wait(f->db, "create table t(id integer primary key, body)", &f->err);
}

struct adding {
    struct sqlite_write write; /* first */
    int64_t id;
    bool spoil;
    int committed, done; /* counted; done under no lock, on the writer thread */
};

static int all_done;

static bool add(struct sqlite_conn *conn, struct sqlite_write *w)
{
    struct adding *a = (struct adding *)w;
    sqlite3_stmt *stmt = sqlite_prepared(conn, "insert into t values ($1, $2)", &w->err);
    if (!stmt)
        return false;
    sqlite3_bind_int64(stmt, 1, a->id);
    sqlite3_bind_text(stmt, 2, "body", 4, SQLITE_STATIC);
    if (sqlite_step(conn, stmt, &w->err) != SQLITE_DONE)
        return false;
    sqlite3_reset(stmt);
    return !a->spoil || err_set(&w->err, ERR_INVALID, "spoilt");
}

static void on_committed(struct sqlite_write *w)
{
    ((struct adding *)w)->committed++;
}

static void on_done(struct sqlite_write *w)
{
    ((struct adding *)w)->done++;
    __atomic_add_fetch(&all_done, 1, __ATOMIC_RELEASE);
}

static void wait_for(int count)
{
    while (__atomic_load_n(&all_done, __ATOMIC_ACQUIRE) < count)
        usleep(200);
}

enum { THREADS = 8, EACH = 400 };

struct pusher {
    struct fixture *f;
    struct adding *items;
};

static void *push(void *arg)
{
    struct pusher *p = arg;
    for (int i = 0; i < EACH; i++)
        sqlite_write(p->f->db, &p->items[i].write, NULL);
    return NULL;
}

TEST(eight_threads_share_commits_and_failures_stay_their_own)
{
    struct fixture f = {0};
    REQUIRE(make_table(&f));
    struct adding *items = mem_zero(THREADS * EACH, sizeof *items);
    struct pusher pushers[THREADS];
    pthread_t threads[THREADS];
    all_done = 0;
    for (int i = 0; i < THREADS * EACH; i++) {
        items[i].write.work = add;
        items[i].write.committed = on_committed;
        items[i].write.done = on_done;
        items[i].id = i + 1;
        items[i].spoil = i % 7 == 3;
    }
    for (int i = 0; i < THREADS; i++) {
        pushers[i] = (struct pusher){&f, items + i * EACH};
        pthread_create(&threads[i], NULL, push, &pushers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    wait_for(THREADS * EACH);
    int64_t good = 0;
    for (int i = 0; i < THREADS * EACH; i++) {
        CHECK_EQ(items[i].done, 1);
        CHECK_EQ(items[i].committed, !items[i].spoil);
        CHECK_EQ(items[i].write.err.code, items[i].spoil ? ERR_INVALID : ERR_NONE);
        good += !items[i].spoil;
    }
    CHECK_EQ(number(f.store, "select count(*) from t"), good);
    CHECK_EQ(number(f.store, "select count(*) from t where (id - 1) % 7 = 3"), 0);
    mem_free(items);
    fixture_fini(&f);
}

static bool lose(struct sqlite_conn *conn, struct sqlite_write *w)
{
    sqlite_exec(conn, "rollback", &w->err);
    return err_set(&w->err, ERR_TIMEOUT, "as an interrupt would");
}

static bool hold(struct sqlite_conn *conn, struct sqlite_write *w)
{
    (void)conn;
    (void)w;
    usleep(20000);
    return true;
}

TEST(a_lost_transaction_costs_only_who_lost_it)
{
    struct fixture f = {0};
    REQUIRE(make_table(&f));
    struct adding items[12] = {0};
    all_done = 0;
    for (int i = 0; i < 12; i++) {
        items[i].write.work = i == 0 ? hold : i % 5 == 3 ? lose : add;
        items[i].write.committed = on_committed;
        items[i].write.done = on_done;
        items[i].id = i;
        sqlite_write(f.db, &items[i].write, NULL);
    }
    wait_for(12);
    for (int i = 1; i < 12; i++) {
        CHECK_EQ(items[i].committed, i % 5 != 3);
        CHECK_EQ(items[i].write.err.code, i % 5 == 3 ? ERR_TIMEOUT : ERR_NONE);
    }
    CHECK_EQ(number(f.store, "select count(*) from t"), 9);
    fixture_fini(&f);
}

TEST(a_write_that_runs_too_long_stops_alone)
{
    struct fixture f = {0};
    REQUIRE(make_table(&f));
    static const char endless[] =
        "insert into t(body) with recursive n(i) as (select 1 union all select i + 1 from n)"
        " select i from n";
    struct store_call call = {
        .sql = {endless, sizeof endless - 1}, .mode = STORE_EXEC, .timeout_ns = 40000000};
    call = run_wait(f.store, call);
    CHECK_EQ(call.err.code, ERR_TIMEOUT);
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (1)").changed, 1);
    CHECK_EQ(number(f.store, "select count(*) from t"), 1);
    fixture_fini(&f);
}

TEST(a_full_disk_fails_its_caller_and_the_store_lives)
{
    struct fixture f = {.options = {.max_pages = 60}};
    REQUIRE(make_table(&f));
    enum err_code code = ERR_NONE;
    for (int i = 0; i < 200 && code == ERR_NONE; i++)
        code = exec(f.store, NULL, "insert into t(body) values (zeroblob(3000))").err.code;
    CHECK_EQ(code, ERR_FULL);
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (zeroblob(3000))").err.code, ERR_FULL);
    CHECK(exec(f.store, NULL, "delete from t where id > 2").changed > 10);
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (zeroblob(3000))").err.code, ERR_NONE);
    CHECK_EQ(number(f.store, "select count(*) from t"), 3);
    fixture_fini(&f);
}

/* A VFS over the system's whose WAL may be told to fail, and counts what is written to it. */
static bool sync_fails, disk_is_full;
static int writes, syncs;
static sqlite3_io_methods methods, *real_methods;

static int test_sync(sqlite3_file *file, int flags)
{
    __atomic_add_fetch(&syncs, 1, __ATOMIC_RELAXED);
    return __atomic_load_n(&sync_fails, __ATOMIC_RELAXED) ? SQLITE_IOERR_FSYNC
                                                          : real_methods->xSync(file, flags);
}

static int test_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
    __atomic_add_fetch(&writes, 1, __ATOMIC_RELAXED);
    return __atomic_load_n(&disk_is_full, __ATOMIC_RELAXED) ? SQLITE_FULL
                                                            : real_methods->xWrite(file, p, n, at);
}

static sqlite3_vfs vfs, *real_vfs;

static int test_open(sqlite3_vfs *self, sqlite3_filename name, sqlite3_file *file, int flags,
                     int *out)
{
    (void)self;
    int rc = real_vfs->xOpen(real_vfs, name, file, flags, out);
    if (rc == SQLITE_OK && file->pMethods && (flags & SQLITE_OPEN_WAL)) {
        real_methods = (sqlite3_io_methods *)(uintptr_t)file->pMethods;
        methods = *real_methods;
        methods.xSync = test_sync;
        methods.xWrite = test_write;
        file->pMethods = &methods;
    }
    return rc;
}

static void use_failing_vfs(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "failing";
    vfs.xOpen = test_open;
    sqlite3_vfs_register(&vfs, 1);
}

static void use_real_vfs(void)
{
    sqlite3_vfs_unregister(&vfs);
    sqlite3_vfs_register(real_vfs, 1);
}

static void on_store_failed(void *arg, const struct err *err)
{
    CHECK_EQ(err->code, ERR_IO);
    ++*(int *)arg;
}

TEST(a_failed_sync_fails_the_store_and_nothing_more_is_acknowledged)
{
    int failed = 0;
    use_failing_vfs();
    struct fixture f = {.options = {.failed = on_store_failed, .failed_arg = &failed}};
    REQUIRE(make_table(&f));
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (1)").changed, 1);
    __atomic_store_n(&sync_fails, true, __ATOMIC_RELAXED);
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (2)").err.code, ERR_IO);
    __atomic_store_n(&sync_fails, false, __ATOMIC_RELAXED);
    struct store_call call = exec(f.store, NULL, "insert into t(body) values (3)");
    CHECK_EQ(call.err.code, ERR_IO);
    CHECK(strstr(call.err.message, "the store has failed"));
    CHECK_EQ(failed, 1);
    store_close(f.store);
    use_real_vfs();
    f.options.failed = NULL;
    REQUIRE(fixture_open(&f));
    CHECK(number(f.store, "select count(*) from t") >= 1);
    CHECK_EQ(number(f.store, "select count(*) from t where body = 3"), 0);
    fixture_fini(&f);
}

TEST(a_commit_is_one_write_of_the_log_or_few_and_one_sync)
{
    use_failing_vfs();
    struct fixture f = {0};
    REQUIRE(make_table(&f));
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (zeroblob(40000))").changed, 1);
    int writes_before = writes, syncs_before = syncs;
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (zeroblob(40000))").changed, 1);
    CHECK_EQ(writes - writes_before, 1);
    CHECK_EQ(syncs - syncs_before, 1);
    static const int bytes[] = {100000, 127000, 131072, 262144,
                                3000000}; /* and more than it keeps */
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        struct value params[] = {INT(100 + (int)i), INT(bytes[i])};
        struct store_call call =
            ask(f.store, NULL, STORE_EXEC, "insert into t values ($1, randomblob($2))", params, 2);
        CHECK_EQ(call.err.code, ERR_NONE);
    }
    int64_t sum = number(f.store, "select sum(length(body) * id) from t where id >= 100");
    store_close(f.store);
    REQUIRE(fixture_open(&f));
    CHECK_EQ(number(f.store, "select sum(length(body) * id) from t where id >= 100"), sum);
    CHECK_EQ(number(f.store, "select count(*) from pragma_integrity_check where"
                             " integrity_check = 'ok'"),
             1);
    fixture_fini(&f);
    use_real_vfs();
}

TEST(a_disk_that_is_full_at_commit_fails_the_batch_and_the_store_lives)
{
    int failed = 0;
    use_failing_vfs();
    struct fixture f = {.options = {.failed = on_store_failed, .failed_arg = &failed}};
    REQUIRE(make_table(&f));
    __atomic_store_n(&disk_is_full, true, __ATOMIC_RELAXED);
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (1)").err.code, ERR_FULL);
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (2)").err.code, ERR_FULL);
    __atomic_store_n(&disk_is_full, false, __ATOMIC_RELAXED);
    CHECK_EQ(exec(f.store, NULL, "insert into t(body) values (3)").err.code, ERR_NONE);
    CHECK_EQ(number(f.store, "select group_concat(body) = '3' from t"), 1);
    CHECK_EQ(failed, 0);
    fixture_fini(&f);
    use_real_vfs();
}

TEST(a_deferred_reference_that_breaks_fails_its_caller_alone)
{
    int failed = 0;
    struct fixture f = {.options = {.failed = on_store_failed, .failed_arg = &failed}};
    REQUIRE(make_table(&f));
    REQUIRE(sqlite_exec_wait(
        f.db, "create table child(t references t(id) deferrable initially deferred)", &f.err));
    CHECK_EQ(exec(f.store, NULL, "insert into child(t) values (7)").err.code, ERR_CONSTRAINT);
    CHECK_EQ(exec(f.store, NULL, "insert into t(id) values (7)").err.code, ERR_NONE);
    CHECK_EQ(exec(f.store, NULL, "insert into child(t) values (7)").err.code, ERR_NONE);
    CHECK_EQ(number(f.store, "select count(*) from child"), 1);
    CHECK_EQ(failed, 0);
    fixture_fini(&f);
}
