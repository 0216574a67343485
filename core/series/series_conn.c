/* series_conn.c -- opening DuckDB, connections, statements. */
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "series/series_private.h"

enum { OPEN_POLL_MS = 50, MIB = 1 << 20, DEFAULT_MIB = 256, DEFAULT_THREADS = 2 };

static duck_config make_config(const struct series_store *store)
{
    const struct duckdb *api = &store->api;
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
    return config;
}

/* A predecessor may still hold the file: then it is worth waiting a little. */
static bool open_database(struct series_store *store, struct err *err)
{
    struct duckdb *api = &store->api;
    int64_t deadline = clock_steady_ns() + SERIES_OPEN_WAIT_MS * NS_PER_MS;
    for (;;) {
        char *message = NULL;
        duck_config config = make_config(store);
        duck_state state = api->open_ext(store->options.path, &store->db, config, &message);
        api->destroy_config(&config);
        if (state == 0)
            return true;
        bool locked = message && strstr(message, "lock");
        err_set(err, ERR_IO, "%s", message ? message : "DuckDB cannot open it");
        api->free(message);
        store->db = NULL;
        if (!locked || clock_steady_ns() > deadline)
            return err_wrap(err, "series: %s", store->options.path);
        nanosleep(&(struct timespec){.tv_nsec = OPEN_POLL_MS * NS_PER_MS}, NULL);
    }
}

static bool open_once(struct series_store *store, struct err *err)
{
    if (store->db)
        return true;
    int64_t start = clock_steady_ns();
    if (!store->loaded && !duckdb_load(&store->api, store->options.library, err))
        return false;
    store->loaded = true;
    if (!open_database(store, err))
        return false;
    log_info("series", "DuckDB %s opened %s in %.0f ms", store->api.library_version(),
             store->options.path, (double)(clock_steady_ns() - start) / (double)NS_PER_MS);
    return true;
}

bool conn_ready(struct series_conn *conn, struct err *err)
{
    struct series_store *store = conn->store;
    if (conn->con)
        return true;
    pthread_mutex_lock(&store->open_lock);
    bool ok = open_once(store, err);
    if (ok && store->api.connect(store->db, &conn->con) != 0) {
        conn->con = NULL;
        ok = err_set(err, ERR_IO, "series: DuckDB refuses a connection");
    }
    pthread_mutex_unlock(&store->open_lock);
    return ok;
}

void conn_close_all(struct series_store *store)
{
    int count = store->options.readers + 1;
    for (int i = 0; i < count; i++)
        if (store->conns[i].con)
            store->api.disconnect(&store->conns[i].con);
    if (store->db)
        store->api.close(&store->db);
}

/* The first line of what DuckDB says. */
static bool fail(struct err *err, const char *message)
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
    const struct duckdb *api = &conn->store->api;
    duck_result result;
    bool ok = api->query(conn->con, sql, &result) == 0;
    if (!ok)
        fail(err, api->result_error(&result));
    else if (changed)
        *changed = (int64_t)api->rows_changed(&result);
    api->destroy_result(&result);
    return ok;
}

static void add_param(struct query *q, struct param param)
{
    invariant(q->count < SERIES_PARAMS);
    q->params[q->count++] = param;
    buf_printf(&q->sql, "$%d", q->count);
}

void query_text(struct query *q, struct str text)
{
    add_param(q, (struct param){.is_text = true, .text = text});
}

void query_number(struct query *q, int64_t number)
{
    add_param(q, (struct param){.number = number});
}

static bool bind_all_params(const struct duckdb *api, duck_statement stmt, const struct query *q)
{
    for (int i = 0; i < q->count; i++) {
        const struct param *p = &q->params[i];
        duck_idx index = (duck_idx)i + 1;
        duck_state state = p->is_text ? api->bind_varchar_length(stmt, index, p->text.p, p->text.n)
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
    const struct duckdb *api = &conn->store->api;
    duck_statement stmt = NULL;
    bool ok = false;
    if (api->prepare(conn->con, q->sql.p, &stmt) != 0) {
        fail(err, api->prepare_error(stmt));
    } else if (!bind_all_params(api, stmt, q)) {
        fail(err, "a value is not fit for its parameter (text must be UTF-8)");
    } else {
        duck_result result;
        if (api->execute_prepared(stmt, &result) != 0)
            fail(err, api->result_error(&result));
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
