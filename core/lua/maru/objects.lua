--- app.objects: blobs by key, over bind/objects_lua.c.
local words = require "maru.words"

local function check_options(options, known, usage)
  if options == nil then
    return {}
  elseif type(options) ~= "table" then
    error(usage .. ": options must be a table, got " .. type(options), 3)
  end
  for name in pairs(options) do
    if not known[name] then
      error(("%s: there is no option %s%s"):format(usage, tostring(name), words.suggest(tostring(name), known)), 3)
    end
  end
  return options
end

local PUT, PART, LIST = { type = true, if_absent = true }, { from = true, n = true }, { after = true, limit = true }

return function(raw)
  local objects = {}

  --- Keeps bytes under key, instead of what was there.
  function objects:put(key, bytes, options) -- luacheck: no self
    options = check_options(options, PUT, "app.objects:put(key, bytes, [options])")
    return raw.put(key, bytes, options.type, options.if_absent == true)
  end

  --- The bytes, and what is known of them.
  function objects:get(key, options) -- luacheck: no self
    options = check_options(options, PART, "app.objects:get(key, [options])")
    return raw.get(key, options.from or 0, options.n or 0)
  end

  function objects:stat(key) -- luacheck: no self
    return raw.stat(key)
  end

  function objects:delete(key) -- luacheck: no self
    return raw.delete(key)
  end

  --- What begins with prefix, by key; after: the key to go on behind, or nil.
  function objects:list(prefix, options) -- luacheck: no self
    options = check_options(options, LIST, "app.objects:list([prefix], [options])")
    local list, more, code = raw.list(prefix, options.after, options.limit or 1000)
    if not list then
      return nil, more, code
    end
    return { objects = list, after = more and list[#list].key or nil }
  end

  --- Writes an object piece by piece; it is there when close() has answered.
  function objects:writer(key, options) -- luacheck: no self
    options = check_options(options, PUT, "app.objects:writer(key, [options])")
    return raw.writer(key, options.type, options.if_absent == true)
  end

  local Reader = {}
  Reader.__index = Reader

  --- The next piece, or nil at the end; nil, message, code when it cannot be read.
  function Reader:read()
    local bytes, message, code = self.raw:read()
    if bytes == "" then
      return nil
    end
    return bytes, message, code
  end

  function Reader:close()
    self.raw:close()
  end

  --- Reads an object piece by piece.
  function objects:reader(key, options) -- luacheck: no self
    options = check_options(options, PART, "app.objects:reader(key, [options])")
    local reader, info, code = raw.reader(key, options.from or 0, options.n or 0)
    if not reader then
      return nil, info, code
    end
    return setmetatable({ raw = reader, info = info }, Reader)
  end

  return objects
end
