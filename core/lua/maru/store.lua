--- app.store: SQL with $1 parameters, over bind/store_lua.c.
--
-- Other nouns take part in a transaction by info.in_tx.<noun> = function(handle), whose result becomes
-- tx.<noun>; handle is what their C half gives to store_tx_check().

local units = require "maru.units"
local words = require "maru.words"

local TX_TRIES = 10

return function(raw, info)
  local store = {}

  --- All rows as an array of tables. (waits)
  function store:all(sql, ...) -- luacheck: no self
    return raw.all(sql, ...)
  end

  --- As store:all, for a statement that only reads and may be a little behind: from the replica, where
  --- there is one. (waits)
  function store:read(sql, ...) -- luacheck: no self
    return raw.read(sql, ...)
  end

  --- First row, or false when there is none. (waits)
  function store:one(sql, ...) -- luacheck: no self
    return raw.one(sql, ...)
  end

  --- Runs a statement; returns how many rows it changed. (waits)
  function store:exec(sql, ...) -- luacheck: no self
    return raw.exec(sql, ...)
  end

  --- Runs a statement for each row of values, all or none. (waits)
  function store:many(sql, rows) -- luacheck: no self
    return raw.many(sql, rows)
  end

  local USAGE = "app.store:query(sql, [{ params, limit, timeout }])"
  local OPTIONS = { params = "table", limit = "number", timeout = true }

  --- One SELECT over this plugin's tables, with its columns in order; bounded in rows and time. (waits)
  function store:query(sql, options) -- luacheck: no self
    options = words.options(options, OPTIONS, USAGE, 2)
    for name, value in pairs(options) do
      if OPTIONS[name] ~= true and type(value) ~= OPTIONS[name] then
        error(USAGE .. ": " .. name .. " must be a " .. OPTIONS[name] .. ", got " .. type(value), 2)
      end
    end
    local timeout = options.timeout and units.duration(options.timeout) or 10
    if not timeout then
      error(USAGE .. ": timeout must be a duration such as \"5s\"", 2)
    end
    return raw.query(sql, options.limit or 1000, timeout, unpack(options.params or {}, 1, #(options.params or {})))
  end

  local function make_tx(handle)
    local tx = {}
    for _, name in ipairs { "all", "one", "exec", "many" } do
      local run = raw["tx_" .. name]
      tx[name] = function(_, ...)
        return run(handle, ...)
      end
    end
    for noun, make in pairs(info.in_tx or {}) do
      tx[noun] = make(handle)
    end
    return tx
  end

  --- The server could not put the transaction in order with others: run it anew. It was rolled back.
  local AGAIN = {}

  local function commit(handle, last, ...)
    local ok, message, code = raw.tx_end(handle, true)
    if ok then
      return ...
    end
    if code == "busy" and not last then
      return AGAIN
    end
    return nil, message, code
  end

  local function finish(handle, last, ok, ...)
    local first, message = ...
    local again = not last and raw.tx_again(handle)
    if again or not ok or (first == nil and type(message) == "string") then
      raw.tx_end(handle, false)
      if again then
        return AGAIN
      end
      if not ok then
        error(first, 0)
      end
      return ...
    end
    return commit(handle, last, ...)
  end

  local function attempt(fn, number)
    local handle = raw.tx_new(number)
    local ok, message, code = raw.tx_begin(handle)
    if not ok then
      return nil, message, code
    end
    return finish(handle, number + 1 >= TX_TRIES, pcall(fn, make_tx(handle)))
  end

  local function run_again(fn, number, ...)
    if (...) ~= AGAIN then
      return ...
    end
    return run_again(fn, number + 1, attempt(fn, number + 1))
  end

  --- Runs fn(tx) in a transaction: commits when it returns, rolls back when it raises or returns
  --- nil, message, code. Inside only tx may wait. With PostgreSQL fn is run again when the server
  --- could not put the transaction in order with others. (waits)
  function store:tx(fn) -- luacheck: no self
    if type(fn) ~= "function" then
      error("app.store:tx(fn): fn must be a function, got " .. type(fn), 2)
    end
    return run_again(fn, 0, attempt(fn, 0))
  end

  return store
end
