/* table.sort gives what the library's gives, and ends. */
#include "vm/support.h"

static const char sorts[] =
    "f = function()\n"
    "  local function check(list)\n"
    "    local want, got = {}, {}\n"
    "    for i = 1, #list do want[i], got[i] = list[i], list[i] end\n"
    "    table.sort(want, function(a, b) return a < b end)\n"
    "    table.sort(got)\n"
    "    for i = 1, #list do assert(rawequal(want[i], got[i]), i .. ' of ' .. #list) end\n"
    "  end\n"
    "  for n = 0, 40 do\n"
    "    local numbers, texts = {}, {}\n"
    "    for i = 1, n do\n"
    "      numbers[i] = math.random(-9, 9) / 2\n"
    "      texts[i] = ('ab\\0\\200'):rep(math.random(0, 2)):sub(math.random(1, 8)) .. "
    "math.random(9)\n"
    "    end\n"
    "    check(numbers) check(texts)\n"
    "  end\n"
    "  local many = {}\n"
    "  for i = 1, 20000 do many[i] = math.random(100000) end\n"
    "  check(many)\n"
    "  many[7] = 0 / 0\n"
    "  table.sort(many)\n"
    "  assert(many[20000] ~= many[20000] and many[1] <= many[19999])\n"
    "  local objects, by_v = {}, { __lt = function(a, b) return a.v < b.v end }\n"
    "  for i = 1, 9 do objects[i] = setmetatable({ v = 10 - i }, by_v) end\n"
    "  table.sort(objects)\n"
    "  assert(objects[1].v == 1 and objects[9].v == 9)\n"
    "  local said = {}\n"
    "  for i, list in ipairs({ { 1, 'a' }, { {}, {} }, { 'a', 1, 'b' }, 5 }) do\n"
    "    said[i] = select(2, pcall(table.sort, list))\n"
    "  end\n"
    "  said[5] = select(2, pcall(table.sort, {}, 5))\n"
    "  return said\n"
    "end";

TEST(sorts_as_the_library_does)
{
    struct fixture f;
    struct run run = {0};
    if (fixture_timed(&f, sorts, "30s"))
        run = call(&f, "f");
    fixture_close(&f);
    CHECK_STR(run.json,
              "[[\"attempt to compare string with number\",\"attempt to compare two table values\","
              "\"attempt to compare number with string\","
              "\"bad argument #1 to '?' (table expected, got number)\","
              "\"bad argument #2 to '?' (function expected, got number)\"]]");
    if (run.outcome != TASK_DONE)
        TEST_FAIL("%s", run.message);
}

TEST(ends_a_sort_of_long_texts)
{
    struct run run =
        call_once("f = function()\n"
                  "  local a, b, list = ('x'):rep(1e6) .. 'a', ('x'):rep(1e6) .. 'b', {}\n"
                  "  for i = 1, 3000 do list[i] = i % 2 == 0 and a or b end\n"
                  "  return select(2, pcall(table.sort, list))\n"
                  "end");
    CHECK_STR(run.json, "[\"plugins/demo/plugin.lua:6: table.sort: more than 2000000000 bytes of "
                        "text to compare\"]");
}

/* The library would move two thousand million items. */
TEST(inserts_only_where_a_list_can_be)
{
    struct run run =
        call_once("f = function()\n"
                  "  local t = {}\n"
                  "  table.insert(t, 'b') table.insert(t, 1, 'a') table.insert(t, 3, 'c') "
                  "table.insert(t, nil)\n"
                  "  return t, (select(2, pcall(function() table.insert({}, -2 ^ 31, 1) end))),\n"
                  "    select(2, pcall(function() table.insert({}) end))\n"
                  "end");
    CHECK_STR(run.json,
              "[[\"a\",\"b\",\"c\"],\"plugins/demo/plugin.lua:6: bad argument #2 to 'insert' "
              "(position out of bounds)\",\"plugins/demo/plugin.lua:7: wrong number of arguments "
              "to 'insert'\"]");
}
