/* Memory that runs out anywhere: under random limits, and at a random allocation.  Nothing crashes
 * or is lost, whoever is told gets a clean error, and the state can be closed.
 *
 * EXHAUSTION_RUNS (100 otherwise) says how many runs each test makes. */
#include "vm/internal.h"
#include "vm/mend.h"
#include "vm/support.h"

static const char plugin[] =
    "local M = { name = 'demo', version = '1.0.0' }\n"
    "M.config = { words = { type = 'integer', default = 3 } }\n"
    "M.routes = { ['POST /x/{id}'] = { path = { id = 'integer' }, body = { a = 'string(1,5)' },\n"
    "  function() return 200, {} end } }\n"
    "M.exports = {\n"
    "  json = function(app)\n"
    "    local all = {}\n"
    "    for i = 1, 200 do all[i] = { id = i, name = 'row ' .. i, tags = { 'a', 'b' }, at = "
    "app.now() } end\n"
    "    local text = assert(app.json.encode(all))\n"
    "    local back = assert(app.json.decode(text))\n"
    "    return #back, #text, app.json.decode('[1,') == nil\n"
    "  end,\n"
    "  strings = function()\n"
    "    local parts = {}\n"
    "    for i = 1, 2000 do parts[i] = ('%d:%s'):format(i, ('x'):rep(i % 50)) end\n"
    "    local text = table.concat(parts, ',')\n"
    "    local n = 0\n"
    "    for number in text:gmatch('(%d+):') do n = n + tonumber(number) end\n"
    "    return n, #text:gsub('x+', 'y'), text:find('1999:', 1, true), text:upper():sub(-5)\n"
    "  end,\n"
    "  coroutines = function()\n"
    "    local sum = 0\n"
    "    for i = 1, 300 do\n"
    "      local co = coroutine.wrap(function(a) local b = coroutine.yield(a + i) return { b } "
    "end)\n"
    "      sum = sum + co(1) + co(2)[1]\n"
    "    end\n"
    "    local ok, why = pcall(coroutine.wrap(function() error({ 'inside' }) end))\n"
    "    return sum, ok, type(why)\n"
    "  end,\n"
    "  errors = function(app)\n"
    "    local caught = 0\n"
    "    for i = 1, 200 do\n"
    "      local ok = pcall(error, { i })\n"
    "      local fine = xpcall(function() return nil + i end, function(m) return m .. "
    "('!'):rep(20) end)\n"
    "      caught = caught + (ok and 0 or 1) + (fine and 0 or 1)\n"
    "    end\n"
    "    pcall(app.json.encode, function() end)\n"
    "    pcall(app.schema.check, { a = 'nonsense(' }, {})\n"
    "    error(app.fail(409, 'busy', 'caught ' .. caught, { caught = caught }))\n"
    "  end,\n"
    "  bindings = function(app)\n"
    "    local out = {}\n"
    "    for i = 1, 50 do\n"
    "      out[i] = app.crypto.sha256('text ' .. i) .. app.crypto.base64(app.crypto.random(16))\n"
    "      app.log:info('line', { i = i })\n"
    "    end\n"
    "    local value, wrong = app.schema.check({ a = 'string(1,5)', l = 'integer[1,3]' }, { a = "
    "'abcdef', l = {} })\n"
    "    return #table.concat(out), value == nil, wrong and #wrong\n"
    "  end,\n"
    "  tables = function()\n"
    "    local t = {}\n"
    "    for i = 1, 3000 do t['key ' .. i] = { i, function() return i end } end\n"
    "    for i = 1, 3000, 2 do t['key ' .. i] = nil end\n"
    "    local list = {}\n"
    "    for key in pairs(t) do list[#list + 1] = key end\n"
    "    table.sort(list)\n"
    "    return #list, list[1], select('#', unpack(list, 1, 100))\n"
    "  end,\n"
    "  waiting = function(app)\n"
    "    for _ = 1, 3 do app.sleep(0.0001) end\n"
    "    return app.json.encode({ 'woken' })\n"
    "  end,\n"
    "  spinning = function()\n"
    "    local t, s = {}, 0\n"
    "    for i = 1, 20000 do t[i % 100 + 1] = { i, tostring(i) } s = s + #t[i % 100 + 1][2] end\n"
    "    return s\n"
    "  end,\n"
    "}\n"
    "return M\n";
static const char *const names[] = {"json",     "strings", "coroutines", "errors",
                                    "bindings", "tables",  "waiting",    "spinning"};
enum { NAMES = sizeof names / sizeof *names };

static uint64_t seed;

static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static int runs_wanted(void)
{
    const char *text = getenv("EXHAUSTION_RUNS");
    return text ? atoi(text) : 100;
}

/* ---- an allocator before the VM's ---- */

static lua_Alloc inner;
static int64_t balance, countdown; /* bytes that are out; growing allocations until they fail */
static bool fail_on;               /* from then on all fail, until the task has ended */

static void *allocate(void *ud, void *p, size_t before, size_t after)
{
    struct vm *vm = ud;
    bool fails = after > before && vm->enforced && (countdown == 0 || --countdown == 0);
    int64_t limit = counter_get(&vm->limit);
    if (fails)
        atomic_store(&vm->limit, 0);
    void *got = inner(ud, p, before, after);
    if (fails) {
        atomic_store(&vm->limit, limit);
        countdown = got ? 1 : fail_on ? 0 : -1; /* compiled code and the collector get it yet */
    }
    if (got || after == 0)
        balance += (int64_t)after - (int64_t)before;
    return got;
}

static void watch(struct vm *vm)
{
    void *ud;
    inner = lua_getallocf(vm->L, &ud);
    balance = counter_get(&vm->used);
    countdown = -1;
    lua_setallocf(vm->L, allocate, ud);
}

/* ---- what is tried ---- */

struct sum {
    int runs, calls, out_of_memory, failed, done, not_loaded, left;
};

static bool load(struct fixture *f, int64_t limit)
{
    struct vm_options options = {
        .lane = f->lane,
        .host = &f->host,
        .bundle = &f->bundle,
        .label = "demo@0123456789ab",
        .owner = f,
        .idle = on_idle,
        .memory_limit = limit,
    };
    f->vm = vm_create(&options, &f->decl, &f->err);
    return f->vm != NULL;
}

static void check_not_loaded(const struct fixture *f)
{
    CHECK_EQ(f->err.code, ERR_MEMORY);
    CHECK(strstr(f->err.message, "memory limit"));
    if (f->err.code != ERR_MEMORY)
        printf("# %s\n", f->err.message);
}

/* One export; its outcome has to be one that a caller can understand. */
static void try_one(struct fixture *f, struct sum *sum)
{
    const char *name = names[chance(NAMES)];
    struct run run = call(f, name);
    sum->calls++;
    if (!run.ended) { /* not begun: the VM could not even make the task */
        CHECK(f->err.message[0]);
        sum->out_of_memory++;
        return;
    }
    switch (run.outcome) {
    case TASK_DONE:
        sum->done++;
        break;
    case TASK_MEMORY:
        sum->out_of_memory++;
        CHECK_STR(run.code, "memory");
        CHECK(vm_broken(f->vm));
        break;
    case TASK_FAILED:
        sum->failed++;
        CHECK(run.message[0]);
        break;
    default:
        CHECK(run.outcome == TASK_TIMEOUT);
    }
}

static void close_vm(struct fixture *f, struct sum *sum, bool watched)
{
    vm_destroy(f->vm);
    plugin_decl_free(f->decl);
    f->vm = NULL;
    f->decl = NULL;
    sum->left += watched && balance != 0;
}

static void say(const char *what, const struct sum *s)
{
    printf("# %s: %d runs, %d calls: %d done, %d failed, %d out of memory; %d not loaded; %d "
           "states left bytes\n",
           what, s->runs, s->calls, s->done, s->failed, s->out_of_memory, s->not_loaded, s->left);
}

static void begin(struct fixture *f)
{
    fixture_init(f);
    add_file(f, "plugin.lua", plugin);
}

TEST(finds_where_compiled_code_keeps_its_frame)
{
    CHECK(mend_find());
}

TEST(random_limits_end_tasks_cleanly)
{
    struct fixture f;
    struct sum sum = {.runs = runs_wanted()};
    begin(&f);
    for (int i = 0; i < sum.runs; i++) {
        seed = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
        bool loaded = load(&f, (int64_t)chance(3 << 20) + (64 << 10));
        if (!loaded) {
            sum.not_loaded++;
            check_not_loaded(&f);
            continue;
        }
        watch(f.vm);
        for (int k = 0; k < 6 && !vm_broken(f.vm); k++) {
            try_one(&f, &sum);
            atomic_store(&f.vm->limit, counter_get(&f.vm->used) + (int64_t)chance(1 << 20));
        }
        close_vm(&f, &sum, true);
    }
    say("random limits", &sum);
    CHECK(sum.out_of_memory + sum.not_loaded > sum.runs / 4);
    CHECK(sum.done > 0);
    fixture_close(&f);
}

TEST(any_allocation_may_fail)
{
    struct fixture f;
    struct sum sum = {.runs = runs_wanted()};
    begin(&f);
    for (int i = 0; i < sum.runs; i++) {
        seed = 0xd1342543de82ef95u * (uint64_t)(i + 1);
        REQUIRE(load(&f, 0));
        watch(f.vm);
        fail_on = chance(2);
        for (int k = 0; k < 4 && !vm_broken(f.vm); k++) {
            countdown = 1 + (int64_t)chance((uint64_t)1 << chance(16));
            try_one(&f, &sum);
        }
        countdown = -1;
        close_vm(&f, &sum, true);
    }
    say("failing allocations", &sum);
    CHECK(sum.out_of_memory > sum.runs / 2);
    fixture_close(&f);
}

TEST(a_real_plugin_loads_or_says_why_not)
{
    struct fixture f;
    struct sum sum = {.runs = runs_wanted()};
    fixture_init(&f);
    struct bundle *bundle = bundle_read("plugins/streampulse", &f.err);
    REQUIRE(bundle);
    f.bundle = *bundle;
    int loaded = 0;
    for (int i = 0; i < sum.runs; i++) {
        seed = 0xa0761d6478bd642fu * (uint64_t)(i + 1);
        if (load(&f, (int64_t)chance(4 << 20) + (32 << 10))) {
            loaded++;
            close_vm(&f, &sum, false);
        } else {
            sum.not_loaded++;
            check_not_loaded(&f);
        }
    }
    printf("# streampulse: %d loaded, %d did not under random limits\n", loaded, sum.not_loaded);
    CHECK(loaded > 0 && sum.not_loaded > 0);
    bundle_free(bundle);
    fixture_close(&f);
}
