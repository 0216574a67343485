--- app.channels: fan-out to everyone listening now, over bind/channels_lua.c.

return function(raw, info)
  local json = info.raw.json
  local channels = {}

  --- Delivers message (a JSON value) to everyone who listens to topic now; returns how many.
  function channels:publish(topic, message) -- luacheck: no self
    return raw.publish(topic, json.encode(message))
  end

  local Subscription = {}
  Subscription.__index = Subscription

  --- Next message, or nil, message, "timeout" or "closed". The second value says how many were lost before it.
  function Subscription:receive(timeout)
    local text, lost, code = self.raw:receive(timeout)
    if not text then
      return nil, lost, code
    end
    return json.decode(text), lost
  end

  function Subscription:close()
    self.raw:close()
  end

  --- Listens to topic until the task ends or close().
  function channels:subscribe(topic) -- luacheck: no self
    local subscription, message, code = raw.subscribe(topic)
    if not subscription then
      return nil, message, code
    end
    return setmetatable({ raw = subscription }, Subscription)
  end

  return channels
end
