/* Patterns mean here what they mean to LuaJIT's own library, but end. */
#include <lualib.h>

#include "vm/pattern.h"
#include "vm/support.h"

/* TSan's own record of the stack grows with every error that leaves a C function. */
#if defined(__SANITIZE_THREAD__)
enum { RANDOM_CALLS = 100 };
#else
enum { RANDOM_CALLS = 30000 };
#endif

/* A plain state with the library's functions in `string` and the host's in `ours`. */
static lua_State *open_both(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_newtable(L);
    pattern_open(L);
    lua_setglobal(L, "ours");
    return L;
}

/* Runs the text, which raises when something is wrong. */
static void run_text(lua_State *L, const char *text)
{
    if (luaL_dostring(L, text) != 0)
        TEST_FAIL("%s", lua_tostring(L, -1));
    lua_settop(L, 0);
}

/* Results and errors of one call of both, as text. */
static const char both[] = "local function show(n, ...)\n"
                           "  local words = {}\n"
                           "  for i = 1, n do words[i] = string.format('%s:%q', type((select(i, "
                           "...))), tostring((select(i, "
                           "...)))) end\n"
                           "  return table.concat(words, ' ')\n"
                           "end\n"
                           "local function try(f, ...)\n"
                           "  local function count(...) return show(select('#', ...), ...) end\n"
                           "  return count(pcall(f, ...))\n"
                           "end\n"
                           "function compare(name, ...)\n"
                           "  local want, got = try(string[name], ...), try(ours[name], ...)\n"
                           "  if want ~= got then\n"
                           "    error(string.format('%s(%s)\\n#   library: %s\\n#   ours:    %s', "
                           "name, show(select('#', ...), "
                           "...), want, got), 0)\n"
                           "  end\n"
                           "end\n"
                           "function collect(f)\n"
                           "  return function(...)\n"
                           "    local seen = {}\n"
                           "    for a, b, c in f(...) do\n"
                           "      seen[#seen + 1] = tostring(a) .. tostring(b) .. tostring(c)\n"
                           "      if #seen > 300 then break end\n"
                           "    end\n"
                           "    return table.concat(seen, ';')\n"
                           "  end\n"
                           "end\n"
                           "string.all, ours.all = collect(string.gmatch), collect(ours.gmatch)\n";

static const char chosen[] =
    "local calls = {\n"
    "  {'a', '%'}, {'a', '[a'}, {'a', '[%]'}, {'a', '[]'}, {'a', '[^]'}, {']', '[]]'}, {'a', "
    "'(a'},\n"
    "  {'a', 'a)'}, {'a', '%1'}, {'a', '(a%1'}, {'aa', '()%1'}, {'a', '%f'}, {'a', '%fa'}, {'a', "
    "'%b'},\n"
    "  {'a', '%bx'}, {'f(a(b)c)d', '%b()'}, {'((', '%b()'}, {'xx', '%bxx'}, {'THE (quick) fox', "
    "'%f[%a]%a+%f[%A]'},\n"
    "  {'abc', ''}, {'abc', '', 4}, {'abc', '', 10}, {'abc', 'b', -2}, {'abc', 'b', -100}, {'abc', "
    "'()', 10},\n"
    "  {'a.b', '.', 2, true}, {'a.b', '.', 1, false}, {'abc', 'c', 0}, {'abc', '^b', 2}, {'a^b', "
    "'a^'}, {'a$', 'a$'},\n"
    "  {'a$b', 'a$b'}, {'a\\0b', '%z'}, {'a\\0b', '\\0b'}, {'a\\0b', 'a\\0x'}, {'a\\0b', "
    "'[^\\0]'}, "
    "{'ab', '%Z'},\n"
    "  {'-', '[a-]'}, {'-', '[-a]'}, {'b', '[a-c]'}, {'-', '[%a-z]'}, {'b', '[c-a]'}, {'^', "
    "'[a^]'}, {'%', '[%%]'},\n"
    "  {'é', '[\\195]'}, {'é', '%a'}, {'key = value', '(%w+)%s*=%s*(%w+)'}, {'x', '((x))'}, {'x', "
    "'(()x())'},\n"
    "  {'aaa', 'a-'}, {'aaa', 'a-$'}, {'aaab', 'a-b'}, {'aaa', '^a?a?a?a?$'}, {1234, 23}, {12, "
    "'%d', "
    "'2'},\n"
    "  {'hello hello', '(%w+) %1'}, {'x\"y\"z', '([\"\\'])(.-)%1'}, {}, {'a'}, {{}, 'a'}, {'a', "
    "{}}, "
    "{'a', 'a', {}},\n"
    "  {'a', 'a', 'x'}, {'abc', 'b', 2^31}, {'abc', 'b', -2^31}, {'abc', 'b', 2^40}, {'abc', 'b', "
    "1.9}, {nil, 'a'},\n"
    "}\n"
    "for _, call in ipairs(calls) do\n"
    "  for _, name in ipairs({'find', 'match', 'all'}) do compare(name, unpack(call, 1, 4)) end\n"
    "  compare('gsub', call[1], call[2], '<%0>') compare('gsub', call[1], call[2], '<%1>')\n"
    "  compare('gsub', call[1], call[2], function(...) return select('#', ...) end)\n"
    "end\n"
    "for _, repl in ipairs({'%', '%x', '%%', '%1', '%2', '%9', '%0%0', 5, '', true, tostring, {}, "
    "{b = 'B'}, {b = 1}, {b = {}},\n"
    "  {b = false}, setmetatable({}, {__index = function(_, k) return k .. k end}),\n"
    "  function() end, function() return false end, function() return {} end, function() "
    "error('no', "
    "0) end}) do\n"
    "  for _, n in ipairs({-1, 0, 1, 2, 1.9, '2', 100, 2^33}) do compare('gsub', 'abcb', 'b', "
    "repl, "
    "n) end\n"
    "  compare('gsub', 'abcb', '(b)', repl) compare('gsub', 'abcb', '()', repl)\n"
    "  compare('gsub', 'abcb', '^a', repl)\n"
    "end\n"
    "compare('gsub') compare('gsub', 'a') compare('gsub', 'a', 'a') compare('gsub', 'a', 'a', "
    "nil)\n"
    "compare('find', ('a'):rep(300), ('a?'):rep(300)) compare('find', ('a'):rep(300), "
    "('a?'):rep(199))\n"
    "compare('find', 'a', ('(a'):rep(40)) compare('match', 'a', ('()'):rep(33)) compare('match', "
    "'a', "
    "('()'):rep(32))\n"
    "compare('gsub', ('abc'):rep(1000), '%w', '%0%0%0') compare('gsub', ('abc'):rep(1000), 'b', "
    "{b = ('x'):rep(700)})\n";

/* The calls' names and places in messages are those of the plugin's call. */
static const char messages[] =
    "local stock = string.find\n"
    "local function message(lib) string.find = lib.find\n"
    "  local a = select(2, pcall(function() return string.find('a', {}) end))\n"
    "  local b = select(2, pcall(function() local s = ('a') local x = s:find('%') return x end))\n"
    "  local c = select(2, pcall(function() local s = 'a' local x = s:find() return x end))\n"
    "  string.find = stock return a .. b .. c end\n"
    "local want, got = message({ find = stock }), message(ours)\n"
    "assert(want == got, want .. '\\n# ' .. got)\n";

static const char random_calls[] =
    "math.randomseed(SEED)\n"
    "local random = math.random\n"
    "local letters = {'a', 'b', 'B', '1', ' ', '_', '.', '\\0', '(', ')', '\\200'}\n"
    "local items = {'a', 'b', 'B', '.', '%a', '%w', '%s', '%d', '%A', '%S', '%p', '%z', '%x', "
    "'%u', "
    "'%.', '[ab]',\n"
    "  '[^a]', '[%w_]', '[a-b1]', '[^%s]', '%b()', '%f[%w]', '%f[^%w]', '%1', '%2', '(', ')', "
    "'()', "
    "'$', '^', '%',\n"
    "  '[', ']', '-', '*', '\\0', '[]', '[^]]', '[%', 'a-', '%g', '%c', '%l', '%q', '\\200'}\n"
    "local suffixes = {'', '', '', '', '*', '+', '-', '?'}\n"
    "local function text(list, most)\n"
    "  local parts = {}\n"
    "  for i = 1, random(0, most) do parts[i] = list[random(#list)] end\n"
    "  return table.concat(parts)\n"
    "end\n"
    "local function pattern()\n"
    "  local parts = {random(6) == 1 and '^' or ''}\n"
    "  local open = random(3) == 1\n"
    "  for i = 1, random(0, 6) do\n"
    "    local item = items[random(#items)] .. suffixes[random(#suffixes)]\n"
    "    parts[#parts + 1] = open and random(3) == 1 and '(' .. item .. ')' or item\n"
    "  end\n"
    "  if random(6) == 1 then parts[#parts + 1] = '$' end\n"
    "  return table.concat(parts)\n"
    "end\n"
    "local repls = {function() return text(letters, 2) end, function() return '<%0>' end,\n"
    "  function() return '%1' end, function() return text({'%', '%1', '%2', 'x', '%0'}, 4) end,\n"
    "  function() return {a = 'A', b = 7, [' '] = false, [1] = 'one'} end,\n"
    "  function() return function(a, b) return b or (a ~= 'b' and a) end end}\n"
    "for _ = 1, CALLS do\n"
    "  local s, p = text(letters, 12), pattern()\n"
    "  local init = random(3) == 1 and random(-14, 14) or nil\n"
    "  compare('find', s, p, init, random(8) == 1)\n"
    "  compare('match', s, p, init)\n"
    "  compare('all', s, p)\n"
    "  compare('gsub', s, p, repls[random(#repls)](), random(4) == 1 and random(-1, 4) or nil)\n"
    "end\n";

TEST(chosen_calls_give_what_the_library_gives)
{
    lua_State *L = open_both();
    run_text(L, both);
    run_text(L, chosen);
    run_text(L, messages);
    lua_close(L);
}

/* PATTERN_SEED chooses others than the fixed ones. */
TEST(random_calls_give_what_the_library_gives)
{
    const char *given = getenv("PATTERN_SEED");
    for (int i = 0; i < 4; i++) {
        lua_State *L = open_both();
        lua_pushinteger(L, (given ? atoi(given) : 1) * 100 + i);
        lua_setglobal(L, "SEED");
        lua_pushinteger(L, RANDOM_CALLS);
        lua_setglobal(L, "CALLS");
        run_text(L, both);
        run_text(L, random_calls);
        lua_close(L);
    }
}

/* Each takes the library's matcher longer than a day, or seconds at the least. */
TEST(ends_a_call_that_takes_too_many_steps)
{
    static const char *const bombs[] = {
        "('a'):rep(250):find(('.-'):rep(40) .. 'b')",
        "('a'):rep(3000):match('.-.-.-.-b')",
        "('a'):rep(3000):gsub('.*.*.*.*b', '')",
        "('a'):rep(60000):gsub('.-b', '')",
        "('('):rep(60000):find('%b()')",
        "('a'):rep(60000):find('[' .. ('b'):rep(60000) .. ']')",
        "('a'):rep(60000):match('(a*)%1b')",
        "('a'):rep(60000):gmatch('a*b')()",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        char *exports =
            mem_printf("f = function() return select(2, pcall(function()\nlocal x = %s\n"
                       "return x end)) end",
                       bombs[i]);
        struct run run = call_once(exports);
        mem_free(exports);
        const char *at = strstr(run.json, "plugins/demo/plugin.lua:4: string.");
        if (!at || !strstr(at, ": pattern takes too many steps (limit 1"))
            TEST_FAIL("%s: %s %s", bombs[i], run.json, run.message);
    }
}

TEST(plain_text_is_found_in_time_that_grows_with_the_sum_of_lengths)
{
    struct run run = call_once("f = function() local s = ('a'):rep(1e6)\n"
                               "return s:find(('a'):rep(5e5) .. 'b', 1, true), s:find('aab') end");
    CHECK_STR(run.json, "[null,null]");
}

TEST(a_long_subject_is_no_bomb)
{
    struct run run =
        call_once("f = function() local s = ('word and '):rep(1e5)\n"
                  "local text, n = s:gsub('%s+', ' ') return #text, n, #s:gsub('%w+', '<%0>') end");
    if (strcmp(run.json, "[900000,200000,1300000]") != 0)
        TEST_FAIL("%s %s", run.json, run.message);
}

/* Recursion from C into Lua and back would take the thread's stack, and with it the process. */
TEST(recursion_through_c_functions_ends_with_an_error)
{
    static const char *const calls[] = {
        "local function r() return (('x'):gsub('x', r)) end return pcall(r)",
        "local t = setmetatable({}, {}) local function r() return (('x'):gsub('x', t)) end\n"
        "getmetatable(t).__index = r return pcall(r)",
        "local function r() return coroutine.wrap(function() return r() end)() end return pcall(r)",
        "local function last(_, message) return message end\n"
        "local function r() return last(coroutine.resume(coroutine.create(function() return r() "
        "end))) end\n"
        "return false, r()",
        "local function r() return load(function() r() end) end return pcall(r)",
        "local function r() table.sort({ 1, 2, 3 }, function() r() end) end return pcall(r)",
        "local t = setmetatable({}, { __tostring = function(t) return (tostring(t)) end })\n"
        "return pcall(tostring, t)",
        "local t = setmetatable({}, { __tostring = function(t) return ('%s'):format(t) end })\n"
        "return pcall(string.format, '%s', t)",
        "local function r() local ok, message = coroutine.resume(coroutine.create(function()\n"
        "  table.sort({ 1, 2 }, function() r() end) end)) if not ok then error(message, 0) end "
        "end\n"
        "return pcall(r)",
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct fixture f;
        struct run run = {0};
        char *text = mem_printf("return { name = 'demo', version = '1.0.0', limits = { memory = "
                                "'512M' }, exports = { f = function()\n"
                                "local function g() %s end\nlocal ok, message = g()\n"
                                "return ok, message:match('stack overflow') end } }",
                                calls[i]);
        if (fixture_open(&f, text))
            run = call(&f, "f");
        fixture_close(&f);
        mem_free(text);
        if (strcmp(run.json, "[false,\"stack overflow\"]") != 0)
            TEST_FAIL("%s: %s %s", calls[i], run.json, run.message);
    }
}
