--- app.store: SQL with $1 parameters, over bind/store_lua.c.
--
-- Other nouns take part in a transaction by info.in_tx.<noun> = function(handle), whose result becomes
-- tx.<noun>; handle is what their C half gives to store_tx_check().

local units = require "maru.units"

return function(raw, info)
  local store = {}

  --- All rows as an array of tables. (waits)
  function store:all(sql, ...) -- luacheck: no self
    return raw.all(sql, ...)
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
    options = options or {}
    for name, value in pairs(options) do
      if not OPTIONS[name] then
        error(USAGE .. ": there is no option " .. tostring(name), 2)
      elseif OPTIONS[name] ~= true and type(value) ~= OPTIONS[name] then
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

  local function commit(handle, ...)
    local ok, message, code = raw.tx_end(handle, true)
    if not ok then
      return nil, message, code
    end
    return ...
  end

  local function finish(handle, ok, ...)
    local first, message = ...
    if not ok then
      raw.tx_end(handle, false)
      error(first, 0)
    end
    if first == nil and type(message) == "string" then
      raw.tx_end(handle, false)
      return ...
    end
    return commit(handle, ...)
  end

  --- Runs fn(tx) in a transaction: commits when it returns, rolls back when it raises or returns
  --- nil, message, code. Inside only tx may wait. (waits)
  function store:tx(fn) -- luacheck: no self
    if type(fn) ~= "function" then
      error("app.store:tx(fn): fn must be a function, got " .. type(fn), 2)
    end
    local handle = raw.tx_new()
    local ok, message, code = raw.tx_begin(handle)
    if not ok then
      return nil, message, code
    end
    return finish(handle, pcall(fn, make_tx(handle)))
  end

  return store
end
