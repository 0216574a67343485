--- app.search: documents found by words, over bind/search_lua.c.
local units = require "maru.units"
local words = require "maru.words"

local INDEX = "app.search:index(index, docs, [options])"
local FIND = "app.search:find(index, [query], [options])"
local DELETE = "app.search:delete(index, id|filter)"
local COUNT = "app.search:count(index, [query], [options])"
local FIND_OPTIONS = words.set { "filter", "sort", "limit", "after", "highlight", "fields", "facets", "recency" }

local function fail(usage, text, ...)
  error(usage .. ": " .. text:format(...), 4)
end

local function check_query(query, usage)
  if query ~= nil and type(query) ~= "string" then
    fail(usage, "query must be a string, got %s", type(query))
  end
  return query
end

--- A name or a list of names, as a list.
local function names(options, key, usage)
  local value = options[key]
  if type(value) == "string" then
    return { value }
  elseif value ~= nil and (type(value) ~= "table" or words.beyond(value) ~= nil) then
    fail(usage, "options.%s must be a field's name or a list of them", key)
  end
  for _, name in ipairs(value or {}) do
    if type(name) ~= "string" then
      fail(usage, "options.%s must be a field's name or a list of them", key)
    end
  end
  return value
end

local function check_filter(filter, what, usage)
  if filter ~= nil and type(filter) ~= "table" then
    fail(usage, "%s must be a table { field = value }, got %s", what, type(filter))
  end
  for name in pairs(filter or {}) do
    if type(name) ~= "string" then
      fail(usage, "%s must be a table { field = value }", what)
    end
  end
  return filter
end

return function(raw, info)
  local search, json = {}, info.raw.json
  local declared = info.declared and info.declared.search or {}

  local function check_index(name, usage)
    if type(name) ~= "string" then
      fail(usage, "index must be a string, got %s", type(name))
    elseif not declared[name] then
      fail(usage, "there is no index '%s' in M.search%s", name, words.suggest(name, declared))
    end
    return name
  end

  --- Lists stay lists when they are empty.
  local function list(value)
    return value and json.array(value)
  end

  local function filter_of(filter)
    local out = {}
    for field, value in pairs(filter) do
      out[field] = type(value) == "table" and value.from == nil and value.to == nil and json.array(value) or value
    end
    return out
  end

  local function recency_of(recency, usage)
    if recency == nil then
      return nil
    end
    local field, time
    if type(recency) == "table" then
      field, time = next(recency)
    end
    local seconds = field and next(recency, field) == nil and units.duration(time)
    if type(field) ~= "string" or not seconds then
      fail(usage, 'options.recency must be a table such as { at = "7d" }')
    end
    return { [field] = seconds }
  end

  --- Puts in or replaces documents; on disk when it returns how many. (waits)
  function search:index(index, docs, options) -- luacheck: no self
    check_index(index, INDEX)
    options = words.options(options, { visible = true }, INDEX, 2)
    if type(docs) ~= "table" then
      fail(INDEX, "docs must be a document or a list of them, got %s", type(docs))
    end
    if docs.id ~= nil then
      docs = { docs }
    elseif words.beyond(docs) ~= nil then
      fail(INDEX, "docs must be a document with an id or a list of them")
    end
    return raw.index(index, json.encode({ docs = json.array(docs), visible = options.visible and true or nil }))
  end

  --- { total, hits, next, facets }. (waits)
  function search:find(index, query, options) -- luacheck: no self
    check_index(index, FIND)
    options = words.options(options, FIND_OPTIONS, FIND, 2)
    local limit, after = options.limit, options.after
    if limit ~= nil and (type(limit) ~= "number" or limit % 1 ~= 0 or limit < 0 or limit > 1000) then
      fail(FIND, "options.limit must be a whole number from 0 to 1000")
    elseif after ~= nil and type(after) ~= "string" then
      fail(FIND, "options.after must be what find gave as next, got %s", type(after))
    end
    local filter = check_filter(options.filter, "options.filter", FIND)
    return raw.find(index, json.encode({ query = check_query(query, FIND), filter = filter and filter_of(filter),
      sort = list(names(options, "sort", FIND)), limit = limit, after = after,
      highlight = list(names(options, "highlight", FIND)), fields = list(names(options, "fields", FIND)),
      facets = list(names(options, "facets", FIND)), recency = recency_of(options.recency, FIND) }))
  end

  --- Removes a document, or all that a filter finds; how many there were. (waits)
  function search:delete(index, what) -- luacheck: no self
    check_index(index, DELETE)
    if type(what) == "string" then
      return raw.delete(index, json.encode({ ids = json.array { what } }))
    end
    local filter = check_filter(what or false, "the second argument", DELETE)
    return raw.delete(index, json.encode({ filter = filter_of(filter) }))
  end

  --- How many documents a query finds. (waits)
  function search:count(index, query, options) -- luacheck: no self
    check_index(index, COUNT)
    options = words.options(options, { filter = true }, COUNT, 2)
    local filter = check_filter(options.filter, "options.filter", COUNT)
    return raw.count(index, json.encode({ query = check_query(query, COUNT), filter = filter and filter_of(filter) }))
  end

  return search
end
