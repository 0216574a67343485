/* JSON from and to Lua values. */
#include "vm/support.h"

static const struct {
    const char *value, *json;
} encoded[] = {
    {"{}", "{}"},
    {"app.json.array({})", "[]"},
    {"{ 1, 2, 3 }", "[1,2,3]"},
    {"{ a = 1 }", "{\"a\":1}"},
    {"{ { {} } }", "[[{}]]"},
    {"app.json.null", "null"},
    {"true", "true"},
    {"'text'", "\"text\""},
    {"'q\"\\\\\\n\\1가'", "\"q\\\"\\\\\\n\\u0001가\""},
    {"('x'):rep(20) .. '\"'", "\"xxxxxxxxxxxxxxxxxxxx\\\"\""},
    {"0", "0"},
    {"-0", "-0"},
    {"1e15", "1000000000000000"},
    {"2 ^ 53", "9007199254740992"},
    {"-2 ^ 53", "-9007199254740992"},
    {"0.1", "0.1"},
    {"1 / 3", "0.3333333333333333"},
    {"1e300", "1e+300"},
    {"(function() local t = {} t[3] = 3 t[2] = 2 t[1] = 1 return t end)()", "[1,2,3]"},
    {"(function() local t = {} for i = 40, 1, -1 do t[i] = 0 end return #t end)()", "40"},
    {"(function() local t = { 1, 2, 3 } t[3] = nil return t end)()", "[1,2]"},
    {"app.json.decode('[]')", "[]"},
    {"app.json.decode('{\"a\":[],\"b\":{},\"c\":[[]]}').c", "[[]]"},
    {"app.json.decode('[1,null,\"x\",true,-2.5e3]')", "[1,null,\"x\",true,-2500]"},
    {"app.json.decode('\"\\\\u00e9\\\\ud83d\\\\ude00\"')", "\"é😀\""},
};

TEST(writes_values)
{
    for (size_t i = 0; i < sizeof encoded / sizeof *encoded; i++) {
        char *exports =
            mem_printf("f = function(app) return app.json.encode(%s) end", encoded[i].value);
        struct run run = call_once(exports);
        struct buf want = {0};
        buf_add_char(&want, '[');
        json_write_string(&want, str_c(encoded[i].json));
        buf_add_char(&want, ']');
        if (strcmp(run.json, want.p) != 0)
            TEST_FAIL("%s: %s, not %s %s", encoded[i].value, run.json, want.p, run.message);
        buf_free(&want);
        mem_free(exports);
    }
}

static const struct {
    const char *value, *message;
} refused[] = {
    {"print", "app.json.encode(value): a function has no JSON form"},
    {"{ a = { b = { 1, print } } }", "a.b[2]: a function has no JSON form"},
    {"0 / 0", "JSON cannot hold NaN"},
    {"{ x = 1 / 0 }", "x: JSON cannot hold infinity"},
    {"{ t = { 1, nil, 3 } }",
     "t: sparse array: 2 items up to index 3; fill holes with app.json.null"},
    {"{ [5] = 1 }", "sparse array: 1 items up to index 5"},
    {"{ 1, a = 2 }", "a table with both items and named fields has no JSON form"},
    {"{ a = 2, [7] = 2 }", "both items and named fields"},
    {"{ [true] = 2 }", "a key must be text"},
    {"(function() local t = {} t.t = t return t end)()", "nested deeper than 64 levels (a cycle?)"},
    {"{ name = 'a\\255b' }", "name: text is not valid UTF-8"},
    {"{ ['a\\255b'] = 1 }", "text is not valid UTF-8"},
    {"coroutine.create(print)", "a thread has no JSON form"},
};

TEST(refuses_what_json_cannot_hold_naming_the_path)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char *exports =
            mem_printf("f = function(app) return app.json.encode(%s) end", refused[i].value);
        struct run run = call_once(exports);
        if (run.outcome != TASK_FAILED || !strstr(run.message, refused[i].message))
            TEST_FAIL("%s: %s%s", refused[i].value, run.json, run.message);
        mem_free(exports);
    }
}

TEST(reads_values_and_says_what_is_wrong)
{
    struct run run =
        call_once("f = function(app)\n"
                  "  local d = app.json.decode\n"
                  "  return d('{\"a\":1}').a, select('#', d('null')), d('null') == app.json.null,\n"
                  "    getmetatable(d('[]')), getmetatable(d('[1]')) == nil,\n"
                  "    (select(3, d('[[[]]]', { max_depth = 2 }))), (d('\"\\255\"'))\nend");
    CHECK_STR(run.json, "[1,1,true,\"array\",true,\"json\",null]");
    run = call_once("f = function(app) return app.json.decode('{\\n  \"a\": x}') end");
    CHECK(strstr(run.json, "[null,\"line 2 column 8: "));
    CHECK(strstr(run.json, ",\"json\"]"));
    run = call_once("f = function(app) return app.json.decode(5) end");
    CHECK(strstr(run.message, "app.json.decode(text, [options]): text must be a string, got 5"));
    run = call_once("f = function(app) return app.json.decode('1', { deep = 5 }) end");
    CHECK(strstr(run.message, "app.json.decode(text, [options]): unknown option deep"));
}

TEST(a_bomb_of_depth_is_refused)
{
    struct run run = call_once("f = function(app) return app.json.decode(('['):rep(100000)) end");
    CHECK(strstr(run.json, "[null,"));
    CHECK_EQ(run.outcome, TASK_DONE);
}

TEST(a_bomb_of_tables_ends_the_task_by_memory)
{
    struct run run = call_once(
        "f = function(app) return app.json.decode('[' .. ('[[]],'):rep(100000) .. '0]') end");
    CHECK_EQ(run.outcome, TASK_MEMORY);
}

TEST(round_trips_random_values)
{
    struct run run = call_once(
        "f = function(app)\n"
        "  local function make(depth)\n"
        "    local kind = math.random(depth > 4 and 4 or 6)\n"
        "    if kind == 1 then return math.random(-1e9, 1e9) / math.random(1, 1000) end\n"
        "    if kind == 2 then return math.random(2) == 1 end\n"
        "    if kind == 3 then return app.json.null end\n"
        "    if kind == 4 then local c = {} for i = 1, math.random(0, 30) do c[i] = "
        "string.char(math.random(0, 127)) end return table.concat(c) end\n"
        "    local t = {}\n"
        "    for i = 1, math.random(0, 5) do t[kind == 5 and i or 'k' .. i] = make(depth + 1) end\n"
        "    return kind == 5 and app.json.array(t) or t\n"
        "  end\n"
        "  local function same(a, b)\n"
        "    if type(a) ~= 'table' then return a == b end\n"
        "    for k, v in pairs(a) do if not same(v, b[k]) then return false end end\n"
        "    for k in pairs(b) do if a[k] == nil then return false end end\n"
        "    return true\n"
        "  end\n"
        "  for i = 1, 2000 do\n"
        "    local value = make(1)\n"
        "    local text = app.json.encode(value)\n"
        "    assert(same(value, app.json.decode(text)), text)\n"
        "  end\n"
        "  return true\nend");
    CHECK_STR(run.json, "[true]");
    if (run.outcome != TASK_DONE)
        puts(run.message);
}

TEST(arrays_that_become_floats_say_the_same)
{
    struct run run = call_once(
        "f = function(app)\n"
        "  local names, some = { 'a', 'b', 'data', 'items' }, { 0.5, -3, 100, 'x', true, "
        "app.json.null, 1e39 }\n"
        "  local function make(depth)\n"
        "    local kind, out = math.random(depth > 5 and 2 or 5), {}\n"
        "    if kind == 1 then return some[math.random(#some)] end\n"
        "    if kind <= 3 then\n"
        "      for i = 1, math.random(0, 4) do out[i] = kind == 2 and some[math.random(4)] or "
        "make(depth + 1) end\n"
        "      return app.json.array(out)\n"
        "    end\n"
        "    for _ = 1, math.random(4) do out[names[math.random(4)]] = make(depth + 1) end\n"
        "    return out\n"
        "  end\n"
        "  local floats = 0\n"
        "  local function count(v)\n"
        "    if type(v) == 'userdata' and v ~= app.json.null then floats = floats + 1\n"
        "    elseif type(v) == 'table' then for _, x in pairs(v) do count(x) end end\n"
        "  end\n"
        "  for _, path in ipairs({ 'data', 'items.data', 'a.b', 'a.a.a', '', '.', 'items.', 'dat' "
        "}) do\n"
        "    for i = 1, 500 do\n"
        "      local text = app.json.encode({ data = make(1), items = make(0), a = make(0) })\n"
        "      local value = app.json.decode(text, { floats = path })\n"
        "      count(value)\n"
        "      local same = app.json.encode(value) == app.json.encode(app.json.decode(text))\n"
        "      if not same then return path, text, value end\n"
        "    end\n"
        "  end\n"
        "  return floats > 20\n"
        "end");
    CHECK_STR(run.json, "[true]");
}

TEST(more_numbers_than_floats_hold_stay_a_table)
{
    struct fixture f;
    struct run run = {0};
    if (fixture_open(&f, "local M = { name = 'demo', version = '1.0.0' }\n"
                         "M.limits = { memory = '512M', task = '60s' }\n"
                         "local function f(app)\n"
                         "  local text = '{\"data\":[' .. ('0,'):rep(9999999) .. '0'\n"
                         "  local floats = { floats = 'data' }\n"
                         "  local most = app.json.decode(text .. ']}', floats).data\n"
                         "  local over = app.json.decode(text .. ',7]}', floats).data\n"
                         "  return type(most), #most, type(over), #over, over[#over]\n"
                         "end\n"
                         "M.exports = { f = f }\nreturn M\n"))
        run = call(&f, "f");
    CHECK_STR(run.json, "[\"userdata\",10000000,\"table\",10000001,7]");
    fixture_close(&f);
}

TEST(what_has_room_as_floats_alone_ends_the_task_by_memory)
{
    struct run run = call_once("f = function(app)\n"
                               "  local text = '{\"data\":[' .. ('0,'):rep(450000) .. 'null]}'\n"
                               "  return #app.json.decode(text, { floats = 'data' }).data\n"
                               "end");
    CHECK_EQ(run.outcome, TASK_MEMORY);
}
