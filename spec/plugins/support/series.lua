--- A series store for specs: points in a list, the contract's window as columns.
local M = {}

local function matches(point, where)
  for key, value in pairs(where or {}) do
    if point[key] ~= value then
      return false
    end
  end
  return true
end

function M.new()
  local self = { points = {} }

  self.append = function(_, _, rows)
    for _, row in ipairs(rows) do
      assert(type(row.at) == "number" and type(row.viewers) == "number")
      self.points[#self.points + 1] = row
    end
    return #rows
  end

  self.window = function(_, _, options)
    local kept, counts = {}, {} -- newest first
    for index = #self.points, 1, -1 do
      local point = self.points[index]
      local inside = point.at >= (options.from or 0) and point.at < (options.to or math.huge)
      if inside and matches(point, options.where) then
        local line = point.platform .. "/" .. point.channel_id
        counts[line] = (counts[line] or 0) + 1
        if counts[line] <= (options.last or math.huge) then
          kept[#kept + 1] = point
        end
      end
    end
    local columns = { n = #kept, at = {}, platform = {}, channel_id = {}, viewers = {} }
    for index = 1, #kept do
      local point = kept[#kept + 1 - index]
      for _, name in ipairs({ "at", "platform", "channel_id", "viewers" }) do
        columns[name][index] = point[name]
      end
    end
    return columns
  end

  return self
end

return M
