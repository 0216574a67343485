--- app.cache: what all lanes share, or all nodes, over bind/cache_lua.c.

return function(raw)
  local cache = {}

  --- The value of key, or nil.
  function cache:get(key) -- luacheck: no self
    return raw.get(key)
  end

  --- Keeps value for ttl (none: until the room is needed).
  function cache:set(key, value, ttl) -- luacheck: no self
    return raw.set(key, value, ttl)
  end

  --- Keeps all of list = { { key, value }, … }.
  function cache:set_many(list, ttl) -- luacheck: no self
    return raw.set_many(list, ttl)
  end

  --- As set, only if key is absent; whether it was.
  function cache:add(key, value, ttl) -- luacheck: no self
    return raw.add(key, value, ttl)
  end

  function cache:delete(key) -- luacheck: no self
    return raw.delete(key)
  end

  --- Adds `by` (1) to a number, absent counts as 0; returns the sum.
  function cache:incr(key, by, ttl) -- luacheck: no self
    return raw.incr(key, by, ttl)
  end

  --- Up to limit keys that begin with prefix, in no order.
  function cache:keys(prefix, limit) -- luacheck: no self
    return raw.keys(prefix, limit)
  end

  --- A token and its fence, or nil when somebody else holds the lock.
  function cache:lock(name, ttl) -- luacheck: no self
    return raw.lock(name, ttl)
  end

  --- Whether the lock was held by that token and is free now.
  function cache:unlock(name, token) -- luacheck: no self
    return raw.unlock(name, token)
  end

  return cache
end
