#include "search/fts.h"

#include "base/mem.h"

enum { READERS = 4 };

static void run(struct search *search, struct search_call *call)
{
    struct fts *fts = (struct fts *)search;
    bool reads = call->op == SEARCH_FIND || call->op == SEARCH_COUNT;
    if (reads && fts_is_ready(call->parsed->index))
        fts_read(fts, call);
    else
        fts_write(fts, call);
}

static bool is_idle(struct search *search)
{
    return sqlite_is_idle(((struct fts *)search)->db);
}

static void close_fts(struct search *search)
{
    store_close(((struct fts *)search)->store);
    search_discard(search);
}

static const struct search_driver driver = {
    .name = "fts",
    .run = run,
    .log_cut = fts_log_cut,
    .is_idle = is_idle,
    .close = close_fts,
};

struct search *fts_create(const struct search_options *options, struct err *err)
{
    struct fts *fts = mem_zero(1, sizeof *fts);
    search_setup(&fts->search, options, &driver);
    char *path = mem_printf("%s/search.db", options->state_dir);
    struct sqlite_options sqlite = {
        .path = path,
        .pool = options->pool,
        .readers = READERS,
        .lock_wait_ns = options->lock_wait_ns,
        .opened = fts_opened,
        .failed = options->failed,
    };
    fts->store = sqlite_open(&sqlite, err);
    mem_free(path);
    fts->db = fts->store ? store_sqlite(fts->store) : NULL;
    if (fts->db && sqlite_exec_wait(fts->db, fts_schema, err))
        return &fts->search;
    if (fts->store)
        store_close(fts->store);
    search_discard(&fts->search);
    err_wrap(err, "search");
    return NULL;
}
