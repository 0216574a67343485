--- app.log: lines under the plugin's name, with fields.
return function(raw)
  local log = {}
  for _, level in ipairs({ "debug", "info", "warn", "error" }) do
    log[level] = function(self, message, fields)
      if self ~= log then
        error("app.log:" .. level .. "(message, [fields]): call it with a colon", 2)
      end
      raw.write(level, message, fields)
    end
  end
  return log
end
