--- app.objects: blobs by key, over bind/objects_lua.c.
local words = require "maru.words"

local PUT, PART = { type = true, if_absent = true, sha256 = true }, { from = true, n = true }
local LIST = { after = true, limit = true, delimiter = true }
local PRESIGN = {
  method = true, expires = true, content_type = true, max_bytes = true, name = true, inline = true,
}
local METHODS = { GET = true, PUT = true }

return function(raw)
  local objects = {}

  --- Keeps bytes under key, instead of what was there.
  function objects:put(key, bytes, options) -- luacheck: no self
    options = words.options(options, PUT, "app.objects:put(key, bytes, [options])", 2)
    return raw.put(key, bytes, options.type, options.if_absent == true, options.sha256)
  end

  --- The bytes, and what is known of them.
  function objects:get(key, options) -- luacheck: no self
    options = words.options(options, PART, "app.objects:get(key, [options])", 2)
    return raw.get(key, options.from or 0, options.n or 0)
  end

  function objects:stat(key) -- luacheck: no self
    return raw.stat(key)
  end

  function objects:delete(key) -- luacheck: no self
    return raw.delete(key)
  end

  --- At once; what is not there is no error. The number of keys.
  function objects:delete_many(keys) -- luacheck: no self
    return raw.delete_many(keys)
  end

  --- What begins with prefix, by key; after: where to go on, or nil.
  function objects:list(prefix, options) -- luacheck: no self
    options = words.options(options, LIST, "app.objects:list([prefix], [options])", 2)
    local list, more, code = raw.list(prefix, options.after, options.limit or 1000, options.delimiter)
    if not list then
      return nil, more, code
    end
    local page = { objects = {}, prefixes = {}, after = more and list[#list] and list[#list].key or nil }
    for _, info in ipairs(list) do
      if info.is_prefix then
        page.prefixes[#page.prefixes + 1] = info.key
      else
        info.is_prefix = nil
        page.objects[#page.objects + 1] = info
      end
    end
    return page
  end

  --- An address that is good for one key and method for a while, for who is no plugin.
  function objects:presign(key, options) -- luacheck: no self
    local usage = "app.objects:presign(key, [options])"
    options = words.options(options, PRESIGN, usage, 2)
    local method = options.method or "GET"
    if not METHODS[method] then
      error(usage .. ': method is "GET" or "PUT", got ' .. tostring(method), 2)
    end
    return raw.presign(key, method == "PUT", options.expires or 900, options.content_type, options.max_bytes or 0,
      options.name, options.inline == true)
  end

  --- Writes an object piece by piece; it is there when close() has answered.
  function objects:writer(key, options) -- luacheck: no self
    options = words.options(options, PUT, "app.objects:writer(key, [options])", 2)
    return raw.writer(key, options.type, options.if_absent == true, options.sha256)
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
    options = words.options(options, PART, "app.objects:reader(key, [options])", 2)
    local reader, info, code = raw.reader(key, options.from or 0, options.n or 0)
    if not reader then
      return nil, info, code
    end
    return setmetatable({ raw = reader, info = info }, Reader)
  end

  return objects
end
