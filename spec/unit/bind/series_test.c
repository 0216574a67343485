/* app.series as a plugin sees it; what needs DuckDB is skipped without it. */
#include <unistd.h>

#include "series/series.h"
#include "vm/support.h"

static const char library[] = "build/lib/libduckdb.so";

static struct run with_series(const char *exports)
{
    static char *keys[] = {"platform", "channel"}, *values[] = {"viewers", "likes"};
    struct series_schema schema = {
        .name = "views", .keys = keys, .values = values, .key_count = 2, .value_count = 2};
    struct fixture f;
    struct run run = {0};
    struct err err;
    char dir[] = "/tmp/maru-bind-XXXXXX", path[64], command[64], exports_dir[64];
    if (!mkdtemp(dir) || !fixture_timed(&f, exports, "30s"))
        return run;
    snprintf(path, sizeof path, "%s/s.duckdb", dir);
    snprintf(exports_dir, sizeof exports_dir, "%s/exports", dir);
    struct pool *pool = pool_create("test", 2, &err);
    struct series_options options = {
        .library = library, .path = path, .export_dir = exports_dir, .pool = pool};
    f.host.series = series_create(&options, &err);
    CHECK(series_declare(f.host.series, "demo", &schema, 1, false, &err));
    if (start(&f, "f", &run))
        turn(&f, &run, 2000);
    CHECK(run.ended);
    if (run.outcome != TASK_DONE)
        printf("# %s\n", run.message);
    series_destroy(f.host.series);
    uv_run(&f.lane->loop, UV_RUN_NOWAIT);
    fixture_close(&f);
    pool_destroy(pool);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_EQ(system(command), 0);
    return run;
}

static void check_run(const char *exports, const char *json)
{
    struct run run = with_series(exports);
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(run.json, json);
}

static bool have_duckdb(void)
{
#ifdef __SANITIZE_THREAD__
    return false;
#else
    return access(library, R_OK) == 0;
#endif
}

TEST(wrong_rows_and_options_raise_by_name)
{
    check_run(
        "f = function(app)\n"
        "  local s, out = app.series, {}\n"
        "  local row = function(t) local r = { at = 1, platform = 'p', channel = 'c' }\n"
        "    for k, v in pairs(t) do r[k] = v end return { r } end\n"
        "  local try = function(want, ...) local ok, e = pcall(...)\n"
        "    out[#out + 1] = not ok and e:find(want, 1, true) and true or e or 'no error' end\n"
        "  try('row 1: at must be a number', s.append, s, 'views', row { at = 'x' })\n"
        "  try('row 1: platform must be text', s.append, s, 'views', row { platform = 7 })\n"
        "  try('row 1: viewers must be a finite number', s.append, s, 'views', row { viewers = "
        "'7' })\n"
        "  try('row 1 has a field', s.append, s, 'views', row { viewrs = 7 })\n"
        "  try('rows must be an array of tables', s.append, s, 'views', { 1 })\n"
        "  try('form', s.window, s, 'views', { form = 1 })\n"
        "  try('step must be', s.downsample, s, 'views', {})\n"
        "  try('agg must be', s.downsample, s, 'views', { step = '1m', agg = 'median' })\n"
        "  try('where', s.latest, s, 'views', { where = { platform = 1 } })\n"
        "  try('limit must be', s.window, s, 'views', { limit = 0.5 })\n"
        "  local none, message, code = s:append('other', {})\n"
        "  return out, none == nil, message, code end",
        "[[true,true,true,true,true,true,true,true,true,true],true,"
        "\"series \\\"other\\\" is not declared by plugin \\\"demo\\\"\",\"not_found\"]");
}

TEST(points_go_in_and_come_out)
{
    if (!have_duckdb())
        return;
    check_run(
        "f = function(app)\n"
        "  local s = app.series\n"
        "  local n, m = s:append('views', {\n"
        "    { at = 1000.5, platform = 'soop', channel = 'a', viewers = 10, likes = 1 },\n"
        "    { at = 1001, platform = 'soop', channel = 'b', viewers = 20 },\n"
        "    { at = 1060, platform = 'soop', channel = 'a', viewers = 30, likes = app.json.null "
        "},\n"
        "  })\n"
        "  assert(n == 3, m)\n"
        "  local w = s:window('views', { where = { channel = 'a' } })\n"
        "  local d = s:downsample('views', { step = '1m', agg = 'sum' })\n"
        "  local l = s:latest('views', { since = 1001 })\n"
        "  return w.at, w.viewers, w.likes, w.n, w.channel, d.at, d.viewers, d.counts, d.n, #l,\n"
        "    l[1].viewers, l[2].likes == nil end",
        "[[1000.5,1060],[10,30],[1,null],2,[\"a\",\"a\"],[960,960,1020],[10,20,30],[1,1,1],3,2,20,"
        "true]");
}

TEST(stats_export_and_a_hostile_key)
{
    if (!have_duckdb())
        return;
    check_run(
        "f = function(app)\n"
        "  local s = app.series\n"
        "  local evil = [[\"; drop table demo__views; -- ']]\n"
        "  s:append('views', { { at = 5, platform = evil, channel = '한글', viewers = 1 } })\n"
        "  local st = s:stats('views', { where = { platform = evil } })\n"
        "  local path = s:export('views', { where = { platform = evil } })\n"
        "  local empty = s:stats('views', { from = 6 })\n"
        "  local _, m, c = s:latest('views', { where = { [evil] = 'x' } })\n"
        "  return st.points, st.lines, st.first, st.last, path:match('%.parquet$'),\n"
        "    empty.points, empty.first == nil, c end",
        "[1,1,5,5,\".parquet\",0,true,\"invalid\"]");
}
