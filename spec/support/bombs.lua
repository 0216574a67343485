--- Two plugins: `good` answers and runs jobs; `bad` has one route for each way to take all it can.
--- Used by spec/server/bombs_spec.lua and bench/bombs.
local GOOD = { ["plugin.lua"] = [[
local M = { name = "good", version = "1.0.0" }
M.routes = {
  ["GET /good"] = function(app) return 200, { at = app.now() } end,
  ["POST /good/jobs"] = function(app)
    local ids, message = app.jobs:push_many("note", { {}, {}, {} })
    return ids and 202 or 500, { count = ids and #ids or 0, message = message }
  end,
  ["GET /good/jobs"] = function(app)
    return 200, { count = app.store:one("select count(*) as n from notes").n }
  end,
}
M.jobs = { note = { queue = "good", function(app, job)
  return app.store:exec("insert into notes(id) values ($1) on conflict do nothing", job.id)
end } }
return M
]], ["migrations/0001_notes.sql"] = "create table notes (id integer primary key);\n" }

-- The body of a handler(app), the status and code that its caller gets, and words of the detail or the body.
local BOMBS = {
  { "a pattern that backtracks for ever", 500, "error", "pattern takes too many steps",
    [[return 200, ("a"):rep(250):find((".-"):rep(40) .. "b")]] },
  { "a pattern in gsub", 500, "error", "pattern takes too many steps",
    [[return 200, (("a"):rep(60000):gsub(".-b", ""))]] },
  { "a plain search of long texts", 204, nil, "",
    [[return ("a"):rep(1e6):find(("a"):rep(5e5) .. "b", 1, true)]] },
  { "a table that grows", 503, "memory", "memory limit", [[local t = {} while true do t[#t + 1] = { #t } end]] },
  { "string.rep", 503, "memory", "memory limit", [[return 200, ("x"):rep(1e9)]] },
  { "concatenation", 503, "memory", "memory limit", [[local s = "x" while true do s = s .. s end]] },
  { "string.format", 500, "error", "invalid option", [[return 200, ("%99999999s"):format("x")]] },
  { "table.concat", 503, "memory", "memory limit",
    [[local t, s = {}, ("x"):rep(1e6) for i = 1, 1000 do t[i] = s end return 200, table.concat(t)]] },
  { "table.insert far to the left", 500, "error", "out of bounds", [[table.insert({}, -2 ^ 31, 1)]] },
  { "table.sort of long texts", 500, "error", "bytes of text to compare",
    [[local a, b, t = ("x"):rep(2e6) .. "a", ("x"):rep(2e6) .. "b", {}
      for i = 1, 5000 do t[i] = i % 2 == 0 and a or b end table.sort(t)]] },
  { "recursion in Lua", 500, "error", "stack overflow", [[local function f() return 1 + f() end return 200, f()]] },
  { "pcall in pcall", 200, nil, "true|false",
    [[local function f() return select(-1, pcall(f)) end return 200, { f() and true }]] },
  { "tostring in __tostring", 500, "error", "stack overflow",
    [[return 200, tostring(setmetatable({}, { __tostring = function(t) return (tostring(t)) end }))]] },
  { "string.format in __tostring", 500, "error", "stack overflow",
    [[local t = setmetatable({}, { __tostring = function(t) return ("%s"):format(t) end })
      return 200, ("%s"):format(t)]] },
  { "gsub in gsub", 500, "error", "stack overflow",
    [[local function f() return (("x"):gsub("x", f)) end return 200, f()]] },
  { "coroutines in coroutines", 500, "error", "stack overflow|memory",
    [[local function last(_, message) return message end
      local function f() return last(coroutine.resume(coroutine.create(function() return f() end))) end
      error(f(), 0)]] },
  { "load in load", 500, "error", "stack overflow",
    [[local function f() return assert(load(function() f() end)) end f()]] },
  { "an error in the error handler", 500, "error", "error in error handling",
    [[local _, e = xpcall(error, function(m) error(m) end) error(e, 0)]] },
  { "JSON of a cycle", 500, "error", "nested deeper", [[local t = {} t.t = t return 200, t]] },
  { "deep JSON", 500, "error", "nested deeper", [[local t = {} for _ = 1, 1e5 do t = { t } end return 200, t]] },
  { "JSON of two in two in two", 500, "error", "longer than it may be",
    [[local t = { 1 } for _ = 1, 50 do t = { t, t } end return 200, t]] },
  { "JSON of one long text many times", 500, "error", "longer than it may be",
    [[local s, t = ("x"):rep(1e6), {} for i = 1, 1e4 do t[i] = s end return 200, t]] },
  { "deep JSON from outside", 200, nil, "nested", [[return 200, { (select(2, app.json.decode(("["):rep(1e6)))) }]] },
  { "error({})", 500, "error", "raised a table value", [[error({})]] },
  { "error(nil)", 500, "error", "raised a nil value", [[error(nil)]] },
  { "error() of what cannot be told", 500, "error", "raised a table value",
    [[error(setmetatable({}, { __tostring = error, __index = error, __metatable = error }))]] },
  { "an error of a million letters", 500, "error", "xxx", [[error(("x"):rep(1e6), 0)]] },
  { "coroutines", 503, "memory", "memory limit",
    [[local t = {} while true do t[#t + 1] = coroutine.wrap(function() coroutine.yield() end) t[#t]() end]] },
  { "a gigabyte as an answer", 503, "memory", "memory limit",
    [[local t = {} for i = 1, 1024 do t[i] = ("x"):rep(2 ^ 20) .. i end return 200, table.concat(t)]] },
  { "a header of a megabyte", 500, "error", "longer than 64 KiB",
    [[return 200, "", { ["x-long"] = ("x"):rep(1e6) }]] },
  { "a hundred thousand cookies", 500, "error", "longer than 64 KiB",
    [[local t = {} for i = 1, 1e5 do t[i] = "a=" .. i end return 200, "", { ["set-cookie"] = t }]] },
  { "an answer that is split", 500, "error", "not allowed",
    [[return 200, "", { ["content-type"] = "text/html\r\nx-more: 1" }]] },
  { "statements with long values", 500, "error", "of its memory",
    [[local s, rows = ("x"):rep(1e6), {} for i = 1, 1e4 do rows[i] = { s } end
      return 200, app.store:many("select $1", rows)]] },
  { "jobs with long arguments", 200, nil, "limit",
    [[local list = {} for i = 1, 1000 do list[i] = { s = ("x"):rep(1e5) } end
      return 200, { select(3, app.jobs:push_many("nothing", list)) }]] },
  { "metrics without number", 200, nil, "done",
    [[for i = 1, 5000 do app.metrics:count("many", 1, { n = i }) end return 200, { "done" }]] },
  { "a metric of two kinds", 500, "error", "another kind",
    [[app.metrics:count("twice") app.metrics:gauge("twice", 1)]] },
  { "subscriptions", 200, nil, "limit",
    [[local n, code = 0, nil
      repeat local sub, _, c = app.channels:subscribe("topic" .. n) n, code = n + 1, c until not sub
      return 200, { n, code }]] },
  { "messages that nobody takes", 200, nil, "busy",
    [[local sub, message, code = app.channels:subscribe("flood"), ("x"):rep(1e6), nil
      for _ = 1, 1000 do
        local ok, _, c = app.channels:publish("flood", message)
        code = not ok and c
        if code then break end
      end
      sub:close()
      return 200, { code or "all" }]] },
  { "a flood of the cache", 200, nil, "done",
    [[local s = ("x"):rep(10000) for i = 1, 2000 do app.cache:set("k" .. i, s) end return 200, { "done" }]] },
  { "a flood of jobs", 200, nil, "5000",
    [[local list = {} for i = 1, 5000 do list[i] = { i = i } end
      return 200, { #app.jobs:push_many("nothing", list) }]] },
  { "a flood of log lines", 200, nil, "done",
    [[for i = 1, 2000 do app.log:info(("x"):rep(1e4), { s = ("y"):rep(1e4) }) end return 200, { "done" }]] },
  { "a handler that never answers", 504, "timeout", "longer than it may", [[while true do app.sleep(3600) end]] },
}

local function bad_plugin()
  local routes = {}
  for i, bomb in ipairs(BOMBS) do
    routes[i] = ("  [\"GET /bad/%d\"] = function(app)\n%s\nend,"):format(i, bomb[5])
  end
  return { ["plugin.lua"] = [[
local M = { name = "bad", version = "1.0.0" }
M.limits = { memory = "24M", task = "5s", watchdog = "20s" }
M.jobs = { nothing = { queue = "bad", function() end } }
M.routes = {
  ["GET /bad/ok"] = function() return 200, { "fine" } end,
  ["GET /bad/spawn"] = function(app)
    local n = 0
    while app.spawn(function(a) a.sleep(3600) end) do n = n + 1 end
    return 200, { n }
  end,
]] .. table.concat(routes, "\n") .. "\n}\nreturn M\n" }
end

return { bombs = BOMBS, good = GOOD, bad = bad_plugin() }
