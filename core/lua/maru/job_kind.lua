--- The kind of a job that a plugin names: "job" of its M.jobs, or "plugin.job" of another, which the host asks for.
local words = require "maru.words"

--- Raises for what is not in M.jobs, for the caller three calls up.
return function(info, name, usage)
  local plugin, short = name:match("^([^.]*)%.(.*)$")
  if plugin and plugin ~= info.name then
    return name
  end
  name = short or name
  local own = info.declared and info.declared.jobs or {}
  if not own[name] then
    error(usage .. ": there is no job '" .. name .. "' in M.jobs" .. words.suggest(name, own), 4)
  end
  return info.name .. "." .. name
end
