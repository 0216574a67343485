/* app.kernels.forecaster: what it takes, at once and on the pool. */
#include <sodium.h>

#include "../kernels/model_file.h"
#include "loop/pool.h"
#include "vm/support.h"

static char *base64_of(struct model_file *m)
{
    struct str bytes = model_bytes(m);
    size_t room = sodium_base64_ENCODED_LEN(bytes.n, sodium_base64_VARIANT_ORIGINAL);
    char *text = mem_alloc(room);
    sodium_bin2base64(text, room, (const unsigned char *)bytes.p, bytes.n,
                      sodium_base64_VARIANT_ORIGINAL);
    mem_free((char *)(uintptr_t)bytes.p);
    model_free(m);
    return text;
}

/* One that takes a while for many series. */
static char *net_base64(void)
{
    struct model_file m = {.metadata =
                               "{\"format\":1,\"kind\":\"lstm\",\"name\":\"net\",\"version\":\"1\","
                               "\"lookback\":20,\"min_points\":2,\"horizon\":4,\"quantiles\":[0.5],"
                               "\"scaling\":\"standard\",\"hidden\":16,\"layers\":1}"};
    model_net(&m, 4, 16, 1, 1, 0, 4);
    return base64_of(&m);
}

/* The next is the last plus half of the last rise; the one after it, all of it. */
static char *model_base64(void)
{
    struct model_file m = {
        .metadata = "{\"format\":1,\"kind\":\"nlinear\",\"name\":\"rising\",\"version\":\"2\","
                    "\"lookback\":4,\"min_points\":2,\"horizon\":2,\"quantiles\":[0.5,0.9],"
                    "\"scaling\":\"last\",\"scores\":{\"ETTh1\":{\"96\":{\"mse\":0.5}}}}"};
    static const float weights[] = {0, 0, -0.5F, 0, 0, 0, -1, 0}, residuals[] = {0, 1, 0, 2};
    memcpy(model_tensor(&m, "head.weight", 2, 4, 1), weights, sizeof weights);
    memset(model_tensor(&m, "head.bias", 2, 0, 1), 0, 8);
    memcpy(model_tensor(&m, "residual.quantiles", 2, 2, 1), residuals, sizeof residuals);
    return base64_of(&m);
}

static const char exports[] =
    "local kernels = require 'maru.kernels'\n"
    "local M = { name = 'demo', version = '1.0.0' }\n"
    "local bytes\n"
    "local function open() return assert(kernels.forecaster(bytes)) end\n"
    "M.exports = {\n"
    "  info = function(app)\n"
    "    local i = open():info()\n"
    "    return i.kind, i.name, i.horizon, i.quantiles, i.scores.ETTh1['96'].mse, i.weights, "
    "i.parameters\n"
    "  end,\n"
    "  answer = function(app)\n"
    "    local a = open():forecast({ { 1, 2, 3, 5 }, kernels.floats({ 1, 2 }) })\n"
    "    return a[1].forecast, a[2].forecast[1], a[1].horizon, #a[1].quantiles, "
    "a[1].quantiles[2][1] > 6\n"
    "  end,\n"
    "  plain = function(app)\n"
    "    local a = open():forecast({ { 1, 2, 3, 5 } }, { horizon = 3, quantiles = false })[1]\n"
    "    return a.forecast, a.horizon, a.quantiles == nil\n"
    "  end,\n"
    "  wrong = function(app)\n"
    "    return open():forecast({ { 1 }, { 1, 'x', 3 }, 'no', { 1, 2, 0 / 0 }, kernels.floats({ 1, "
    "app.json.null, 3, 4, 5, 6 }),\n"
    "      {}, { 1, 1e39 } })\n"
    "  end,\n"
    "  none = function(app) return #open():forecast({}) end,\n"
    "  far = function(app) return open():forecast({ { 1, 2 } }, { horizon = 21 }) end,\n"
    "  unknown = function(app) return open():forecast({ { 1, 2 } }, { steps = 1 }) end,\n"
    "  many = function(app)\n"
    "    local list = {}\n"
    "    for i = 1, 4000 do\n"
    "      list[i] = {}\n"
    "      for k = 1, 20 do list[i][k] = (i % 2 + 1) * k end\n"
    "    end\n"
    "    local net = assert(kernels.forecaster(app.crypto.unbase64(NET)))\n"
    "    local a, one = net:forecast(list), net:forecast({ list[4000] })[1].forecast\n"
    "    return #a, math.abs(a[2].forecast[4] - one[4]) < 1e-4, "
    "math.abs(a[3999].forecast[1] - one[1] * 2) < 1e-3\n"
    "  end,\n"
    "  too_many = function(app)\n"
    "    local list = {}\n"
    "    for i = 1, 10001 do list[i] = { i, i + 2 } end\n"
    "    return open():forecast(list)\n"
    "  end,\n"
    "  bad_file = function(app) return kernels.forecaster(bytes:sub(1, -2)) end,\n"
    "  no_file = function(app) return kernels.forecaster('') end,\n"
    "  stream = function(app)\n"
    "    local s, t = open():stream(), open():stream()\n"
    "    local a, why, code = s:push(1)\n"
    "    local b, q = s:push(2)\n"
    "    return a == nil, why, code, b, #q, s:push(4), select(2, t:push(1)), s:push(1 / 0)\n"
    "  end,\n"
    "  not_one = function(app) return open().forecast('x', {}) end,\n"
    "}\n";

struct place {
    struct fixture f;
};

static bool place_open(struct place *p)
{
    struct err err;
    char *model = model_base64(), *net = net_base64();
    char *text = mem_printf("local NET = '%s'\n%sfunction M.exports.load(app) bytes = "
                            "app.crypto.unbase64('%s') return #bytes end\nreturn M\n",
                            net, exports, model);
    fixture_init(&p->f);
    p->f.host.pool = pool_create("pool", 1, &err);
    add_file(&p->f, "plugin.lua", text);
    bool ok = fixture_load(&p->f, "") && call(&p->f, "load").outcome == TASK_DONE;
    if (!ok)
        printf("# %s\n", p->f.err.message);
    mem_free(text);
    mem_free(model);
    mem_free(net);
    return ok;
}

static void place_close(struct place *p)
{
    pool_destroy(p->f.host.pool);
    uv_run(&p->f.lane->loop, UV_RUN_NOWAIT); /* what the pool sent back */
    fixture_close(&p->f);
}

static void says(struct place *p, const char *name, const char *want)
{
    struct run run = call(&p->f, name);
    if (strcmp(run.json, want) != 0)
        TEST_FAIL("%s: %s %s", name, run.json, run.message);
}

static void raises(struct place *p, const char *name, const char *part)
{
    struct run run = call(&p->f, name);
    if (run.outcome != TASK_FAILED || !strstr(run.message, part))
        TEST_FAIL("%s: %s %s", name, run.json, run.message);
}

TEST(a_model_says_what_it_is_and_forecasts)
{
    struct place p;
    REQUIRE(place_open(&p));
    says(&p, "info", "[\"nlinear\",\"rising\",2,[0.5,0.9],0.5,\"float32\",14]");
    says(&p, "answer", "[[6,7],2.5,2,2,true]");
    says(&p, "plain", "[[6,7,7.5],3,true]");
    says(&p, "none", "[0]");
    place_close(&p);
}

TEST(a_series_that_cannot_be_taken_is_told_alone)
{
    struct place p;
    REQUIRE(place_open(&p));
    struct run run = call(&p.f, "wrong");
    static const char *const parts[] = {"\"code\":\"too_few\"",
                                        "1 points; rising needs at least 2",
                                        "value 2 is not a finite number",
                                        "a series is an array",
                                        "\"index\":3",
                                        "\"forecast\":["};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(run.json, parts[i]))
            TEST_FAIL("%s is not in %s %s", parts[i], run.json, run.message);
    place_close(&p);
}

TEST(much_work_is_done_on_the_pool)
{
    struct place p;
    REQUIRE(place_open(&p));
    says(&p, "many", "[4000,true,true]");
    says(&p, "too_many", "[null,\"at most 10000 series at once\",\"limit\"]");
    struct run run;
    REQUIRE(start(&p.f, "many", &run)); /* left behind: place_close() must find it ended */
    place_close(&p);
}

TEST(mistakes_are_told)
{
    struct place p;
    REQUIRE(place_open(&p));
    raises(&p, "far", "horizon must be a whole number from 1 to 20");
    raises(&p, "unknown", "steps");
    raises(&p, "not_one", "app.forecaster expected");
    struct run run = call(&p.f, "bad_file");
    CHECK(strstr(run.json, "[null,\"model: safetensors: ") && strstr(run.json, "\"invalid\""));
    run = call(&p.f, "no_file");
    CHECK(strstr(run.json, "at least 8 bytes"));
    place_close(&p);
}

TEST(a_stream_goes_point_by_point)
{
    struct place p;
    REQUIRE(place_open(&p));
    says(&p, "stream",
         "[true,\"rising needs at least 2 points\",\"too_few\",2.5,2,5,\"rising needs at least 2 "
         "points\",null,\"the value is not a finite number\",\"invalid\"]");
    place_close(&p);
}
