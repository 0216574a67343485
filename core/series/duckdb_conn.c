/* duckdb_conn.c -- opening DuckDB, connections, statements. */
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "series/duckdb_driver.h"

enum { OPEN_POLL_MS = 50, MIB = 1 << 20, DEFAULT_MIB = 256, DEFAULT_THREADS = 2 };

static duck_config make_config(const struct series_store *store)
{
    const struct duckdb *api = &store->duck.api;
    char memory[32], threads[16];
    int64_t bytes =
        store->options.memory_bytes ? store->options.memory_bytes : (int64_t)DEFAULT_MIB * MIB;
    int count = store->options.threads ? store->options.threads : DEFAULT_THREADS;
    snprintf(memory, sizeof memory, "%lldMiB", (long long)(bytes / MIB));
    snprintf(threads, sizeof threads, "%d", count);
    const char *const settings[][2] = {
        {"memory_limit", memory},
        {"threads", threads},
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
    };
    duck_config config = NULL;
    api->create_config(&config);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        api->set_config(config, settings[i][0], settings[i][1]);
    if (store->options.url && store->options.export_dir) { /* in memory: else it spills into "." */
        char *spill = mem_printf("%s/.spill", store->options.export_dir);
        api->set_config(config, "temp_directory", spill);
        mem_free(spill);
    }
    return config;
}

/* A predecessor may still hold the file: then it is worth waiting a little. */
static bool open_database(struct series_store *store, const char *path, struct err *err)
{
    const struct duckdb *api = &store->duck.api;
    int64_t deadline = clock_steady_ns() + SERIES_OPEN_WAIT_MS * NS_PER_MS;
    for (;;) {
        char *message = NULL;
        duck_config config = make_config(store);
        duck_state state = api->open_ext(path, &store->duck.db, config, &message);
        api->destroy_config(&config);
        if (state == 0)
            return true;
        bool locked = message && strstr(message, "lock");
        err_set(err, ERR_IO, "%s", message ? message : "DuckDB cannot open it");
        api->free(message);
        store->duck.db = NULL;
        if (!locked || clock_steady_ns() > deadline)
            return err_wrap(err, "series: %s", path ? path : "memory");
        nanosleep(&(struct timespec){.tv_nsec = OPEN_POLL_MS * NS_PER_MS}, NULL);
    }
}

/* Whatever is asked: no file but the database and what is exported. */
static bool confine(struct series_store *store, struct err *err)
{
    struct series_conn conn = {.store = store};
    struct buf sql = {0};
    if (store->duck.api.connect(store->duck.db, &conn.con) != 0)
        return err_set(err, ERR_IO, "series: DuckDB refuses a connection");
    buf_add_c(&sql, "set allowed_directories = ['");
    for (const char *p = store->options.export_dir ? store->options.export_dir : ""; *p; p++) {
        buf_add_c(&sql, *p == '\'' ? "'" : "");
        buf_add_char(&sql, *p);
    }
    buf_add_c(&sql, "']; set enable_external_access = false; set timezone = 'UTC'");
    bool ok = conn_exec(&conn, sql.p, NULL, err);
    store->duck.api.disconnect(&conn.con);
    buf_free(&sql);
    return ok;
}

static bool open_once(struct series_store *store, const char *path, struct err *err)
{
    struct duck *duck = &store->duck;
    if (duck->db)
        return true;
    int64_t start = clock_steady_ns();
    if (!duck->loaded && !duckdb_load(&duck->api, store->options.library, err))
        return false;
    duck->loaded = true;
    if (!open_database(store, path, err))
        return false;
    if (!confine(store, err)) {
        duck->api.close(&duck->db);
        return err_wrap(err, "series: %s", path ? path : "memory");
    }
    log_info("series", "DuckDB %s opened %s in %.0f ms", duck->api.library_version(),
             path ? path : "in memory", (double)(clock_steady_ns() - start) / (double)NS_PER_MS);
    return true;
}

bool duck_connect(struct series_store *store, const char *path, duck_connection *out,
                  struct err *err)
{
    pthread_mutex_lock(&store->duck.lock);
    bool ok = open_once(store, path, err);
    if (ok && store->duck.api.connect(store->duck.db, out) != 0) {
        *out = NULL;
        ok = err_set(err, ERR_IO, "series: DuckDB refuses a connection");
    }
    pthread_mutex_unlock(&store->duck.lock);
    return ok;
}

static bool ready(struct series_conn *conn, struct err *err)
{
    return conn->con || duck_connect(conn->store, conn->store->options.path, &conn->con, err);
}

void duck_close(struct series_store *store)
{
    for (int i = 0; i < store->conn_count; i++)
        if (store->conns[i].con)
            store->duck.api.disconnect(&store->conns[i].con);
    if (store->duck.db)
        store->duck.api.close(&store->duck.db);
}

static bool open_nothing(struct series_store *store, struct err *err)
{
    (void)store;
    (void)err;
    return true;
}

const struct series_driver series_duckdb = {
    .name = "duckdb",
    .open = open_nothing,
    .close = duck_close,
    .ready = ready,
    .ensure = duck_ensure,
    .append = duck_append,
    .read = duck_read,
    .ask = duck_ask,
    .duck = ready,
    .expire = duck_expire,
};

/* The first line of what DuckDB says. */
bool duck_fail(struct err *err, const char *message)
{
    struct str rest = str_c(message ? message : "DuckDB failed without saying why");
    struct str line = str_split(&rest, '\n');
    enum err_code code = strstr(message ? message : "", "Out of Memory") ? ERR_MEMORY : ERR_SQL;
    if (strstr(message ? message : "", "IO Error"))
        code = ERR_IO;
    return err_set(err, code, "series: %.*s", (int)line.n, line.p);
}

bool conn_exec(struct series_conn *conn, const char *sql, int64_t *changed, struct err *err)
{
    const struct duckdb *api = &conn->store->duck.api;
    duck_result result;
    bool ok = api->query(conn->con, sql, &result) == 0;
    if (!ok)
        duck_fail(err, api->result_error(&result));
    else if (changed)
        *changed = (int64_t)api->rows_changed(&result);
    api->destroy_result(&result);
    return ok;
}

static bool bind_all_params(const struct duckdb *api, duck_statement stmt, const struct query *q)
{
    for (int i = 0; i < q->count; i++) {
        const struct param *p = &q->params[i];
        duck_idx index = (duck_idx)i + 1;
        duck_state state =
            p->type == PARAM_TEXT   ? api->bind_varchar_length(stmt, index, p->text.p, p->text.n)
            : p->type == PARAM_TIME ? api->bind_timestamp(stmt, index, (duck_time){p->number})
                                    : api->bind_int64(stmt, index, p->number);
        if (state != 0)
            return false;
    }
    return true;
}

static bool take_chunks(const struct duckdb *api, duck_result *result,
                        bool (*take)(void *arg, const struct duckdb *api, duck_chunk chunk,
                                     struct err *err),
                        void *arg, struct err *err)
{
    duck_chunk chunk;
    bool ok = true;
    while (ok && (chunk = api->fetch_chunk(*result))) {
        ok = !take || take(arg, api, chunk, err);
        api->destroy_data_chunk(&chunk);
    }
    return ok;
}

bool query_run(struct series_conn *conn, struct query *q,
               bool (*take)(void *arg, const struct duckdb *api, duck_chunk chunk, struct err *err),
               void *arg, struct err *err)
{
    const struct duckdb *api = &conn->store->duck.api;
    duck_statement stmt = NULL;
    bool ok = false;
    if (api->prepare(conn->con, q->sql.p, &stmt) != 0) {
        duck_fail(err, api->prepare_error(stmt));
    } else if (!bind_all_params(api, stmt, q)) {
        duck_fail(err, "a value is not fit for its parameter (text must be UTF-8)");
    } else {
        duck_result result;
        if (api->execute_prepared(stmt, &result) != 0)
            duck_fail(err, api->result_error(&result));
        else
            ok = take_chunks(api, &result, take, arg, err);
        api->destroy_result(&result);
    }
    api->destroy_prepare(&stmt);
    buf_free(&q->sql);
    return ok;
}

struct str duck_text_str(const duck_text *text)
{
    const char *p = text->length <= DUCK_INLINE_BYTES ? text->inlined : text->pointer;
    return (struct str){p, text->length};
}

bool duck_is_valid(const uint64_t *validity, duck_idx row)
{
    return !validity || (validity[row / 64] >> (row % 64) & 1);
}
