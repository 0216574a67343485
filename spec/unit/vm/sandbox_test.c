/* Ways out that must be closed. */
#include "vm/support.h"

/* Each expression must be true inside a plugin. */
static const char *const closed[] = {
    "rawget(_G, 'ffi') == nil and rawget(_G, 'debug') == nil and rawget(_G, 'jit') == nil",
    "rawget(_G, 'io') == nil and rawget(_G, 'package') == nil and rawget(_G, 'newproxy') == nil",
    "rawget(_G, 'getfenv') == nil and rawget(_G, 'setfenv') == nil and rawget(_G, 'module') == nil",
    "rawget(_G, 'dofile') == nil and rawget(_G, 'loadfile') == nil and rawget(_G, 'gcinfo') == nil",
    "os.execute == nil and os.exit == nil and os.remove == nil and os.rename == nil",
    "os.getenv == nil and os.tmpname == nil and os.setlocale == nil and os.time() > 0",
    "string.dump == nil and ('').dump == nil",
    "not pcall(collectgarbage) and not pcall(collectgarbage, 'stop') and collectgarbage('count') > "
    "0",
    "getmetatable('') == 'locked' and getmetatable(_G) == 'locked'",
    "not pcall(setmetatable, _G, {})",
    "not pcall(require, 'ffi') and not pcall(require, 'jit') and not pcall(require, 'debug')",
    "not pcall(require, 'io') and not pcall(require, 'string.buffer') and not pcall(require, "
    "'jit.util')",
    "not pcall(require, 'maru.boot') and not pcall(require, 'maru.app') and not pcall(require, "
    "'boot')",
    "not pcall(require, '../secret') and not pcall(require, '..secret') and not pcall(require, "
    "'/etc/passwd')",
    "not pcall(require, '') and not pcall(require, '.') and not pcall(require, 'a..b') and not "
    "pcall(require, 'a\\0b')",
    "not pcall(require, 'plugin\\0.x') and not pcall(require, nil) and not pcall(require, 5)",
    "not pcall(require, ('x'):rep(1000))",
    "load('\\27LJ\\2') == nil and select(2, load('\\27LJ\\2')):find('wrong mode')",
    "load('return 1', 'x', 'b')() == 1 and loadstring == load",
    "load(function() return nil end)() == nil",
    "load('return ffi') and not pcall(load('return ffi'))",
    "load('x = 1', 'x', 't', {})() == nil",
    "(function() local t = {} load('x = 1', 'x', 't', t)() return t.x == 1 end)()",
    "not tostring({}):find('0x') and not tostring(print):find('0x') and not "
    "tostring(coroutine.create(print)):find('0x')",
    "not ('%s'):format({}):find('0x') and not string.format('%s %s', 1, print):find('0x')",
    "not pcall(string.format, '%p', {}) and not pcall(string.format, 'a%5p', 'x') and "
    "string.format('%%p') == '%p'",
    "tostring({}) ~= tostring({}) and tostring(app) == tostring(app)",
    "tostring(setmetatable({}, { __tostring = function() return 'mine' end })) == 'mine'",
    "tostring(1) == '1' and tostring(nil) == 'nil' and tostring(true) == 'true' and tostring('x') "
    "== 'x'",
    "tostring(app.json.null) == 'null' and string.format('%s', app.json.null) == 'null'",
    "not pcall(function() return undeclared end)",
    "not pcall(function() newglobal = 1 end)",
    "select(2, pcall(function() return undeclared end)) == \"plugins/demo/plugin.lua:3: undeclared "
    "variable 'undeclared' (misspelt, or not available to plugins)\"",
    "(function() string.rep = nil local ok = ('x'):rep(3) == 'xxx' string.rep = ('').rep return ok "
    "end)()",
    "(function() string.evil = print local ok = ('x').evil == nil string.evil = nil return ok "
    "end)()",
    "getmetatable(app) == 'locked' and not pcall(function() return app.stroe end)",
    "not pcall(function() app.env.X = 1 end)",
    "getmetatable(app.json.null) == 'locked' and not pcall(setmetatable, app.json.array({}), {})",
    "not pcall(string.rep, 'x', -1) or ('x'):rep(-1) == ''",
    "#('x'):rep(100) == 100",
    "_G._G == _G and type(_VERSION) == 'string'",
    "pcall(error) == false and select('#', pcall(error)) == 2",
    "pcall(coroutine.resume, coroutine.running()) == false",
    "type(math.random()) == 'number' and type(bit.band(1, 3)) == 'number'",
    "app.json.decode == require('maru.json').decode",
    "type(require('maru.collector').pass) == 'function'",
};

TEST(every_way_out_is_closed)
{
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
        char *exports = mem_printf("f = function(app) return %s end", closed[i]);
        struct run run = call_once(exports);
        mem_free(exports);
        if (run.outcome != TASK_DONE || (strcmp(run.json, "[true]") != 0 && run.json[1] != '"' &&
                                         !(run.json[1] >= '1' && run.json[1] <= '9')))
            TEST_FAIL("%s: %s %s", closed[i], run.json, run.message);
    }
}

TEST(states_do_not_share_their_random_numbers)
{
    struct run a = call_once("f = function() return math.random() end");
    struct run b = call_once("f = function() return math.random() end");
    CHECK(strcmp(a.json, b.json) != 0);
}

TEST(requires_files_of_its_own_folder)
{
    struct fixture f;
    fixture_init(&f);
    add_file(
        &f, "plugin.lua",
        "local parse = require 'parse'\nlocal deep = require('lib.deep')\n"
        "return { name = 'demo', version = '1.0.0', exports = { f = function()\n"
        "  return parse.x, deep, require 'parse' == parse, require 'lib', require 'none' end } }");
    add_file(&f, "parse.lua", "return { x = 42 }");
    add_file(&f, "lib/deep.lua", "return 'deep'");
    add_file(&f, "lib/init.lua", "return 'init'");
    add_file(&f, "none.lua", "");
    REQUIRE(fixture_load(&f, ""));
    CHECK_STR(call(&f, "f").json, "[42,\"deep\",true,\"init\",true]");
    fixture_close(&f);
}

TEST(names_the_file_and_line_that_does_not_load)
{
    static const struct {
        const char *plugin, *module, *message;
    } cases[] = {
        {"local x = = 1", "", "plugins/demo/plugin.lua:1: unexpected symbol near '='"},
        {"\n\nreturn require 'm'", "local t = nil\nreturn t.x",
         "plugins/demo/m.lua:2: attempt to index local 't' (a nil value)"},
        {"return require 'm'", "return )", "plugins/demo/m.lua:1: unexpected symbol near ')'"},
        {"return require 'm'", "local m = require 'm' return m",
         "plugins/demo/m.lua:1: require: 'm' is already being loaded (a cycle)"},
        {"\nlocal m = require 'nothing' return m", "",
         "plugins/demo/plugin.lua:2: require: no module 'nothing' in plugins/demo or maru.*"},
        {"error({})", "", "plugins/demo/plugin.lua: raised a table value while loading"},
        {"x = 1", "",
         "plugins/demo/plugin.lua:1: assignment to undeclared variable 'x': declare it with local"},
        {"\033LJ\002\002", "", "attempt to load chunk with wrong mode"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        fixture_init(&f);
        add_file(&f, "plugin.lua", cases[i].plugin);
        add_file(&f, "m.lua", cases[i].module);
        CHECK(!fixture_load(&f, ""));
        if (!strstr(f.err.message, cases[i].message))
            TEST_FAIL("%s, not %s", f.err.message, cases[i].message);
        CHECK_EQ(f.err.code, ERR_LUA);
        fixture_close(&f);
    }
}

TEST(a_module_that_failed_can_be_required_again)
{
    struct run run = call_once("f = function() local _, a = pcall(require, 'x') local _, b = "
                               "pcall(require, 'x') return a == b end");
    CHECK_STR(run.json, "[true]");
}

TEST(print_logs_under_the_plugins_name)
{
    call_once("f = function() print('hello', 1, nil, true) end");
    struct buf log = {0};
    log_recent(&log, 0, LOG_INFO, STR("demo"), 1);
    CHECK(strstr(log.p, "hello\\t1\\tnil\\ttrue"));
    CHECK(strstr(log.p, "demo@0123456789ab"));
    buf_free(&log);
}

TEST(logs_fields_and_the_task)
{
    struct run run =
        call_once("f = function(app) app.log:warn('odd', { n = 1, f = print, t = { 1 } "
                  "}) app.log:info('list', { 1, 2 }) return pcall(app.log.info, 'x') end");
    CHECK(strstr(run.json, "call it with a colon"));
    struct buf log = {0};
    log_recent(&log, 0, LOG_INFO, STR("demo"), 2);
    CHECK(strstr(log.p, "\"task\":\"f\""));
    CHECK(strstr(log.p, "\"f\":\"(function)\""));
    CHECK(strstr(log.p, "\"items\":[1,2]"));
    buf_free(&log);
}
